// What the redis*.c files and the cache share. One loop's thread owns everything.
//
//   redis.c             life, commands of tasks, replies
//   redis_link.c        one connection: connecting, setting up, breaking, back-off; hiredis on our loop
//   redis_subscribe.c   the channels, and the beat that proves that the subscription still works
//   redis_url.c         "redis://host:6379/0"
#ifndef BULKHEAD_STORAGE_REDIS_INTERNAL_H
#define BULKHEAD_STORAGE_REDIS_INTERNAL_H

#include <hiredis/async.h>
#include <hiredis/hiredis.h>

#include "common/base/list.h"
#include "common/observe/metrics.h"
#include "common/runtime/loop.h"
#include "common/runtime/resolve.h"
#include "common/runtime/task.h"
#include "common/storage/redis.h"

// redis_url.c
struct redis_address {
  char *host;       // or NULL
  char *unix_path;  // or NULL
  char *user;       // or NULL
  char *password;   // or NULL
  uint16_t port;
  unsigned database;
};
// Errors name what is wrong, never the text itself: it may hold a password.
enum status redis_url_parse(const char *url, struct redis_address *address, struct error *error) MUST_CHECK;
void redis_address_free(struct redis_address *address);

// A command on its way. `done` is called exactly once, outside tasks, with `reply` NULL when the status is not OK; an
// error reply of the server is a status, too.
typedef void redis_done_fn(void *arg, enum status status, const redisReply *reply);
struct redis_call {
  struct list node;
  struct redis_link *link;
  redis_done_fn *done;  // NULL when nobody wants to know any more
  void *arg;
  uint64_t started_us;
};

enum redis_link_state {
  REDIS_LINK_DOWN,        // tries again when its timer fires
  REDIS_LINK_CONNECTING,  // the timer bounds it, and the next
  REDIS_LINK_GREETING,    // AUTH, SELECT, PING
  REDIS_LINK_UP,
};

struct redis_link {
  struct redis *redis;
  const char *name;  // in logs
  enum redis_link_state state;
  struct loop_resolve *resolve;   // while the host's addresses are looked up
  struct address_list addresses;  // of the host's name, found for this attempt to connect
  size_t next_address;            // among them
  redisAsyncContext *context;     // NULL when down, or resolving
  struct loop_watch *watch;
  int watched_events;
  bool write_wanted;  // at the end of the turn
  bool flushing;
  struct loop_timer *timer;
  bool timing_calls;  // the timer runs for the oldest call
  struct list calls;  // oldest first
  unsigned failures;  // in a row
  bool excused;       // this attempt has had its time again, for it was the loop that was late
  uint32_t backoff_ms;
  void (*changed)(struct redis_link *link, bool up);
};

struct redis_subscription {
  struct list node;
  char *channel;
  void (*message)(void *arg, struct slice payload);
  void (*state)(void *arg, bool subscribed);
  void *arg;
  bool subscribed;
};

struct redis_listener {
  struct list node;
  void (*changed)(void *arg, bool up);
  void *arg;
};

struct redis {
  struct loop *loop;
  struct loop_hook hook;
  bool configured;
  struct redis_address address;
  uint32_t command_timeout_ms;
  struct redis_link commands;
  struct redis_link subscriptions_link;
  struct list subscriptions;
  struct list listeners;
  struct loop_timer *beat_timer;
  char beat_channel[40];
  unsigned beats_missed;
  uint64_t polled_turn;  // of the loop, by a task
  struct metric_series *up;
  struct metric_series *ended[STATUS_COUNT];
};

// redis.c
// NULL when Redis is away: then `done` is not called.
struct redis_call *redis_call_start(struct redis *redis, const struct slice *words, size_t count, redis_done_fn *done,
                                    void *arg);
// `done` will not be called.
void redis_call_forget(struct redis_call *call);
// Tells when commands can be sent (again), and when not any more.
void redis_listen(struct redis *redis, struct redis_listener *listener);
void redis_unlisten(struct redis_listener *listener);

// redis_link.c
void redis_link_init(struct redis_link *link, struct redis *redis, const char *name,
                     void (*changed)(struct redis_link *link, bool up));
void redis_link_open(struct redis_link *link);
// Ends what is under way with UNAVAILABLE and connects again later.
void redis_link_drop(struct redis_link *link, const char *reason);
void redis_link_destroy(struct redis_link *link);
// Writes what was queued in this turn.
void redis_link_flush(struct redis_link *link);
// Takes in what has arrived, without waiting.
void redis_link_poll(struct redis_link *link);
struct redis_call *redis_link_call(struct redis_link *link, const struct slice *words, size_t count,
                                   redis_done_fn *done, void *arg);

// redis_subscribe.c
void redis_subscriptions_changed(struct redis_link *link, bool up);
void redis_subscriptions_free(struct redis *redis);
void redis_beat(void *arg);  // struct redis

#endif
