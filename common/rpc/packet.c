// Sizes are computed before anything is written, so that a frame is written once, front to back, with minimal varints:
// byte for byte what protobuf-c writes (a unit test compares them).
#include "common/rpc/packet_internal.h"

#include "common/base/check.h"
#include "common/base/utf8.h"

enum { PACKET_FRAMES = 1, PACKET_RECEIVED = 2, PACKET_SENT_AT_US = 3, PACKET_HELLO = 4 };

enum {
  FRAME_CALL_ID = 1,
  FRAME_KIND = 2,
  FRAME_METHOD = 3,
  FRAME_TIMEOUT_MS = 4,
  FRAME_CONTEXT = 5,
  FRAME_PAYLOAD = 6,
  FRAME_STATUS = 7,
  FRAME_EXPIRES_AT_US = 8,
  FRAME_CREDIT = 9,
};

enum {
  CONTEXT_REQUEST_ID = 1,
  CONTEXT_TRACEPARENT = 2,
  CONTEXT_IDEMPOTENCY_KEY = 6,
  CONTEXT_ACCESS_TOKEN = 8,
  CONTEXT_CLIENT_ADDRESS = 9,
  CONTEXT_USER_AGENT = 10,
};

enum { STATUS_CODE = 1, STATUS_MESSAGE = 2, STATUS_REASON = 3, STATUS_VIOLATIONS = 4, STATUS_RETRY_AFTER_MS = 5 };

enum { VIOLATION_FIELD = 1, VIOLATION_DESCRIPTION = 2 };

// Every field number in packet.proto is below 16, so a tag is one byte.
static size_t measure_nested(size_t size)
{
  return 1 + wire_varint_size(size) + size;
}

static size_t measure_bytes(struct slice bytes)
{
  return bytes.size == 0 ? 0 : measure_nested(bytes.size);
}

static size_t measure_number(uint64_t value)
{
  return value == 0 ? 0 : 1 + wire_varint_size(value);
}

static size_t measure_context(const struct rpc_context *context)
{
  size_t size = measure_bytes(context->request_id) + measure_bytes(context->traceparent) +
                measure_bytes(context->access_token) + measure_bytes(context->idempotency_key) +
                measure_bytes(context->client_address) + measure_bytes(context->user_agent);
  return size;
}

static size_t measure_violation(const struct violation *violation)
{
  return measure_bytes(violation->field) + measure_bytes(violation->description);
}

static size_t measure_status(const struct rpc_status *status)
{
  size_t size = measure_number((uint64_t)status->code) + measure_bytes(status->message) +
                measure_bytes(status->reason) + measure_number(status->retry_after_ms);
  for (size_t i = 0; i < status->violation_count; i++)
    size += measure_nested(measure_violation(&status->violations[i]));
  return size;
}

static size_t measure_frame(const struct rpc_frame *frame)
{
  size_t size = measure_number(frame->call_id) + measure_number(frame->kind) + measure_bytes(frame->method) +
                measure_number(frame->timeout_ms) + measure_bytes(frame->payload) +
                measure_number(frame->expires_at_us) + measure_number(frame->credit);
  if (frame->has_context)
    size += measure_nested(measure_context(&frame->context));
  if (frame->has_status)
    size += measure_nested(measure_status(&frame->status));
  return size;
}

size_t rpc_frame_packed_size(const struct rpc_frame *frame)
{
  return measure_nested(measure_frame(frame));
}

static void write_bytes(struct strbuf *out, uint32_t number, struct slice bytes)
{
  if (bytes.size != 0)
    wire_write_bytes(out, number, bytes);
}

static void write_number(struct strbuf *out, uint32_t number, uint64_t value)
{
  if (value != 0)
    wire_write_varint(out, number, value);
}

static void write_nested_head(struct strbuf *out, uint32_t number, size_t size)
{
  wire_write_tag(out, number, WIRE_BYTES);
  wire_write_raw_varint(out, size);
}

static void write_context(struct strbuf *out, const struct rpc_context *context)
{
  write_nested_head(out, FRAME_CONTEXT, measure_context(context));
  write_bytes(out, CONTEXT_REQUEST_ID, context->request_id);
  write_bytes(out, CONTEXT_TRACEPARENT, context->traceparent);
  write_bytes(out, CONTEXT_IDEMPOTENCY_KEY, context->idempotency_key);
  write_bytes(out, CONTEXT_ACCESS_TOKEN, context->access_token);
  write_bytes(out, CONTEXT_CLIENT_ADDRESS, context->client_address);
  write_bytes(out, CONTEXT_USER_AGENT, context->user_agent);
}

