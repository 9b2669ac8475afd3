// Redis for tasks, on hiredis' asynchronous API; pipelined by nature. Redis is never needed for a right answer: callers
// take every failure as a miss. One connection for commands, one for subscriptions, both reconnected with back-off and
// jitter; while Redis is away commands end with UNAVAILABLE at once. Nothing here blocks; a host name is looked up anew
// at each attempt to connect, and its addresses are tried one after the other.
#ifndef BULKHEAD_STORAGE_REDIS_H
#define BULKHEAD_STORAGE_REDIS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/slice.h"
#include "common/base/status.h"
#include "common/runtime/loop.h"

struct redis;

struct redis_options {
  const char *url;  // "redis://host:6379/0", "unix:///run/redis.sock"; NULL or "": no Redis, everything is UNAVAILABLE
  const char *password;         // or NULL; never logged
  uint32_t command_timeout_ms;  // 0: 250; a command over it drops the connection
};

// The process ignores SIGPIPE from here on, unless it handles it.
enum status redis_create(struct loop *loop, const struct redis_options *options, struct redis **out,
                         struct error *error) MUST_CHECK;
void redis_free(struct redis **redis);
bool redis_up(const struct redis *redis);

enum redis_reply_type { REDIS_NIL, REDIS_STRING, REDIS_INTEGER, REDIS_ARRAY };
struct redis_reply {
  enum redis_reply_type type;
  struct slice string;  // in the arena of the call
  int64_t integer;
  const struct redis_reply *items;
  size_t item_count;
};

// A command by its words: {"GET", key}. Waits within the task's deadline and the command timeout.
enum status redis_command(struct redis *redis, const struct slice *words, size_t count, struct arena *arena,
                          struct redis_reply *reply) MUST_CHECK;
// Sends it and forgets it; for invalidations out of a task or without interest in the reply. False when Redis is away.
bool redis_send(struct redis *redis, const struct slice *words, size_t count);

// Subscribes a channel, again after each reconnect. `message(arg, payload)` comes on the loop's thread, outside tasks.
// `state(arg, subscribed)` tells when the subscription is lost (messages may have been missed from then) and is back.
void redis_subscribe(struct redis *redis, const char *channel, void (*message)(void *arg, struct slice payload),
                     void (*state)(void *arg, bool subscribed), void *arg);
// Ends the subscription with this `arg`; neither function is called any more.
void redis_unsubscribe(struct redis *redis, const char *channel, const void *arg);
// Takes in, without waiting, messages of subscriptions that have arrived already; for tasks, those that had when the
// first of them asked in this turn of the loop.
void redis_poll_subscriptions(struct redis *redis);

#endif
