// Which calls a worker lets in when more come than can be answered in good time. Each method has a limit of its own
// (common/base/concurrency_limit.h), which callers share by what their calls cost (cost_shares.h): by the bytes of
// their requests and answers, which the work of everybody on the way grows with. What is beyond the limit is refused
// before the service hears of it, because a refusal here costs much less than most calls.
//
// Calls are held to 50 ms (ADMISSION_CALM_MS). Of expensive methods, such as lists, a few at a time keep everybody
// busy. Of the others, which travel to PostgreSQL in batches, it takes more; and a client that changes something over
// 128 connections at a time is let in on a machine of any speed, even where one worker has all of them. Changes
// that always take longer than 50 ms and never come few at a time, such as those that wait for a stand-by in another
// region, cannot be told from a crowd: of these a worker lets in ADMISSION_OTHER_LEAST at a time.
//
// Reads that are not declared expensive have no limit, cached or not, because their calls cost little more than a
// refusal: to refuse them leaves no time to answer others. What PostgreSQL cannot take of them their service refuses.
// Nor have logins and sign-ups a limit, whose costly part has its own queue in the auth service.
#ifndef BULKHEAD_GATEWAY_ADMISSION_H
#define BULKHEAD_GATEWAY_ADMISSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/concurrency_limit.h"
#include "common/contract/contract.h"
#include "gateway/gateway_metrics.h"

// How long the median call may take, at least, before calls are refused.
#define ADMISSION_CALM_MS 50
// How many calls of a method are in flight at a time: the limit never falls below the least, nor rises above the most.
#define ADMISSION_EXPENSIVE_LEAST 32
#define ADMISSION_OTHER_LEAST 160
#define ADMISSION_MOST 512

struct admission;

// What one exchange holds. Zeroed: nothing.
struct admission_place {
  bool is_held;
  uint16_t method;
  uint16_t caller;
  uint16_t weight;
  uint64_t began_us;
};

// Tells whether calls of the method have a limit.
bool admission_limits(const struct contract_method *method);

// Makes the limits of the methods; never NULL. `metrics` must outlive them.
struct admission *admission_create(const struct contract *contract, const struct gateway_metrics *metrics);
// Nulls the pointer and accepts NULL in it.
void admission_free(struct admission **admission);

struct admission_request {
  const struct contract_method *method;
  uint64_t caller;   // a hash
  uint64_t left_us;  // until the deadline of the call
};

// Tells whether a call of the method would find a place now. Where it would not, it counts as refused.
bool admission_has_room(struct admission *admission, const struct contract_method *method, uint64_t caller,
                        uint64_t now_us);
// Tells whether calls were refused lately because there were too many.
bool admission_is_crowded(const struct admission *admission, uint64_t now_us);
// Asks for a place for a call. CONCURRENCY_ADMITTED without a place where the method has no limit.
enum concurrency_verdict admission_take(struct admission *admission, const struct admission_request *request,
                                        struct admission_place *place, uint64_t now_us);
// Notes how many bytes the request and the answer of a call have, before its place is given back.
void admission_note_bytes(struct admission *admission, const struct admission_place *place, size_t bytes);
// Gives the place back, where one is held. `is_complete` says that the time it was held for is what such a call takes.
// A call that failed or was given up tells only that it takes longer than that.
void admission_return(struct admission *admission, struct admission_place *place, bool is_complete, uint64_t now_us);

#endif
