// The protocol of gRPC-Web (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md): gRPC for clients that cannot
// read trailers, over any version of HTTP. What gRPC has in trailers is the last frame of the body. As text all frames
// are in base64, for clients that cannot read bytes.
#include "common/base/codec.h"
#include "gateway/grpc_internal.h"

#define CONTENT_TYPE "application/grpc-web+proto"
#define TEXT_CONTENT_TYPE "application/grpc-web-text+proto"

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
static void add_end(struct exchange *exchange, const struct exchange_header *fields, size_t count)
{
  struct strbuf lines;
  strbuf_init(&lines, 0);
  for (size_t i = 0; i < count; i++)
    strbuf_printf(&lines, SLICE_FMT ": " SLICE_FMT "\r\n", SLICE_ARG(fields[i].name), SLICE_ARG(fields[i].value));
  grpc_frame_write(&exchange->out, GRPC_TRAILERS, strbuf_slice(&lines));
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
  if (!grpc_response_write(exchange, response))
    return exchange_fail_unfit(exchange);
  exchange->reply.outcome = 200;
  add_end(exchange, &(struct exchange_header){GRPC_STATUS_NAME, SLICE("0")}, 1);
  return finish(exchange);
}

static enum step_result fail(struct exchange *exchange, const struct problem *problem, uint32_t retry_after_ms)
{
  struct exchange_header fields[GRPC_FAILURE_FIELDS];
  grpc_failure_fields(exchange, problem, retry_after_ms, fields);
  strbuf_clear(&exchange->out);
  add_end(exchange, fields, GRPC_FAILURE_FIELDS);
  return finish(exchange);
}

const struct protocol protocol_grpc_web = {
    .name = "grpc-web",
    .framing_bytes = GRPC_PREFIX_BYTES,
    .find_method = grpc_find_method,
    .begin_body = grpc_begin_body,
    .judge_body = judge_body,
    .translate = protocol_translate_wire,
    .succeed = succeed,
    .fail = fail,
};

const struct protocol protocol_grpc_web_text = {
    .name = "grpc-web-text",
    .framing_bytes = GRPC_PREFIX_BYTES,
    .is_base64 = true,
    .find_method = grpc_find_method,
    .begin_body = grpc_begin_body,
    .judge_body = judge_text,
    .translate = protocol_translate_wire,
    .succeed = succeed,
    .fail = fail,
};
