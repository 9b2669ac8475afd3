// Holds statements of a service up at a place of the test's choice, so that what comes at the same moment comes there
// in the test's order.
#ifndef BULKHEAD_TESTS_SUPPORT_SERVICE_GATE_H
#define BULKHEAD_TESTS_SUPPORT_SERVICE_GATE_H

#include "tests/support/service/database.h"
#include "tests/support/service/driver.h"

// Closes the gate at an event of the trigger's kind, such as "INSERT ON auth.sessions FOR EACH ROW". A statement waits
// there once it has the locks that come before: for each row after its rows are found, for each statement before.
void gate_close(struct database *database, const char *event);
// Releases the waiting and all later statements.
void gate_open(struct database *database);

// Waits until one connection of the auth service waits at the gate.
void gate_wait_one(struct database *database);
// Waits until `count` connections of the auth service wait for locks that others hold.
void gate_wait_locks(struct database *database, int count);

// Has `first` wait at an event until `second`, which comes meanwhile, waits for its locks; then lets both end.
void gate_race(struct database *database, const char *event, const struct prepared_call *first,
               const struct prepared_call *second, struct outcome outcomes[2]);

#endif
