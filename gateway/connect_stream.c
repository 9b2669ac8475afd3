// The protocol of Connect for calls with streams (https://connectrpc.com/docs/protocol, "Streaming RPCs"). Each message
// stands in an envelope: a byte of flags, four of its size, and the bytes. The last envelope of a reply holds no
// message but JSON that says how the call has ended; the HTTP status is 200 also where it has failed.
#include "gateway/connect_internal.h"
#include "gateway/grpc_internal.h"

// The flag of a reply's last envelope. The others are those of gRPC.
#define END_FLAG 2
#define ENVELOPE_PREFIX_BYTES GRPC_PREFIX_BYTES

#define CODING_HEADER "Connect-Content-Encoding"

static bool is_json(const struct exchange *exchange)
{
  return exchange->protocol == &protocol_connect_stream_json;
}

// ---- the method ----

static enum step_result find_method(struct exchange *exchange)
{
  const struct exchange_input *input = &exchange->input;
  const struct contract_method *method = protocol_find_callable(exchange->gateway, input->path);
  if (method != NULL && !protocol_streams(method))
    return connect_refuse_type(exchange, CONNECT_TYPES,
                               "the method has no stream of messages, so that the content type must be "
                               "application/json or application/proto");
  if (method != NULL && method->client_streams && method->server_streams && !input->is_http2)
    return exchange_fail(exchange, &(struct failure){.code = STATUS_UNIMPLEMENTED,
                                                     .http_status = 505,
                                                     .reason = "HTTP_VERSION_NOT_SUPPORTED",
                                                     .detail = SLICE("streams both ways need HTTP/2")});
  enum step_result result = protocol_find_method(exchange);
  return result == STEP_NEXT ? connect_judge_version(exchange) : result;
}

// ---- the client's messages ----

static struct slice find_coding(const struct exchange *exchange)
{
  const struct exchange_input *input = &exchange->input;
  return input->header == NULL ? (struct slice){0} : input->header(input->header_arg, CODING_HEADER);
}

static enum step_result judge_coding(struct exchange *exchange)
{
  struct slice coding = find_coding(exchange);
  if (coding.size == 0 || slice_equal(coding, SLICE("gzip")) || slice_equal(coding, SLICE("identity")))
    return STEP_NEXT;
  reply_add_header(exchange, SLICE("Connect-Accept-Encoding"), SLICE("gzip"));
  return exchange_fail(exchange,
                       &(struct failure){.code = STATUS_UNIMPLEMENTED,
                                         .http_status = 415,
                                         .reason = "UNSUPPORTED_MEDIA_TYPE",
                                         .detail = SLICE(CODING_HEADER " must be gzip or identity, or absent")});
}

static enum step_result begin_body(struct exchange *exchange)
{
  enum step_result result = judge_coding(exchange);
  return result == STEP_NEXT ? grpc_begin_body(exchange) : result;
}

static enum step_result expand_message(struct exchange *exchange)
{
  if (!slice_equal(find_coding(exchange), SLICE("gzip")))
    return protocol_refuse(exchange, STATUS_INTERNAL, "compressed messages must come with " CODING_HEADER ": gzip");
  // Nothing is never compressed.
  return exchange->message.size == 0 ? STEP_NEXT : protocol_expand(exchange, exchange->message, &exchange->message);
}

// Makes exchange.message of a whole envelope.
static enum step_result open_envelope(struct exchange *exchange, struct slice envelope)
{
  exchange->message = slice_skip(envelope, ENVELOPE_PREFIX_BYTES);
  switch ((unsigned char)envelope.data[0]) {
  case GRPC_PLAIN:
    return STEP_NEXT;
  case GRPC_COMPRESSED:
    return expand_message(exchange);
  default:
    return protocol_refuse(exchange, STATUS_INVALID_ARGUMENT, "the flags of a message must be 0 or 1");
  }
}

static enum step_result judge_body(struct exchange *exchange)
{
  enum step_result result = grpc_judge_size(exchange, exchange->body);
  return result == STEP_NEXT ? open_envelope(exchange, exchange->body) : result;
}

static enum step_result translate_in(struct exchange *exchange, struct arena *arena)
{
  return is_json(exchange) ? connect_translate_json(exchange, arena) : protocol_translate_wire(exchange);
}

static enum step_result translate(struct exchange *exchange)
{
  return translate_in(exchange, &exchange->arena);
}

