// The parts that need no server: parameters, arrays, error codes, connection strings, the URL of Redis.
#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>

#include "common/storage/pg_internal.h"
#include "common/storage/pg_sqlstate_internal.h"
#include "common/storage/redis_internal.h"

Test(pg_params, literals)
{
  struct arena arena = {0};
  struct pg_params params;
  const char *texts[] = {"a", "", NULL, "NULL", "q\"b\\s", "{,}"};
  const int64_t numbers[] = {-1, 0, 12};
  pg_params_init(&params, &arena);
  pg_add_text_array(&params, texts, ARRAY_LEN(texts));
  pg_add_text_array(&params, NULL, 0);
  pg_add_int_array(&params, numbers, ARRAY_LEN(numbers));
  pg_add_int(&params, INT64_MIN);
  pg_add_int(&params, INT64_MAX);
  pg_add_int(&params, 0);
  pg_add_bool(&params, false);
  pg_add_slice(&params, (struct slice){0});
  pg_add_slice(&params, slice_make("abc", 0));
  pg_add_bytes(&params, slice_make("\0x", 2));
  const char *expected[] = {"{\"a\",\"\",NULL,\"NULL\",\"q\\\"b\\\\s\",\"{,}\"}",
                            "{}",
                            "{-1,0,12}",
                            "-9223372036854775808",
                            "9223372036854775807",
                            "0",
                            "f",
                            NULL,
                            ""};
  for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
    if (expected[i] == NULL) {
      cr_assert_null(params.values[i]);
      continue;
    }
    cr_assert_str_eq(params.values[i], expected[i]);
    cr_assert_eq((size_t)params.lengths[i], strlen(expected[i]));
    cr_assert_eq(params.formats[i], 0);
  }
  cr_assert_eq(params.formats[9], 1);
  cr_assert_eq(params.lengths[9], 2);
  arena_free(&arena);
}

Test(pg_params, a_zero_byte_is_our_bug, .signal = SIGABRT)
{
  struct arena arena = {0};
  struct pg_params params;
  pg_params_init(&params, &arena);
  pg_add_slice(&params, slice_make("a\0b", 3));
}

Test(pg_params, too_many_are_our_bug, .signal = SIGABRT)
{
  struct arena arena = {0};
  struct pg_params params;
  pg_params_init(&params, &arena);
  for (int i = 0; i <= PG_MAX_PARAMS; i++)
    pg_add_bool(&params, true);
}

static enum status parse(struct arena *arena, const char *literal, char ***items, size_t *count)
{
  struct slice cell = slice_from_string(literal);
  struct pg_result result = {.rows = 1, .columns = 1, .cells = &cell};
  return pg_text_array(&result, 0, 0, arena, items, count);
}

Test(pg_result, arrays)
{
  struct arena arena = {0};
  char **items;
  size_t count;
  cr_assert_eq(parse(&arena, "{a,\"b c\",NULL,\"NULL\",\"\",\"q\\\"\\\\\",null}", &items, &count), STATUS_OK);
  const char *expected[] = {"a", "b c", NULL, "NULL", "", "q\"\\", "null"};
  cr_assert_eq(count, ARRAY_LEN(expected));
  for (size_t i = 0; i < count; i++)
    cr_assert(expected[i] == NULL ? items[i] == NULL : strcmp(items[i], expected[i]) == 0, "%zu", i);
  cr_assert_eq(parse(&arena, "{}", &items, &count), STATUS_OK);
  cr_assert_eq(count, 0);
  cr_assert_eq(parse(&arena, NULL, &items, &count), STATUS_OK);
  cr_assert_eq(count, 0);
  const char *broken[] = {"",     "{",   "{a",   "{\"a}",    "{a,}", "{,a}",      "{{a},{b}}",
                          "{a}b", "a,b", "{a\\", "{\"a\"b}", "{\"a", "[0:1]={1}", "{\"a\\\""};
  for (size_t i = 0; i < ARRAY_LEN(broken); i++)
    cr_assert_eq(parse(&arena, broken[i], &items, &count), STATUS_INTERNAL, "%s", broken[i]);
  arena_free(&arena);
}