static void write_status(struct strbuf *out, const struct rpc_status *status)
{
  write_nested_head(out, FRAME_STATUS, measure_status(status));
  write_number(out, STATUS_CODE, (uint64_t)status->code);
  write_bytes(out, STATUS_MESSAGE, status->message);
  write_bytes(out, STATUS_REASON, status->reason);
  for (size_t i = 0; i < status->violation_count; i++) {
    const struct violation *violation = &status->violations[i];
    write_nested_head(out, STATUS_VIOLATIONS, measure_violation(violation));
    write_bytes(out, VIOLATION_FIELD, violation->field);
    write_bytes(out, VIOLATION_DESCRIPTION, violation->description);
  }
  write_number(out, STATUS_RETRY_AFTER_MS, status->retry_after_ms);
}

static void write_before_payload(struct strbuf *out, const struct rpc_frame *frame)
{
  write_number(out, FRAME_CALL_ID, frame->call_id);
  write_number(out, FRAME_KIND, frame->kind);
  write_bytes(out, FRAME_METHOD, frame->method);
  write_number(out, FRAME_TIMEOUT_MS, frame->timeout_ms);
  if (frame->has_context)
    write_context(out, &frame->context);
}

void rpc_frame_append_head(struct strbuf *packet, const struct rpc_frame *frame)
{
  CHECK(!frame->has_status && frame->expires_at_us == 0 && frame->credit == 0);
  write_nested_head(packet, PACKET_FRAMES, measure_frame(frame));
  write_before_payload(packet, frame);
  write_nested_head(packet, FRAME_PAYLOAD, frame->payload.size);
}

void rpc_frame_append_body(struct strbuf *out, const struct rpc_frame *frame)
{
  write_before_payload(out, frame);
  write_bytes(out, FRAME_PAYLOAD, frame->payload);
  if (frame->has_status)
    write_status(out, &frame->status);
  write_number(out, FRAME_EXPIRES_AT_US, frame->expires_at_us);
  write_number(out, FRAME_CREDIT, frame->credit);
}

void rpc_frame_append(struct strbuf *packet, const struct rpc_frame *frame)
{
  write_nested_head(packet, PACKET_FRAMES, measure_frame(frame));
  rpc_frame_append_body(packet, frame);
}

void rpc_hello_append(struct strbuf *packet, struct slice hello)
{
  wire_write_bytes(packet, PACKET_HELLO, hello);
}

void rpc_frame_append_with_timeout(struct strbuf *packet, struct slice body, uint32_t timeout_ms,
                                   uint64_t expires_at_us)
{
  write_nested_head(packet, PACKET_FRAMES, body.size + measure_number(timeout_ms) + measure_number(expires_at_us));
  strbuf_add(packet, body);
  write_number(packet, FRAME_TIMEOUT_MS, timeout_ms);
  write_number(packet, FRAME_EXPIRES_AT_US, expires_at_us);
}

// Writes a number as a field and returns its size.
static size_t put_number(uint8_t *out, uint32_t number, uint64_t value)
{
  size_t size = 0;
  out[size++] = (uint8_t)(number << 3 | WIRE_VARINT);
  while (value >= 0x80) {
    out[size++] = (uint8_t)(value | 0x80);
    value >>= 7;
  }
  out[size++] = (uint8_t)value;
  return size;
}

size_t rpc_tail_write(uint64_t received, uint64_t sent_at_us, uint8_t out[RPC_TAIL_MAX_BYTES])
{
  size_t size = put_number(out, PACKET_RECEIVED, received);
  return sent_at_us == 0 ? size : size + put_number(out + size, PACKET_SENT_AT_US, sent_at_us);
}

// Stores a text field. False when it is not UTF-8, which proto3 demands of every string.
static bool take_text(struct slice bytes, struct slice *out)
{
  *out = bytes;
  return utf8_valid(bytes);
}

// Makes room for one more element of an array in the arena. The capacity follows from the count: 4, 8, 16, ...
static void *grow_array(struct arena *arena, const void *elements, size_t count, size_t element_size)
{
  if (count != 0 && (count < 4 || (count & (count - 1)) != 0))
    return (void *)(uintptr_t)elements;
  void *larger = arena_array(arena, count == 0 ? 4 : count * 2, element_size);
  if (count != 0)
    memcpy(larger, elements, count * element_size);
  return larger;
}

static bool decode_pair(struct slice bytes, struct slice *first, struct slice *second)
{
  struct wire_reader reader = wire_reader_make(bytes);
  struct wire_field field;
  enum wire_result result;
  while ((result = wire_read(&reader, &field)) == WIRE_FIELD) {
    if (field.type != WIRE_BYTES || field.number > 2)
      continue;
    if (!take_text(field.bytes, field.number == 1 ? first : second))
      return false;
  }
  return result == WIRE_END;
}

static bool add_violation(struct rpc_status *status, struct slice bytes, struct arena *arena)
{
  if (status->violation_count == RPC_MAX_VIOLATIONS)
    return false;
  struct violation *violations = grow_array(arena, status->violations, status->violation_count, sizeof(*violations));
  status->violations = violations;
  struct violation *added = &violations[status->violation_count++];
  *added = (struct violation){0};
  return decode_pair(bytes, &added->field, &added->description);
}

