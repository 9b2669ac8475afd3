// The service under test: this same program, started again with BULKHEAD_PROBE set, becomes a service "probe" with
// handlers that do what a test needs. It serves user.v1 and item.v1, which between them have every kind of policy, and
// calls itself as its peer "item".
#ifndef BULKHEAD_TESTS_SERVICE_PROBE_H
#define BULKHEAD_TESTS_SERVICE_PROBE_H

struct rpc_method;

// Finds the method of item.v1 with this name, such as "item.v1.ItemService/GetItem"; NULL when there is none.
const struct rpc_method *probe_item_method(const char *full_name);

// Values of `q` in ListItems: what the handler does.
#define PROBE_WAIT "wait"          // waits until cancelled or overdue
#define PROBE_HOLD "hold"          // waits until the file PROBE_RELEASE_FILE exists
#define PROBE_FAIL "fail"          // ALREADY_EXISTS with all details
#define PROBE_INTERNAL "internal"  // INTERNAL without a message
#define PROBE_BYTES "bytes"        // a reply of ready bytes
#define PROBE_CRASH "crash"        // writes through a wild pointer
#define PROBE_CHECK "check"        // fails a CHECK
// GetItem returns an item that describes the call and the probe: owner_id the caller, sku the request id, name the peer
// service, description the traceparent, tags the counters below as "name=number", then "session=ID at SECONDS" by the
// user's token.
#define PROBE_STARTED "started"      // waiting calls that began
#define PROBE_CANCELLED "cancelled"  // waiting calls that ended with CANCELLED
#define PROBE_OVERDUE "overdue"      // waiting calls that ended with DEADLINE_EXCEEDED
#define PROBE_TICKING "ticking"      // 1 while the background task runs
#define PROBE_LEFT "leftMs"          // milliseconds until the deadline of this GetItem
// BatchCreateItems writes the name of its item among the words of the database. The reply's sku counts the runs of the
// handler, its description is the word as it was read back. With these names it does something else:
#define PROBE_ELSEWHERE "elsewhere"  // it does not use the database
#define PROBE_CARELESS "careless"    // it ignores that a later statement fails
#define PROBE_REGRET "regret"        // it fails by itself after it has written the word
#define PROBE_LATE "late"            // it waits for PROBE_RELEASE_FILE before all, then fails with all details
// GetUser calls GetItem of the peer and gives its answer: display_name, email (the peer's sku) and so on; with the id
// PROBE_ABSENT_ID it passes on the peer's failure.
#define PROBE_ABSENT_ID "00000000-0000-7000-8000-000000000404"
// With this id, GetUser calls a GetItem whose method has half the timeout, and answers the tag PROBE_LEFT as its id.
#define PROBE_HURRIED_ID "00000000-0000-7000-8000-000000000504"

// The method of item.v1 that needs a recent login here. It has no handler.
#define PROBE_RECENT_LOGIN "item.v1.ItemService/UpdateItem"
#define PROBE_MAX_AUTH_AGE_S 3600

// Names in CreateItem: what the handler does, beside PROBE_WAIT.
#define PROBE_REFUSE "refuse"  // UNAVAILABLE, and nothing has happened
#define PROBE_CHANGE "change"  // UNAVAILABLE after a change
#define PROBE_DEAF "deaf"      // waits for PROBE_RELEASE_FILE beyond its deadline, also when it is cancelled
// CreateUser with one of these names after PROBE_PEER calls CreateItem of the peer with it and passes on the failure;
// after a success it ends with UNAVAILABLE itself. With PROBE_LOOK it calls ListItems instead, which only reads.
#define PROBE_PEER "peer "
#define PROBE_LOOK "look"

// The environment variable that names the folder of the release file.
#define PROBE_FOLDER "BULKHEAD_PROBE_FOLDER"
#define PROBE_RELEASE_FILE "release"

// The environment variable with the number of the descriptor that becomes the probe's standard error.
#define PROBE_STDERR "BULKHEAD_PROBE_STDERR"

#endif
