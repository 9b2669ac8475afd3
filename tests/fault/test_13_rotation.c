// The passwords of PostgreSQL and Redis change, and the key of a service is taken away, while clients read and write.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/environment.h"
#include "tests/support/http.h"
#include "tests/support/stack.h"
#include "tests/support/steady_client.h"

enum { REQUESTS_BETWEEN_ROTATIONS = 200 };

static const char *run(const char *command)
{
  return output_of((const char *const[]){"sh", "-c", text("{ %s\n} 2>&1 || true", command), NULL});
}

static const char *try_redis(const char *password)
{
  return run(text("echo AUTH item %s | redis-cli -s '%s'", password, need_variable("BULKHEAD_REDIS_SOCKET")));
}

static const char *try_postgres(const char *password)
{
  return run(text("PGPASSWORD=%s '%s/psql' -XqAt -d \"$BULKHEAD_PG user=bulkhead_item\" -c 'SELECT 1'", password,
                  need_variable("BULKHEAD_PG_BIN")));
}

static void end_connections(void)
{
  (void)sql("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'bulkhead_item'");
  (void)run(text("printf 'AUTH admin %%s\\nCLIENT KILL USER item\\n' \"$(cat '%s/secrets/redis_admin')\" | "
                 "redis-cli -s '%s'",
                 need_variable("BULKHEAD_RUN_DIR"), need_variable("BULKHEAD_REDIS_SOCKET")));
}

struct item {
  const char *path;
  const char *token;  // of its owner
};

static bool is_read_and_written(const void *arg)
{
  const struct item *item = arg;
  return HTTP(.path = item->path, .token = item->token).status == 200 &&
         HTTP(.method = "PATCH", .path = item->path, .token = item->token, .body = "{\"quantity\":1}").status == 200;
}

Test(fault_13_rotation, passwords_change_without_a_failed_request)
{
  struct account ada = account_create();
  const char *old_pg = secret_of_stack("pg_item");
  const char *old_redis = secret_of_stack("redis_item");
  struct steady_client *client = steady_client_start(&ada, STEADY_READS_AND_WRITES);
  for (int round = 0; round < 3; round++) {
    steady_client_await(client, REQUESTS_BETWEEN_ROTATIONS);
    stack("rotate-passwords", round == 0 ? "item" : NULL);
  }
  steady_client_await(client, REQUESTS_BETWEEN_ROTATIONS);
  const struct item item = {.path = steady_client_path(client), .token = ada.token};
  steady_client_end(&client, 0);

  cr_expect_not_null(strstr(try_postgres(old_pg), "password authentication failed"));
  cr_expect_str_eq(try_postgres(secret_of_stack("pg_item")), "1\n");
  cr_expect_not_null(strstr(try_redis(old_redis), "WRONGPASS"));
  cr_expect_str_eq(try_redis(secret_of_stack("redis_item")), "OK\n");

  // The instances, which were started with the old passwords, connect with the new ones.
  end_connections();
  wait_until(is_read_and_written, &item, "connections with the new passwords");
  wait_until_healthy();
  wait_until_caching();
}

// ---- keys of services ----

static void write_service_keys(const char *json)
{
  const char *path = text("%s/keys/service_keys.json", need_variable("BULKHEAD_RUN_DIR"));
  FILE *file = fopen(text("%s.new", path), "we");
  cr_assert(file != NULL && fputs(json, file) >= 0 && fclose(file) == 0);
  cr_assert_eq(rename(text("%s.new", path), path), 0);
}

static const char *keys_of_stack;

static void restore_service_keys(void)
{
  if (keys_of_stack != NULL)
    write_service_keys(keys_of_stack);
}

static bool is_user_refused(const void *token)
{
  return HTTP(.path = "/v1/users/me", .token = token).status == 503;
}

static bool is_user_served(const void *token)
{
  return HTTP(.path = "/v1/users/me", .token = token).status == 200;
}

// The user service proves its name by a key that is known no longer. Its connections are open since before.
Test(fault_13_rotation, a_service_whose_key_is_taken_out_is_cut_off_and_no_other, .fini = restore_service_keys)
{
  if (access(text("%s/rpc-tls.on", need_variable("BULKHEAD_RUN_DIR")), F_OK) == 0)
    cr_skip_test("with RPC_TLS=1 the keys are not used");
  struct account ada = account_create();
  keys_of_stack = output_of(
      (const char *const[]){"cat", text("%s/keys/service_keys.json", need_variable("BULKHEAD_RUN_DIR")), NULL});
  char *without = text("%s", keys_of_stack);
  char *name = strstr(without, "\"kid\":\"user\"");
  cr_assert_not_null(name, "%s", keys_of_stack);
  memcpy(name, "\"kid\":\"gone\"", strlen("\"kid\":\"gone\""));
  struct steady_client *client = steady_client_start(&ada, STEADY_READS_AND_WRITES);
  steady_client_await(client, REQUESTS_BETWEEN_ROTATIONS);
  write_service_keys(without);
  wait_until(is_user_refused, ada.token, "the end of the user service's connections");
  steady_client_await(client, REQUESTS_BETWEEN_ROTATIONS);
  restore_service_keys();
  wait_until(is_user_served, ada.token, "connections to the user service");
  steady_client_await(client, REQUESTS_BETWEEN_ROTATIONS);
  steady_client_end(&client, 0);
  wait_until_healthy();
}
