// Redis for tasks, on hiredis' asynchronous API, which pipelines. Redis is never needed for a right answer: callers
// take every failure as a miss. One connection carries the commands of all tasks; it reconnects with back-off and
// jitter. While Redis is away commands end with UNAVAILABLE at once. Nothing here blocks. A host name is resolved again
// for each attempt to connect, and its addresses are tried one after the other.
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
  const char *url;   // "redis://host:6379/0", "unix:///run/redis.sock"; NULL or "" means no Redis: all is UNAVAILABLE
  const char *user;  // NULL: the URL's, or Redis' default user
  const char *password;          // NULL: the URL's, or none; never logged
  const char *password_setting;  // whose file gives each new connection its password; NULL: `password` holds
  uint32_t command_timeout_ms;   // 0 means 250; a command that takes longer drops the connection
};

// Checks whether redis_create would take the URL.
enum status redis_check_url(const char *url, struct error *error) MUST_CHECK;
// Connects in the background. From here on the process ignores SIGPIPE, unless it has a handler for it.
enum status redis_create(struct loop *loop, const struct redis_options *options, struct redis **out,
                         struct error *error) MUST_CHECK;
// Nulls the pointer; accepts NULL.
void redis_free(struct redis **redis);
// Tells whether commands can be sent.
bool redis_up(const struct redis *redis);

enum redis_reply_type { REDIS_NIL, REDIS_STRING, REDIS_INTEGER, REDIS_ARRAY };
// A reply; everything in it lives in the arena of the call.
struct redis_reply {
  enum redis_reply_type type;
  struct slice string;
  int64_t integer;
  const struct redis_reply *items;
  size_t item_count;
};

// Runs a command, given by its words: {"GET", key}. Waits until the task's deadline or the command timeout.
enum status redis_command(struct redis *redis, const struct slice *words, size_t count, struct arena *arena,
                          struct redis_reply *reply) MUST_CHECK;
// Sends a command whose reply nobody needs; may be called outside tasks. False when Redis is away.
bool redis_send(struct redis *redis, const struct slice *words, size_t count);

#endif
