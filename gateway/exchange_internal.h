// What the steps of an exchange share. Private to gateway/exchange*.c.
#ifndef BULKHEAD_GATEWAY_EXCHANGE_INTERNAL_H
#define BULKHEAD_GATEWAY_EXCHANGE_INTERNAL_H

#include "common/base/arena.h"
#include "common/base/heap.h"
#include "common/base/uuid.h"
#include "common/observe/trace.h"
#include "gateway/answer_budget.h"
#include "gateway/exchange.h"
#include "gateway/http_fields.h"
#include "gateway/problem.h"

// The header that tells what is wrong with a token, and how its value begins.
#define AUTHENTICATE SLICE("WWW-Authenticate")
#define CHALLENGE "Bearer realm=\"bulkhead\""

enum exchange_state {
  EXCHANGE_STATE_OPEN,        // exchange_start has not been called
  EXCHANGE_STATE_RUNNING,     // a step is running
  EXCHANGE_STATE_WANTS_BODY,  // the host is reading the body
  EXCHANGE_STATE_WAITING,     // waits for keys, for the exchange of an API key or for the service
  EXCHANGE_STATE_WRITING,     // the host has a large reply written piece by piece
  EXCHANGE_STATE_STREAMING,   // the reply has begun, and messages of the service follow
  EXCHANGE_STATE_REPLIED,
  EXCHANGE_STATE_ABANDONED,  // the client went away before there was a reply
};

struct protocol;

// How much of an instance's id is kept, in bytes.
#define INSTANCE_MAX_BYTES 64

// The streams of an exchange. What waits to be sent to the client is bounded by the credit that the service has.
struct exchange_stream {
  struct list node;  // in gateway.streams while the call is open
  uint16_t place;    // of the caller, in gateway.stream_counts
  bool is_counted;
  size_t part_bytes;  // of a message of the client that has come in part, as they are counted
  uint64_t began_us;  // when the reply began
  // How many messages are in exchange.out and in exchange.next, and their bytes as the service has sent them.
  size_t out_count, out_bytes;
  size_t next_count, next_bytes;
  bool has_ended;  // none follows, and the reply says how the call has ended
  // The protocol's own.
  uint8_t format;
  bool has_written;  // a message of the service
  size_t lines;      // of the client
  // Messages that were passed on, for the access log.
  uint64_t received_count;
  uint64_t sent_count;
};

struct exchange {
  struct gateway *gateway;
  const struct protocol *protocol;  // that the client speaks; REST's until the request has been looked at
  exchange_progress_fn *progress;
  void *arg;
  struct exchange_input input;
  struct slice body;

  enum exchange_state state;
  size_t step;  // index of the current step
  uint64_t started_us;
  // The phases for the access log; 0 where the exchange has not come so far.
  uint64_t called_us;
  uint64_t answered_us;    // the call has ended, or the reply of a stream begins
  uint64_t ended_us;       // the reply is there as a whole, or the client has gone before
  uint64_t deadline_us;    // the client's own; DEADLINE_NONE where it has set none
  struct heap_node timer;  // in gateway.waits, while the exchange waits for something else than its call
  bool has_exchanged;      // the request has had its API key exchanged once
  bool waited_for_keys;    // the request has waited once; a key that is unknown after a fetch stays unknown

  char request_id_text[REQUEST_ID_MAX_BYTES];
  size_t request_id_size;
  char traceparent[TRACEPARENT_SIZE];

  const struct contract_method *method;  // NULL until it is found
  struct contract_route route;           // of REST; its binding is NULL until a route has matched
  struct slice message;                  // wire bytes of the request message: `wire`, or a part of `body`
  struct slice access_token;             // verified; empty where the method needs none
  struct slice key_id;                   // of the API key that the request came with; empty where it came with none
  struct slice caller_id;                // the verified user; in the arena, as the roles are
  const struct slice *caller_roles;
  size_t caller_role_count;
  const struct slice *caller_permissions;  // what the token names beside the roles
  size_t caller_permission_count;
  bool caller_is_limited;
  int64_t caller_auth_time;  // when the user last proved who he is; 0 where the token does not say

