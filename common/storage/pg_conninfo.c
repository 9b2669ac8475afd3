// Connection parameters: what the operator gave, and what this suite adds. They hold the password. libpq's parser
// quotes its input in its messages, so none of them reaches a log.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/memory.h"
#include "common/base/strbuf.h"
#include "common/config/settings.h"
#include "common/observe/log.h"
#include "common/storage/pg_internal.h"

// Used where the operator gives no value. A server that vanished silently is noticed within two seconds: by
// tcp_user_timeout while something is under way to it, and by the keep-alives while its answer is waited for. The
// former is as long as PG_REACH_TIMEOUT_MS.
static const struct {
  const char *keyword;
  const char *value;
} DEFAULTS[] = {
    {"keepalives_idle", "1"},
    {"keepalives_interval", "1"},
    {"keepalives_count", "1"},
    {"tcp_user_timeout", "1700"},
};

// Returns the index of the keyword, or of the first free entry.
static size_t find_keyword(const struct pg *pg, const char *keyword)
{
  size_t index = 0;
  while (pg->keywords[index] != NULL && strcmp(pg->keywords[index], keyword) != 0)
    index++;
  return index;
}

void pg_conninfo_set(struct pg *pg, const char *keyword, const char *value)
{
  size_t index = find_keyword(pg, keyword);
  if (pg->keywords[index] == NULL)
    pg->keywords[index] = memory_copy_string(keyword);
  if (pg->values[index] != NULL)
    explicit_bzero(pg->values[index], strlen(pg->values[index]));
  free(pg->values[index]);
  pg->values[index] = memory_copy_string(value);
}

static uint32_t clamp_idle_ms(uint32_t statement_timeout_ms)
{
  if (statement_timeout_ms < PG_IDLE_LEAST_MS)
    return PG_IDLE_LEAST_MS;
  return statement_timeout_ms < PG_IDLE_MOST_MS ? statement_timeout_ms : PG_IDLE_MOST_MS;
}

static void set_session_options(struct pg *pg, const char *given, const struct pg_options *options)
{
  uint32_t timeout_ms = options->statement_timeout_ms == 0 ? PG_STATEMENT_TIMEOUT_MS : options->statement_timeout_ms;
  struct strbuf text;
  strbuf_init(&text, 0);
  strbuf_printf(&text,
                "-c TimeZone=UTC -c DateStyle=ISO -c bytea_output=hex -c statement_timeout=%u -c "
                "lock_timeout=%d -c idle_in_transaction_session_timeout=%u",
                timeout_ms, PG_LOCK_TIMEOUT_MS, clamp_idle_ms(timeout_ms));
  // PostgreSQL uses the last value of an option, so the operator's options come last.
  if (given != NULL)
    strbuf_printf(&text, " %s", given);
  pg_conninfo_set(pg, "options", strbuf_cstring(&text));
  strbuf_free(&text);
}

const char *pg_conninfo_value(const struct pg *pg, const char *keyword, const char *variable)
{
  const char *value = pg->values[find_keyword(pg, keyword)];
  if (value == NULL || *value == '\0')
    value = getenv(variable);
  return value == NULL ? "" : value;
}

static bool is_unused(const struct pg_pool *pool)
{
  for (size_t i = 0; i < pool->count; i++)
    if (pool->connections[i].state != PG_CLOSED)
      return false;
  return true;
}

void pg_name_sessions(struct pg *pg, const char *owner, const char *instance)
{
  // Only these two pools write.
  CHECK(!pg->sessions_are_named && is_unused(&pg->writes) && is_unused(&pg->gathered));
  pg->sessions_are_named = true;
  char name[PG_SESSION_NAME_BYTES + 1];
  int size = snprintf(name, sizeof(name), "%s %s", owner, instance);
  CHECK(size > 0 && (size_t)size < sizeof(name));
  if (pg->malformed == NULL)
    pg_conninfo_set(pg, "application_name", name);
}

void pg_conninfo_init(struct pg *pg, const struct pg_options *options)
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
  // Room for the keywords that are set below, and for the NULL at the end.
  size_t slots = given + ARRAY_LEN(DEFAULTS) + 8;
  pg->keywords = calloc(slots, sizeof(*pg->keywords));
  pg->values = calloc(slots, sizeof(*pg->values));
  CHECK(pg->keywords != NULL && pg->values != NULL);

  const char *given_options = NULL;
  for (size_t i = 0; i < ARRAY_LEN(DEFAULTS); i++)
    pg_conninfo_set(pg, DEFAULTS[i].keyword, DEFAULTS[i].value);
  for (size_t i = 0; i < given; i++) {
    if (parsed[i].val == NULL)
      continue;
    if (strcmp(parsed[i].keyword, "options") == 0)
      given_options = parsed[i].val;
    else
      pg_conninfo_set(pg, parsed[i].keyword, parsed[i].val);
  }
  if (options->application_name != NULL)
    pg_conninfo_set(pg, "application_name", options->application_name);
  pg_conninfo_set(pg, "client_encoding", "UTF8");
  set_session_options(pg, given_options, options);
  pg_places_init(pg);
  pg->conninfo_setting = options->conninfo_setting;
  PQconninfoFree(parsed);
}

