// Coherence between the instances of a cache: who may serve what he has, and how a change makes sure that nobody serves
// what is old. The instances talk over a channel of PostgreSQL (pg_channel_internal.h), because whoever changes
// something is connected to it, and because it delivers in one order to all.
//
// Lease. An instance serves cached values only until LEASE_MS after it began to send its last message that was reported
// as sent. By then it had heard everything that was committed before. Each instance sends something every 100 ms. While
// PostgreSQL is away, promises of the others extend that (cache_outage_internal.h).
//
// Change. Before something is changed its keys are announced. Each instance drops them, loads them without keeping them
// until the change has ended, and acknowledges that. The change goes on when every instance that may hold a lease has
// done so, or when every lease that it may hold is over: an instance that extends its lease has heard the announcement.
// Until its channel has worked for a whole lease, an instance does not know who else has one, and waits that out, too.
// An instance that is alone announces nothing.
//
// End. A change whose outcome is known ends at once. One whose outcome is unknown, and those of an instance that has
// fallen silent, end `hold_ms` later: the longest that the server may still work on what was sent to it.
//
// Time. `hold_ms` is counted from the last message of an instance that the others have heard. A write that was
// confirmed begins `begin_ms` after that message at the latest: what its task sends is limited to that, and the clock
// is read right before each statement is sent. TCP and the server end what takes longer than pg_effect_ms from there.
// A process may stand still for longer than `hold_ms` exactly between that look at the clock and the system call that
// sends, or while a statement larger than the socket's buffer is half sent. Its sessions are ended before its changes
// are forgotten (cache_fence_internal.h). One case remains: a server that stands still itself while a statement lies in
// its buffer may begin it late.
//
// Value. Who changes a key alone keeps what he has written, as if he had loaded it when he committed. Another change
// could take effect before the end of this one only after its announcement was heard here, or after this instance's
// lease, so an instance that still has its lease and has heard of none knows the latest value. An instance that was not
// settled when its change began may have missed one.
//
// Joining. What a new instance has missed may be confirmed up to a lease after the others have heard of it, and is over
// `hold_ms` later. It keeps nothing until then. The same holds after its channel was lost, and after its lease has been
// over for long. What it has in memory from before is dropped then, unless promises have kept its right to serve
// without a gap.
//
// Redis. Values in Redis are found under an epoch, a number that only grows. A change hides its keys there, too, before
// it goes on. Redis is used only while every instance can use it, so an instance that has lost it need not hide
// anything: each of its messages says so. When it has Redis again it starts the next epoch. A new epoch is used only
// once it was sent or heard on the channel, because then everybody has heard what was announced before it.
#ifndef BULKHEAD_STORAGE_CACHE_COHERENCE_INTERNAL_H
#define BULKHEAD_STORAGE_CACHE_COHERENCE_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/hashtable.h"
#include "common/base/list.h"
#include "common/base/slice.h"
#include "common/base/status.h"
#include "common/base/strbuf.h"
#include "common/observe/metrics.h"
#include "common/runtime/loop.h"
#include "common/runtime/task.h"
#include "common/storage/cache.h"
#include "common/storage/cache_announcement_internal.h"
#include "common/storage/cache_fence_internal.h"
#include "common/storage/cache_message_internal.h"
#include "common/storage/cache_outage_internal.h"
#include "common/storage/pg_channel_internal.h"

#define CACHE_MAX_KEY_BYTES 1024
#define CACHE_HEARTBEAT_MS 100
// How long the end of a change waits for another message to travel with: until then the others load its keys each time.
#define CACHE_END_MS 5

// What is to be dropped, also where loads in progress have read it.
struct cache_coherence_events {
  void (*invalidated)(void *arg, struct slice key);
  void (*all_invalidated)(void *arg);
  // What loads in progress have read must not be kept; what was kept before may be.
  void (*loads_invalidated)(void *arg);
  void *arg;
};

