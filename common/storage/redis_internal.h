// Shared by the redis*.c files and the cache. One loop's thread owns everything here.
//
//   redis.c             creating and freeing, commands of tasks, replies
//   redis_link.c        one connection: connecting, handshake, breaking, back-off, calls; hiredis on our loop
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
#include "common/storage/reconnect_internal.h"
#include "common/storage/redis.h"

// ---- redis_url.c ----

// What a URL says. A text that it leaves out is NULL.
struct redis_address {
  char *host;
  char *unix_path;
  char *user;
  char *password;
  uint16_t port;
  unsigned database;
};
// An error names what is wrong, never the text itself, because that may hold a password.
enum status redis_url_parse(const char *url, struct redis_address *address, struct error *error) MUST_CHECK;
// Erases the password, frees the texts and empties the address.
void redis_address_clear(struct redis_address *address);

// ---- types ----

// Called exactly once for a call, outside tasks. An error reply of the server gives a status, too, and `reply` holds
// its text. `reply` is NULL when none came.
typedef void redis_done_fn(void *arg, enum status status, const redisReply *reply);

// A command in flight.
struct redis_call {
  struct list node;
  struct redis_link *link;
  redis_done_fn *done;  // NULL when nobody wants to know the outcome any more
  void *arg;
  uint64_t started_us;
};

enum redis_link_state {
  REDIS_LINK_CLOSED,       // nothing is there, and nothing is scheduled
  REDIS_LINK_BACKING_OFF,  // waits for the timer after a failure, or for the next address of a name
  REDIS_LINK_RESOLVING,    // the host's name is being resolved; the timer bounds it
  REDIS_LINK_CONNECTING,   // the timer bounds it, and the handshake
  REDIS_LINK_HANDSHAKE,    // AUTH, SELECT, PING
  REDIS_LINK_UP,
};

// When a link writes: everything that one turn of the loop sends leaves in one write at its end.
enum redis_write_state {
  REDIS_WRITE_IDLE,
  REDIS_WRITE_PENDING,  // hiredis has something to write at the end of the turn
  REDIS_WRITE_RUNNING,  // hiredis is writing; what the socket does not take waits for it to become writable
};

struct redis_link {
  struct redis *redis;
  enum redis_link_state state;
  enum redis_write_state write_state;
  struct loop_resolve *resolve;   // while REDIS_LINK_RESOLVING
  struct address_list addresses;  // what the host's name gave, for this attempt to connect
  size_t next_address;            // among them
  redisAsyncContext *context;     // NULL without a connection
  struct loop_watch *watch;
  int watched_events;
  struct reconnect reconnect;
  bool timing_calls;  // while up, the timer runs for the oldest call
  struct list calls;  // oldest first
  void (*changed)(struct redis_link *link, bool up);
};

// Learns when commands can be sent (again), and when they cannot any more. Its owner keeps it.
struct redis_observer {
  struct list node;  // private
  void (*changed)(void *arg, bool up);
  void *arg;
};

struct redis {
  struct loop *loop;
  struct loop_hook hook;
  bool configured;
  struct redis_address address;
  const char *password_setting;  // its file gives the password of each new connection; NULL: none does
  uint32_t command_timeout_ms;
  struct redis_link commands;
  struct list observers;
  struct metric_series *up;
  struct metric_series *outcomes[STATUS_COUNT];  // each made when first needed
};

// ---- redis.c ----

// Starts a command. NULL when Redis is away: then `done` is not called.
struct redis_call *redis_call_start(struct redis *redis, const struct slice *words, size_t count, redis_done_fn *done,
                                    void *arg);
// Makes sure that `done` is not called.
void redis_call_forget(struct redis_call *call);
void redis_observe(struct redis *redis, struct redis_observer *observer);
void redis_unobserve(struct redis_observer *observer);
// Logs the text of an error reply, in the log context of the current task; does nothing for NULL.
void redis_log_error(const redisReply *reply);

// ---- redis_link.c ----

void redis_link_init(struct redis_link *link, struct redis *redis, void (*changed)(struct redis_link *link, bool up));
void redis_link_open(struct redis_link *link);
// Closes the connection and ends the calls in flight with UNAVAILABLE. The link reconnects later.
void redis_link_drop(struct redis_link *link, const char *reason);
void redis_link_destroy(struct redis_link *link);
// Writes what was queued in this turn.
void redis_link_flush(struct redis_link *link);
struct redis_call *redis_link_call(struct redis_link *link, const struct slice *words, size_t count,
                                   redis_done_fn *done, void *arg);

#endif
