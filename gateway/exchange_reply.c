// Makes replies: of the service's answer, or of what has failed; a protocol writes them.
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/compiler.h"
#include "common/base/wire.h"
#include "common/observe/log.h"
#include "gateway/protocol_internal.h"

// Room for the headers of nearly every reply. A contract may send any number of fields in headers.
#define FIRST_HEADERS 16

static void add_to(struct exchange_headers *list, struct arena *arena, struct exchange_header header)
{
  if (list->count == list->capacity) {
    list->capacity = list->capacity == 0 ? FIRST_HEADERS : 2 * list->capacity;
    struct exchange_header *room = arena_array(arena, list->capacity, sizeof(*room));
    if (list->count > 0)
      memcpy(room, list->items, list->count * sizeof(*room));
    list->items = room;
  }
  list->items[list->count++] = header;
}

void reply_add_header(struct exchange *exchange, struct slice name, struct slice value)
{
  add_to(&exchange->reply.headers, &exchange->arena, (struct exchange_header){name, value});
}

void reply_add_trailer(struct exchange *exchange, struct slice name, struct slice value)
{
  add_to(&exchange->reply.trailers, &exchange->arena, (struct exchange_header){name, value});
}

void exchange_finish_reply(struct exchange *exchange, int http_status, const char *content_type,
                           const char *cache_control)
{
  struct exchange_reply *reply = &exchange->reply;
  reply->http_status = http_status;
  reply->outcome = http_status;
  reply->content_type = slice_from_string(content_type);
  reply->body = content_type == NULL ? (struct slice){0} : strbuf_slice(&exchange->out);
  reply_add_header(exchange, SLICE("X-Request-Id"), exchange_request_id(exchange));
  reply_add_header(exchange, SLICE("X-Content-Type-Options"), SLICE("nosniff"));
  reply_add_header(exchange, SLICE("Content-Security-Policy"), SLICE("default-src 'none'; frame-ancestors 'none'"));
  reply_add_header(exchange, SLICE("Referrer-Policy"), SLICE("no-referrer"));
  reply_add_header(exchange, SLICE("Cache-Control"), slice_from_string(cache_control));
  exchange_add_limit_headers(exchange);
}

enum step_result exchange_describe(struct exchange *exchange, struct slice allow)
{
  reply_add_header(exchange, SLICE("Allow"), allow);
  if (memmem(allow.data, allow.size, "PATCH", 5) != NULL)
    reply_add_header(exchange, SLICE("Accept-Patch"), SLICE(PATCH_TYPES));
  exchange_finish_reply(exchange, 204, NULL, NO_STORE);
  return STEP_REPLIED;
}

// ---- failures ----

// Returns the reason of the problem, which always has one. 503 and 504 have one of two, which say whether the request
// may be repeated: a failure without either leaves it open, unless the method only reads.
static const char *choose_reason(const struct exchange *exchange, const struct failure *failure, int http_status)
{
  if (http_status != 503 && http_status != 504)
    return failure->reason == NULL ? problem_reason(http_status) : failure->reason;
  const struct contract_method *method = exchange_method(exchange);
  bool not_applied = failure->reason != NULL && strcmp(failure->reason, RPC_NOT_APPLIED) == 0;
  return not_applied || (method != NULL && method->no_side_effects) ? RPC_NOT_APPLIED : RPC_OUTCOME_UNKNOWN;
}

enum step_result exchange_fail(struct exchange *exchange, const struct failure *failure)
{
  int http_status = failure->http_status != 0 ? failure->http_status : status_http(failure->code);
  if (http_status == 503 || http_status == 429) {
    uint32_t seconds = failure->retry_after_ms == 0 ? 1 : (failure->retry_after_ms - 1) / 1000 + 1;
    reply_add_header(exchange, SLICE("Retry-After"), slice_from_string(arena_printf(&exchange->arena, "%u", seconds)));
  }
  struct problem problem = {
      .http_status = http_status,
      .code = failure->code,
      .reason = slice_from_string(choose_reason(exchange, failure, http_status)),
      .detail = failure->detail,
      .path = exchange->input.path,
      .request_id = exchange_request_id(exchange),
      .violations = failure->violations,
      .violation_count = failure->violation_count,
  };
  exchange->reply.reason = problem.reason;
  exchange->reply.outcome = http_status;
  return exchange->protocol->fail(exchange, &problem, failure->retry_after_ms);
}

static void log_failure(const struct exchange *exchange, const char *message, struct slice detail)
{
  struct log_context context = {
      .request_id = exchange_request_id(exchange),
      .trace_id = trace_id_of(slice_make(exchange->traceparent, TRACEPARENT_SIZE - 1)),
  };
  log_set_context(&context);
  log_error("exchange", message, LOG_SLICE("method", exchange_method(exchange)->full_name),
            LOG_SLICE("detail", detail));
  log_set_context(NULL);
}

