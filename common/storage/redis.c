// Creating and freeing, commands of tasks, replies.
#include "common/storage/redis.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/memory.h"
#include "common/observe/log.h"
#include "common/storage/redis_internal.h"

enum { DEFAULT_COMMAND_TIMEOUT_MS = 250 };

static void flush_commands(void *arg)
{
  struct redis *redis = arg;
  redis_link_flush(&redis->commands);
}

static void handle_commands(struct redis_link *link, bool up)
{
  struct redis *redis = link->redis;
  metric_set(redis->up, up);
  for (struct list *node = redis->observers.next, *next = node->next; node != &redis->observers;
       node = next, next = node->next) {
    struct redis_observer *observer = CONTAINER_OF(node, struct redis_observer, node);
    observer->changed(observer->arg, up);
  }
}

// Ignores SIGPIPE, because hiredis writes with write(2) and a broken connection must not end the process. A handler
// that the program has set stays.
static void ignore_sigpipe(void)
{
  struct sigaction now;
  if (sigaction(SIGPIPE, NULL, &now) == 0 && now.sa_handler == SIG_DFL)
    signal(SIGPIPE, SIG_IGN);
}

enum status redis_check_url(const char *url, struct error *error)
{
  struct redis_address address = {0};
  bool configured = url != NULL && url[0] != '\0';
  enum status status = configured ? redis_url_parse(url, &address, error) : STATUS_OK;
  redis_address_clear(&address);
  return status;
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
  redis->password_setting = options->password_setting;
  if (options->user != NULL && options->user[0] != '\0') {
    free(redis->address.user);
    redis->address.user = memory_copy_string(options->user);
  }
  if (options->password != NULL && options->password[0] != '\0') {
    free(redis->address.password);
    redis->address.password = memory_copy_string(options->password);
  }
  redis->command_timeout_ms =
      options->command_timeout_ms == 0 ? DEFAULT_COMMAND_TIMEOUT_MS : options->command_timeout_ms;
  list_init(&redis->observers);
  redis->up = metrics_single(METRIC_REDIS_UP);
  redis_link_init(&redis->commands, redis, handle_commands);
  redis->hook = (struct loop_hook){.run = flush_commands, .arg = redis};
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
  loop_hook_remove(&ended->hook);
  redis_address_clear(&ended->address);
  free(ended);
}

bool redis_up(const struct redis *redis)
{
  return redis->commands.state == REDIS_LINK_UP;
}

void redis_observe(struct redis *redis, struct redis_observer *observer)
{
  list_append(&redis->observers, &observer->node);
}

void redis_unobserve(struct redis_observer *observer)
{
  list_remove(&observer->node);
}

// ---- commands ----

static void count_outcome(struct redis *redis, enum status status)
{
  if (redis->outcomes[status] == NULL) {
    struct slice label = slice_from_string(status_name(status));
    redis->outcomes[status] = metrics_series(METRIC_REDIS_COMMANDS, &label, 1);
  }
  metric_add(redis->outcomes[status], 1);
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

static void log_error_text(struct slice text)
{
  if (text.size > 0)
    log_warn("redis", "command failed; its caller goes on without Redis", LOG_SLICE("reason", text));
}

void redis_log_error(const redisReply *reply)
{
  if (reply != NULL)
    log_error_text(slice_make(reply->str, (size_t)reply->len));
}

// Lies on the stack of the task that waits.
struct command {
  struct completion completion;
  struct arena *arena;
  struct redis_reply *reply;
  struct slice error;  // the text of an error reply, which the task logs in its own context
};

static void handle_reply(void *arg, enum status status, const redisReply *reply)
{
  struct command *command = arg;
  if (status == STATUS_OK)
    copy_reply(reply, command->arena, command->reply);
  else if (reply != NULL)
    command->error = arena_copy(command->arena, slice_make(reply->str, (size_t)reply->len));
  completion_finish(&command->completion, status);
}

enum status redis_command(struct redis *redis, const struct slice *words, size_t count, struct arena *arena,
                          struct redis_reply *reply)
{
  *reply = (struct redis_reply){.type = REDIS_NIL};
  struct command command = {.completion = {.what = "Redis"}, .arena = arena, .reply = reply};
  struct redis_call *call = redis_call_start(redis, words, count, handle_reply, &command);
  enum status status = STATUS_UNAVAILABLE;
  if (call != NULL) {
    status = completion_wait(&command.completion);
    if (command.completion.done)
      status = command.completion.status;
    else
      redis_call_forget(call);
  }
  log_error_text(command.error);
  count_outcome(redis, status);
  return status;
}

bool redis_send(struct redis *redis, const struct slice *words, size_t count)
{
  return redis_call_start(redis, words, count, NULL, NULL) != NULL;
}
