// Who gets into PostgreSQL, Redis and Consul: each program by its own password or token, for its own part, and nobody
// else. None of these can be read from the list of processes.
#include <criterion/criterion.h>
#include <string.h>

#include "tests/support/environment.h"
#include "tests/support/http.h"
#include "tests/support/stack.h"

// Runs a command of the shell and returns what it prints, whether it succeeds or not.
static const char *run(const char *command)
{
  return output_of((const char *const[]){"sh", "-c", text("{ %s\n} 2>&1 || true", command), NULL});
}

#define ASSERT_CONTAINS(output, part)                                                                                  \
  do {                                                                                                                 \
    const char *seen = (output);                                                                                       \
    cr_assert_not_null(strstr(seen, part), "\"%s\" is not in: %s", part, seen);                                        \
  } while (0)

// ---- PostgreSQL ----

static const char *psql_without_password(const char *user)
{
  return run(text("'%s/psql' -wXqAt -d \"$BULKHEAD_PG user=%s passfile=/nonexistent\" -c 'SELECT 1'",
                  need_variable("BULKHEAD_PG_BIN"), user));
}

// Runs a statement as the role that a service works with.
static const char *psql_of_service(const char *service, const char *statement)
{
  const char *secrets = text("%s/secrets", need_variable("BULKHEAD_RUN_DIR"));
  return run(text("export PGPASSFILE=$(mktemp)\n"
                  "printf '*:*:*:*:%%s' \"$(cat '%s/pg_%s')\" >\"$PGPASSFILE\"\n"
                  "'%s/psql' -XqAt -d \"$(sed 's/ password=.*//' '%s/pg_conninfo_%s')\" -c \"%s\"\n"
                  "rm -f \"$PGPASSFILE\"",
                  secrets, service, need_variable("BULKHEAD_PG_BIN"), secrets, service, statement));
}

Test(e2e_15_stores, postgres_asks_everybody_for_a_password)
{
  static const char *const users[] = {"postgres", "bulkhead_item", "bulkhead_item_owner"};
  for (size_t i = 0; i < ARRAY_LEN(users); i++)
    ASSERT_CONTAINS(psql_without_password(users[i]), "no password supplied");
}

Test(e2e_15_stores, a_service_changes_rows_and_nothing_else)
{
  cr_assert_str_eq(psql_of_service("item", "SELECT count(*) >= 0 FROM items"), "t\n");
  ASSERT_CONTAINS(psql_of_service("item", "ALTER TABLE items ADD more text"), "must be owner");
  ASSERT_CONTAINS(psql_of_service("item", "CREATE TABLE item.more ()"), "permission denied");
  ASSERT_CONTAINS(psql_of_service("item", "CREATE TEMP TABLE more ()"), "permission denied");
  ASSERT_CONTAINS(psql_of_service("item", "SELECT * FROM auth.credentials"), "permission denied");
}

Test(e2e_15_stores, a_service_cannot_use_up_the_connections)
{
  cr_assert_str_eq(sql("SELECT bool_and(rolconnlimit BETWEEN 1 AND 100) FROM pg_roles WHERE rolname LIKE 'bulkhead%%'"),
                   "t");
}

// ---- Redis ----

// Sends commands, one a line, as a user; returns the replies.
static const char *redis_as(const char *user, const char *commands)
{
  return run(text("{ echo AUTH %s $(cat '%s/secrets/redis_%s'); cat <<'END'\n%s\nEND\n} | redis-cli -s '%s'", user,
                  need_variable("BULKHEAD_RUN_DIR"), user, commands, need_variable("BULKHEAD_REDIS_SOCKET")));
}

Test(e2e_15_stores, redis_lets_in_whom_it_knows)
{
  ASSERT_CONTAINS(run("echo PING | redis-cli -s \"$BULKHEAD_REDIS_SOCKET\""), "NOAUTH");
  ASSERT_CONTAINS(run("echo AUTH item wrong | redis-cli -s \"$BULKHEAD_REDIS_SOCKET\""), "WRONGPASS");
  ASSERT_CONTAINS(redis_as("item", "PING"), "PONG");
}

