// Serving what is cached while PostgreSQL is away: who must promise not to change anything, and who must be known to
// serve nothing before changes go on. A pure state machine: the clock is passed in, and what is to be done outside
// (questions, statements) is asked for by outage_next and carried out by cache_siblings.c.
//
// Right. An instance serves until `serves_until_us`. Its lease over the channel extends that (cache_coherence.c), and
// so does a round: each member that it has heard is asked over RPC and promises to confirm no change for the length of
// a lease. Rounds begin while the channel is lost or silent. A round must be complete before the right ends, and does
// not help for longer than OUTAGE_MAX_MS after the last lease. Whoever works with the channel promises nothing.
//
// Enrolment. A promise helps only if all who could change something are asked. So each instance has a row in a table
// (cache_instances), stored once its channel is connected, before it reads the rows of the others. It confirms changes
// only after each of these is cleared: it was heard over the channel twice since then, so that it knows this instance;
// or it has asked this instance for promises, so that it needs them; or it was told by RPC that this instance is about
// to change things, and gave up its right; or it is dead; or it has had no lease for OUTAGE_MAX_MS. An instance may
// serve by promises only after all that. Whoever has sent nothing over the channel for CACHE_GAP_MS enrols again,
// because the others do not ask it any more.
//
// Leaving. An instance that ends in good order confirms no change from some moment on, for ever, and serves nothing by
// promises any more. It says so to the others over RPC (OUTAGE_LEAVE), so they need neither its promises nor to clear
// it, also while its row stays because PostgreSQL is away. That moment is the end of its last call, or comes earlier,
// when it is about to end and PostgreSQL does not answer: it does not answer questions any more then. What was said is
// true of a process, by its name, so it may arrive late, twice or not at all. An instance to which it was not said goes
// on asking, and stops to serve. An instance that starts while PostgreSQL is away was never heard by anybody, and
// cannot change anything before it is enrolled.
//
// Why this is enough. Let W confirm a change while R serves by promises. What R acknowledged is not in its memory. If R
// has not acknowledged it, R's lease is over by then, so R has a chain of promises that began within the lease. W is
// not in it, because W promised nothing. So W enrolled after R's row was stored, and has cleared it; it has not heard R
// twice, because R would know it then; and all other ways say that R does not serve. Where W left, it confirmed its
// last change before it said so, while its earlier promise to R held, or R's lease.
//
// Death. An instance is dead when its address cannot be its own any more: another process answers there, or nobody
// listens there on this host. So what it would have to promise holds. This needs addresses that no two living instances
// share. A refused connection to another host proves nothing, because packet filters refuse, too.
#ifndef BULKHEAD_STORAGE_CACHE_OUTAGE_INTERNAL_H
#define BULKHEAD_STORAGE_CACHE_OUTAGE_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/list.h"
#include "common/base/slice.h"
#include "common/storage/cache_message_internal.h"

enum {
  // How long an instance serves after it began to send its last message, and how long a promise holds.
  CACHE_LEASE_MS = 500,
  // How far the clocks of two machines may drift apart within a lease.
  CACHE_CLOCK_MARGIN_MS = 25,
  // How long rounds may keep the right after the last lease, in all. An instance of which no more is known than its row
  // holds changes up for so long at most.
  OUTAGE_MAX_MS = 30000,
  // How much later the others take that time to be over: their clocks may be faster by a hundredth.
  OUTAGE_MAX_MARGIN_MS = 3000,
  // An instance that has had no message reported as sent for so long enrols again.
  CACHE_GAP_MS = CACHE_BEGIN_LEAST_MS,
  OUTAGE_MAX_ADDRESS_BYTES = 512,
};

// A row of the table of instances.
struct outage_row {
  struct slice name;
  struct slice address;  // where the instance's RPC server is reached
  struct slice host;     // the host's boot and network namespace
  uint64_t generation;
};

// Another instance.
struct outage_member {
  struct list node;
  char name[CACHE_INSTANCE_SIZE];
  char address[OUTAGE_MAX_ADDRESS_BYTES];  // "" while its row is not known
  bool is_on_this_host;
  uint64_t generation;         // of its row, as it was read last
  uint64_t read_us;            // when that row was read; 0 where the last reading had none
  uint64_t row_since_us;       // when a row of it was seen first
  uint64_t asking_generation;  // the latest with which it has asked for a promise
  uint64_t heard_us;           // when it was heard last over the channel; 0 for never
  unsigned heard;              // how often since this enrolment began, counted to 2
  uint64_t told_us;            // when it was told last; for the pace
  uint64_t asked_us;           // when the question began that has no answer yet; 0 where there is none
  unsigned question;           // which step that question is
  bool promised;               // in the round that is under way
  bool told;                   // during this enrolment
  bool dead;
  bool gone;           // it said that it has left
  uint64_t gone_us;    // when that was heard
  uint64_t asking_us;  // when it asked for a promise last
  bool knows_end;      // it was told that this instance has left
};

