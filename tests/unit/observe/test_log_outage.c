// An outage is two lines of the log, however many tries fail.
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <stdio.h>
#include <string.h>

#include "common/base/compiler.h"
#include "common/observe/log_outage.h"

static char lines[4096];

static const char *read_log(void)
{
  FILE *log = cr_get_redirected_stderr();
  size_t size = fread(lines, 1, sizeof(lines) - 1, log);
  lines[size] = '\0';
  return lines;
}

Test(log_outage, tells_the_first_failure_and_the_recovery, .init = cr_redirect_stderr)
{
  struct log_outage outage = {.subject = "well", .failure = "it is dry", .recovery = "it has water again"};
  const struct log_field why[] = {LOG_STRING("reason", "no rain")};
  log_outage_note(&outage, false, why, ARRAY_LEN(why));
  log_outage_note(&outage, true, why, ARRAY_LEN(why));
  log_outage_note(&outage, true, why, ARRAY_LEN(why));
  log_outage_note(&outage, false, why, ARRAY_LEN(why));
  log_outage_note(&outage, false, why, ARRAY_LEN(why));
  fflush(stderr);
  const char *log = read_log();
  const char *failure = strstr(log, "\"message\":\"it is dry\""), *recovery = strstr(log, "\"it has water again\"");
  cr_assert(failure != NULL && recovery != NULL && failure < recovery, "%s", log);
  cr_expect_not_null(strstr(log, "\"level\":\"warn\",") == NULL ? NULL : strstr(log, "\"reason\":\"no rain\""), "%s",
                     log);
  size_t count = 0;
  for (const char *line = log; (line = strchr(line, '\n')) != NULL; line++)
    count++;
  cr_expect_eq(count, 2, "%s", log);
}
