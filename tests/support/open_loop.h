// Clients that send by the clock, however long answers take: reads and changes of a few items, creates, account reads,
// logins. Nothing is repeated, not even what an HTTP library repeats unseen, so what happens to a connection shows as a
// failure. What each request met is kept, one outcome a request. The owner of the items logs in again after half a
// minute, so that a token that lasts for some minutes is enough for any outage.
#ifndef BULKHEAD_TESTS_SUPPORT_OPEN_LOOP_H
#define BULKHEAD_TESTS_SUPPORT_OPEN_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/support/http.h"

enum {
  OPEN_LOOP_PER_SECOND = 400,  // every fourth at a new connection, the others at connections that are kept
  OPEN_LOOP_ITEMS = 8,         // that are read and changed
  OPEN_LOOP_STEADY_ITEMS = 8,  // that are only read
};

enum open_loop_kind {
  OPEN_LOOP_READ,
  OPEN_LOOP_CHANGE,
  OPEN_LOOP_CREATE,        // without Idempotency-Key
  OPEN_LOOP_KEYED_CREATE,  // with one
  OPEN_LOOP_ACCOUNT,       // a read of the own account
  OPEN_LOOP_LOGIN,
  OPEN_LOOP_STEADY_READ,  // of an item that nobody changes, so that it is cached
  OPEN_LOOP_KINDS,
};

struct open_loop_outcome {
  enum open_loop_kind kind;
  int status;         // 0 without an answer
  bool unapplied;     // it had no effect and never will: it was not sent, or the answer says so
  bool retry_after;   // the answer has the header
  uint32_t item;      // that was read or changed, by its index; those that are only read come last
  uint64_t value;     // that was read, or written by a change; see item_value.h
  uint64_t seen;      // the value in the answer to a change
  uint64_t due_us;    // when the clock asked for it
  uint64_t sent_us;   // when it was sent
  uint64_t ended_us;  // when it was answered or given up
};

struct open_loop_result {
  struct open_loop_outcome *outcomes;  // in the order in which they were due
  size_t count;
  const char *word;           // a create has the category `word` and the sku "word-INDEX", by its index in `outcomes`
  const char *first_failure;  // NULL where all was answered with 2xx
  size_t connections;
};

struct open_loop;

// Creates the items and starts the clients on a thread of their own. They speak HTTP/1.1 to `url`, which is plain;
// NULL: BULKHEAD_URL.
struct open_loop *open_loop_start(const struct account *owner, const char *url);
// Waits until so many more requests were sent.
void open_loop_await(const struct open_loop *loop, size_t requests);
// Stops the clients after what is in flight, and returns what they met. Nulls the pointer.
struct open_loop_result open_loop_stop(struct open_loop **loop);

static inline bool open_loop_succeeded(const struct open_loop_outcome *outcome)
{
  return outcome->status / 100 == 2;
}

#endif
