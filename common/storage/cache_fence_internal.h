// Ends the sessions that instances without a sign of life have at PostgreSQL, before what they were changing is
// forgotten. A process may stand still for any time between its last look at the clock and the system call that sends a
// write. Without its session the write comes too late. A session tells by its application_name of which cache and
// instance it is: an instance writes only on sessions that were opened after its cache had named them
// (pg_name_sessions). Sessions of other caches of the service, of processes without a cache, of commands, and of
// instances that have not created theirs yet do not have such a name, and are left alone.
//
// Who is silent: whose messages have not come for as long as an instance is remembered, although this one's own came
// through. Where the channel has not worked without a pause for a while, as after an outage, the messages of the others
// may be on their way, and nothing is ended. Young sessions are left alone, because an instance that starts has them
// before it is heard.
//
// Where the server refuses to end sessions, this instance goes on without that, and warns.
#ifndef BULKHEAD_STORAGE_CACHE_FENCE_INTERNAL_H
#define BULKHEAD_STORAGE_CACHE_FENCE_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

struct arena;
struct cache_coherence;
struct pg;

struct cache_fence {
  bool works;            // sessions have names, and there are tasks to run statements in
  bool runs;             // a statement is under way
  uint64_t begin_us;     // how long after its last message an instance may begin a write
  uint64_t steady_us;    // since when the own messages have come through without a pause
  uint64_t reported_us;  // when one did last
  uint64_t fenced_us;    // whoever was silent then has no session any more
  uint64_t next_us;      // no statement before
  uint32_t pause_ms;     // after the last one, which has found sessions; 0 where it has found none
};

// Notes that a message of this instance has come through.
void cache_fence_note_sent(struct cache_fence *fence, uint64_t now_us);
// Returns the time up to which whoever was silent can write nothing any more: now, where nothing is fenced.
uint64_t cache_fence_until_us(const struct cache_fence *fence, uint64_t now_us);
// Tells whether sessions must be looked for now. Then `runs` is set, and cache_fence_run must follow.
bool cache_fence_begin(struct cache_coherence *coherence, uint64_t now_us);
// Looks for the sessions of the cache, and ends them. Called from a task. It is over once none was found.
void cache_fence_run(struct cache_coherence *coherence, struct pg *pg, const char *cache, struct arena *arena);

#endif
