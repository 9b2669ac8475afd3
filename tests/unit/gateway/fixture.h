// A gateway with the real contracts, a clock that stands until it is turned, and services played by the test.
#ifndef BULKHEAD_TESTS_GATEWAY_FIXTURE_H
#define BULKHEAD_TESTS_GATEWAY_FIXTURE_H

#include "common/base/arena.h"
#include "common/base/strbuf.h"
#include "gateway/exchange.h"

#define FIXTURE_ISSUER "https://issuer.test"
#define FIXTURE_AUDIENCE "audience.test"
#define FIXTURE_MAX_CALLS 640
#define FIXTURE_ITEM_ID "01936b5e-7c1a-7d3e-9f00-1c2d3e4f5a6b"
#define FIXTURE_USER_ID "01936b5e-7c1a-7d3e-9f00-000000000001"

// A call that the gateway made; holds copies.
struct fixture_call {
  char service[32];
  char method[128];
  struct slice payload;
  uint64_t deadline_us;
  uint32_t reply_wait_ms;
  bool is_repeatable;
  uint32_t hedge_after_ms;
  struct slice request_id, traceparent, access_token, idempotency_key, user_agent;
  const struct rpc_stream_events *stream;
  size_t taken_count, taken_bytes;  // of a stream's messages, for which the service was given credit
  bool is_full;                     // the service takes no messages now
  bool is_half_closed;              // the client has ended its messages
  size_t written;                   // messages of the client
  struct slice last_written;
  bool cancelled;
  bool ended;
  rpc_done_fn *done;
  void *arg;
};

struct fixture {
  struct arena arena;
  struct api *api;
  struct gateway *gateway;
  const char *private_pem;
  struct slice x, y, kid;
  struct fixture_call calls[FIXTURE_MAX_CALLS];
  size_t call_count;
  // The progress that the exchange under test reported.
  size_t progress_count;
  enum exchange_next progress;
};

extern uint64_t fixture_now_us;
extern int64_t fixture_wall_us;
// What tokens say of when their user logged in; 0, as at first: nothing.
extern int64_t fixture_auth_time;
// The session that tokens name, and the generation that they are of; empty and 0, as at first: none.
extern struct slice fixture_session;
extern int64_t fixture_generation;

// Opens a fixture without keys; fixture_give_keys answers the first fetch.
struct fixture *fixture_open(void);
// Opens a fixture with the contract `text`, which follows "package test.v1;" and the imports of our options, beside
// auth's contract.
struct fixture *fixture_open_with(const char *text);
void fixture_give_keys(struct fixture *fixture);
void fixture_close(struct fixture *fixture);

// Returns the wire bytes of a key set that holds the fixture's key.
struct slice fixture_key_set(struct fixture *fixture);
// Returns "Bearer <token>" for FIXTURE_USER_ID; `role` NULL means no role.
struct slice fixture_bearer(struct fixture *fixture, const char *role, int64_t lifetime_s);
// Returns "Bearer <token>" signed by a key that the gateway does not know.
struct slice fixture_foreign_bearer(struct fixture *fixture);

struct exchange *fixture_exchange(struct fixture *fixture);
// Returns the call of this index, in the order in which calls were made; CHECKs that it exists.
struct fixture_call *fixture_call(struct fixture *fixture, size_t index);
void fixture_answer(struct fixture_call *call, struct slice payload);
// Sends a message of the call's stream.
void fixture_send(struct fixture_call *call, struct slice payload);
// Says that the service takes messages again.
void fixture_take_more(struct fixture_call *call);
void fixture_answer_status(struct fixture_call *call, const struct rpc_status *status);

// Returns what was logged since the last time, or since the test called cr_redirect_stderr.
const char *fixture_read_log(void);

// Returns a minimal request; the test sets its headers.
struct exchange_input fixture_input(const char *method, const char *path);
// Return the value of a field, or of a reply's header; NULL data where it is absent.
struct slice fixture_field(const struct exchange_headers *list, const char *name);
struct slice fixture_header(const struct exchange_reply *reply, const char *name);
bool fixture_contains(struct slice text, const char *part);
// Returns the wire bytes of an item.v1.Item with these fields.
struct slice fixture_item(struct fixture *fixture, const char *name, const char *etag);

#endif
