// The protocol of REST: JSON over the routes of google.api.http, failures as problem documents.
#include "common/base/check.h"
#include "gateway/grpc_internal.h"
#include "gateway/reply_internal.h"
#include "gateway/rest_internal.h"

// ---- route ----

// Answers a call of gRPC that has not come over HTTP/2: its client could not read an answer of gRPC either.
static enum step_result refuse_grpc(struct exchange *exchange)
{
  return exchange_fail(exchange,
                       &(struct failure){.code = STATUS_UNIMPLEMENTED,
                                         .http_status = 505,
                                         .reason = "HTTP_VERSION_NOT_SUPPORTED",
                                         .detail = SLICE("gRPC needs HTTP/2; over HTTP/1.1 there is gRPC-Web")});
}

static enum step_result find_route(struct exchange *exchange)
{
  const struct exchange_input *input = &exchange->input;
  if (grpc_read_type(input->content_type) == GRPC_TYPE_NATIVE)
    return refuse_grpc(exchange);
  const struct contract *contract = exchange->gateway->api->contract;
  uint32_t allowed = 0;
  const char *allow = NULL;
  struct contract_route route = {0};
  enum status status = contract_route(contract, input->method, input->path, &route, &allowed);
  if (status == STATUS_UNIMPLEMENTED)
    allow = contract_allow_header(contract, allowed, &exchange->arena);
  if (status == STATUS_UNIMPLEMENTED && slice_equal(input->method, SLICE("OPTIONS")))
    return exchange_describe(exchange, slice_from_string(allow));
  if (status == STATUS_UNIMPLEMENTED) {
    reply_add_header(exchange, SLICE("Allow"), slice_from_string(allow));
    return exchange_fail(
        exchange, &(struct failure){.code = STATUS_UNIMPLEMENTED, .http_status = 405, .reason = "METHOD_NOT_ALLOWED"});
  }
  if (status != STATUS_OK || route.binding->method->policy.access == ACCESS_INTERNAL)
    return exchange_fail(exchange, &(struct failure){.code = STATUS_NOT_FOUND, .reason = "NO_SUCH_PATH"});
  exchange->route = route;
  exchange->method = route.binding->method;
  return exchange->method->server_streams ? rest_choose_format(exchange) : STEP_NEXT;
}

// ---- body ----

static enum step_result refuse_media(struct exchange *exchange, struct slice detail)
{
  return exchange_fail(exchange, &(struct failure){.code = STATUS_INVALID_ARGUMENT,
                                                   .http_status = 415,
                                                   .reason = "UNSUPPORTED_MEDIA_TYPE",
                                                   .detail = detail});
}

// Hands on where the body comes without a content coding.
static enum step_result check_coding(struct exchange *exchange)
{
  const struct exchange_input *input = &exchange->input;
  struct slice coding = input->header(input->header_arg, "Content-Encoding");
  if (coding.size == 0 || slice_equal_ignore_case(coding, SLICE("identity")))
    return STEP_NEXT;
  // What would have been accepted (RFC 9110, section 15.5.16).
  reply_add_header(exchange, SLICE("Accept-Encoding"), SLICE("identity"));
  return refuse_media(exchange, SLICE("the body must come without a content coding"));
}

// Judges the head of a client's stream.
static enum step_result begin_read(struct exchange *exchange)
{
  const struct exchange_input *input = &exchange->input;
  if (input->has_body && !media_type_is_lines(input->content_type)) {
    reply_add_header(exchange, SLICE("Accept"), SLICE("application/x-ndjson"));
    return refuse_media(exchange, SLICE("the body must be application/x-ndjson in UTF-8: a message in each line"));
  }
  return input->has_body ? check_coding(exchange) : STEP_NEXT;
}

