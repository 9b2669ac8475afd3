// The steps that keep to the rate limits, and the headers that tell clients of them
// (draft-ietf-httpapi-ratelimit-headers):
//
//   RateLimit-Policy: "read";q=200;w=2     at most 200 at once, which come back within 2 seconds
//   RateLimit: "read";r=150;t=1            150 are left, and all are back in a second
#include "common/base/check.h"
#include "gateway/exchange_internal.h"

#define LOGIN_METHOD "auth.v1.AuthService/Login"

static uint64_t to_seconds(uint64_t us)
{
  return (us + 999999) / 1000000;
}

void exchange_add_limit_headers(struct exchange *exchange)
{
  const struct limit_answer *answer = &exchange->limit;
  if (answer->limit == NULL)
    return;
  const char *name = limit_class_name(answer->kind);
  uint64_t window_s = to_seconds(answer->limit->interval_ns * answer->limit->burst / 1000);
  struct strbuf *text = &exchange->scratch;
  strbuf_clear(text);
  strbuf_add_byte(text, '"');
  strbuf_add_string(text, name);
  strbuf_add_string(text, "\";q=");
  strbuf_add_uint(text, answer->limit->burst);
  strbuf_add_string(text, ";w=");
  strbuf_add_uint(text, window_s);
  size_t policy_size = text->size;
  strbuf_add_byte(text, '"');
  strbuf_add_string(text, name);
  strbuf_add_string(text, "\";r=");
  strbuf_add_uint(text, answer->remaining);
  strbuf_add_string(text, ";t=");
  strbuf_add_uint(text, to_seconds(answer->reset_us));
  struct slice both = strbuf_slice(text);
  reply_add_header(exchange, SLICE("RateLimit-Policy"), slice_make(both.data, policy_size));
  reply_add_header(exchange, SLICE("RateLimit"), slice_skip(both, policy_size));
}

static uint32_t to_retry_ms(uint64_t us)
{
  uint64_t ms = us / 1000 + 1;
  return ms > UINT32_MAX ? UINT32_MAX : (uint32_t)ms;
}

static enum step_result refuse(struct exchange *exchange, struct slice detail)
{
  return exchange_fail(exchange, &(struct failure){.code = STATUS_RESOURCE_EXHAUSTED,
                                                   .reason = LIMITS_REASON,
                                                   .detail = detail,
                                                   .retry_after_ms = to_retry_ms(exchange->limit.retry_after_us)});
}

// ---- requests ----

static void on_share(void *arg)
{
  exchange_resume(arg);
}

// Returns the class that the request counts in. Expensive calls with an API key are the account's, so that more keys
// bring no more of them.
static enum limit_class choose_class(const struct exchange *exchange)
{
  enum limit_class kind = limit_class_of(exchange_method(exchange));
  bool is_usual = kind == LIMIT_READ || kind == LIMIT_WRITE;
  return is_usual && exchange->key_id.size > 0 ? LIMIT_KEY : kind;
}

struct slice exchange_rate_class(const struct exchange *exchange)
{
  return slice_from_string(limit_class_name(choose_class(exchange)));
}

// Counts the request in the limit of its class, for the user or key or, where that is empty, for the address.
static enum step_result take_unit(struct exchange *exchange, struct slice user)
{
  struct limits *limits = exchange->gateway->limits;
  const struct limit_request request = {
      .kind = choose_class(exchange), .user = user, .address = exchange->input.client_address};
  if (limits == NULL || request.kind == LIMIT_CREDENTIAL)
    return STEP_NEXT;
  exchange->limit_wait.wake = on_share;
  exchange->limit_wait.arg = exchange;
  switch (limits_take(limits, &request, &exchange->limit_wait, &exchange->limit)) {
  case LIMIT_OFF:
  case LIMIT_PASSED:
    break;
  case LIMIT_WAITS:
    return STEP_WAIT;
  case LIMIT_REFUSED:
    return refuse(exchange, SLICE("too many requests; wait as long as Retry-After says"));
  }
  return STEP_NEXT;
}

enum step_result step_limit(struct exchange *exchange)
{
  bool is_of_key = choose_class(exchange) == LIMIT_KEY;
  return take_unit(exchange, is_of_key ? exchange->key_id : exchange->caller_id);
}

enum step_result exchange_limit_token(struct exchange *exchange)
{
  return take_unit(exchange, (struct slice){0});
}

// ---- attempts ----

static void on_judged(void *arg)
{
  exchange_resume(arg);
}

static enum attempt_start begin_attempt(struct exchange *exchange)
{
  const struct contract_method *method = exchange_method(exchange);
  struct limit_attempt *attempt = &exchange->attempt;
  struct slice login = {0};
  // The auth service knows by the login whether the account knows the device.
  if (slice_equal_string(method->full_name, LOGIN_METHOD))
    login = exchange->message;
  const struct rpc_context context = {
      .request_id = exchange_request_id(exchange),
      .traceparent = slice_make(exchange->traceparent, TRACEPARENT_SIZE - 1),
      .client_address = exchange->input.client_address,
  };
  attempt->wake = on_judged;
  attempt->arg = exchange;
  return limits_begin_attempt(exchange->gateway->limits, exchange->input.client_address, login, &context, attempt);
}

enum step_result step_attempt(struct exchange *exchange)
{
  const struct limit_attempt *attempt = &exchange->attempt;
  if (exchange->gateway->limits == NULL || limit_class_of(exchange_method(exchange)) != LIMIT_CREDENTIAL)
    return STEP_NEXT;
  enum attempt_start start = attempt->state == ATTEMPT_NONE ? begin_attempt(exchange) : ATTEMPT_JUDGED;
  if (start == ATTEMPT_UNLIMITED)
    return STEP_NEXT;
  if (start == ATTEMPT_WAITS)
    return STEP_WAIT;
  exchange->limit = attempt->answer;
  if (attempt->state == ATTEMPT_REFUSED)
    return refuse(exchange, SLICE("too many attempts from this address have failed; wait as long as Retry-After says"));
  return STEP_NEXT;
}