enum coherence_state {
  COHERENCE_DEAF,      // messages may be missed
  COHERENCE_SETTLING,  // messages arrive; what was missed before may still have an effect
  COHERENCE_SETTLED,
};

struct cache_coherence {
  struct loop *loop;
  struct cache_coherence_events events;
  struct outage outage;
  // NULL: this instance serves by its lease only, and knows others by the channel only.
  struct cache_siblings *siblings;
  struct pg_channel *channel;
  struct loop_hook hook;
  struct loop_timer *timer;      // for signs of life
  struct loop_timer *end_timer;  // for ends of changes that no other message has taken along
  struct cache_fence fence;
  uint64_t hold_us;
  char name[CACHE_INSTANCE_SIZE];

  enum coherence_state state;
  uint64_t settled_us;  // when SETTLING becomes SETTLED, once the first message was sent
  uint64_t lease_until_us;
  uint64_t epoch;        // 0 while nobody has begun one
  bool epoch_is_common;  // it was sent or heard on the channel
  bool uses_redis;
  // Redis was lost, or others know that this instance does not use it. What was changed may be hidden nowhere, and
  // Redis may come back with old values.
  bool was_without_redis;

  struct strbuf outbox;    // whole lines, to be sent in this order
  bool sending;            // a message has no outcome yet
  bool due;                // something is to be sent at the end of the turn
  bool acks_due;           // a member waits for an acknowledgement
  uint64_t send_began_us;  // when the latest message was sent
  uint64_t send_epoch;     // the epoch in it
  uint64_t send_sequence;  // the latest sequence of all messages

  uint64_t last_sequence;
  struct list own;            // struct cache_announcement
  struct list members;        // struct cache_member: the other instances
  uint64_t forgotten_us;      // when all members were forgotten last: the channel was lost, or works again
  struct hashtable changing;  // struct changing_key, of all instances
  struct list waiting;        // struct cache_wait

  struct metric_series *serving;
  struct metric_series *waited_out;
};

// The options' pg, name, hold_ms, ask and ask_arg are used here.
void cache_coherence_init(struct cache_coherence *coherence, struct loop *loop, const struct cache_options *options,
                          const struct cache_coherence_events *events);
// No change may be under way (CHECK). With siblings it is called from a task, which waits for what is under way.
void cache_coherence_clear(struct cache_coherence *coherence);

// Tells whether what is in memory may be served now.
bool cache_coherence_may_serve(const struct cache_coherence *coherence);
// Returns the time by which values in memory expire. It stands still while promises take the place of the lease,
// because what expires then cannot be loaded again, and is right.
uint64_t cache_coherence_age_us(const struct cache_coherence *coherence);
// Tells whether what is in Redis may be served now: what was missed while the channel was lost may not be hidden there.
bool cache_coherence_may_use_redis(const struct cache_coherence *coherence);
// Tells whether what is loaded from now on may be kept and shared: this instance hears of every change.
bool cache_coherence_is_current(const struct cache_coherence *coherence);
// Tells whether somebody is about to change the key: then nothing of it is kept. `hash` is the key's hash_bytes.
bool cache_coherence_is_changing(const struct cache_coherence *coherence, struct slice key, uint64_t hash);

// Returns the epoch of values in Redis; 0 while Redis is not used.
uint64_t cache_coherence_epoch(const struct cache_coherence *coherence);
// Notes whether this instance can use Redis now.
void cache_coherence_set_redis(struct cache_coherence *coherence, bool up);

// The announcements of one change: sequences first to last.
struct cache_announced {
  uint64_t first;
  uint64_t last;
};

// Announces that keys are about to change. Does not wait.
void cache_coherence_announce(struct cache_coherence *coherence, const struct slice *keys, size_t count,
                              struct cache_announced *announced);
// Waits until no other instance serves what was announced. UNAVAILABLE when the channel is away for half of the time
// that the task has left.
enum status cache_coherence_confirm(struct cache_coherence *coherence,
                                    const struct cache_announced *announced) MUST_CHECK;
