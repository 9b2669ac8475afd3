// What a call changes as one: in a transaction of its own, or in that of its Idempotency-Key, in which its reply is
// kept, too.
#ifndef BULKHEAD_SERVICES_AUTH_AUTH_TRANSACTION_H
#define BULKHEAD_SERVICES_AUTH_AUTH_TRANSACTION_H

#include "common/base/status.h"
#include "common/service/query.h"

struct call;

// Changes something on `db`. What it returns decides: OK commits, anything else takes all of it back. It must not use a
// connection beside `db`, which many such calls at once would wait for, each holding one.
typedef enum status auth_work(struct call *call, struct query_db db, const void *arg);

// Runs `work` in the transaction that keeps the reply of the call's Idempotency-Key; without a key, in a transaction of
// its own.
enum status auth_transact(struct call *call, auth_work *work, const void *arg) MUST_CHECK;
// Runs `work` in a transaction of its own, even under an Idempotency-Key. The changes survive a failed call.
enum status auth_transact_apart(struct call *call, auth_work *work, const void *arg) MUST_CHECK;

#endif
