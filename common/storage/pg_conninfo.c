// Connection parameters: what the operator gave, and what this suite adds. They hold the password, so no text of
// libpq's parser (which quotes its input) reaches a log.
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/strbuf.h"
#include "common/storage/pg_private.h"

enum { DEFAULT_STATEMENT_TIMEOUT_MS = 5000 };

// Where the operator said nothing. A peer that vanished without a word is noticed within half a minute.
static const struct {
  const char *keyword;
  const char *value;
} DEFAULTS[] = {
    {"keepalives_idle", "10"},
    {"keepalives_interval", "5"},
    {"keepalives_count", "3"},
    {"tcp_user_timeout", "20000"},
};

static char *copy(const char *text)
{
  char *copied = strdup(text);
  CHECK(copied != NULL);
  return copied;
}

static void set(struct pg *pg, size_t *count, const char *keyword, const char *value)
{
  for (size_t i = 0; i < *count; i++)
    if (strcmp(pg->keywords[i], keyword) == 0) {
      free(pg->values[i]);
      pg->values[i] = copy(value);
      return;
    }
  pg->keywords[*count] = copy(keyword);
  pg->values[*count] = copy(value);
  (*count)++;
}

static void set_session(struct pg *pg, size_t *count, const char *given, const struct pg_options *options)
{
  uint32_t timeout_ms =
      options->statement_timeout_ms == 0 ? DEFAULT_STATEMENT_TIMEOUT_MS : options->statement_timeout_ms;
  struct strbuf text;
  strbuf_init(&text, 0);
  strbuf_printf(&text, "-c TimeZone=UTC -c statement_timeout=%u -c idle_in_transaction_session_timeout=%d", timeout_ms,
                PG_IDLE_IN_TRANSACTION_MS);
  // The operator's come last: the last one holds.
  if (given != NULL)
    strbuf_printf(&text, " %s", given);
  set(pg, count, "options", strbuf_cstring(&text));
  strbuf_free(&text);
}

void pg_conninfo_make(struct pg *pg, const struct pg_options *options)
{
  char *problem = NULL;
  PQconninfoOption *parsed = PQconninfoParse(options->conninfo == NULL ? "" : options->conninfo, &problem);
  PQfreemem(problem);
  if (parsed == NULL) {
    pg->malformed = "the connection string cannot be read: it must be keyword=value pairs or a postgresql:// URI";
    return;
  }
  size_t given = 0;
  while (parsed[given].keyword != NULL)
    given++;
  size_t slots = given + ARRAY_LEN(DEFAULTS) + 4;
  pg->keywords = calloc(slots, sizeof(*pg->keywords));
  pg->values = calloc(slots, sizeof(*pg->values));
  CHECK(pg->keywords != NULL && pg->values != NULL);

  size_t count = 0;
  const char *given_options = NULL;
  for (size_t i = 0; i < ARRAY_LEN(DEFAULTS); i++)
    set(pg, &count, DEFAULTS[i].keyword, DEFAULTS[i].value);
  for (size_t i = 0; i < given; i++) {
    if (parsed[i].val == NULL)
      continue;
    if (strcmp(parsed[i].keyword, "options") == 0)
      given_options = parsed[i].val;
    else
      set(pg, &count, parsed[i].keyword, parsed[i].val);
  }
  if (options->application_name != NULL)
    set(pg, &count, "application_name", options->application_name);
  set(pg, &count, "client_encoding", "UTF8");
  set_session(pg, &count, given_options, options);
  PQconninfoFree(parsed);
}

void pg_conninfo_free(struct pg *pg)
{
  if (pg->keywords == NULL)
    return;
  for (size_t i = 0; pg->keywords[i] != NULL; i++) {
    explicit_bzero(pg->values[i], strlen(pg->values[i]));
    free(pg->values[i]);
    free(pg->keywords[i]);
  }
  free(pg->keywords);
  free(pg->values);
  pg->keywords = NULL;
  pg->values = NULL;
}
