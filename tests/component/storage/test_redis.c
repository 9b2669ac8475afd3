// Redis: commands, subscriptions, and a server that goes away.
#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>

#include "tests/component/storage/support.h"

static struct redis *connect_to(struct world *world, const char *url)
{
  struct redis *redis;
  struct error error;
  const struct redis_options options = {.url = url, .command_timeout_ms = 2000};
  cr_assert_eq(redis_create(world->loop, &options, &redis, &error), STATUS_OK, "%s", error.message);
  return redis;
}

static bool is_up(void *redis)
{
  return redis_up(redis);
}

static bool is_down(void *redis)
{
  return !redis_up(redis);
}

static enum status command(struct world *world, struct redis *redis, struct redis_reply *reply, const char *words)
{
  struct slice split[8];
  size_t count = 0;
  struct slice rest = slice_from_string(words);
  while (rest.size > 0) {
    size_t end = slice_find(rest, ' ', 0);
    split[count++] = slice_make(rest.data, end);
    rest = slice_skip(rest, end + 1);
  }
  return redis_command(redis, split, count, &world->arena, reply);
}

static void check_commands(struct world *world)
{
  struct redis *redis = connect_to(world, redis_url());
  struct redis_reply reply;
  cr_assert_eq(command(world, redis, &reply, "PING"), STATUS_UNAVAILABLE, "not connected yet");
  wait_until(is_up, redis);
  const char *key = world->schema;
  cr_assert_eq(command(world, redis, &reply, arena_printf(&world->arena, "GET %s", key)), STATUS_OK);
  cr_assert_eq(reply.type, REDIS_NIL);
  const char binary[] = "a\0b\r\n";
  const struct slice set[] = {SLICE("SET"), slice_from_string(key), slice_make(binary, sizeof(binary)), SLICE("PX"),
                              SLICE("60000")};
  cr_assert_eq(redis_command(redis, set, 5, &world->arena, &reply), STATUS_OK);
  cr_assert(slice_equal_string(reply.string, "OK"));
  cr_assert_eq(command(world, redis, &reply, arena_printf(&world->arena, "GET %s", key)), STATUS_OK);
  cr_assert(slice_equal(reply.string, slice_make(binary, sizeof(binary))));
  cr_assert_eq(command(world, redis, &reply, arena_printf(&world->arena, "MGET %s no-such-key", key)), STATUS_OK);
  cr_assert_eq(reply.type, REDIS_ARRAY);
  cr_assert_eq(reply.item_count, 2);
  cr_assert_eq(reply.items[1].type, REDIS_NIL);
  cr_assert_eq(command(world, redis, &reply, arena_printf(&world->arena, "STRLEN %s", key)), STATUS_OK);
  cr_assert_eq(reply.integer, sizeof(binary));
  cr_assert_eq(command(world, redis, &reply, arena_printf(&world->arena, "INCR %s", key)), STATUS_INTERNAL);
  cr_assert_eq(command(world, redis, &reply, "NO-SUCH-COMMAND"), STATUS_INTERNAL);
  const struct slice del[] = {SLICE("DEL"), slice_from_string(key)};
  cr_assert(redis_send(redis, del, 2));
  cr_assert_eq(command(world, redis, &reply, arena_printf(&world->arena, "EXISTS %s", key)), STATUS_OK);
  cr_assert_eq(reply.integer, 0);
  redis_free(&redis);
}

Test(redis, commands_and_replies)
{
  with_loop(check_commands);
}

static void check_none(struct world *world)
{
  struct redis *redis = connect_to(world, "");
  struct redis_reply reply;
  const struct slice ping = SLICE("PING");
  cr_assert_not(redis_up(redis));
  cr_assert_not(redis_send(redis, &ping, 1));
  cr_assert_eq(command(world, redis, &reply, "PING"), STATUS_UNAVAILABLE);
  redis_free(&redis);
}

