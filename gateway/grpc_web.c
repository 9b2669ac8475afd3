// The protocol of gRPC-Web (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md): gRPC for clients that cannot
// read trailers, over any version of HTTP. What gRPC has in trailers is the last frame of the body. As text all frames
// are in base64, for clients that cannot read bytes.
#include "common/base/codec.h"
#include "gateway/grpc_internal.h"

#define CONTENT_TYPE "application/grpc-web+proto"
#define TEXT_CONTENT_TYPE "application/grpc-web-text+proto"

static const struct exchange_header GOOD_END = {SLICE_INIT("grpc-status"), SLICE_INIT("0")};

static enum step_result judge_body(struct exchange *exchange)
{
  return grpc_judge_frame(exchange, exchange->body);
}

// Finds the message of a body in base64. Its bytes lie where the values of the reply's headers come after the call.
static enum step_result judge_text(struct exchange *exchange)
{
  struct strbuf *bytes = &exchange->scratch;
  strbuf_clear(bytes);
  if (!base64_decode(exchange->body, bytes))
    return protocol_refuse(exchange, STATUS_INVALID_ARGUMENT, "the body is not base64, as its content type says");
  return grpc_judge_frame(exchange, strbuf_slice(bytes));
}

// Adds the frame that ends a body. Its fields are lines of HTTP/1.1.
static void add_end(struct strbuf *out, const struct exchange_header *fields, size_t count)
{
  struct strbuf lines;
  strbuf_init(&lines, 0);
  for (size_t i = 0; i < count; i++)
    strbuf_printf(&lines, SLICE_FMT ": " SLICE_FMT "\r\n", SLICE_ARG(fields[i].name), SLICE_ARG(fields[i].value));
  grpc_frame_write(out, GRPC_TRAILERS, strbuf_slice(&lines));
  strbuf_free(&lines);
}

static enum step_result finish(struct exchange *exchange)
{
  const char *content_type = CONTENT_TYPE;
  if (exchange->protocol->is_base64) {
    strbuf_clear(&exchange->wire);
    base64_encode(strbuf_slice(&exchange->out), &exchange->wire);
    content_type = TEXT_CONTENT_TYPE;
  }
  exchange->reply.body = strbuf_slice(exchange->protocol->is_base64 ? &exchange->wire : &exchange->out);
  grpc_finish_head(exchange, content_type);
  return STEP_REPLIED;
}

static enum step_result succeed(struct exchange *exchange, struct slice response)
{
  strbuf_clear(&exchange->out);
  if (!grpc_response_write(exchange, response, &exchange->out))
    return exchange_fail_unfit(exchange);
  exchange->reply.outcome = 200;
  add_end(&exchange->out, &GOOD_END, 1);
  return finish(exchange);
}

// ---- streams ----

static void begin_stream(struct exchange *exchange)
{
  grpc_finish_head(exchange, exchange->protocol->is_base64 ? TEXT_CONTENT_TYPE : CONTENT_TYPE);
}

// Adds a frame to what is sent next. As text each has an end of its own, so that it need not wait for the next one.
static void add_frame(struct exchange *exchange, struct strbuf *frame)
{
  if (exchange->protocol->is_base64)
    base64_encode(strbuf_slice(frame), &exchange->next);
  else
    strbuf_add(&exchange->next, strbuf_slice(frame));
  strbuf_free(frame);
}

static bool put(struct exchange *exchange, struct slice response)
{
  struct strbuf frame;
  strbuf_init(&frame, 0);
  bool fits = grpc_response_write(exchange, response, &frame);
  add_frame(exchange, &frame);
  return fits;
}

static void put_end(struct exchange *exchange, const struct exchange_header *fields, size_t count)
{
  struct strbuf frame;
  strbuf_init(&frame, 0);
  add_end(&frame, fields, count);
  add_frame(exchange, &frame);
}

static void end_stream(struct exchange *exchange)
{
  exchange->reply.outcome = 200;
  put_end(exchange, &GOOD_END, 1);
}

// ---- failures ----

static enum step_result fail(struct exchange *exchange, const struct problem *problem, uint32_t retry_after_ms)
{
  struct exchange_header fields[GRPC_FAILURE_FIELDS];
  grpc_failure_fields(exchange, problem, retry_after_ms, fields);
  if (exchange_is_streaming(exchange)) {
    put_end(exchange, fields, GRPC_FAILURE_FIELDS);
    return STEP_REPLIED;
  }
  strbuf_clear(&exchange->out);
  add_end(&exchange->out, fields, GRPC_FAILURE_FIELDS);
  return finish(exchange);
}

const struct protocol protocol_grpc_web = {
    .number = PROTOCOL_GRPC_WEB,
    .framing_bytes = GRPC_PREFIX_BYTES,
    .find_method = grpc_find_method,
    .begin_body = grpc_begin_body,
    .judge_body = judge_body,
    .translate = protocol_translate_wire,
    .succeed = succeed,
    .begin_stream = begin_stream,
    .put = put,
    .end_stream = end_stream,
    .fail = fail,
};

const struct protocol protocol_grpc_web_text = {
    .number = PROTOCOL_GRPC_WEB_TEXT,
    .framing_bytes = GRPC_PREFIX_BYTES,
    .is_base64 = true,
    .find_method = grpc_find_method,
    .begin_body = grpc_begin_body,
    .judge_body = judge_text,
    .translate = protocol_translate_wire,
    .succeed = succeed,
    .begin_stream = begin_stream,
    .put = put,
    .end_stream = end_stream,
    .fail = fail,
};
