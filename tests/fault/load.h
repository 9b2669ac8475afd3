// Clients that read and write a few items through the gateway without a pause, each at its own connection, while a test
// breaks things; and the record of what they saw. Each item has readers and writers of its own, so that a client that
// waits for one item does not keep others from being used.
#ifndef BULKHEAD_TESTS_FAULT_LOAD_H
#define BULKHEAD_TESTS_FAULT_LOAD_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/strbuf.h"
#include "tests/support/http.h"

enum { LOAD_ITEMS = 4 };
// A set of items has bit 1 << i for item i.
#define LOAD_ALL_ITEMS ((1U << LOAD_ITEMS) - 1)

// What has happened to one item so far.
struct load_counts {
  size_t reads;   // that succeeded
  size_t writes;  // that succeeded
  size_t failed;  // reads and writes that were answered 503 or 504, or not at all
};

struct load;

// Creates the items and starts the clients.
struct load *load_start(const struct account *owner);
// Waits until every client has ended. The history is complete then.
void load_stop(struct load *load);
void load_free(struct load *load);

const char *load_item_id(const struct load *load, size_t item);
struct load_counts load_count(const struct load *load, size_t item);
// Makes the writers read (true) or write again (false). What a fault has left in caches is seen best while no further
// write removes it.
void load_pause_writes(struct load *load, bool pause);
// Waits until each item of `items` has been read and written successfully so many times more.
void load_await(struct load *load, unsigned items, size_t reads, size_t writes, const char *when);
// Waits until that has come to one item at least.
void load_await_any(struct load *load, size_t reads, size_t writes, const char *when);
// Tells whether what a stopped load has seen is linearizable; if not, `why` gets the contradiction.
bool load_is_linearizable(const struct load *load, struct strbuf *why);
// Asserts that what a stopped load has seen is linearizable, and that no answer was of an unexpected kind.
void load_assert_right(const struct load *load);

#endif
