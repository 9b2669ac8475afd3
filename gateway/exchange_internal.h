// Private to gateway/exchange*.c: what the steps share.
#ifndef BULKHEAD_GATEWAY_EXCHANGE_INTERNAL_H
#define BULKHEAD_GATEWAY_EXCHANGE_INTERNAL_H

#include "common/base/arena.h"
#include "common/base/uuid.h"
#include "common/observe/trace.h"
#include "gateway/exchange.h"
#include "gateway/http_fields.h"
#include "gateway/problem.h"

struct exchange {
  struct gateway *gateway;
  exchange_progress_fn *progress;
  void *arg;
  struct exchange_input input;
  struct slice body;
  bool body_read;

  size_t step;  // place in the table
  uint64_t started_us;
  bool identified;
  bool waiting;
  bool waited_for_keys;
  bool counted;

  char request_id_text[REQUEST_ID_MAX_BYTES];
  size_t request_id_size;
  char traceparent[TRACEPARENT_SIZE];

  struct contract_route route;  // binding NULL until a route matched
  struct slice caller_id;       // in the arena, like the roles
  const struct slice *caller_roles;
  size_t caller_role_count;

  struct key_wait key_wait;
  struct rpc_call *call;
  const struct rpc_status *outcome;  // of the call; both only while the reply step runs
  struct slice outcome_payload;

  struct exchange_reply reply;
  bool replied;

  // Kept from one request to the next; all above is zeroed at the close.
  struct arena arena;
  struct strbuf wire;  // the request message
  struct strbuf out;   // the reply's body
  struct exchange *next_spare;
};

enum step_result {
  STEP_NEXT,
  STEP_REPLIED,  // the reply is there, good or bad
  STEP_WAIT,
  STEP_WANT_BODY,
};

// What went wrong, for exchange_fail. http_status 0: that of the code.
struct failure {
  enum status code;
  int http_status;
  const char *reason;
  struct slice detail;
  const struct violation *violations;
  size_t violation_count;
  uint32_t retry_after_ms;
};

// The steps (exchange_steps.c, exchange_reply.c).
enum step_result step_identify(struct exchange *exchange);
enum step_result step_route(struct exchange *exchange);
enum step_result step_authenticate(struct exchange *exchange);
enum step_result step_authorise(struct exchange *exchange);
enum step_result step_body(struct exchange *exchange);
enum step_result step_translate(struct exchange *exchange);
enum step_result step_call(struct exchange *exchange);
enum step_result step_reply(struct exchange *exchange);

// Goes on at the present step after a wait, and tells the host.
void exchange_resume(struct exchange *exchange);

// The reply becomes a problem document. Headers added before (Allow, WWW-Authenticate) stay.
enum step_result exchange_fail(struct exchange *exchange, const struct failure *failure);
// `name` and `value` must live as long as the exchange.
void reply_add_header(struct exchange *exchange, struct slice name, struct slice value);
// Adds the headers that every reply has. `cache_control` static.
void reply_finish(struct exchange *exchange, int http_status, const char *content_type, const char *cache_control);

static inline struct slice exchange_request_id(const struct exchange *exchange)
{
  return slice_make(exchange->request_id_text, exchange->request_id_size);
}

static inline const struct contract_method *exchange_method(const struct exchange *exchange)
{
  return exchange->route.binding == NULL ? NULL : exchange->route.binding->method;
}

#endif
