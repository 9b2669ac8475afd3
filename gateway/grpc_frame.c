// The part of gRPC that is the same in gRPC-Web: types, methods, the frame of a message, and how a failure is told.
#include "gateway/grpc_internal.h"
#include "gateway/grpc_status.h"

// ---- which requests ----

static const struct {
  struct slice name;
  enum grpc_type type;
} TYPES[] = {
    {SLICE_INIT("application/grpc-web-text"), GRPC_TYPE_WEB_TEXT},
    {SLICE_INIT("application/grpc-web"), GRPC_TYPE_WEB},
    {SLICE_INIT("application/grpc"), GRPC_TYPE_NATIVE},
};

// Splits a content type. `form` is what follows the type's name, without parameters: "+proto", or nothing.
static enum grpc_type split_type(struct slice content_type, struct slice *form)
{
  for (size_t i = 0; i < ARRAY_LEN(TYPES); i++) {
    size_t size = TYPES[i].name.size;
    if (content_type.size < size || !slice_equal_ignore_case(slice_make(content_type.data, size), TYPES[i].name))
      continue;
    struct slice rest = slice_skip(content_type, size);
    *form = slice_trim(slice_make(rest.data, slice_find(rest, ';', 0)));
    // "application/grpc-other" is another type.
    return form->size == 0 || form->data[0] == '+' ? TYPES[i].type : GRPC_TYPE_NONE;
  }
  return GRPC_TYPE_NONE;
}

enum grpc_type grpc_read_type(struct slice content_type)
{
  struct slice form;
  return split_type(content_type, &form);
}

enum step_result grpc_find_method(struct exchange *exchange)
{
  const struct exchange_input *input = &exchange->input;
  struct slice form = {0};
  (void)split_type(input->content_type, &form);
  if (form.size > 0 && !slice_equal_ignore_case(form, SLICE("+proto")))
    return exchange_fail(exchange, &(struct failure){.code = STATUS_UNIMPLEMENTED,
                                                     .http_status = 415,
                                                     .reason = "UNSUPPORTED_MEDIA_TYPE",
                                                     .detail = SLICE("messages must be protobuf: send a content type "
                                                                     "that ends in +proto, or without +, such as "
                                                                     "application/grpc+proto or application/grpc")});
  if (!slice_equal(input->method, SLICE("POST")))
    return exchange_fail(exchange, &(struct failure){.code = STATUS_UNIMPLEMENTED,
                                                     .http_status = 405,
                                                     .reason = "METHOD_NOT_ALLOWED",
                                                     .detail = SLICE("calls of gRPC are made by POST")});
  return protocol_find_method(exchange);
}

// ---- the request ----

enum step_result grpc_begin_body(struct exchange *exchange)
{
  if (!exchange->input.has_body)
    return protocol_refuse(exchange, STATUS_INVALID_ARGUMENT, "the call has no message");
  if (exchange->input.body_bytes > protocol_body_limit(exchange->protocol, exchange_method(exchange)))
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
  return protocol_refuse(exchange, is_unsaid ? STATUS_INTERNAL : STATUS_UNIMPLEMENTED,
                         "compressed messages must come with grpc-encoding: gzip");
}

static enum step_result expand_message(struct exchange *exchange, struct slice compressed)
{
  const struct exchange_input *input = &exchange->input;
  struct slice coding = input->header(input->header_arg, "grpc-encoding");
  return slice_equal(coding, SLICE("gzip")) ? protocol_expand(exchange, compressed, &exchange->message)
                                            : refuse_coding(exchange, coding);
}

// Makes exchange.message of a whole frame.
static enum step_result open_frame(struct exchange *exchange, struct slice frame)
{
  exchange->message = slice_skip(frame, GRPC_PREFIX_BYTES);
  switch ((unsigned char)frame.data[0]) {
  case GRPC_PLAIN:
    return STEP_NEXT;
  case GRPC_COMPRESSED:
    return expand_message(exchange, exchange->message);
  default:
    return protocol_refuse(exchange, STATUS_INVALID_ARGUMENT, "the prefix of the message begins with neither 0 nor 1");
  }
}

enum step_result grpc_judge_size(struct exchange *exchange, struct slice body)
{
  if (body.size < GRPC_PREFIX_BYTES)
    return protocol_refuse(exchange, STATUS_INVALID_ARGUMENT, "the call has no whole message");
  uint32_t size = read_size(body.data);
  if (size > body.size - GRPC_PREFIX_BYTES)
    return protocol_refuse(exchange, STATUS_INVALID_ARGUMENT, "the message is shorter than its prefix says");
  if (size < body.size - GRPC_PREFIX_BYTES)
    return protocol_refuse(exchange, STATUS_UNIMPLEMENTED, "the method takes one message, and more have come");
  return STEP_NEXT;
}

enum step_result grpc_judge_frame(struct exchange *exchange, struct slice body)
{
  enum step_result result = grpc_judge_size(exchange, body);
  return result == STEP_NEXT ? open_frame(exchange, body) : result;
}

// ---- the client's stream ----

