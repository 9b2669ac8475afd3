#include "gateway/grpc_status.h"

#include "common/base/codec.h"
#include "common/base/wire.h"

#define TYPE_HOST "type.googleapis.com/"
#define TYPE_PREFIX TYPE_HOST "google.rpc."
#define DOMAIN "bulkhead"
// Clients take 8 KB of headers at least. In base64 these are four thirds as long.
#define MAX_VIOLATION_BYTES 3000

// The numbers of the fields in google/rpc/status.proto, google/protobuf/any.proto, google/protobuf/duration.proto and
// google/rpc/error_details.proto.
enum {
  STATUS_CODE = 1,
  STATUS_MESSAGE = 2,
  STATUS_DETAILS = 3,
  ANY_TYPE_URL = 1,
  ANY_VALUE = 2,
  DURATION_SECONDS = 1,
  DURATION_NANOS = 2,
  ERROR_INFO_REASON = 1,
  ERROR_INFO_DOMAIN = 2,
  RETRY_INFO_DELAY = 1,
  REQUEST_INFO_ID = 1,
  BAD_REQUEST_VIOLATIONS = 1,
  VIOLATION_FIELD = 1,
  VIOLATION_DESCRIPTION = 2,
};

void grpc_message_write(struct slice text, struct strbuf *out)
{
  for (size_t i = 0; i < text.size; i++) {
    unsigned char byte = (unsigned char)text.data[i];
    if (byte >= ' ' && byte <= '~' && byte != '%')
      strbuf_add_byte(out, (char)byte);
    else
      strbuf_printf(out, "%%%02X", byte);
  }
}

void grpc_binary_write(struct slice bytes, struct strbuf *out)
{
  base64_encode(bytes, out);
  while (out->size > 0 && out->data[out->size - 1] == '=')
    strbuf_truncate(out, out->size - 1);
}

// Where a detail and its value begin, whose sizes are filled in at its end.
struct detail {
  size_t any;
  size_t value;
};

static struct detail begin_detail(struct strbuf *out, const char *type_url)
{
  struct detail detail = {.any = wire_begin_nested(out, STATUS_DETAILS)};
  wire_write_bytes(out, ANY_TYPE_URL, slice_from_string(type_url));
  detail.value = wire_begin_nested(out, ANY_VALUE);
  return detail;
}

static void end_detail(struct strbuf *out, struct detail detail)
{
  wire_end_nested(out, detail.value);
  wire_end_nested(out, detail.any);
}

static void write_violations(const struct problem *problem, size_t max_bytes, struct strbuf *out)
{
  struct detail detail = begin_detail(out, TYPE_PREFIX "BadRequest");
  size_t before = out->size;
  for (size_t i = 0; i < problem->violation_count; i++) {
    const struct violation *violation = &problem->violations[i];
    if (out->size - before + violation->field.size + violation->description.size > max_bytes)
      break;
    size_t mark = wire_begin_nested(out, BAD_REQUEST_VIOLATIONS);
    wire_write_bytes(out, VIOLATION_FIELD, violation->field);
    wire_write_bytes(out, VIOLATION_DESCRIPTION, violation->description);
    wire_end_nested(out, mark);
  }
  end_detail(out, detail);
}

static void write_retry(uint32_t retry_after_ms, struct strbuf *out)
{
  struct detail detail = begin_detail(out, TYPE_PREFIX "RetryInfo");
  size_t mark = wire_begin_nested(out, RETRY_INFO_DELAY);
  if (retry_after_ms >= 1000)
    wire_write_varint(out, DURATION_SECONDS, retry_after_ms / 1000);
  if (retry_after_ms % 1000 != 0)
    wire_write_varint(out, DURATION_NANOS, (uint64_t)(retry_after_ms % 1000) * 1000000);
  wire_end_nested(out, mark);
  end_detail(out, detail);
}

void grpc_details_write(const struct problem *problem, uint32_t retry_after_ms, size_t max_bytes, struct strbuf *out)
{
  struct detail detail = begin_detail(out, TYPE_PREFIX "ErrorInfo");
  wire_write_bytes(out, ERROR_INFO_REASON, problem->reason);
  wire_write_bytes(out, ERROR_INFO_DOMAIN, SLICE(DOMAIN));
  end_detail(out, detail);
  if (problem->violation_count > 0)
    write_violations(problem, max_bytes, out);
  if (retry_after_ms > 0)
    write_retry(retry_after_ms, out);
  detail = begin_detail(out, TYPE_PREFIX "RequestInfo");
  wire_write_bytes(out, REQUEST_INFO_ID, problem->request_id);
  end_detail(out, detail);
}

void grpc_status_write(const struct problem *problem, enum status code, uint32_t retry_after_ms, struct strbuf *out)
{
  wire_write_varint(out, STATUS_CODE, (uint64_t)code);
  wire_write_bytes(out, STATUS_MESSAGE, problem_sentence(problem));
  grpc_details_write(problem, retry_after_ms, MAX_VIOLATION_BYTES, out);
}

bool grpc_detail_read(struct slice *details, struct slice *type, struct slice *value)
{
  struct wire_reader reader = wire_reader_make(*details);
  struct wire_field detail, part;
  if (wire_read(&reader, &detail) != WIRE_FIELD)
    return false;
  *details = slice_make(reader.next, (size_t)(reader.end - reader.next));
  *value = (struct slice){0};
  for (reader = wire_reader_make(detail.bytes); wire_read(&reader, &part) == WIRE_FIELD;)
    if (part.number == ANY_TYPE_URL)
      *type = slice_skip(part.bytes, sizeof(TYPE_HOST) - 1);
    else
      *value = part.bytes;
  return true;
}
