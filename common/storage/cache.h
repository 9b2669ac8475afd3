// A cache in two tiers: in this process (bytes ready to send) and in Redis. Values are loaded on a miss. A cached value
// is right or absent, whatever breaks: a read never returns what was changed before the read began.
//
// Coherence. Who changes something in the source announces its keys before: cache_change_begin, cache_change_confirm,
// the write, cache_change_end. After the confirmation no instance serves or keeps what it has of these keys, in memory
// or in Redis, until the change has ended. The instances talk through PostgreSQL, where the source is: memory is served
// only under a lease of half a second, which needs the channel to be alive (cache_coherence_internal.h says why this is
// enough).
//
// What may be lost. Without Redis the memory tier works on. While PostgreSQL is away, the instances that have lost it
// promise each other to change nothing, and serve what is cached, for half a minute at most. An instance that ends in
// good order meanwhile (cache_free) promises that for ever, and the others need it no more. Where the channel of one
// is away alone, each of its reads loads, and `hold_ms` longer, as after a start. An instance that is killed or frozen
// delays each change by the rest of its lease at most. A process that is killed between its write and the end of its
// change leaves its keys uncached for `hold_ms`. After its channel has connected, an instance waits half a second
// before its first change goes on, because it does not know yet who serves; and half a minute at most for an instance
// that may serve, and can be neither heard nor asked.
//
// Entries also expire after `ttl_ms`. Concurrent misses of one key load once.
//
// A release may cache values in another format, and runs beside the one before it while it is rolled out: the instances
// of both hear of each other's changes, because the cache keeps its name, and load values of the other's format again.
#ifndef BULKHEAD_STORAGE_CACHE_H
#define BULKHEAD_STORAGE_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/slice.h"
#include "common/base/status.h"
#include "common/runtime/loop.h"
#include "common/storage/pg.h"
#include "common/storage/redis.h"

struct cache;

// A question to another instance of the cache, over a way that does not need PostgreSQL.
struct cache_question {
  const char *cache;    // its name
  const char *address;  // of the instance, as it was given to cache_set_address there
  // For cache_answer: the name of the instance that asks, and the generation of its row while it is without PostgreSQL,
  // else 0. Until it has another row it needs the promises of all whom it has asked with that generation.
  const char *asker;
  uint64_t generation;
  bool is_telling;  // it is about to change things
  bool has_left;    // it changes nothing any more, and serves nothing while PostgreSQL is away
  uint32_t timeout_ms;
};

// An instance's name: 16 hexadecimal digits, drawn at its start.
#define CACHE_INSTANCE_SIZE 17

struct cache_reply {
  bool agreed;
  char instance[CACHE_INSTANCE_SIZE];  // the name of who has answered
};

// Carries a question to the instance that is reached at the address, and calls cache_answer there. Called from a task,
// which waits. Any status but OK: no answer came.
typedef enum status cache_ask_fn(void *arg, const struct cache_question *question, struct cache_reply *reply);

// With an instance's name behind it, a cache's name is the application_name of sessions at PostgreSQL.
#define CACHE_MAX_NAME_BYTES (PG_SESSION_NAME_BYTES - CACHE_INSTANCE_SIZE)
#define CACHE_BEGIN_LEAST_MS 1500

struct cache_options {
  // Names metrics and keys in Redis: "item.v1". At most CACHE_MAX_NAME_BYTES (CHECK). Never change it: instances with
  // another name do not hear of each other's changes.
  const char *name;
  // The version of the values' format, from 0. A value of another version is not served.
  uint32_t format;
  size_t max_bytes;  // of memory, for keys, values and overhead; the least recently used entries are evicted
  uint32_t ttl_ms;   // 0 turns both tiers off: every get loads
  // How long after the last message of this instance to the others a write that was confirmed may begin, because they
  // remember its announcement for `hold_ms` from there; longer than CACHE_BEGIN_LEAST_MS (CHECK). 0: until the task's
  // deadline.
  uint32_t begin_ms;
  // The longest from that message until a write may take effect, also when its instance was killed meanwhile: longer
  // than `begin_ms` and what the server may take from there (pg_effect_ms). Nothing is cached for a second longer than
  // that after a start.
  uint32_t hold_ms;
  // Where the source is, and the table cache_instances if there is `ask`. With `ask` this is the only cache of the pg,
  // and nothing was written through it yet (CHECK), because its sessions get the name of the cache.
  struct pg *pg;
  struct redis *redis;
  // How instances reach each other while PostgreSQL is away. With it no change goes on before cache_set_address. NULL:
  // nothing is served while PostgreSQL is away.
  cache_ask_fn *ask;
  void *ask_arg;
};

struct cache *cache_create(struct loop *loop, const struct cache_options *options);
// Nulls the pointer; accepts NULL. No cache_get may be waiting (CHECK). With `ask` it is called from a task, and waits.
void cache_free(struct cache **cache);

// ---- with other instances, beside PostgreSQL; for a cache that has `ask`, else they do nothing ----

// Says where this instance is reached; copied. No other living instance may be reached there.
void cache_set_address(struct cache *cache, const char *address);
// Answers an instance's question: it asks for a promise, tells that it is about to change things, or that it has left.
void cache_answer(struct cache *cache, const struct cache_question *question, struct cache_reply *reply);
// Says that this instance answers no questions any more, because it is about to end.
void cache_retire(struct cache *cache);

// Loads the value from the source, into `arena`. A failure, NOT_FOUND among them, is returned to the caller and not
// cached.
typedef enum status cache_load_fn(void *arg, struct slice key, struct arena *arena, struct slice *value);

// Gets the value from memory, from Redis, or by `load`. Called from a task; `value` is in `arena`.
enum status cache_get(struct cache *cache, struct slice key, cache_load_fn *load, void *arg, struct arena *arena,
                      struct slice *value) MUST_CHECK;

// Copies the value from memory into `arena`. False where memory may not serve or does not have it. Does not wait.
bool cache_peek(struct cache *cache, struct slice key, struct arena *arena, struct slice *value);

// A change of some keys in the source, from before its first effect until its outcome is known.
struct cache_change;

// Announces that the keys are going to change. Does not wait, so reads may come between this and the confirmation. The
// keys must stay valid until cache_change_end, which must follow. NULL for a `cache` that is NULL or off, which the
// other functions accept.
struct cache_change *cache_change_begin(struct cache *cache, const struct slice *keys, size_t count);
// Waits until nobody serves or keeps the keys any more: a round trip through PostgreSQL, and for an instance that does
// not answer half a second at most. Call it before the first effect. On failure nothing may be changed: UNAVAILABLE
// when the other instances cannot be reached. On success what the task sends must leave within `begin_ms`
// (task_limit_sending), because the others forget the change after `hold_ms`, and an instance that was frozen must not
// write then. May be called again.
enum status cache_change_confirm(struct cache_change *change) MUST_CHECK;
// Tells whether a write has failed with that status only because the time was over that the confirmation gave, and the
// task has more. The limit ends then, and the task may confirm the change again and repeat the write.
bool cache_change_is_late(struct cache_change *change, enum status status);
// Gives the value that the source holds of the only key of the change (CHECK), once it is committed. The end of the
// change then leaves it in both tiers, unless another change of the key may have come between. `value` must stay valid
// until then.
void cache_change_keep(struct cache_change *change, struct slice value);
// Ends the change and nulls the pointer. `known` is false when the write may still take effect, or nobody knows whether
// it has: then the keys stay uncached for `hold_ms`. Does not wait. The task gets its deadline back.
void cache_change_end(struct cache_change **change, bool known);

#endif