Test(pg_sqlstate, becomes_a_status)
{
  const struct {
    const char *sqlstate;
    enum status status;
  } cases[] = {
      {"23505", STATUS_ALREADY_EXISTS},
      {"23503", STATUS_FAILED_PRECONDITION},
      {"23514", STATUS_FAILED_PRECONDITION},
      {"23502", STATUS_INTERNAL},
      {"40001", STATUS_ABORTED},
      {"40P01", STATUS_ABORTED},
      {"55P03", STATUS_ABORTED},
      {"57014", STATUS_DEADLINE_EXCEEDED},
      {"25P03", STATUS_UNAVAILABLE},
      {"25P02", STATUS_INTERNAL},
      {"57P01", STATUS_UNAVAILABLE},
      {"57P03", STATUS_UNAVAILABLE},
      {"08006", STATUS_UNAVAILABLE},
      {"53300", STATUS_UNAVAILABLE},
      {"22P02", STATUS_INVALID_ARGUMENT},
      {"54001", STATUS_INVALID_ARGUMENT},
      {"42P01", STATUS_INTERNAL},
      {"", STATUS_INTERNAL},
      {"23505x", STATUS_INTERNAL},
      {NULL, STATUS_INTERNAL},
  };
  for (size_t i = 0; i < ARRAY_LEN(cases); i++)
    cr_assert_eq(pg_sqlstate_status(cases[i].sqlstate), cases[i].status, "%s", cases[i].sqlstate);
}

static const char *value_of(const struct pg *pg, const char *keyword)
{
  for (size_t i = 0; pg->keywords[i] != NULL; i++)
    if (strcmp(pg->keywords[i], keyword) == 0)
      return pg->values[i];
  return NULL;
}

Test(pg_conninfo, ours_is_added_and_the_operators_holds)
{
  struct pg pg = {0};
  const struct pg_options options = {.conninfo =
                                         "postgresql://u:p%20w@h:1/d?options=-csearch_path%3Ds&tcp_user_timeout=7",
                                     .statement_timeout_ms = 123,
                                     .application_name = "item"};
  pg_conninfo_init(&pg, &options);
  cr_assert_null(pg.malformed);
  cr_assert_str_eq(value_of(&pg, "password"), "p w");
  cr_assert_str_eq(value_of(&pg, "tcp_user_timeout"), "7");
  cr_assert_str_eq(value_of(&pg, "application_name"), "item");
  cr_assert_str_eq(value_of(&pg, "keepalives_count"), "1");
  cr_assert_not_null(strstr(value_of(&pg, "options"), "-c lock_timeout=100"));
  cr_assert_not_null(strstr(value_of(&pg, "options"), "-c statement_timeout=123"));
  cr_assert_not_null(strstr(value_of(&pg, "options"), "-c TimeZone=UTC"));
  cr_assert_not_null(strstr(value_of(&pg, "options"), "-csearch_path=s"));
  pg_conninfo_free(&pg);
}

Test(pg_conninfo, sessions_tell_whose_they_are_once_they_were_named)
{
  const struct pg_options options = {.application_name = "item"};
  struct pg pg = {0};
  pg_conninfo_init(&pg, &options);
  pg_name_sessions(&pg, "item.v1.1", "01936b5e7c1a7d3e");
  cr_expect_str_eq(value_of(&pg, "application_name"), "item.v1.1 01936b5e7c1a7d3e");
  pg_conninfo_free(&pg);
}

