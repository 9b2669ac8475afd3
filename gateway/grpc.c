// The protocol of gRPC over HTTP/2 (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md). A message follows
// five bytes: whether it is compressed, and its size. How a call has ended stands in the trailers, or in the headers of
// a reply without a message, whose HTTP status is 200 in any case.
#include <stdio.h>

#include "common/base/compiler.h"
#include "gateway/grpc_status.h"
#include "gateway/gzip.h"
#include "gateway/protocol_internal.h"

#define CONTENT_TYPE "application/grpc"
#define PREFIX_BYTES 5
#define STATUS_NAME SLICE("grpc-status")
#define MAX_EXPANDED_BYTES (512u * 1024)
// The first byte of a prefix.
#define IS_PLAIN 0
#define IS_COMPRESSED 1

// ---- which requests ----

// Whether the content type is that of gRPC. `subtype` is what follows "application/grpc" in it: "+proto", or nothing.
static bool read_content_type(struct slice content_type, struct slice *subtype)
{
  const struct slice name = SLICE(CONTENT_TYPE);
  if (content_type.size < name.size || !slice_equal_ignore_case(slice_make(content_type.data, name.size), name))
    return false;
  struct slice rest = slice_skip(content_type, name.size);
  // "application/grpc-web" is another type.
  if (rest.size > 0 && rest.data[0] != '+' && rest.data[0] != ';')
    return false;
  *subtype = slice_make(rest.data, slice_find(rest, ';', 0));
  return true;
}

bool grpc_is_meant(const struct exchange_input *input)
{
  struct slice subtype;
  return read_content_type(input->content_type, &subtype);
}

const struct protocol *protocol_find(const struct exchange_input *input)
{
  return input->is_http2 && grpc_is_meant(input) ? &protocol_grpc : &protocol_rest;
}

// ---- the method ----

static enum step_result refuse_method(struct exchange *exchange, const char *detail)
{
  return exchange_fail(exchange, &(struct failure){.code = STATUS_UNIMPLEMENTED,
                                                   .http_status = 404,
                                                   .reason = "NO_SUCH_METHOD",
                                                   .detail = slice_from_string(detail)});
}

static enum step_result find_method(struct exchange *exchange)
{
  const struct exchange_input *input = &exchange->input;
  struct slice subtype = {0};
  (void)read_content_type(input->content_type, &subtype);
  if (subtype.size > 0 && !slice_equal_ignore_case(subtype, SLICE("+proto")))
    return exchange_fail(exchange, &(struct failure){.code = STATUS_UNIMPLEMENTED,
                                                     .http_status = 415,
                                                     .reason = "UNSUPPORTED_MEDIA_TYPE",
                                                     .detail = SLICE("messages must be protobuf: send the content type "
                                                                     "application/grpc or application/grpc+proto")});
  if (!slice_equal(input->method, SLICE("POST")))
    return exchange_fail(exchange, &(struct failure){.code = STATUS_UNIMPLEMENTED,
                                                     .http_status = 405,
                                                     .reason = "METHOD_NOT_ALLOWED",
                                                     .detail = SLICE("calls of gRPC are made by POST")});
  const struct contract_method *method =
      input->path.size == 0 ? NULL
                            : contract_method_by_name(exchange->gateway->api->contract, slice_skip(input->path, 1));
  if (method == NULL || method->policy.access == ACCESS_INTERNAL)
    return refuse_method(exchange, "there is no such method; the path must be /package.Service/Method");
  if (method->client_streams || method->server_streams)
    return refuse_method(exchange, "methods with streams of messages cannot be called from outside");
  exchange->method = method;
  return STEP_NEXT;
}

// ---- the request ----

static enum step_result refuse_request(struct exchange *exchange, enum status code, const char *detail)
{
  return exchange_fail(exchange, &(struct failure){.code = code,
                                                   .http_status = 400,
                                                   .reason = "INVALID_REQUEST",
                                                   .detail = slice_from_string(detail)});
}

static enum step_result begin_body(struct exchange *exchange)
{
  if (!exchange->input.has_body)
    return refuse_request(exchange, STATUS_INVALID_ARGUMENT, "the call has no message");
  if (exchange->input.body_bytes > exchange_method(exchange)->max_body_bytes + PREFIX_BYTES)
    return exchange_refuse_large_body(exchange);
  return STEP_WANT_BODY;
}

