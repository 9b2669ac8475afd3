// The protocol of gRPC over HTTP/2 (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md). How a call has
// ended stands in the trailers, or in the headers of a reply without a message.
#include "gateway/grpc_internal.h"

#define CONTENT_TYPE "application/grpc"

static enum step_result judge_body(struct exchange *exchange)
{
  return grpc_judge_frame(exchange, exchange->body);
}

static enum step_result succeed(struct exchange *exchange, struct slice response)
{
  strbuf_clear(&exchange->out);
  if (!grpc_response_write(exchange, response, &exchange->out))
    return exchange_fail_unfit(exchange);
  exchange->reply.body = strbuf_slice(&exchange->out);
  exchange->reply.outcome = 200;
  reply_add_trailer(exchange, GRPC_STATUS_NAME, SLICE("0"));
  grpc_finish_head(exchange, CONTENT_TYPE);
  return STEP_REPLIED;
}

// ---- streams ----

static void begin_stream(struct exchange *exchange)
{
  grpc_finish_head(exchange, CONTENT_TYPE);
}

static bool put(struct exchange *exchange, struct slice response)
{
  return grpc_response_write(exchange, response, &exchange->next);
}

static void end_stream(struct exchange *exchange)
{
  exchange->reply.outcome = 200;
  reply_add_trailer(exchange, GRPC_STATUS_NAME, SLICE("0"));
}

// ---- failures ----

static enum step_result fail(struct exchange *exchange, const struct problem *problem, uint32_t retry_after_ms)
{
  struct exchange_header fields[GRPC_FAILURE_FIELDS];
  grpc_failure_fields(exchange, problem, retry_after_ms, fields);
  // After the head of a stream, the trailers say it.
  bool has_begun = exchange_is_streaming(exchange);
  for (size_t i = 0; i < GRPC_FAILURE_FIELDS; i++)
    (has_begun ? reply_add_trailer : reply_add_header)(exchange, fields[i].name, fields[i].value);
  if (has_begun)
    return STEP_REPLIED;
  exchange->reply.has_no_body = true;
  grpc_finish_head(exchange, CONTENT_TYPE);
  return STEP_REPLIED;
}

const struct protocol protocol_grpc = {
    .number = PROTOCOL_GRPC,
    .framing_bytes = GRPC_PREFIX_BYTES,
    .find_method = grpc_find_method,
    .begin_body = grpc_begin_body,
    .judge_body = judge_body,
    .translate = protocol_translate_wire,
    .succeed = succeed,
    .read = grpc_read_message,
    .begin_stream = begin_stream,
    .put = put,
    .end_stream = end_stream,
    .fail = fail,
};
