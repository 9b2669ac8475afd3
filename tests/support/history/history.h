// Histories of reads and writes of registers by concurrent clients, and the question whether a history is linearizable
// (Herlihy and Wing, "Linearizability: a correctness condition for concurrent objects"): whether each operation can
// have taken effect at one moment between its invocation and its answer. Each item is a register of its own.
//
// Every write of an item has a value of its own, so the question is decided exactly and in n log n time, as Gibbons and
// Korach ("Testing shared memories") do. history.c tells how conditional writes and unknown outcomes fit in.
#ifndef BULKHEAD_TESTS_SUPPORT_HISTORY_HISTORY_H
#define BULKHEAD_TESTS_SUPPORT_HISTORY_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/strbuf.h"

enum history_kind {
  HISTORY_READ,
  HISTORY_WRITE,
};

enum history_outcome {
  HISTORY_DONE,         // acknowledged; a read without an answer is not recorded
  HISTORY_NOT_APPLIED,  // the write never takes effect
  HISTORY_UNKNOWN,      // the write takes effect at any time after its invocation, or never
};

struct history_operation {
  uint32_t client;
  uint32_t item;
  enum history_kind kind;
  enum history_outcome outcome;
  uint64_t value;     // what was read, or is written: unique among the writes of the item
  uint64_t expected;  // a conditional write takes effect only directly after the write of this value; 0: unconditional
  uint64_t invoked_us;
  uint64_t answered_us;  // both on the monotonic clock
};

// A zeroed history is empty and ready.
struct history {
  struct history_operation *operations;
  size_t count;
  size_t capacity;
};

void history_free(struct history *history);
void history_add(struct history *history, const struct history_operation *operation);
void history_add_all(struct history *history, const struct history *more);

// Tells whether every item's operations are linearizable. If not, `why` gets the operations of one item that contradict
// each other, and what else happened to that item around them.
bool history_is_linearizable(const struct history *history, struct strbuf *why);

#endif
