// Connection parameters: what the operator gave, and what this suite adds. They hold the password, so no text of
// libpq's parser (which quotes its input) reaches a log.
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/strbuf.h"
#include "common/storage/pg_internal.h"

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

// Where the keyword is, or the first free place.
static size_t place_of(const struct pg *pg, const char *keyword)
{
  size_t place = 0;
  while (pg->keywords[place] != NULL && strcmp(pg->keywords[place], keyword) != 0)
    place++;
  return place;
}

static void set(struct pg *pg, const char *keyword, const char *value)
{
  size_t place = place_of(pg, keyword);
  if (pg->keywords[place] == NULL)
    pg->keywords[place] = copy(keyword);
  free(pg->values[place]);
  pg->values[place] = copy(value);
}

static void set_session(struct pg *pg, const char *given, const struct pg_options *options)
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
  set(pg, "options", strbuf_cstring(&text));
  strbuf_free(&text);
}

// What libpq will use: the environment's where the operator's string has none, or an empty one.
static const char *effective(const struct pg *pg, const char *keyword, const char *variable)
{
  const char *value = pg->values[place_of(pg, keyword)];
  if (value == NULL || *value == '\0')
    value = getenv(variable);
  return value == NULL ? "" : value;
}

// Left to libpq, and so looked up in place: several hosts, each of which has a port and a turn of its own, and a host
// that only a service file names.
static void find_host_name(struct pg *pg)
{
  const char *host = effective(pg, "host", "PGHOST");
  if (!host_is_name(host) || strchr(host, ',') != NULL || strchr(effective(pg, "port", "PGPORT"), ',') != NULL ||
      effective(pg, "hostaddr", "PGHOSTADDR")[0] != '\0' || effective(pg, "service", "PGSERVICE")[0] != '\0')
    return;
  pg->host_name = copy(host);
}

// libpq takes the addresses from `hostaddr`, and the name, against which TLS verifies the server's certificate, from
// `host`. Lists must be of one length (libpq 15, "Specifying Multiple Hosts"), but for a single port, which is for all.
void pg_conninfo_resolved(struct pg *pg, const struct address_list *found, size_t first)
{
  struct strbuf hosts;
  struct strbuf addresses;
  strbuf_init(&hosts, 0);
  strbuf_init(&addresses, 0);
  for (size_t i = 0; i < found->count; i++) {
    const char *comma = i == 0 ? "" : ",";
    strbuf_printf(&hosts, "%s%s", comma, pg->host_name);
    strbuf_printf(&addresses, "%s%s", comma, found->texts[(first + i) % found->count]);
  }
  set(pg, "host", strbuf_cstring(&hosts));
  set(pg, "hostaddr", strbuf_cstring(&addresses));
  strbuf_free(&hosts);
  strbuf_free(&addresses);
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
  // What is set below, and NULL at the end.
  size_t slots = given + ARRAY_LEN(DEFAULTS) + 6;
  pg->keywords = calloc(slots, sizeof(*pg->keywords));
  pg->values = calloc(slots, sizeof(*pg->values));
  CHECK(pg->keywords != NULL && pg->values != NULL);

  const char *given_options = NULL;
  for (size_t i = 0; i < ARRAY_LEN(DEFAULTS); i++)
    set(pg, DEFAULTS[i].keyword, DEFAULTS[i].value);
  for (size_t i = 0; i < given; i++) {
    if (parsed[i].val == NULL)
      continue;
    if (strcmp(parsed[i].keyword, "options") == 0)
      given_options = parsed[i].val;
    else
      set(pg, parsed[i].keyword, parsed[i].val);
  }
  if (options->application_name != NULL)
    set(pg, "application_name", options->application_name);
  set(pg, "client_encoding", "UTF8");
  set_session(pg, given_options, options);
  find_host_name(pg);
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
  free(pg->host_name);
  pg->host_name = NULL;
  pg->keywords = NULL;
  pg->values = NULL;
}