  struct key_wait key_wait;
  struct api_key_wait api_key_wait;
  struct limit_wait limit_wait;
  struct limit_attempt attempt;  // of a login or sign-up
  struct limit_answer limit;     // its limit is NULL where the request has none
  struct answer_share answer;    // what the reply holds of gateway.answers
  struct admission_place place;  // what the call holds of gateway.admission
  bool is_carried_out;           // the call has ended as such calls do
  struct rpc_call *call;
  char instance_text[INSTANCE_MAX_BYTES];  // the instance that had the call last
  size_t instance_size;
  struct rpc_context call_context;   // of `call`
  const struct rpc_status *outcome;  // how the call ended; valid, as the payload, only while the reply step runs
  struct slice outcome_payload;

  struct exchange_reply reply;
  struct transcode_pieces *pieces;  // of the reply while it is written
  struct exchange_stream stream;

  // The members below are kept from one request to the next; exchange_close zeroes all above.
  struct arena arena;
  struct arena line_arena;  // of one message of the client's stream
  struct strbuf wire;       // wire bytes of the request message, then of a large response
  struct strbuf out;        // the reply's body, or what is being sent of a stream
  struct strbuf next;       // what is to be sent of a stream afterwards
  struct strbuf in;         // the beginning of a message of the client's stream
  struct strbuf plain;      // a message of the client that has come compressed
  struct strbuf scratch;    // a body that had to be decoded, then values of reply headers
  struct exchange *next_spare;
};

enum step_result {
  STEP_NEXT,
  STEP_REPLIED,  // the reply is complete, a success or a problem
  STEP_WAIT,
  STEP_WANT_BODY,
  STEP_WRITE,        // the reply is large, and exchange_write_piece writes it
  STEP_WANT_STREAM,  // waits for the service, and takes messages of the client
  STEP_STREAM,       // the reply has begun and ended without a message
};

// Describes an error for exchange_fail. http_status 0 stands for the HTTP status of the code.
struct failure {
  enum status code;
  int http_status;
  const char *reason;  // of 503 and 504: RPC_NOT_APPLIED where it is known that nothing has happened
  struct slice detail;
  const struct violation *violations;
  size_t violation_count;
  uint32_t retry_after_ms;
};

// Steps of the exchange, in the order of the table (exchange_steps.c, exchange_authenticate.c, exchange_rights.c,
// exchange_reply.c).
enum step_result step_identify(struct exchange *exchange);
enum step_result step_route(struct exchange *exchange);
enum step_result step_time(struct exchange *exchange);
enum step_result step_authenticate(struct exchange *exchange);
enum step_result step_authorise(struct exchange *exchange);
enum step_result step_admit(struct exchange *exchange);
enum step_result step_limit(struct exchange *exchange);
enum step_result step_body(struct exchange *exchange);
enum step_result step_arrived(struct exchange *exchange);
enum step_result step_translate(struct exchange *exchange);
enum step_result step_own(struct exchange *exchange);
enum step_result step_attempt(struct exchange *exchange);
enum step_result step_call(struct exchange *exchange);
enum step_result step_reply(struct exchange *exchange);

// Writes the next piece of a large reply: STEP_WRITE while others follow, STEP_REPLIED at the end.
enum step_result exchange_write_piece(struct exchange *exchange);

