// The ledger of a drill: what clients were told of their writes, held against what is stored and what was read.
#ifndef BULKHEAD_TESTS_FAULT_LEDGER_H
#define BULKHEAD_TESTS_FAULT_LEDGER_H

#include "tests/support/open_loop.h"

// Asserts that every create that was answered with 201 is in the database exactly once, one that was refused is not,
// and one whose answer is missing is there once or not; and that reads and changes are linearizable.
void ledger_assert_right(const struct open_loop_result *result, const char *name);

#endif