static uint32_t read_size(const char *prefix)
{
  const unsigned char *bytes = (const unsigned char *)prefix + 1;
  return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

// Answers what a message is compressed by that is not taken. None at all is a mistake of the client's program.
static enum step_result refuse_coding(struct exchange *exchange, struct slice coding)
{
  reply_add_header(exchange, SLICE("grpc-accept-encoding"), SLICE("identity, gzip"));
  bool is_unsaid = coding.size == 0 || slice_equal(coding, SLICE("identity"));
  return refuse_request(exchange, is_unsaid ? STATUS_INTERNAL : STATUS_UNIMPLEMENTED,
                        "compressed messages must come with grpc-encoding: gzip");
}

// Expands the compressed message of the body into exchange.out. Little is taken, because the room for bodies is counted
// by what has come, and the worker does nothing else meanwhile.
static enum step_result expand_body(struct exchange *exchange)
{
  const struct exchange_input *input = &exchange->input;
  struct slice coding = input->header(input->header_arg, "grpc-encoding");
  if (!slice_equal(coding, SLICE("gzip")))
    return refuse_coding(exchange, coding);
  uint32_t max_bytes = exchange_method(exchange)->max_body_bytes;
  if (max_bytes > MAX_EXPANDED_BYTES)
    max_bytes = MAX_EXPANDED_BYTES;
  struct strbuf *out = &exchange->out;
  strbuf_clear(out);
  out->max_size = max_bytes;
  bool is_whole = gzip_expand(slice_skip(exchange->body, PREFIX_BYTES), out);
  bool is_too_large = out->failed;
  out->max_size = 0;
  exchange->message = strbuf_slice(out);
  if (is_too_large)
    return exchange_fail(
        exchange,
        &(struct failure){.code = STATUS_RESOURCE_EXHAUSTED,
                          .http_status = 413,
                          .reason = "BODY_TOO_LARGE",
                          .detail = slice_from_string(arena_printf(
                              &exchange->arena, "a compressed message may expand to %u bytes at most", max_bytes))});
  return is_whole ? STEP_NEXT : refuse_request(exchange, STATUS_INVALID_ARGUMENT, "the message is not whole gzip");
}

// Finds the one message of the body.
static enum step_result judge_body(struct exchange *exchange)
{
  struct slice body = exchange->body;
  if (body.size < PREFIX_BYTES)
    return refuse_request(exchange, STATUS_INVALID_ARGUMENT, "the call has no whole message");
  uint32_t size = read_size(body.data);
  if (size > body.size - PREFIX_BYTES)
    return refuse_request(exchange, STATUS_INVALID_ARGUMENT, "the message is shorter than its prefix says");
  if (size < body.size - PREFIX_BYTES)
    return refuse_request(exchange, STATUS_UNIMPLEMENTED, "the method takes one message, and more have come");
  switch (body.data[0]) {
  case IS_PLAIN:
    exchange->message = slice_skip(body, PREFIX_BYTES);
    return STEP_NEXT;
  case IS_COMPRESSED:
    return expand_body(exchange);
  default:
    return refuse_request(exchange, STATUS_INVALID_ARGUMENT, "the prefix of the message begins with neither 0 nor 1");
  }
}

static enum step_result translate(struct exchange *exchange)
{
  struct violations violations;
  violations_init(&violations, &exchange->arena);
  const struct transcode_wire_request request = {.method = exchange_method(exchange),
                                                 .wire = exchange->message,
                                                 .header = exchange->input.header,
                                                 .header_arg = exchange->input.header_arg};
  enum status status = transcode_request_from_wire(&request, &exchange->wire, &exchange->message, &violations);
  return status == STATUS_OK ? STEP_NEXT : exchange_refuse_violations(exchange, &violations);
}

// ---- the reply ----

// Completes the head of the reply.
static void finish(struct exchange *exchange)
{
  struct exchange_reply *reply = &exchange->reply;
  reply->http_status = 200;
  reply->content_type = SLICE(CONTENT_TYPE);
  reply_add_header(exchange, SLICE("X-Request-Id"), exchange_request_id(exchange));
  reply_add_header(exchange, SLICE("Cache-Control"), SLICE(NO_STORE));
  exchange_add_limit_headers(exchange);
}

static enum step_result succeed(struct exchange *exchange, struct slice response)
{
  struct slice passed;
  if (transcode_response_to_wire(exchange_method(exchange)->output, response, &exchange->wire, &passed) != STATUS_OK)
    return exchange_fail_unfit(exchange);
  const char prefix[PREFIX_BYTES] = {IS_PLAIN, (char)(passed.size >> 24), (char)(passed.size >> 16),
                                     (char)(passed.size >> 8), (char)passed.size};
  strbuf_clear(&exchange->out);
  strbuf_add(&exchange->out, slice_make(prefix, sizeof(prefix)));
  strbuf_add(&exchange->out, passed);
  exchange->reply.body = strbuf_slice(&exchange->out);
  exchange->reply.outcome = 200;
  reply_add_trailer(exchange, STATUS_NAME, SLICE("0"));
  finish(exchange);
  return STEP_REPLIED;
}

// Returns the code of a failure. What HTTP has a status of its own for may have another one than gRPC has.
static enum status choose_code(const struct problem *problem)
{
  return problem->http_status == 413 ? STATUS_RESOURCE_EXHAUSTED : problem->code;
}

static struct slice keep(struct exchange *exchange, struct strbuf *text)
{
  struct slice kept = arena_copy(&exchange->arena, strbuf_slice(text));
  strbuf_clear(text);
  return kept;
}

static enum step_result fail(struct exchange *exchange, const struct problem *problem, uint32_t retry_after_ms)
{
  enum status code = choose_code(problem);
  struct strbuf text, details;
  strbuf_init(&text, 0);
  strbuf_init(&details, 0);
  strbuf_add_uint(&text, (uint64_t)code);
  reply_add_header(exchange, STATUS_NAME, keep(exchange, &text));
  struct slice message =
      problem->detail.size > 0 ? problem->detail : slice_from_string(problem_title(problem->http_status));
  grpc_message_write(message, &text);
  reply_add_header(exchange, SLICE("grpc-message"), keep(exchange, &text));
  grpc_status_write(problem, code, retry_after_ms, &details);
  grpc_binary_write(strbuf_slice(&details), &text);
  reply_add_header(exchange, SLICE("grpc-status-details-bin"), keep(exchange, &text));
  strbuf_free(&details);
  strbuf_free(&text);
  exchange->reply.has_no_body = true;
  finish(exchange);
  return STEP_REPLIED;
}

const struct protocol protocol_grpc = {
    .name = "grpc",
    .framing_bytes = PREFIX_BYTES,
    .find_method = find_method,
    .begin_body = begin_body,
    .judge_body = judge_body,
    .translate = translate,
    .succeed = succeed,
    .fail = fail,
};