// Moves bytes into exchange.in until that has `size` of them. False where more must come.
static bool gather(struct exchange *exchange, struct slice *bytes, size_t size)
{
  struct strbuf *in = &exchange->in;
  size_t missing = size - in->size;
  size_t taken = missing < bytes->size ? missing : bytes->size;
  strbuf_add(in, slice_make(bytes->data, taken));
  *bytes = slice_skip(*bytes, taken);
  return in->size == size;
}

// Finds the next frame: where it lies, or in exchange.in, where it has come in pieces.
static enum read_result find_frame(struct exchange *exchange, struct slice *bytes, struct slice *frame)
{
  struct strbuf *in = &exchange->in;
  bool is_in_place = in->size == 0 && bytes->size >= GRPC_PREFIX_BYTES;
  if (!is_in_place && in->size < GRPC_PREFIX_BYTES && !gather(exchange, bytes, GRPC_PREFIX_BYTES))
    return READ_NOTHING;
  size_t size = read_size(is_in_place ? bytes->data : in->data);
  if (size > exchange_method(exchange)->max_body_bytes) {
    (void)exchange_refuse_large_body(exchange);
    return READ_FAILED;
  }
  if (is_in_place && bytes->size - GRPC_PREFIX_BYTES >= size) {
    *frame = slice_make(bytes->data, GRPC_PREFIX_BYTES + size);
    *bytes = slice_skip(*bytes, frame->size);
    return READ_MESSAGE;
  }
  if (!gather(exchange, bytes, GRPC_PREFIX_BYTES + size))
    return READ_NOTHING;
  *frame = strbuf_slice(in);
  return READ_MESSAGE;
}

enum read_result grpc_next_frame(struct exchange *exchange, struct slice *bytes, bool is_last, struct slice *frame)
{
  enum read_result result = find_frame(exchange, bytes, frame);
  if (result == READ_NOTHING && is_last && exchange->in.size > 0) {
    (void)protocol_refuse(exchange, STATUS_INVALID_ARGUMENT, "the last message is shorter than its prefix says");
    return READ_FAILED;
  }
  return result;
}

enum read_result grpc_read_message(struct exchange *exchange, struct slice *bytes, bool is_last, struct slice *message)
{
  struct slice frame;
  enum read_result result = grpc_next_frame(exchange, bytes, is_last, &frame);
  if (result != READ_MESSAGE)
    return result;
  bool is_good = open_frame(exchange, frame) == STEP_NEXT && protocol_translate_wire(exchange) == STEP_NEXT;
  // The bytes stay until the next call.
  exchange->in.size = 0;
  *message = exchange->message;
  return is_good ? READ_MESSAGE : READ_FAILED;
}

// ---- the reply ----

void grpc_frame_write(struct strbuf *out, enum grpc_flags flags, struct slice message)
{
  const char prefix[GRPC_PREFIX_BYTES] = {(char)flags, (char)(message.size >> 24), (char)(message.size >> 16),
                                          (char)(message.size >> 8), (char)message.size};
  strbuf_add(out, slice_make(prefix, sizeof(prefix)));
  strbuf_add(out, message);
}

bool grpc_response_write(struct exchange *exchange, struct slice response, struct strbuf *out)
{
  struct slice passed;
  if (transcode_response_to_wire(exchange_method(exchange)->output, response, &exchange->wire, &passed) != STATUS_OK)
    return false;
  grpc_frame_write(out, GRPC_PLAIN, passed);
  return true;
}

void grpc_finish_head(struct exchange *exchange, const char *content_type)
{
  struct exchange_reply *reply = &exchange->reply;
  reply->http_status = 200;
  reply->content_type = slice_from_string(content_type);
  reply_add_header(exchange, SLICE("X-Request-Id"), exchange_request_id(exchange));
  reply_add_header(exchange, SLICE("Cache-Control"), SLICE(NO_STORE));
  exchange_add_limit_headers(exchange);
}

static struct slice keep(struct exchange *exchange, struct strbuf *text)
{
  struct slice kept = arena_copy(&exchange->arena, strbuf_slice(text));
  strbuf_clear(text);
  return kept;
}

void grpc_failure_fields(struct exchange *exchange, const struct problem *problem, uint32_t retry_after_ms,
                         struct exchange_header fields[GRPC_FAILURE_FIELDS])
{
  enum status code = protocol_failure_code(problem);
  struct strbuf text, details;
  strbuf_init(&text, 0);
  strbuf_init(&details, 0);
  strbuf_add_uint(&text, (uint64_t)code);
  fields[0] = (struct exchange_header){GRPC_STATUS_NAME, keep(exchange, &text)};
  grpc_message_write(problem_sentence(problem), &text);
  fields[1] = (struct exchange_header){SLICE("grpc-message"), keep(exchange, &text)};
  grpc_status_write(problem, code, retry_after_ms, &details);
  grpc_binary_write(strbuf_slice(&details), &text);
  fields[2] = (struct exchange_header){SLICE("grpc-status-details-bin"), keep(exchange, &text)};
  strbuf_free(&details);
  strbuf_free(&text);
}
