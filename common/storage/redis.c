// Life, commands of tasks, replies.
#include "common/storage/redis.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/storage/redis_internal.h"

enum { DEFAULT_COMMAND_TIMEOUT_MS = 250 };

static void end_of_turn(void *arg)
{
  struct redis *redis = arg;
  redis_link_flush(&redis->commands);
  redis_link_flush(&redis->subscriptions_link);
}

static void commands_changed(struct redis_link *link, bool up)
{
  struct redis *redis = link->redis;
  metric_set(redis->up, up);
  for (struct list *node = redis->listeners.next, *next = node->next; node != &redis->listeners;
       node = next, next = node->next) {
    struct redis_listener *listener = CONTAINER_OF(node, struct redis_listener, node);
    listener->changed(listener->arg, up);
  }
}

// hiredis writes with write(2), and a broken connection must not end the process. A handler that somebody has set
// stays.
static void ignore_sigpipe(void)
{
  struct sigaction now;
  if (sigaction(SIGPIPE, NULL, &now) == 0 && now.sa_handler == SIG_DFL)
    signal(SIGPIPE, SIG_IGN);
}

enum status redis_create(struct loop *loop, const struct redis_options *options, struct redis **out,
                         struct error *error)
{
  *out = NULL;
  bool configured = options->url != NULL && options->url[0] != '\0';
  struct redis_address address = {0};
  enum status status = configured ? redis_url_parse(options->url, &address, error) : STATUS_OK;
  if (status != STATUS_OK)
    return status;
  struct redis *redis = calloc(1, sizeof(*redis));
  CHECK(redis != NULL);
  redis->loop = loop;
  redis->configured = configured;
  redis->address = address;
  if (options->password != NULL && options->password[0] != '\0') {
    free(redis->address.password);
    redis->address.password = strdup(options->password);
    CHECK(redis->address.password != NULL);
  }
  redis->command_timeout_ms =
      options->command_timeout_ms == 0 ? DEFAULT_COMMAND_TIMEOUT_MS : options->command_timeout_ms;
  list_init(&redis->subscriptions);
  list_init(&redis->listeners);
  redis->up = metrics_single(METRIC_REDIS_UP);
  redis->beat_timer = loop_timer_create(loop, redis_beat, redis);
  redis_link_init(&redis->commands, redis, "commands", commands_changed);
  redis_link_init(&redis->subscriptions_link, redis, "subscriptions", redis_subscriptions_changed);
  redis->hook = (struct loop_hook){.run = end_of_turn, .arg = redis};
  loop_hook_add(loop, &redis->hook);
  ignore_sigpipe();
  if (configured)
    redis_link_open(&redis->commands);
  *out = redis;
  return STATUS_OK;
}

void redis_free(struct redis **redis)
{
  struct redis *ended = *redis;
  if (ended == NULL)
    return;
  *redis = NULL;
  redis_link_destroy(&ended->commands);
  redis_link_destroy(&ended->subscriptions_link);
  loop_hook_remove(&ended->hook);
  loop_timer_free(&ended->beat_timer);
  redis_subscriptions_free(ended);
  redis_address_free(&ended->address);
  free(ended);
}

bool redis_up(const struct redis *redis)
{
  return redis->commands.state == REDIS_LINK_UP;
}

void redis_listen(struct redis *redis, struct redis_listener *listener)
{
  list_append(&redis->listeners, &listener->node);
}

void redis_unlisten(struct redis_listener *listener)
{
  list_remove(&listener->node);
}

// ---- commands ----

static void count_ended(struct redis *redis, enum status status)
{
  if (redis->ended[status] == NULL) {
    struct slice label = slice_from_string(status_name(status));
    redis->ended[status] = metrics_series(METRIC_REDIS_COMMANDS, &label, 1);
  }
  metric_add(redis->ended[status], 1);
}

struct redis_call *redis_call_start(struct redis *redis, const struct slice *words, size_t count, redis_done_fn *done,
                                    void *arg)
{
  return redis_link_call(&redis->commands, words, count, done, arg);
}

void redis_call_forget(struct redis_call *call)
{
  call->done = NULL;
}

static void copy_reply(const redisReply *from, struct arena *arena, struct redis_reply *to)
{
  *to = (struct redis_reply){.type = REDIS_NIL};
  switch (from->type) {
  case REDIS_REPLY_STRING:
  case REDIS_REPLY_STATUS:
  case REDIS_REPLY_ERROR:  // inside an array
    to->type = REDIS_STRING;
    to->string = arena_copy(arena, slice_make(from->str, (size_t)from->len));
    break;
  case REDIS_REPLY_INTEGER:
    to->type = REDIS_INTEGER;
    to->integer = from->integer;
    break;
  case REDIS_REPLY_ARRAY: {
    // hiredis bounds the depth.
    struct redis_reply *items = arena_array(arena, from->elements, sizeof(*items));
    for (size_t i = 0; i < from->elements; i++)
      copy_reply(from->element[i], arena, &items[i]);
    to->type = REDIS_ARRAY;
    to->items = items;
    to->item_count = from->elements;
    break;
  }
  default:
    break;
  }
}

// On the stack of the task that waits.
struct command {
  struct completion completion;
  struct arena *arena;
  struct redis_reply *reply;
};

static void command_ended(void *arg, enum status status, const redisReply *reply)
{
  struct command *command = arg;
  if (status == STATUS_OK)
    copy_reply(reply, command->arena, command->reply);
  completion_finish(&command->completion, status);
}

enum status redis_command(struct redis *redis, const struct slice *words, size_t count, struct arena *arena,
                          struct redis_reply *reply)
{
  *reply = (struct redis_reply){.type = REDIS_NIL};
  struct command command = {.completion = COMPLETION_INIT, .arena = arena, .reply = reply};
  struct redis_call *call = redis_call_start(redis, words, count, command_ended, &command);
  enum status status = STATUS_UNAVAILABLE;
  if (call != NULL) {
    status = completion_wait(&command.completion);
    if (command.completion.done)
      status = command.completion.status;
    else
      redis_call_forget(call);
  }
  count_ended(redis, status);
  return status;
}

bool redis_send(struct redis *redis, const struct slice *words, size_t count)
{
  return redis_call_start(redis, words, count, NULL, NULL) != NULL;
}