Test(redis, without_a_url_everything_is_unavailable)
{
  with_loop(check_none);
}

static struct server server;

static void check_restart(struct world *world)
{
  struct redis *redis = connect_to(world, redis_server_url(world, &server));
  struct redis_reply reply;
  wait_until(is_up, redis);
  redis_kill(&server);
  cr_assert_eq(command(world, redis, &reply, "PING"), STATUS_UNAVAILABLE);
  wait_until(is_down, redis);
  redis_start(&server);
  wait_until(is_up, redis);
  cr_assert_eq(command(world, redis, &reply, "PING"), STATUS_OK);
  redis_free(&redis);
}

Test(redis, comes_back_after_a_restart)
{
  redis_start(&server);
  with_loop(check_restart);
  redis_stop(&server);
}

// The server is stopped, not dead: its sockets stay open and silent.
static void check_silent(struct world *world)
{
  struct redis *redis;
  struct error error;
  const struct redis_options options = {.url = redis_server_url(world, &server), .command_timeout_ms = 50};
  cr_assert_eq(redis_create(world->loop, &options, &redis, &error), STATUS_OK);
  struct redis_reply reply;
  wait_until(is_up, redis);
  kill(server.pid, SIGSTOP);
  cr_assert_eq(command(world, redis, &reply, "PING"), STATUS_UNAVAILABLE);
  cr_assert_not(redis_up(redis));
  kill(server.pid, SIGCONT);
  wait_until(is_up, redis);
  redis_free(&redis);
}

Test(redis, a_silent_server_is_away)
{
  redis_start(&server);
  with_loop(check_silent);
  redis_stop(&server);
}

static void check_password(struct world *world)
{
  struct redis *plain = connect_to(world, redis_server_url(world, &server));
  struct redis_reply reply;
  wait_until(is_up, plain);
  cr_assert_eq(command(world, plain, &reply, "CONFIG SET requirepass s3cret"), STATUS_OK);
  redis_free(&plain);

  struct redis *wrong = connect_to(world, redis_server_url(world, &server));
  struct redis *right;
  struct error error;
  const struct redis_options options = {.url = arena_printf(&world->arena, "unix://%s/s?db=3", server.folder),
                                        .password = "s3cret",
                                        .command_timeout_ms = 2000};
  cr_assert_eq(redis_create(world->loop, &options, &right, &error), STATUS_OK);
  wait_until(is_up, right);
  cr_assert_not(redis_up(wrong));
  cr_assert_eq(command(world, right, &reply, "CLIENT INFO"), STATUS_OK);
  cr_assert_not_null(memmem(reply.string.data, reply.string.size, " db=3 ", 6));
  redis_free(&right);
  redis_free(&wrong);
}

Test(redis, password_and_database)
{
  redis_start(&server);
  with_loop(check_password);
  redis_stop(&server);
}

// A read-only replica is there, but does not serve: its callers go on without it, and no caller made a mistake.
static void check_read_only(struct world *world)
{
  struct redis *redis = connect_to(world, redis_server_url(world, &server));
  struct redis_reply reply;
  wait_until(is_up, redis);
  cr_assert_eq(command(world, redis, &reply, "REPLICAOF 127.0.0.1 1"), STATUS_OK);
  cr_expect_eq(command(world, redis, &reply, "SET key value"), STATUS_UNAVAILABLE);
  cr_expect_eq(command(world, redis, &reply, "SET key"), STATUS_INTERNAL, "a malformed command is a mistake here");
  cr_assert_eq(command(world, redis, &reply, "REPLICAOF NO ONE"), STATUS_OK);
  cr_expect_eq(command(world, redis, &reply, "SET key value"), STATUS_OK);
  redis_free(&redis);
}

Test(redis, a_read_only_replica_is_unavailable_for_writes)
{
  redis_start(&server);
  with_loop(check_read_only);
  redis_stop(&server);
}