// Without an end to it, a frozen process would hold the locks of its transaction for ever.
Test(pg_conninfo, a_forgotten_transaction_ends_like_a_long_statement)
{
  static const struct {
    uint32_t statement_ms;
    const char *idle;
  } cases[] = {
      {0, "timeout=5000"},    {123, "timeout=1000"},  {1000, "timeout=1000"},
      {2000, "timeout=2000"}, {5000, "timeout=5000"}, {600000, "timeout=5000"},
  };
  for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
    struct pg pg = {0};
    pg_conninfo_init(&pg, &(const struct pg_options){.conninfo = "", .statement_timeout_ms = cases[i].statement_ms});
    const char *idle = strstr(value_of(&pg, "options"), "idle_in_transaction_session_");
    cr_assert_not_null(idle);
    cr_expect_str_eq(idle + strlen("idle_in_transaction_session_"), cases[i].idle);
    pg_conninfo_free(&pg);
  }
}

// TCP notices the loss of a host by these alone.
Test(pg_conninfo, a_vanished_host_is_noticed_in_two_seconds)
{
  struct pg pg = {0};
  pg_conninfo_init(&pg, &(const struct pg_options){.conninfo = "host=10.0.0.1 keepalives_interval=9"});
  cr_expect_str_eq(value_of(&pg, "tcp_user_timeout"), "1700");
  cr_expect_str_eq(value_of(&pg, "keepalives_idle"), "1");
  cr_expect_str_eq(value_of(&pg, "keepalives_interval"), "9", "the operator's holds");
  pg_conninfo_free(&pg);
}

// A change counts on it that what an instance sent before it died cannot take effect later.
Test(pg_conninfo, it_is_known_when_a_statement_cannot_take_effect_any_more)
{
  struct pg pg = {.statement_timeout_ms = 5000};
  pg_conninfo_init(&pg, &(const struct pg_options){.conninfo = "host=10.0.0.1"});
  cr_expect_eq(pg_effect_ms(&pg), 6700);
  pg_conninfo_free(&pg);
  pg_conninfo_init(&pg, &(const struct pg_options){.conninfo = "host=10.0.0.1 tcp_user_timeout=300"});
  cr_expect_eq(pg_effect_ms(&pg), 5300);
  pg_conninfo_free(&pg);
}

Test(pg_conninfo, settings_that_leave_that_open_are_refused)
{
  struct error error;
  cr_expect_eq(pg_check_conninfo("host=a tcp_user_timeout=300 options='-c search_path=b'", &error), STATUS_OK);
  cr_expect_eq(pg_check_conninfo("host=a tcp_user_timeout=0", &error), STATUS_INVALID_ARGUMENT);
  cr_expect_not_null(strstr(error.message, "must be 1 to 60000"));
  cr_expect_eq(pg_check_conninfo("host=a tcp_user_timeout=60001", &error), STATUS_INVALID_ARGUMENT);
  cr_expect_eq(pg_check_conninfo("host=a options='-c statement_timeout=0'", &error), STATUS_INVALID_ARGUMENT);
  cr_expect_not_null(strstr(error.message, "PG_STATEMENT_TIMEOUT"));
}

static void make_conninfo(struct pg *pg, const char *conninfo)
{
  *pg = (struct pg){0};
  pg_conninfo_init(pg, &(const struct pg_options){.conninfo = conninfo});
  cr_assert_null(pg->malformed);
}

// libpq gets the addresses as lists, and the name for TLS to verify.
Test(pg_conninfo, a_host_name_gets_its_addresses)
{
  struct pg pg;
  const struct address_list found = {.count = 3, .texts = {"10.0.0.1", "10.0.0.2", "fe80::1%eth0"}};
  make_conninfo(&pg, "postgresql://u@db.example/d?sslmode=verify-full");
  cr_assert_str_eq(pg_places_name(&pg, 0), "db.example");
  pg_places_aim(&pg, 0, &found);
  cr_expect_str_eq(value_of(&pg, "host"), "db.example,db.example,db.example");
  cr_expect_str_eq(value_of(&pg, "hostaddr"), "10.0.0.1,10.0.0.2,fe80::1%eth0");
  pg_places_aim(&pg, 4, &found);
  cr_expect_str_eq(value_of(&pg, "hostaddr"), "10.0.0.2,fe80::1%eth0,10.0.0.1");
  cr_expect_str_eq(value_of(&pg, "sslmode"), "verify-full");
  pg_conninfo_free(&pg);
}

