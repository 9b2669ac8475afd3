// What the replies of REST and Connect share that hold a response: the headers made of its fields, what caches may do
// with it, conditions of reads, and JSON.
#include "gateway/reply_internal.h"

#include "gateway/pacing.h"

// A response of more bytes is written in pieces, of about this many bytes of JSON each. A piece takes a tenth of a
// millisecond.
#define AT_ONCE_BYTES ((size_t)64 * 1024)
#define PIECE_BYTES ((size_t)64 * 1024)

static bool is_read(const struct exchange *exchange)
{
  struct slice method = exchange->input.method;
  return slice_equal(method, SLICE("GET")) || slice_equal(method, SLICE("HEAD"));
}

// ---- headers ----

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

bool reply_add_response_headers(struct exchange *exchange, const struct contract_message *message, struct slice wire,
                                struct slice *etag)
{
  struct emitted emitted = {.exchange = exchange};
  enum status status = transcode_response_headers(message, wire, &exchange->arena, add_response_header, &emitted);
  *etag = emitted.etag;
  return status == STATUS_OK;
}

const char *reply_cache_control(struct exchange *exchange)
{
  const struct contract_method *method = exchange_method(exchange);
  if (!method->no_side_effects || !is_read(exchange))
    return NO_STORE;
  if (policy_needs_token(&method->policy))
    return exchange->reply.has_etag ? "private, no-cache" : NO_STORE;
  if (method->cache_ttl_ms < 1000)
    return "no-cache";
  return arena_printf(&exchange->arena, "public, max-age=%u", method->cache_ttl_ms / 1000);
}

// Answers a read whose If-Match names another state than the one that was read.
static enum step_result fail_precondition(struct exchange *exchange)
{
  exchange_drop_headers(exchange);
  return exchange_fail(exchange, &(struct failure){.code = STATUS_ABORTED,
                                                   .http_status = 412,
                                                   .reason = "ETAG_MISMATCH",
                                                   .detail = SLICE("its ETag is none of those in If-Match")});
}

enum step_result reply_judge_conditions(struct exchange *exchange, struct slice etag)
{
  const struct exchange_input *input = &exchange->input;
  if (!is_read(exchange) || etag.size == 0)
    return STEP_NEXT;
  if (input->if_match.data != NULL && !if_match_holds(input->if_match, etag))
    return fail_precondition(exchange);
  if (!if_none_match_holds(input->if_none_match, etag))
    return STEP_NEXT;
  exchange_finish_reply(exchange, 304, NULL, reply_cache_control(exchange));
  return STEP_REPLIED;
}

// ---- JSON ----

static enum step_result finish_success(struct exchange *exchange)
{
  int own_status = exchange->protocol->success_status;
  int http_status = own_status == 0 ? exchange_method(exchange)->success_status : own_status;
  exchange_finish_reply(exchange, http_status, "application/json", reply_cache_control(exchange));
  return STEP_REPLIED;
}

// Begins a large reply, of which a copy is kept: the bytes of the call are gone once this step ends. A very large one
// waits behind others and pauses for them, so what is left of it is no part of the time that such a call takes, and
// holds nobody up: gateway.answers bounds how much of it there is.
static enum step_result begin_pieces(struct exchange *exchange, const struct transcode_body *body)
{
  struct transcode_body kept = *body;
  strbuf_clear(&exchange->wire);
  strbuf_add(&exchange->wire, body->wire);
  kept.wire = strbuf_slice(&exchange->wire);
  if (pacing_is_very_large(kept.wire.size))
    exchange_note_sent(exchange);
  exchange->pieces = transcode_pieces_begin(&kept, &exchange->arena, &exchange->out);
  return STEP_WRITE;
}

// Answers a read that has come back, but cannot be written in the time that the client has set.
static enum step_result refuse_late_write(struct exchange *exchange)
{
  strbuf_free(&exchange->wire);
  exchange_drop_headers(exchange);
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
  return status == STATUS_OK ? finish_success(exchange) : exchange_fail_unfit(exchange);
}

enum step_result reply_write_json(struct exchange *exchange, const struct transcode_body *body)
{
  strbuf_clear(&exchange->out);
  if (body->wire.size > AT_ONCE_BYTES)
    return begin_pieces(exchange, body);
  return transcode_body_to_json(body, &exchange->out) == STATUS_OK ? finish_success(exchange)
                                                                   : exchange_fail_unfit(exchange);
}