enum { LONGEST_USER_TIMEOUT_MS = 60000 };

// Returns how long TCP tries to deliver; 0 where that is the system's default or longer than a minute.
static uint32_t read_user_timeout_ms(const char *value)
{
  int64_t ms = 0;
  return slice_to_int64(slice_from_string(value), 1, LONGEST_USER_TIMEOUT_MS, &ms) ? (uint32_t)ms : 0;
}

uint32_t pg_effect_ms(const struct pg *pg)
{
  uint32_t deliver_ms = 0;
  if (pg->keywords != NULL)
    deliver_ms = read_user_timeout_ms(pg_conninfo_value(pg, "tcp_user_timeout", ""));
  return (deliver_ms == 0 ? LONGEST_USER_TIMEOUT_MS : deliver_ms) + pg->statement_timeout_ms;
}

static enum status check_option(const PQconninfoOption *option, struct error *error)
{
  if (strcmp(option->keyword, "tcp_user_timeout") == 0 && read_user_timeout_ms(option->val) == 0)
    return error_set(
        error, STATUS_INVALID_ARGUMENT,
        "tcp_user_timeout is \"%s\", and must be 1 to %d (milliseconds), because a change waits until what "
        "an instance has sent before it died cannot take effect any more",
        option->val, LONGEST_USER_TIMEOUT_MS);
  if (strcmp(option->keyword, "options") == 0 && strstr(option->val, "statement_timeout") != NULL)
    return error_set(error, STATUS_INVALID_ARGUMENT,
                     "options must not set statement_timeout; PG_STATEMENT_TIMEOUT does");
  return STATUS_OK;
}

enum status pg_check_conninfo(const char *conninfo, struct error *error)
{
  char *problem = NULL;
  PQconninfoOption *parsed = PQconninfoParse(conninfo, &problem);
  PQfreemem(problem);
  enum status status = STATUS_OK;
  // Whether it can be read at all is seen when it is used.
  for (size_t i = 0; parsed != NULL && parsed[i].keyword != NULL && status == STATUS_OK; i++)
    if (parsed[i].val != NULL)
      status = check_option(&parsed[i], error);
  PQconninfoFree(parsed);
  return status;
}

PGconn *pg_connect_blocking(const char *conninfo)
{
  const char *keywords[ARRAY_LEN(DEFAULTS) + 4] = {0};
  const char *values[ARRAY_LEN(keywords)] = {0};
  size_t count = 0;
  for (; count < ARRAY_LEN(DEFAULTS); count++) {
    keywords[count] = DEFAULTS[count].keyword;
    values[count] = DEFAULTS[count].value;
  }
  keywords[count] = "connect_timeout";
  values[count++] = "5";  // seconds, for each host
  if (strchr(conninfo, ',') != NULL) {
    keywords[count] = "target_session_attrs";
    values[count++] = "read-write";
  }
  // libpq puts the parts of the connection string in the place of `dbname`, and takes the last value of each keyword.
  keywords[count] = "dbname";
  values[count] = conninfo;
  return PQconnectdbParams(keywords, values, 1);
}

static void take_password(struct pg *pg, const char *conninfo)
{
  char *problem = NULL;
  PQconninfoOption *parsed = PQconninfoParse(conninfo, &problem);
  PQfreemem(problem);
  for (size_t i = 0; parsed != NULL && parsed[i].keyword != NULL; i++)
    if (parsed[i].val != NULL && strcmp(parsed[i].keyword, "password") == 0)
      pg_conninfo_set(pg, "password", parsed[i].val);
  PQconninfoFree(parsed);
}

void pg_conninfo_read_password(struct pg *pg)
{
  if (pg->conninfo_setting == NULL)
    return;
  struct error error;
  struct strbuf text;
  enum status status = settings_read_again(pg->conninfo_setting, &text, &error);
  if (status == STATUS_OK)
    take_password(pg, strbuf_cstring(&text));
  else if (status != STATUS_NOT_FOUND)
    log_warn("postgres", "cannot read the password again; connecting with the one that was read before",
             LOG_STRING("reason", error.message));
  if (text.data != NULL)
    explicit_bzero(text.data, text.size);
  strbuf_free(&text);
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
  pg_places_free(pg);
  pg->keywords = NULL;
  pg->values = NULL;
}