// Hands on where the route takes a body of this kind.
static enum step_result check_body(struct exchange *exchange)
{
  const struct exchange_input *input = &exchange->input;
  if (exchange->route.binding->body == CONTRACT_BODY_NONE)
    return exchange_fail(exchange, &(struct failure){.code = STATUS_INVALID_ARGUMENT,
                                                     .reason = "UNEXPECTED_BODY",
                                                     .detail = SLICE("this request takes no body")});
  bool patches = strcmp(exchange->route.binding->http_method, "PATCH") == 0;
  if (!media_type_is_json(input->content_type) && !(patches && media_type_is_merge_patch(input->content_type))) {
    // What would have been accepted (RFC 9110, section 15.5.16; RFC 5789, section 2.2).
    reply_add_header(exchange, patches ? SLICE("Accept-Patch") : SLICE("Accept"),
                     patches ? SLICE(PATCH_TYPES) : SLICE("application/json"));
    return refuse_media(exchange, patches ? SLICE("the body must be application/json or application/merge-patch+json, "
                                                  "in UTF-8")
                                          : SLICE("the body must be application/json in UTF-8"));
  }
  return check_coding(exchange);
}

// Tells whether the body is judged when it has arrived, because it may turn out empty, which is no body. One with a
// type is judged before, where the route takes bodies.
static bool is_judged_later(const struct exchange *exchange)
{
  bool means_one = exchange->input.content_type.size > 0 && exchange->route.binding->body != CONTRACT_BODY_NONE;
  return exchange->input.body_may_be_empty && !means_one;
}

static enum step_result begin_body(struct exchange *exchange)
{
  if (!exchange->input.has_body)
    return STEP_NEXT;
  if (is_judged_later(exchange))
    return STEP_WANT_BODY;
  enum step_result result = check_body(exchange);
  if (result != STEP_NEXT)
    return result;
  if (exchange->input.body_bytes > exchange_method(exchange)->max_body_bytes)
    return exchange_refuse_large_body(exchange);
  return STEP_WANT_BODY;
}

static enum step_result judge_body(struct exchange *exchange)
{
  bool is_unjudged = exchange->input.has_body && exchange->body.size > 0 && is_judged_later(exchange);
  return is_unjudged ? check_body(exchange) : STEP_NEXT;
}

// ---- translate ----

static enum step_result translate(struct exchange *exchange)
{
  struct transcode_request request = {
      .route = &exchange->route,
      .query = exchange->input.query,
      .body = exchange->body,
      .merge_patch = media_type_is_merge_patch(exchange->input.content_type),
      .header = exchange->input.header,
      .header_arg = exchange->input.header_arg,
  };
  struct violations violations;
  violations_init(&violations, &exchange->arena);
  if (transcode_request_to_wire(&request, &exchange->arena, &exchange->wire, &violations) != STATUS_OK)
    return exchange_refuse_violations(exchange, &violations);
  exchange->message = strbuf_slice(&exchange->wire);
  return STEP_NEXT;
}

// ---- failures ----

static enum step_result fail(struct exchange *exchange, const struct problem *problem, uint32_t retry_after_ms)
{
  (void)retry_after_ms;
  if (exchange_is_streaming(exchange)) {
    rest_fail_stream(exchange, problem);
    return STEP_REPLIED;
  }
  strbuf_clear(&exchange->out);
  problem_write(problem, &exchange->out);
  exchange_finish_reply(exchange, problem->http_status, PROBLEM_CONTENT_TYPE, NO_STORE);
  return STEP_REPLIED;
}

// ---- success ----

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

static enum step_result succeed(struct exchange *exchange, struct slice payload)
{
  const struct contract_method *method = exchange_method(exchange);
  struct transcode_body body;
  struct slice etag;
  if (transcode_find_body(exchange->route.binding, payload, &body) != STATUS_OK ||
      !reply_add_response_headers(exchange, body.message, body.wire, &etag) ||
      add_location(exchange, method, payload) != STATUS_OK)
    return exchange_fail_unfit(exchange);
  enum step_result result = reply_judge_conditions(exchange, etag);
  if (result != STEP_NEXT)
    return result;
  if (method->success_status == 204) {
    exchange_finish_reply(exchange, 204, NULL, reply_cache_control(exchange));
    return STEP_REPLIED;
  }
  return reply_write_json(exchange, &body);
}

const struct protocol protocol_rest = {
    .number = PROTOCOL_REST,
    .find_method = find_route,
    .begin_body = begin_body,
    .judge_body = judge_body,
    .translate = translate,
    .succeed = succeed,
    .begin_read = begin_read,
    .read = rest_read_line,
    .begin_stream = rest_begin_stream,
    .put = rest_put,
    .end_stream = rest_end_stream,
    .beat = rest_beat,
    .fail = fail,
};
