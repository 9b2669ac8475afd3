// The parts of a response that do not go into its body: header fields and the Location.
#include "common/base/check.h"
#include "common/base/codec.h"
#include "common/base/wire.h"
#include "common/contract/contract_layout.h"
#include "common/transcode/transcode.h"

// Finds the last value of a string field at the top level of `wire`. INTERNAL when the bytes are not a message.
static enum status find_text(const struct contract_field *field, struct slice wire, struct slice *out)
{
  struct wire_reader reader = wire_reader_make(wire);
  struct wire_field found;
  enum wire_result result;
  *out = (struct slice){0};
  while ((result = wire_read(&reader, &found)) == WIRE_FIELD)
    if (found.number == field->number) {
      if (found.type != WIRE_BYTES)
        return STATUS_INTERNAL;
      *out = found.bytes;
    }
  return result == WIRE_END ? STATUS_OK : STATUS_INTERNAL;
}

// Whether a value can stand in a header (RFC 9110, section 5.5, without obs-text). A line break in it would begin a
// header that nobody meant to send.
static bool is_header_value(struct slice value, bool quoted)
{
  for (size_t i = 0; i < value.size; i++) {
    char byte = value.data[i];
    if (byte < ' ' || byte > '~' || (quoted && (byte == '"' || byte == ' ')))
      return false;
  }
  return true;
}

// Finds the last value of a message field at the top level of `wire`.
static enum status find_message(const struct contract_field *field, struct slice wire, struct slice *out)
{
  struct wire_reader reader = wire_reader_make(wire);
  struct wire_field found;
  enum wire_result result;
  *out = (struct slice){0};
  while ((result = wire_read(&reader, &found)) == WIRE_FIELD)
    if (found.number == field->number && found.type == WIRE_BYTES)
      *out = found.bytes;
  return result == WIRE_END ? STATUS_OK : STATUS_INTERNAL;
}

enum status transcode_find_body(const struct contract_binding *binding, struct slice wire, struct transcode_body *body)
{
  *body = (struct transcode_body){
      .message = contract_body_message(binding), .field = contract_body_value(binding), .wire = wire};
  bool is_inner = binding->response_body_field != NULL && body->field == NULL;
  return is_inner ? find_message(binding->response_body_field, wire, &body->wire) : STATUS_OK;
}

enum status transcode_response_headers(const struct contract_message *message, struct slice wire, struct arena *arena,
                                       transcode_emit_fn *emit, void *arg)
{
  const struct message_index *index = message_index(message);
  for (size_t i = 0; i < index->to_header_count; i++) {
    const struct contract_field *field = index->to_header[i];
    const char *name = field->rules.to_header;
    bool quoted = slice_equal_ignore_case(slice_from_string(name), SLICE("ETag"));
    struct slice value;
    enum status status = find_text(field, wire, &value);
    if (status != STATUS_OK)
      return status;
    if (value.size == 0)
      continue;
    if (!is_header_value(value, quoted))
      return STATUS_INTERNAL;
    emit(arg, name, quoted ? slice_from_string(arena_printf(arena, "\"" SLICE_FMT "\"", SLICE_ARG(value))) : value);
  }
  return STATUS_OK;
}

enum status transcode_location(const struct contract_method *method, struct slice wire, struct strbuf *out)
{
  struct slice location = slice_from_string(method->location);
  size_t before = out->size;
  for (size_t at = 0; at < location.size;) {
    size_t open = slice_find(location, '{', at);
    strbuf_add(out, slice_make(location.data + at, open - at));
    if (open == location.size)
      break;
    size_t close = slice_find(location, '}', open);
    struct slice name = slice_make(location.data + open + 1, close - open - 1);
    const struct contract_field *field = contract_field_by_name(method->output, name);
    CHECK(field != NULL);
    struct slice value;
    enum status status = find_text(field, wire, &value);
    // A Location without one of its parts would lead to another resource.
    if (status == STATUS_OK && value.size == 0)
      status = STATUS_INTERNAL;
    if (status != STATUS_OK) {
      strbuf_truncate(out, before);
      return status;
    }
    percent_encode(value, out);
    at = close + 1;
  }
  return out->failed ? STATUS_INTERNAL : STATUS_OK;
}
