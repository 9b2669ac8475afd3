// The passwords of PostgreSQL and Redis change, and the key of a service is taken away, while clients read and write.
#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/environment.h"
#include "tests/support/http.h"
#include "tests/support/stack.h"

enum { READS_BETWEEN_WRITES = 4, REQUESTS_BETWEEN_ROTATIONS = 200 };

struct client {
  const char *path;
  const char *token;
  atomic_bool stop;
  atomic_size_t answered;
  atomic_size_t failed;
  _Atomic int last_failure;
};

static void note_answer(struct client *client, int status)
{
  atomic_fetch_add(&client->answered, 1);
  if (status == 200)
    return;
  atomic_store(&client->last_failure, status);
  atomic_fetch_add(&client->failed, 1);
}

static void read_and_write(void *arg)
{
  struct client *client = arg;
  for (int i = 0; !atomic_load(&client->stop); i++) {
    struct http_reply reply = i % (READS_BETWEEN_WRITES + 1) == 0
                                  ? HTTP(.method = "PATCH", .path = client->path, .token = client->token,
                                         .body = text("{\"quantity\":%d}", i), .timeout_ms = 30000)
                                  : HTTP(.path = client->path, .token = client->token, .timeout_ms = 30000);
    note_answer(client, reply.status);
  }
}

struct progress {
  const struct client *client;
  size_t answers;
};

static bool has_progressed(const void *arg)
{
  const struct progress *progress = arg;
  return atomic_load(&progress->client->answered) >= progress->answers;
}

static void await_requests(const struct client *client)
{
  const struct progress progress = {.client = client,
                                    .answers = atomic_load(&client->answered) + REQUESTS_BETWEEN_ROTATIONS};
  wait_until(has_progressed, &progress, "requests");
}

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

static bool reads_and_writes(const void *arg)
{
  const struct client *client = arg;
  return HTTP(.path = client->path, .token = client->token).status == 200 &&
         HTTP(.method = "PATCH", .path = client->path, .token = client->token, .body = "{\"quantity\":1}").status ==
             200;
}

Test(fault_13_rotation, passwords_change_without_a_failed_request)
{
  struct account ada = account_create();
  const char *id = item_create(&ada, text("{\"sku\":\"%s\",\"name\":\"Lamp\",\"price\":\"1.00\",\"currency\":\"EUR\","
                                          "\"quantity\":1}",
                                          fresh_word()));
  struct client client = {.path = text("/v1/items/%s", id), .token = ada.token};
  const char *old_pg = secret_of_stack("pg_item");
  const char *old_redis = secret_of_stack("redis_item");
  struct background *background = background_start(read_and_write, &client);
  for (int round = 0; round < 3; round++) {
    await_requests(&client);
    stack("rotate-passwords", round == 0 ? "item" : NULL);
  }
  await_requests(&client);
  atomic_store(&client.stop, true);
  background_join(background);
  cr_assert_eq(atomic_load(&client.failed), 0, "%zu of %zu requests failed, the last with %d",
               atomic_load(&client.failed), atomic_load(&client.answered), atomic_load(&client.last_failure));

  cr_expect_not_null(strstr(try_postgres(old_pg), "password authentication failed"));
  cr_expect_str_eq(try_postgres(secret_of_stack("pg_item")), "1\n");
  cr_expect_not_null(strstr(try_redis(old_redis), "WRONGPASS"));
  cr_expect_str_eq(try_redis(secret_of_stack("redis_item")), "OK\n");

  // The instances, which were started with the old passwords, connect with the new ones.
  end_connections();
  wait_until(reads_and_writes, &client, "connections with the new passwords");
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

static bool is_user_refused(const void *token)
{
  return HTTP(.path = "/v1/users/me", .token = token).status == 503;
}

static bool is_user_served(const void *token)
{
  return HTTP(.path = "/v1/users/me", .token = token).status == 200;
}

// The user service proves its name by a key that is known no longer. Its connections are open since before.
Test(fault_13_rotation, a_service_whose_key_is_taken_out_is_cut_off_and_no_other)
{
  if (access(text("%s/rpc-tls.on", need_variable("BULKHEAD_RUN_DIR")), F_OK) == 0)
    cr_skip_test("with RPC_TLS=1 the keys are not used");
  struct account ada = account_create();
  const char *id = item_create(&ada, text("{\"sku\":\"%s\",\"name\":\"Lamp\",\"price\":\"1.00\",\"currency\":\"EUR\","
                                          "\"quantity\":1}",
                                          fresh_word()));
  struct client client = {.path = text("/v1/items/%s", id), .token = ada.token};
  const char *keys = output_of(
      (const char *const[]){"cat", text("%s/keys/service_keys.json", need_variable("BULKHEAD_RUN_DIR")), NULL});
  char *without = text("%s", keys);
  char *name = strstr(without, "\"kid\":\"user\"");
  cr_assert_not_null(name, "%s", keys);
  memcpy(name, "\"kid\":\"gone\"", strlen("\"kid\":\"gone\""));
  struct background *background = background_start(read_and_write, &client);
  await_requests(&client);
  write_service_keys(without);
  wait_until(is_user_refused, ada.token, "the end of the user service's connections");
  await_requests(&client);
  write_service_keys(keys);
  wait_until(is_user_served, ada.token, "connections to the user service");
  await_requests(&client);
  atomic_store(&client.stop, true);
  background_join(background);
  cr_assert_eq(atomic_load(&client.failed), 0, "%zu of %zu requests failed, the last with %d",
               atomic_load(&client.failed), atomic_load(&client.answered), atomic_load(&client.last_failure));
  wait_until_healthy();
}
