// Shares the hashing of passwords fairly between sources: a few hashes run at a time, and where more wait, the sources
// take turns, so that one that sends hundreds of logins delays the others by one hash. The wait is bounded, in places
// and in time. Where all places are taken, the source with the most waiters loses its newest to a source that has
// fewer. One thread.
//
// Whose turn would not come in HASH_QUEUE_WAIT_MS, by how long hashes take, is refused at once. So long a queue is for
// a burst. Once somebody has been waiting for HASH_QUEUE_BURST_MS without a break, more comes than can be hashed, and a
// long queue would only make everybody wait: then a source that has a waiter gets another one only where its turn comes
// in HASH_QUEUE_STEADY_MS. The first one of a source may wait as before.
#ifndef BULKHEAD_SERVICES_AUTH_HASH_QUEUE_H
#define BULKHEAD_SERVICES_AUTH_HASH_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/list.h"
#include "common/base/slice.h"
#include "common/base/status.h"

// How many may wait, of one source and in all, and for how long.
#define HASH_QUEUE_PER_SOURCE 32
#define HASH_QUEUE_TOTAL 256
#define HASH_QUEUE_WAIT_MS 5000
#define HASH_QUEUE_BURST_MS 1000
#define HASH_QUEUE_STEADY_MS 500

struct hash_queue {
  size_t free_slots;
  size_t waiting;
  uint64_t waiting_since_us;  // since when there is always somebody waiting; 0 while there is nobody
  struct list turns;          // sources with waiting tasks, the next one first
  size_t slots;
  uint64_t hash_us;  // how long a hash takes, smoothed; 0 before the first
};

void hash_queue_init(struct hash_queue *queue, size_t slots);
// Tells whether a source may wait, so that what would be refused costs nothing before. A source with no waiter may,
// unless every place belongs to a source of its own, or so many wait that its turn would not come in time.
bool hash_queue_has_room(const struct hash_queue *queue, struct slice source, uint64_t now_us);
// Waits for a slot, on behalf of a source. RESOURCE_EXHAUSTED where too many wait already, where the place went to a
// source with fewer waiters, or where no slot came in time; otherwise the status of the task. After OK,
// hash_queue_release gives the slot back.
enum status hash_queue_acquire(struct hash_queue *queue, struct slice source) MUST_CHECK;
// `hashed_us` is how long the slot was used.
void hash_queue_release(struct hash_queue *queue, uint64_t hashed_us);

#endif
