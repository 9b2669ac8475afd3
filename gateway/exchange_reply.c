// Makes replies: the service's answer as JSON, or a problem document.
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/compiler.h"
#include "common/base/wire.h"
#include "common/observe/log.h"
#include "gateway/exchange_internal.h"
#include "gateway/pacing.h"

#define NO_STORE "no-store"
// Room for the headers of nearly every reply. A contract may send any number of fields in headers.
#define FIRST_HEADERS 16
// A response of more bytes is written in pieces, of about this many bytes of JSON each. A piece takes a tenth of a
// millisecond.
#define AT_ONCE_BYTES ((size_t)64 * 1024)
#define PIECE_BYTES ((size_t)64 * 1024)

void reply_add_header(struct exchange *exchange, struct slice name, struct slice value)
{
  struct exchange_reply *reply = &exchange->reply;
  if (reply->header_count == reply->header_capacity) {
    reply->header_capacity = reply->header_capacity == 0 ? FIRST_HEADERS : 2 * reply->header_capacity;
    struct exchange_header *room = arena_array(&exchange->arena, reply->header_capacity, sizeof(*room));
    if (reply->header_count > 0)
      memcpy(room, reply->headers, reply->header_count * sizeof(*room));
    reply->headers = room;
  }
  reply->headers[reply->header_count++] = (struct exchange_header){name, value};
}

// Completes the reply with the headers that every reply has. `cache_control` must live as long as the exchange.
static void finish_reply(struct exchange *exchange, int http_status, const char *content_type,
                         const char *cache_control)
{
  struct exchange_reply *reply = &exchange->reply;
  reply->http_status = http_status;
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
  finish_reply(exchange, 204, NULL, NO_STORE);
  return STEP_REPLIED;
}

// ---- problems ----

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
  strbuf_clear(&exchange->out);
  problem_write(&problem, &exchange->out);
  finish_reply(exchange, http_status, PROBLEM_CONTENT_TYPE, NO_STORE);
  return STEP_REPLIED;
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

// Takes back the headers of a success that becomes a failure.
static void drop_headers(struct exchange *exchange)
{
  exchange->reply.header_count = 0;
  exchange->reply.has_etag = false;
}

