// One fixture and one exchange in it, for the tests that look at a single request.
#ifndef BULKHEAD_TESTS_GATEWAY_ONE_EXCHANGE_H
#define BULKHEAD_TESTS_GATEWAY_ONE_EXCHANGE_H

#include "tests/unit/gateway/fixture.h"

#define ITEM_PATH "/v1/items/" FIXTURE_ITEM_ID

extern struct fixture *fixture;
extern struct exchange *exchange;

// Open and close everything, for .init and .fini of a suite: a gateway that has its keys.
void open_all(void);
void close_all(void);

// Starts a request that is answered without a call.
const struct exchange_reply *start(struct exchange_input input);
// Starts a request that gets as far as the call, signed in unless it carries a token of its own. The fixture's first
// call fetched the keys.
struct fixture_call *start_call(struct exchange_input input);

void assert_problem(const struct exchange_reply *reply, int http_status, const char *part);
void assert_header(const struct exchange_reply *reply, const char *name, const char *value);

#endif