// Returns the reason of the problem with a token that is not valid.
const char *exchange_token_reason(enum token_result result);
// Takes a place among the streams for the call of a method with stream; `caller` is a hash. STEP_NEXT where there is
// one.
enum step_result exchange_open_stream(struct exchange *exchange, uint64_t caller);
// Gives the place back; does nothing where the exchange has none.
void exchange_leave_stream(struct exchange *exchange);
// Begins the reply of a stream.
void exchange_begin_reply(struct exchange *exchange);
// Takes the end of a call whose reply has begun.
void exchange_note_outcome(struct exchange *exchange, const struct rpc_status *status);
// What the RPC client does with the messages of a call.
extern const struct rpc_stream_events exchange_stream_events;
// Keeps which instance had the call, for the access log.
void exchange_note_instance(struct exchange *exchange, struct slice instance);
// Cancels the call, which must be in flight. Returns whether the service may have begun it.
bool exchange_cancel_call(struct exchange *exchange);
// Makes the reply of a call that ended with an error of the service, or that never reached it.
enum step_result exchange_reply_failure(struct exchange *exchange, const struct rpc_status *status);
// Changes the state. The gauge of waiting requests and the counter of answered ones change only here.
void exchange_set_state(struct exchange *exchange, enum exchange_state state);

// Goes on at the current step after a wait, and tells the host when there is something for it to do.
void exchange_resume(struct exchange *exchange);

// Counts the check of a token's signature, which costs more than a request, for the address of the client.
enum step_result exchange_limit_token(struct exchange *exchange);
// Returns the name of the class whose limit the request counts in.
struct slice exchange_rate_class(const struct exchange *exchange);
// Answers 504, because the client's own deadline has passed before the call was made.
enum step_result exchange_refuse_expired(struct exchange *exchange);
// Adds the headers that tell of the request's rate limit, where it has one (exchange_limits.c).
void exchange_add_limit_headers(struct exchange *exchange);
// Makes the reply say how the request has failed, in the form of its protocol. Headers that were added before (Allow,
// WWW-Authenticate) stay.
enum step_result exchange_fail(struct exchange *exchange, const struct failure *failure);
// Answers OPTIONS with the methods of a path, and with the types that its PATCH takes. `allow` must live as long as the
// exchange.
enum step_result exchange_describe(struct exchange *exchange, struct slice allow);
// Makes the reply a 429, because too many bytes of answers to the caller, or to all, wait to be read.
enum step_result exchange_refuse_answer(struct exchange *exchange);
// Makes the reply a refusal of what the request holds.
enum step_result exchange_refuse_violations(struct exchange *exchange, const struct violations *violations);
// Answers a call whose response is not what the contract says.
enum step_result exchange_fail_unfit(struct exchange *exchange);
// Takes back the headers of a success that becomes a failure.
void exchange_drop_headers(struct exchange *exchange);
// Completes the reply with its status and the headers that every reply has. `content_type` NULL: it has no body.
// `cache_control` must live as long as the exchange.
void exchange_finish_reply(struct exchange *exchange, int http_status, const char *content_type,
                           const char *cache_control);
// Makes the reply a 413 that says how large the body may be.
enum step_result exchange_refuse_large_body(struct exchange *exchange);
// Adds a header or a trailer to the reply. `name` and `value` must live as long as the exchange.
void reply_add_header(struct exchange *exchange, struct slice name, struct slice value);
void reply_add_trailer(struct exchange *exchange, struct slice name, struct slice value);

static inline struct slice exchange_request_id(const struct exchange *exchange)
{
  return slice_make(exchange->request_id_text, exchange->request_id_size);
}

static inline const struct contract_method *exchange_method(const struct exchange *exchange)
{
  return exchange->method;
}

// Returns the way to the service for the exchange's method.
static inline const struct backend *exchange_backend(const struct exchange *exchange)
{
  const struct gateway *gateway = exchange->gateway;
  if (own_services_have(gateway->own, exchange_method(exchange)))
    return &gateway->own_backend;
  bool is_expensive = exchange_method(exchange)->rate_class == CONTRACT_RATE_EXPENSIVE;
  return is_expensive ? &gateway->expensive_backend : &gateway->backend;
}

#endif
