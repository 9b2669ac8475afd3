// Idempotency-Key: a client repeats a call that creates, with the same key, and gets the answer of the first. Of the
// calls of one caller, method and key, one has an effect. Its reply is written to idempotency_keys in the transaction
// of the effect, so a crash leaves both or neither; it is kept for 24 hours.
//
//   same key, same request     the reply that was kept; ALREADY_EXISTS where it is not kept, because it holds secrets
//   same key, other request    FAILED_PRECONDITION, which the gateway answers with 422
//   while the first is at work  the repeat waits for its end, until its own deadline
//   after a failure            the repeat is a first call
//
// Anonymous callers share one scope. What keeps them apart is the request, whose hash must be the same: who repeats a
// sign-up to read its reply must know its password, too. The key itself is stored nowhere.
#ifndef BULKHEAD_SERVICE_IDEMPOTENCY_INTERNAL_H
#define BULKHEAD_SERVICE_IDEMPOTENCY_INTERNAL_H

#include "common/service/call_internal.h"
#include "common/service/query.h"
#include "common/service/service.h"

// Tells whether the call carries a key that its method takes.
bool idempotency_applies(const struct call *call);
// Runs `handler(call)` unless an earlier call with the same key has had its effect, and returns the status of the call.
// On success the reply is set by call_reply_bytes.
enum status idempotency_run(struct call *call, enum status (*handler)(struct call *call)) MUST_CHECK;
// Returns the transaction that the call's effect belongs to. The first time it begins one and claims the key, which may
// wait for another call with the same key. Once a statement of it has failed, it is rolled back, and the handler can
// only find out why and fail: it gets the service's database. Calls without a key always get that.
struct query_db idempotency_db(struct call *call);

// Starts the background task that removes what is older than 24 hours. Several instances share the work.
void idempotency_start_sweep(struct service *service);
// Tells whether one of the service's methods takes a key.
bool idempotency_is_used(const struct service_definition *definition);

#endif