void exchange_drop_headers(struct exchange *exchange)
{
  exchange->reply.headers.count = 0;
  exchange->reply.has_etag = false;
}

enum step_result exchange_fail_unfit(struct exchange *exchange)
{
  log_failure(exchange,
              "a reply does not fit its contract, the client gets 500; are gateway and service of the same version?",
              (struct slice){0});
  exchange_drop_headers(exchange);
  return exchange_fail(exchange, &(struct failure){.code = STATUS_INTERNAL});
}

static bool is_our_fault(enum status code)
{
  return code == STATUS_INTERNAL || code == STATUS_UNKNOWN || code == STATUS_DATA_LOSS;
}

// Reasons for which HTTP has a status of its own, instead of the one that stands for the canonical code.
static const struct {
  struct slice reason;
  int http_status;
} reason_statuses[] = {
    // An If-Match that does not hold (RFC 9110).
    {SLICE_INIT("ETAG_MISMATCH"), 412},
    // An If-None-Match that does not hold (RFC 9110).
    {SLICE_INIT("ETAG_EXCLUDED"), 412},
    // An Idempotency-Key that was used with another request (draft-ietf-httpapi-idempotency-key-header).
    {SLICE_INIT("IDEMPOTENCY_KEY_REUSED"), 422},
};

// Returns the HTTP status of a failure; 0 for the one that stands for its code.
static int find_http_status(const struct rpc_status *status)
{
  for (size_t i = 0; i < ARRAY_LEN(reason_statuses); i++)
    if (slice_equal(status->reason, reason_statuses[i].reason))
      return reason_statuses[i].http_status;
  // The service cancelled the call. A client that cancels gets no reply.
  return status->code == STATUS_CANCELLED ? 503 : 0;
}

enum step_result exchange_reply_failure(struct exchange *exchange, const struct rpc_status *status)
{
  if (is_our_fault(status->code)) {
    // The details of an internal failure go to the log and not to the caller.
    log_failure(exchange, "the service failed, the client gets 500; its own log has the same request id",
                status->message);
    return exchange_fail(exchange, &(struct failure){.code = status->code});
  }
  struct failure failure = {
      .code = status->code,
      .http_status = find_http_status(status),
      .reason = status->reason.size == 0 ? NULL : arena_string(&exchange->arena, status->reason),
      .detail = status->message,
      .violations = status->violations,
      .violation_count = status->violation_count,
      .retry_after_ms = status->retry_after_ms,
  };
  if (status->code == STATUS_UNAUTHENTICATED)
    reply_add_header(exchange, SLICE("WWW-Authenticate"), SLICE("Bearer realm=\"bulkhead\""));
  return exchange_fail(exchange, &failure);
}

static enum step_result reply_outcome(struct exchange *exchange, const struct rpc_status *status)
{
  limits_end_attempt(&exchange->attempt, status);
  struct answer_budget *answers = &exchange->gateway->answers;
  if (status->code != STATUS_OK) {
    answer_budget_release(answers, &exchange->answer);
    return exchange_reply_failure(exchange, status);
  }
  if (exchange_method(exchange)->server_streams) {
    exchange_begin_reply(exchange);
    exchange_note_outcome(exchange, status);
    return STEP_STREAM;
  }
  bool has_room = answer_budget_take(answers, &exchange->answer, exchange->outcome_payload.size,
                                     !exchange_method(exchange)->no_side_effects);
  // What was called before the size of such answers was known, and is more than there is room for, is given up in the
  // next turns of the gateway: the service need not make what would be turned away.
  answer_budget_judge_again(answers, &exchange->answer, &exchange->gateway->excess);
  if (!has_room)
    return exchange_refuse_answer(exchange);
  return exchange->protocol->succeed(exchange, exchange->outcome_payload);
}

// Tells whether the call was carried out to its end, so that the time it took is what such calls take.
static bool is_carried_out(enum status code)
{
  switch (code) {
  case STATUS_OK:
  case STATUS_INVALID_ARGUMENT:
  case STATUS_NOT_FOUND:
  case STATUS_ALREADY_EXISTS:
  case STATUS_PERMISSION_DENIED:
  case STATUS_FAILED_PRECONDITION:
  case STATUS_ABORTED:
    return true;
  default:
    return false;
  }
}

enum step_result step_reply(struct exchange *exchange)
{
  const struct rpc_status *status = exchange->outcome;
  exchange->outcome = NULL;
  exchange->is_carried_out = is_carried_out(status->code);
  if (exchange->is_carried_out)
    admission_note_bytes(exchange->gateway->admission, &exchange->place,
                         exchange->body.size + exchange->outcome_payload.size);
  return reply_outcome(exchange, status);
}