static bool decode_context_field(const struct wire_field *field, struct rpc_context *out)
{
  switch (field->number) {
  case CONTEXT_REQUEST_ID:
    return take_text(field->bytes, &out->request_id);
  case CONTEXT_TRACEPARENT:
    return take_text(field->bytes, &out->traceparent);
  case CONTEXT_ACCESS_TOKEN:
    return take_text(field->bytes, &out->access_token);
  case CONTEXT_IDEMPOTENCY_KEY:
    return take_text(field->bytes, &out->idempotency_key);
  case CONTEXT_CLIENT_ADDRESS:
    return take_text(field->bytes, &out->client_address);
  case CONTEXT_USER_AGENT:
    return take_text(field->bytes, &out->user_agent);
  default:
    return true;
  }
}

static bool decode_context(struct slice bytes, struct rpc_context *out)
{
  struct wire_reader reader = wire_reader_make(bytes);
  struct wire_field field;
  enum wire_result result;
  while ((result = wire_read(&reader, &field)) == WIRE_FIELD)
    if (field.type == WIRE_BYTES && !decode_context_field(&field, out))
      return false;
  return result == WIRE_END;
}

static bool decode_status(struct slice bytes, struct arena *arena, struct rpc_status *out)
{
  struct wire_reader reader = wire_reader_make(bytes);
  struct wire_field field;
  enum wire_result result;
  while ((result = wire_read(&reader, &field)) == WIRE_FIELD) {
    bool valid = true;
    if (field.type == WIRE_VARINT && field.number == STATUS_CODE)
      out->code = status_from_code((int)(uint32_t)field.varint);
    else if (field.type == WIRE_VARINT && field.number == STATUS_RETRY_AFTER_MS)
      out->retry_after_ms = (uint32_t)field.varint;
    else if (field.type == WIRE_BYTES && field.number == STATUS_MESSAGE)
      valid = take_text(field.bytes, &out->message);
    else if (field.type == WIRE_BYTES && field.number == STATUS_REASON)
      valid = take_text(field.bytes, &out->reason);
    else if (field.type == WIRE_BYTES && field.number == STATUS_VIOLATIONS)
      valid = add_violation(out, field.bytes, arena);
    if (!valid)
      return false;
  }
  return result == WIRE_END;
}

static bool decode_frame_bytes(const struct wire_field *field, struct arena *arena, struct rpc_frame *out)
{
  switch (field->number) {
  case FRAME_METHOD:
    return take_text(field->bytes, &out->method);
  case FRAME_PAYLOAD:
    out->payload = field->bytes;
    return true;
  case FRAME_CONTEXT:
    out->has_context = true;
    return decode_context(field->bytes, &out->context);
  case FRAME_STATUS:
    out->has_status = true;
    return decode_status(field->bytes, arena, &out->status);
  default:
    return true;
  }
}

static void decode_frame_number(const struct wire_field *field, struct rpc_frame *out)
{
  if (field->number == FRAME_CALL_ID)
    out->call_id = field->varint;
  else if (field->number == FRAME_KIND)
    out->kind = (uint32_t)field->varint;
  else if (field->number == FRAME_TIMEOUT_MS)
    out->timeout_ms = (uint32_t)field->varint;
  else if (field->number == FRAME_EXPIRES_AT_US)
    out->expires_at_us = field->varint;
  else if (field->number == FRAME_CREDIT)
    out->credit = (uint32_t)field->varint;
}

bool rpc_frame_decode(struct slice bytes, struct arena *arena, struct rpc_frame *out)
{
  *out = (struct rpc_frame){0};
  struct wire_reader reader = wire_reader_make(bytes);
  struct wire_field field;
  enum wire_result result;
  while ((result = wire_read(&reader, &field)) == WIRE_FIELD) {
    if (field.type == WIRE_VARINT)
      decode_frame_number(&field, out);
    else if (field.type == WIRE_BYTES && !decode_frame_bytes(&field, arena, out))
      return false;
  }
  return result == WIRE_END;
}

struct rpc_packet_reader rpc_packet_reader_make(struct slice packet)
{
  return (struct rpc_packet_reader){.wire = wire_reader_make(packet)};
}

enum wire_result rpc_packet_next(struct rpc_packet_reader *reader, struct slice *frame)
{
  struct wire_field field;
  enum wire_result result;
  while ((result = wire_read(&reader->wire, &field)) == WIRE_FIELD) {
    if (field.type == WIRE_VARINT && field.number == PACKET_RECEIVED)
      reader->acked = field.varint;
    if (field.type == WIRE_VARINT && field.number == PACKET_SENT_AT_US)
      reader->sent_at_us = field.varint;
    if (field.type == WIRE_BYTES && field.number == PACKET_HELLO) {
      if (reader->hello.size != 0)
        return WIRE_MALFORMED;
      reader->hello = field.bytes;
    }
    if (field.type == WIRE_BYTES && field.number == PACKET_FRAMES) {
      *frame = field.bytes;
      return WIRE_FIELD;
    }
  }
  return result;
}