Test(pg_conninfo, the_host_name_may_come_from_the_environment)
{
  struct pg pg;
  const struct address_list found = {.count = 1, .texts = {"10.0.0.1"}};
  setenv("PGHOST", "db.example", 1);
  make_conninfo(&pg, "dbname=d");
  cr_assert_str_eq(pg_places_name(&pg, 0), "db.example");
  pg_places_aim(&pg, 0, &found);
  cr_expect_str_eq(value_of(&pg, "host"), "db.example");
  pg_conninfo_free(&pg);
  make_conninfo(&pg, "host='' dbname=d");
  cr_assert_not_null(pg_places_name(&pg, 0), "libpq takes an empty one for none");
  cr_expect_str_eq(pg_places_name(&pg, 0), "db.example");
  pg_conninfo_free(&pg);
  make_conninfo(&pg, "host=10.0.0.1 dbname=d");
  cr_expect_null(pg_places_name(&pg, 0));
  pg_conninfo_free(&pg);
}

Test(pg_conninfo, what_is_no_name_is_not_resolved)
{
  static const char *const others[] = {
      "dbname=d",
      "host=/run/postgresql",
      "host=@abstract",
      "host=10.0.0.1",
      "host=::1",
      "host=''",
      "host=a, port=1",
      "host=a port=1,2",
      "host=a,b hostaddr=10.0.0.1",
      "host=a hostaddr=10.0.0.1",
      "service=s host=a",
  };
  for (size_t i = 0; i < ARRAY_LEN(others); i++) {
    struct pg pg;
    make_conninfo(&pg, others[i]);
    cr_expect_null(pg_places_name(&pg, 0), "%s", others[i]);
    pg_places_aim(&pg, 0, NULL);
    pg_conninfo_free(&pg);
  }
}

// Each attempt has one place, because libpq cannot leave one that swallows what is sent to it.
Test(pg_places, several_hosts_are_tried_by_turns)
{
  struct pg pg;
  const struct address_list found = {.count = 2, .texts = {"10.0.0.1", "10.0.0.2"}};
  make_conninfo(&pg, "postgresql://a.example:1,10.9.9.9:2,[::1]:3/d");
  cr_assert_str_eq(pg_places_name(&pg, pg.turn), "a.example");
  pg_places_aim(&pg, pg.turn, &found);
  cr_expect_str_eq(value_of(&pg, "host"), "a.example,a.example");
  cr_expect_str_eq(value_of(&pg, "port"), "1");
  cr_expect_str_eq(value_of(&pg, "target_session_attrs"), "read-write", "a service writes");
  size_t first = pg.turn;
  pg_places_fail(&pg, first);
  pg_places_fail(&pg, first);
  cr_assert_eq(pg.turn, first + 1, "another connection has moved it on already");
  cr_assert_null(pg_places_name(&pg, pg.turn));
  pg_places_aim(&pg, pg.turn, NULL);
  cr_expect_str_eq(value_of(&pg, "host"), "10.9.9.9");
  cr_expect_str_eq(value_of(&pg, "hostaddr"), "");
  cr_expect_str_eq(value_of(&pg, "port"), "2");
  pg_places_fail(&pg, pg.turn);
  pg_places_aim(&pg, pg.turn, NULL);
  cr_expect_str_eq(value_of(&pg, "host"), "::1");
  // The second round begins with the next address of each name.
  pg_places_fail(&pg, pg.turn);
  pg_places_aim(&pg, pg.turn, &found);
  cr_expect_str_eq(value_of(&pg, "hostaddr"), "10.0.0.2,10.0.0.1");
  pg_conninfo_free(&pg);
}