static enum read_result read_message(struct exchange *exchange, struct slice *bytes, bool is_last,
                                     struct slice *message)
{
  struct slice envelope;
  enum read_result result = grpc_next_frame(exchange, bytes, is_last, &envelope);
  if (result != READ_MESSAGE)
    return result;
  // A stream has any number of messages.
  arena_reset(&exchange->line_arena);
  strbuf_clear(&exchange->wire);
  bool is_good =
      open_envelope(exchange, envelope) == STEP_NEXT && translate_in(exchange, &exchange->line_arena) == STEP_NEXT;
  // The bytes stay until the next call.
  exchange->in.size = 0;
  *message = exchange->message;
  return is_good ? READ_MESSAGE : READ_FAILED;
}

// ---- the reply ----

// Sets the size of the envelope that begins at `start` and goes on to the end.
static void close_envelope(struct strbuf *out, size_t start)
{
  size_t size = out->size - start - ENVELOPE_PREFIX_BYTES;
  for (size_t i = 1; i < ENVELOPE_PREFIX_BYTES; i++)
    out->data[start + i] = (char)(size >> (8 * (ENVELOPE_PREFIX_BYTES - 1 - i)));
}

static bool write_message(struct exchange *exchange, struct slice response, struct strbuf *out)
{
  if (!is_json(exchange))
    return grpc_response_write(exchange, response, out);
  struct transcode_body body = {
      .message = exchange_method(exchange)->output, .wire = response, .objects_are_texts = true};
  size_t start = out->size;
  grpc_frame_write(out, GRPC_PLAIN, (struct slice){0});
  if (transcode_body_to_json(&body, out) != STATUS_OK) {
    out->size = start;
    return false;
  }
  close_envelope(out, start);
  return true;
}

// Adds the last envelope. `problem` is NULL after a success.
static void write_end(struct strbuf *out, const struct problem *problem, uint32_t retry_after_ms)
{
  struct jsontext_writer json;
  size_t start = out->size;
  grpc_frame_write(out, END_FLAG, (struct slice){0});
  jsontext_writer_init(&json, out);
  jsontext_begin_object(&json);
  if (problem != NULL) {
    jsontext_key(&json, SLICE("error"));
    connect_write_error(&json, problem, retry_after_ms);
  }
  jsontext_end_object(&json);
  close_envelope(out, start);
}

static void finish(struct exchange *exchange)
{
  const char *content_type = is_json(exchange) ? "application/connect+json" : "application/connect+proto";
  exchange_finish_reply(exchange, 200, content_type, NO_STORE);
  // Proxies that wait for a whole reply would hold the messages back.
  reply_add_header(exchange, SLICE("X-Accel-Buffering"), SLICE("no"));
}

static enum step_result succeed(struct exchange *exchange, struct slice response)
{
  strbuf_clear(&exchange->out);
  if (!write_message(exchange, response, &exchange->out))
    return exchange_fail_unfit(exchange);
  write_end(&exchange->out, NULL, 0);
  finish(exchange);
  return STEP_REPLIED;
}

static bool put(struct exchange *exchange, struct slice response)
{
  return write_message(exchange, response, &exchange->next);
}

static void end_stream(struct exchange *exchange)
{
  exchange->reply.outcome = 200;
  write_end(&exchange->next, NULL, 0);
}

// What is no call with streams, or none over this version of HTTP, is answered as any other call is.
static enum step_result fail(struct exchange *exchange, const struct problem *problem, uint32_t retry_after_ms)
{
  if (exchange_method(exchange) == NULL)
    return connect_fail(exchange, problem, retry_after_ms);
  if (exchange_is_streaming(exchange)) {
    write_end(&exchange->next, problem, retry_after_ms);
    return STEP_REPLIED;
  }
  strbuf_clear(&exchange->out);
  write_end(&exchange->out, problem, retry_after_ms);
  finish(exchange);
  exchange->reply.outcome = problem->http_status;
  return STEP_REPLIED;
}

const struct protocol protocol_connect_stream_json = {
    .number = PROTOCOL_CONNECT,
    .framing_bytes = ENVELOPE_PREFIX_BYTES,
    .find_method = find_method,
    .begin_body = begin_body,
    .judge_body = judge_body,
    .translate = translate,
    .succeed = succeed,
    .begin_read = judge_coding,
    .read = read_message,
    .begin_stream = finish,
    .put = put,
    .end_stream = end_stream,
    .fail = fail,
};

const struct protocol protocol_connect_stream_proto = {
    .number = PROTOCOL_CONNECT,
    .framing_bytes = ENVELOPE_PREFIX_BYTES,
    .find_method = find_method,
    .begin_body = begin_body,
    .judge_body = judge_body,
    .translate = translate,
    .succeed = succeed,
    .begin_read = judge_coding,
    .read = read_message,
    .begin_stream = finish,
    .put = put,
    .end_stream = end_stream,
    .fail = fail,
};