Test(e2e_15_stores, a_service_can_neither_read_nor_poison_the_keys_of_another)
{
  ASSERT_CONTAINS(redis_as("user", "SET user:mine 1 PX 1000"), "OK\nOK");
  static const char *const forbidden[] = {
      "GET cache:item.v1.1:1:x",
      "SET cache:item.v1.1:1:x poison",
      "SET item:x poison",
      "SET auth:x poison",
      "EVAL \"return redis.call('SET',KEYS[1],'poison')\" 1 cache:item.v1.1:1:x",
      "EVAL \"return redis.call('SET','item:x','poison')\" 0",
      "COPY item:x user:x",
      "KEYS *",
      "SCAN 0",
      "RANDOMKEY",
      "FLUSHALL",
      "CONFIG GET requirepass",
      "ACL LIST",
      "MONITOR",
      "SUBSCRIBE x",
  };
  for (size_t i = 0; i < ARRAY_LEN(forbidden); i++) {
    const char *replies = redis_as("user", forbidden[i]);
    cr_expect(strstr(replies, "NOPERM") != NULL || strstr(replies, "can't access") != NULL, "%s: %s", forbidden[i],
              replies);
  }
}

// ---- Consul ----

static int register_in_consul(const char *token, const char *service, const char *id)
{
  struct http_reply reply =
      HTTP(.method = "PUT", .path = "/v1/agent/service/register", .base_url = need_variable("BULKHEAD_CONSUL_URL"),
           .headers = {token == NULL ? NULL : text("X-Consul-Token: %s", token)},
           .body = text("{\"Name\":\"%s\",\"ID\":\"%s\",\"Address\":\"127.0.0.1\",\"Port\":1}", service, id));
  return reply.status;
}

static const char *id_of_instance(const char *service)
{
  struct http_reply found = consul_get(text("/v1/health/service/%s?passing", service));
  ASSERT_STATUS(found, 200);
  return http_json(&found, "[0].Service.ID");
}

Test(e2e_15_stores, only_auth_registers_as_auth)
{
  const char *item = secret_of_stack("consul_item");
  cr_expect_eq(register_in_consul(NULL, "auth", "stranger"), 403);
  cr_expect_eq(register_in_consul("00000000-0000-4000-8000-000000000000", "auth", "stranger"), 403);
  cr_expect_eq(register_in_consul(item, "auth", "stranger"), 403);
  cr_expect_eq(register_in_consul(item, "gateway", "stranger"), 403);
  cr_expect_eq(register_in_consul(secret_of_stack("consul_gateway"), "auth", "stranger"), 403);
  // The id of another's instance under an own name would replace it.
  cr_expect_eq(register_in_consul(item, "item", id_of_instance("auth")), 403);
}

Test(e2e_15_stores, consul_tells_a_stranger_nothing_and_a_service_where_the_others_are)
{
  const char *url = need_variable("BULKHEAD_CONSUL_URL");
  struct http_reply stranger = HTTP(.path = "/v1/health/service/auth", .base_url = url);
  cr_expect(stranger.status == 403 || strcmp(stranger.body, "[]") == 0, "%d: %s", stranger.status, stranger.body);
  const char *token = text("X-Consul-Token: %s", secret_of_stack("consul_item"));
  struct http_reply service = HTTP(.path = "/v1/health/service/auth", .base_url = url, .headers = {token});
  cr_expect_gt(http_json_count(&service, ""), 0, "%s", service.body);
  struct http_reply stored =
      HTTP(.method = "PUT", .path = "/v1/kv/anything", .body = "1", .base_url = url, .headers = {token});
  cr_expect_eq(stored.status, 403);
}

// ---- secrets ----

Test(e2e_15_stores, secrets_are_for_their_owner_only)
{
  const char *open = run("find \"$BULKHEAD_RUN_DIR/secrets\" -perm /077");
  cr_expect_str_eq(open, "");
}

// The commands that handle secrets run while the list of processes is read again and again.
Test(e2e_15_stores, no_secret_is_in_the_list_of_processes)
{
  const char *found =
      run("secrets=$BULKHEAD_RUN_DIR/secrets\n"
          "known=$(mktemp)\n"
          "(deploy/local/stack rotate-passwords auth && deploy/local/stack exec auth migrate status) "
          ">/dev/null 2>&1 &\n"
          "work=$!\n"
          "while kill -0 $work 2>/dev/null; do\n"
          "  cat \"$secrets\"/pg_*[a-z] \"$secrets\"/redis_* \"$secrets\"/consul_* \"$secrets\"/auth_key "
          ">\"$known\" 2>/dev/null\n"
          "  grep -slaF -f \"$known\" /proc/[0-9]*/cmdline /proc/[0-9]*/environ\n"
          "done\n"
          "[ -s \"$known\" ] || echo nothing was looked for\n"
          "rm -f \"$known\"");
  cr_expect_str_eq(found, "", "%s", found);
}