// Answers a call whose response is not what the contract says.
static enum step_result fail_unfit(struct exchange *exchange)
{
  log_failure(exchange,
              "a reply does not fit its contract, the client gets 500; are gateway and service of the same version?",
              (struct slice){0});
  drop_headers(exchange);
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

// Answers a call that ended with an error of the service, or that never reached it.
static enum step_result reply_failure(struct exchange *exchange, const struct rpc_status *status)
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

// ---- success ----

struct emitted {
  struct exchange *exchange;
  struct slice etag;
};

// Adds a response field as a header. Name and value are copied, because they may live shorter than the reply. The value
// cannot end the header early, because the transcoder refuses control characters.
static void add_response_header(void *arg, const char *name, struct slice value)
{
  struct emitted *emitted = arg;
  struct exchange *exchange = emitted->exchange;
  struct slice kept = arena_copy(&exchange->arena, value);
  if (slice_equal_ignore_case(slice_from_string(name), SLICE("ETag"))) {
    emitted->etag = kept;
    exchange->reply.has_etag = true;
  }
  reply_add_header(exchange, slice_from_string(arena_string(&exchange->arena, slice_from_string(name))), kept);
}

static enum status add_location(struct exchange *exchange, const struct contract_method *method, struct slice wire)
{
  if (method->location == NULL)
    return STATUS_OK;
  strbuf_clear(&exchange->out);
  enum status status = transcode_location(method, wire, &exchange->out);
  if (status == STATUS_OK && exchange->out.size > 0)
    reply_add_header(exchange, SLICE("Location"), arena_copy(&exchange->arena, strbuf_slice(&exchange->out)));
  return status;
}

// Returns the Cache-Control of a success. A shared cache may keep only what everybody may see. A client may keep what
// has an ETag, and asks each time whether it is still the same.
static const char *choose_cache_control(struct exchange *exchange, const struct contract_method *method)
{
  if (!method->no_side_effects)
    return NO_STORE;
  if (policy_needs_token(&method->policy))
    return exchange->reply.has_etag ? "private, no-cache" : NO_STORE;
  if (method->cache_ttl_ms < 1000)
    return "no-cache";
  return arena_printf(&exchange->arena, "public, max-age=%u", method->cache_ttl_ms / 1000);
}

// Finds the message that is the reply's body: the response, or the field of it that response_body names.
static bool find_reply_message(const struct contract_binding *binding, struct slice wire,
                               const struct contract_message **message, struct slice *bytes)
{
  *message = binding->method->output;
  *bytes = wire;
  if (binding->response_body_field == NULL)
    return true;
  *message = binding->response_body_field->message;
  *bytes = (struct slice){0};
  struct wire_reader reader = wire_reader_make(wire);
  struct wire_field field;
  enum wire_result result;
  while ((result = wire_read(&reader, &field)) == WIRE_FIELD)
    if (field.number == binding->response_body_field->number && field.type == WIRE_BYTES)
      *bytes = field.bytes;
  return result == WIRE_END;
}

// Answers a read whose If-Match names another state than the one that was read.
static enum step_result fail_precondition(struct exchange *exchange)
{
  drop_headers(exchange);
  return exchange_fail(exchange, &(struct failure){.code = STATUS_ABORTED,
                                                   .http_status = 412,
                                                   .reason = "ETAG_MISMATCH",
                                                   .detail = SLICE("its ETag is none of those in If-Match")});
}

static enum step_result finish_success(struct exchange *exchange)
{
  const struct contract_method *method = exchange_method(exchange);
  finish_reply(exchange, method->success_status, "application/json", choose_cache_control(exchange, method));
  return STEP_REPLIED;
}

// Begins a large reply, of which a copy is kept: the bytes of the call are gone once this step ends. A very large one
// waits behind others and pauses for them, so what is left of it is no part of the time that such a call takes, and
// holds nobody up: gateway.answers bounds how much of it there is.
static enum step_result begin_pieces(struct exchange *exchange, const struct contract_message *message,
                                     struct slice bytes)
{
  strbuf_clear(&exchange->wire);
  strbuf_add(&exchange->wire, bytes);
  if (pacing_is_very_large(bytes.size))
    exchange_note_sent(exchange);
  exchange->pieces = transcode_pieces_begin(message, strbuf_slice(&exchange->wire), &exchange->arena, &exchange->out);
  return STEP_WRITE;
}

// Answers a read that has come back, but cannot be written in the time that the client has set.
static enum step_result refuse_late_write(struct exchange *exchange)
{
  strbuf_free(&exchange->wire);
  drop_headers(exchange);
  return exchange_fail(exchange, &(struct failure){.code = STATUS_DEADLINE_EXCEEDED,
                                                   .detail = SLICE("the time that the request gives itself was over "
                                                                   "before its large answer was written")});
}

// What changes something is answered in any case: its client would not know the outcome.
static bool is_too_late(const struct exchange *exchange)
{
  return exchange->deadline_us != DEADLINE_NONE && exchange_method(exchange)->no_side_effects &&
         exchange->gateway->clock.now_us() >= exchange->deadline_us;
}

enum step_result exchange_write_piece(struct exchange *exchange)
{
  if (is_too_late(exchange))
    return refuse_late_write(exchange);
  bool is_done = false;
  enum status status = transcode_pieces_write(exchange->pieces, PIECE_BYTES, &is_done);
  if (status == STATUS_OK && !is_done)
    return STEP_WRITE;
  // A client may read the reply slowly, and the response need not stay as long.
  strbuf_free(&exchange->wire);
  return status == STATUS_OK ? finish_success(exchange) : fail_unfit(exchange);
}

static enum step_result reply_success(struct exchange *exchange, struct slice payload)
{
  const struct contract_method *method = exchange_method(exchange);
  const struct contract_message *message;
  struct slice bytes;
  struct emitted emitted = {.exchange = exchange};
  if (!find_reply_message(exchange->route.binding, payload, &message, &bytes) ||
      transcode_response_headers(message, bytes, &exchange->arena, add_response_header, &emitted) != STATUS_OK ||
      add_location(exchange, method, payload) != STATUS_OK)
    return fail_unfit(exchange);
  bool reads = slice_equal(exchange->input.method, SLICE("GET")) || slice_equal(exchange->input.method, SLICE("HEAD"));
  if (reads && emitted.etag.size > 0 && exchange->input.if_match.data != NULL &&
      !if_match_holds(exchange->input.if_match, emitted.etag))
    return fail_precondition(exchange);
  if (reads && emitted.etag.size > 0 && if_none_match_holds(exchange->input.if_none_match, emitted.etag)) {
    finish_reply(exchange, 304, NULL, choose_cache_control(exchange, method));
    return STEP_REPLIED;
  }
  if (method->success_status == 204) {
    finish_reply(exchange, 204, NULL, choose_cache_control(exchange, method));
    return STEP_REPLIED;
  }
  strbuf_clear(&exchange->out);
  if (bytes.size > AT_ONCE_BYTES)
    return begin_pieces(exchange, message, bytes);
  return transcode_wire_to_json(message, bytes, &exchange->out) == STATUS_OK ? finish_success(exchange)
                                                                             : fail_unfit(exchange);
}

static enum step_result reply_outcome(struct exchange *exchange, const struct rpc_status *status)
{
  limits_end_attempt(&exchange->attempt, status);
  struct answer_budget *answers = &exchange->gateway->answers;
  if (status->code != STATUS_OK) {
    answer_budget_release(answers, &exchange->answer);
    return reply_failure(exchange, status);
  }
  bool has_room = answer_budget_take(answers, &exchange->answer, exchange->outcome_payload.size,
                                     !exchange_method(exchange)->no_side_effects);
  // What was called before the size of such answers was known, and is more than there is room for, is given up in the
  // next turns of the gateway: the service need not make what would be turned away.
  answer_budget_judge_again(answers, &exchange->answer, &exchange->gateway->excess);
  if (!has_room)
    return exchange_refuse_answer(exchange);
  return reply_success(exchange, exchange->outcome_payload);
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
