// A set that cannot be served stops the gateway's start with the words that the build has for it.
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/api.h"
#include "tests/unit/gateway/fixture.h"

#define BAD "tests/unit/plugin/data/bad"

static enum status load_bad(const char *name, struct error *error)
{
  char set[] = "/tmp/bulkhead-bad-XXXXXX";
  char result[64];
  int descriptor = mkstemp(set);
  cr_assert(descriptor >= 0);
  close(descriptor);
  snprintf(result, sizeof(result), "--descriptor_set_out=%s", set);
  char *arguments[] = {
      "protoc", "-I" BAD,     "-Iproto", "-I/usr/include", "--include_imports", "--include_source_info",
      result,   (char *)name, NULL};
  pid_t child;
  int ended = -1;
  cr_assert_eq(posix_spawnp(&child, "protoc", NULL, NULL, arguments, environ), 0);
  cr_assert_eq(waitpid(child, &ended, 0), child);
  cr_assert(WIFEXITED(ended) && WEXITSTATUS(ended) == 0);
  struct api *api = NULL;
  enum status status = api_load_file(set, &api, error);
  cr_expect_null(api);
  unlink(set);
  return status;
}

Test(bad_contracts, the_error_has_the_first_mistake_and_the_log_all, .init = cr_redirect_stderr)
{
  struct error error;
  cr_assert_eq(load_bad("many_mistakes.proto", &error), STATUS_INVALID_ARGUMENT);
  cr_expect_not_null(strstr(error.message, "many_mistakes.proto:16:5: bad.v1.BadService.Call: GET /v1/{name}: "), "%s",
                     error.message);
  cr_expect_not_null(strstr(error.message, "(the log has the other mistakes)"), "%s", error.message);
  const char *log = fixture_read_log();
  static const char *const PLACES[] = {
      "many_mistakes.proto:16:5: ", "many_mistakes.proto:17:5: ", "many_mistakes.proto:19:3: ",
      "many_mistakes.proto:23:20: ", "many_mistakes.proto:27:20: "};
  for (size_t i = 0; i < ARRAY_LEN(PLACES); i++)
    cr_expect_not_null(strstr(log, PLACES[i]), "%s: %s", PLACES[i], log);
}