// Tells whether what the change has written may be kept: it changed one key, this instance may serve and has been
// settled since the announcement, and no other change of the key was under way since then. To be asked when the outcome
// is known, before cache_coherence_end.
bool cache_coherence_may_keep(struct cache_coherence *coherence, const struct cache_announced *announced);
// Ends a change: at once when its outcome is `known`, else when it must be. Does not wait.
void cache_coherence_end(struct cache_coherence *coherence, const struct cache_announced *announced, bool known);

// ---- between cache_coherence.c, cache_members.c and cache_confirm.c ----

// Another instance.
struct cache_member {
  struct list node;
  char name[CACHE_INSTANCE_SIZE];
  uint64_t first_heard_us;
  uint64_t heard_us;
  uint64_t acked;   // the last of this instance's sequences that it has acknowledged
  uint64_t to_ack;  // the last of its sequences that was taken in here, and not acknowledged yet; else 0
  bool uses_redis;
  bool left;
  struct list announcements;  // struct cache_announcement
};

// Takes a message of another instance in. False where it is not understood.
bool cache_members_take_message(struct cache_coherence *coherence, struct slice message) MUST_CHECK;
// Returns how long after its last message a member is remembered. Its lease is over before, and so is what it has
// changed.
uint64_t cache_members_memory_us(const struct cache_coherence *coherence);
void cache_members_forget(struct cache_coherence *coherence);
void cache_members_forget_silent(struct cache_coherence *coherence, uint64_t now_us);
// Says that the ends of what members are changing may be missed from here on.
void cache_members_lose(struct cache_coherence *coherence);
// Ends what members were changing then, and have not announced again.
void cache_members_end_lost(struct cache_coherence *coherence);
// Takes an epoch, if it is later than the present one.
void cache_coherence_take_epoch(struct cache_coherence *coherence, uint64_t epoch, bool is_common);
// Announces all that this instance is changing again.
void cache_coherence_queue_own(struct cache_coherence *coherence);

// A task that waits in cache_coherence_confirm; it lies on its stack.
struct cache_wait {
  struct list node;
  const struct cache_announcement *announcement;
  struct completion completion;
};

static inline uint64_t cache_ms_as_us(uint64_t ms)
{
  return ms * 1000;
}

// Tells whether there is no other instance that serves, or could begin to before a change of now is over.
bool cache_coherence_is_alone(const struct cache_coherence *coherence, uint64_t now_us);
// Queues the announcement to be sent at the end of the turn.
void cache_coherence_queue(struct cache_coherence *coherence, struct cache_announcement *announcement);
// Tells whether an instance may serve what was announced, and has not acknowledged it yet.
bool cache_coherence_has_awaited(const struct cache_coherence *coherence,
                                 const struct cache_announcement *announcement);
// Returns when no other instance serves any more what was announced: a past time where nobody has to be waited for. The
// announcement must be published.
uint64_t cache_coherence_confirmed_us(const struct cache_coherence *coherence,
                                      const struct cache_announcement *announcement);
// Ends the changes of unknown outcome whose time is over.
void cache_coherence_end_unknown(struct cache_coherence *coherence, uint64_t now_us);
// Wakes the tasks whose changes may go on.
void cache_coherence_wake_confirmed(struct cache_coherence *coherence);
// Does what follows from an end of the enrolment, if it has ended.
void cache_coherence_join(struct cache_coherence *coherence);
// Tells whether the announcement may be confirmed.
bool cache_coherence_is_confirmed(const struct cache_coherence *coherence,
                                  const struct cache_announcement *announcement, uint64_t now_us);
// Tells whether this instance may confirm changes at all now.
bool cache_coherence_may_change(const struct cache_coherence *coherence, uint64_t now_us);
// Starts the next epoch.
void cache_coherence_start_epoch(struct cache_coherence *coherence);

#endif