struct outage {
  const char *name;         // of this instance; belongs to the caller
  const char *address;      // NULL while it is not known; belongs to the caller
  const char *host;         // belongs to the caller
  bool connected;           // the channel works
  uint64_t connected_us;    // when this enrolment began: with the connection, or after a gap
  uint64_t lease_began_us;  // when the last message that was reported as sent began; 0 for none
  uint64_t reported_us;     // when a message was reported as sent last
  uint64_t right_began_us;  // when the last lease began that was a right to serve, which promises may extend
  uint64_t serves_until_us;
  uint64_t promised_until_us;  // this instance confirms nothing before
  uint64_t generation;         // of the own row
  uint64_t first_sent_us;      // when a message was first reported as sent in this enrolment; 0 for not yet
  bool busy;                   // a statement is under way
  bool failed;                 // the last statement; the next one waits
  uint64_t statement_us;       // when it began
  bool stored;                 // the own row, in this enrolment
  uint64_t read_us;            // when the rows were read last in this enrolment; 0 for not yet
  bool joined;                 // the enrolment has ended: changes may be confirmed
  bool enrolled;               // promises may extend the right
  bool retired;                // this instance is about to end
  bool left;                   // it confirms no change any more
  uint64_t round_us;           // when the round began that is under way; 0 for none
  uint64_t last_round_us;
  struct list members;  // struct outage_member
};

// The texts must outlive it. `host` names the host and its network namespace: no two processes of different such have
// the same.
void outage_init(struct outage *outage, const char *name, const char *host);
void outage_clear(struct outage *outage);
// Until its address is known, an instance confirms no change.
void outage_set_address(struct outage *outage, const char *address);

// ---- what has happened ----

void outage_connected(struct outage *outage, uint64_t now_us);
void outage_lost(struct outage *outage);
// A message over the channel that began then was reported as sent. `is_settled`: its lease is a right to serve, because
// nothing was missed.
void outage_sent(struct outage *outage, uint64_t began_us, uint64_t now_us, bool is_settled);
void outage_heard(struct outage *outage, struct slice name, uint64_t now_us);
// The instance has left: it said so, over the channel or over RPC.
void outage_gone(struct outage *outage, struct slice name, uint64_t now_us);

// The own row of that generation was stored, or (false) was not.
void outage_stored(struct outage *outage, uint64_t generation, bool done);
// All rows were read, by a statement that began then. NULL: it failed.
void outage_rows(struct outage *outage, const struct outage_row *rows, size_t count, uint64_t began_us);

// What came of a question.
struct outage_reply {
  bool answered;
  bool agreed;        // it has promised, or has given its right up
  struct slice name;  // of who has answered at the address
};
// Returns the generation that a question carries: see outage_promise.
uint64_t outage_asking_generation(const struct outage *outage);
// A question that outage_next has asked for is over; `name` is the member that was meant.
void outage_answered(struct outage *outage, struct slice name, const struct outage_reply *reply, uint64_t now_us);

// Another instance asks for a promise. True: it has it. `generation` is that of its row while it is without the
// channel, else 0: until it has another row it needs this instance's promises.
bool outage_promise(struct outage *outage, struct slice name, uint64_t generation, uint64_t now_us);
// Another instance is about to change things, and may be unknown here.
void outage_told(struct outage *outage, uint64_t now_us);
// What is in memory may be outdated: nothing is served until there is a settled lease again.
void outage_stop_serving(struct outage *outage);
// This instance is about to end and answers no questions any more.
void outage_retire(struct outage *outage, uint64_t now_us);
// This instance confirms no change any more, and the others are told so. Retires it, too.
void outage_leave(struct outage *outage, uint64_t now_us);
// The same, where this instance is about to end and PostgreSQL does not answer it. It stays while its channel may come
// back to life and a change waits for that (`has_waiting`).
void outage_leave_if_cut_off(struct outage *outage, bool has_waiting, uint64_t now_us);

// ---- what holds ----

// Tells whether values that were valid at the last lease may be served.
static inline bool outage_may_serve(const struct outage *outage, uint64_t now_us)
{
  return now_us < outage->serves_until_us;
}
// Tells whether changes may be confirmed.
bool outage_may_change(const struct outage *outage, uint64_t now_us);
// Tells whether the channel works and the enrolment has ended, so that little is to be done.
bool outage_is_calm(const struct outage *outage, uint64_t now_us);
// Ends the enrolment if all that it waits for has happened, and tells whether it has ended by this call. Then all that
// was announced before must be announced again, because members may have missed it.
bool outage_join(struct outage *outage, uint64_t now_us);

// Tells whether all others know that this instance has left.
bool outage_is_left_known(const struct outage *outage);

// ---- what is to be done ----

enum outage_step_kind {
  OUTAGE_NOTHING,
  OUTAGE_STORE,   // the own row with outage.generation; outage_stored follows
  OUTAGE_READ,    // all rows; outage_rows follows
  OUTAGE_DELETE,  // the row of `member`, if it still has its generation
  OUTAGE_ASK,     // `member` for a promise; outage_answered follows
  OUTAGE_TELL,    // `member` that this instance is about to change things; outage_answered follows
  OUTAGE_LEAVE,   // `member` that this instance has left; outage_answered follows
  OUTAGE_FENCE,   // the sessions of silent members; cache_fence_begin asks for it, and not outage_next
};

struct outage_step {
  enum outage_step_kind kind;
  const struct outage_member *member;  // valid until the next call of a function of `outage`
};

// Takes the next step that is to be begun now. OUTAGE_NOTHING: call again after the next event, or in OUTAGE_TICK_MS.
// `is_free` tells whether nobody listens on an address of this host.
struct outage_step outage_next(struct outage *outage, uint64_t now_us, bool (*is_free)(const char *address));

enum { OUTAGE_TICK_MS = 25 };

#endif