Test(pg_places, attempts_pause_after_each_round)
{
  struct pg pg;
  make_conninfo(&pg, "host=a,b port=1 target_session_attrs=any");
  cr_expect_str_eq(value_of(&pg, "target_session_attrs"), "any", "the operator's holds");
  pg_places_aim(&pg, 1, NULL);
  cr_expect_str_eq(value_of(&pg, "host"), "b");
  cr_expect_str_eq(value_of(&pg, "port"), "1");
  cr_expect(pg_places_has_more(&pg, 1));
  cr_expect_not(pg_places_has_more(&pg, 2));
  cr_expect(pg_places_has_more(&pg, 3));
  pg_conninfo_free(&pg);
  make_conninfo(&pg, "host=a");
  cr_expect_null(value_of(&pg, "target_session_attrs"), "a single server may be a stand-by");
  cr_expect_not(pg_places_has_more(&pg, 1));
  pg_conninfo_free(&pg);
}

Test(redis_url, forms)
{
  struct redis_address address;
  struct error error;
  cr_assert_eq(redis_url_parse("redis://u:p%40ss@cache.local:7000/2", &address, &error), STATUS_OK);
  cr_assert_str_eq(address.host, "cache.local");
  cr_assert_str_eq(address.user, "u");
  cr_assert_str_eq(address.password, "p@ss");
  cr_assert_eq(address.port, 7000);
  cr_assert_eq(address.database, 2);
  redis_address_clear(&address);
  cr_assert_eq(redis_url_parse("redis://[::1]", &address, &error), STATUS_OK);
  cr_assert_str_eq(address.host, "::1");
  cr_assert_eq(address.port, 6379);
  cr_assert_null(address.password);
  redis_address_clear(&address);
  cr_assert_eq(redis_url_parse("redis://:only@h/", &address, &error), STATUS_OK);
  cr_assert_null(address.user);
  cr_assert_str_eq(address.password, "only");
  redis_address_clear(&address);
  cr_assert_eq(redis_url_parse("unix:///run/r.sock?db=5", &address, &error), STATUS_OK);
  cr_assert_str_eq(address.unix_path, "/run/r.sock");
  cr_assert_eq(address.database, 5);
  redis_address_clear(&address);
}

Test(redis_url, malformed_ones_are_refused_without_their_secrets)
{
  static const char *const BAD[] = {"",
                                    "s3cret",
                                    "rediss://:s3cret@h",
                                    "redis://",
                                    "redis:///0",
                                    "redis://:s3cret@",
                                    "redis://:s3cret@h:0",
                                    "redis://:s3cret@h:65536",
                                    "redis://:s3cret@h:x",
                                    "redis://:s3cret@h/x",
                                    "redis://:s3cret@h/-1",
                                    "redis://:s3cret%zz@h",
                                    "redis://:s3cret%00@h",
                                    "redis://[::1",
                                    "redis://[::1]x",
                                    "unix://",
                                    "unix://relative",
                                    "unix:///a?db=x",
                                    "unix:///a?s3cret"};
  for (size_t i = 0; i < ARRAY_LEN(BAD); i++) {
    struct redis_address address;
    struct error error = {0};
    cr_assert_eq(redis_url_parse(BAD[i], &address, &error), STATUS_INVALID_ARGUMENT, "%s", BAD[i]);
    cr_assert_null(strstr(error.message, "s3cret"), "%s", error.message);
    cr_assert_gt(strlen(error.message), 0);
  }
}

// ---- places ----

Test(pg_places, the_same_place_comes_again_in_each_round)
{
  const struct pg pg = {.place_count = 2};
  cr_expect(pg_places_are_same(&pg, 1, 1));
  cr_expect(pg_places_are_same(&pg, 1, 3), "a round later");
  cr_expect_not(pg_places_are_same(&pg, 1, 2));
}
