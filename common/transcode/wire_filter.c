// Messages that clients send and get as protobuf bytes. These pass through the gateway as they are where they can; what
// JSON would not let through is taken out here, too, so that a client gains nothing by the form that it chooses.
//
// Bytes are looked at first, and copied only where something must go or change, which is rare.
#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/utf8.h"
#include "common/base/wire.h"
#include "common/contract/contract_layout.h"
#include "common/transcode/scalar_internal.h"
#include "common/transcode/transcode.h"
#include "common/transcode/well_known_internal.h"

// The fields of a message up to which they are counted on the stack.
#define FEW_FIELDS 64

enum verdict {
  AS_IT_IS,  // the bytes pass
  CHANGED,   // they must be copied, and something left out or written otherwise
  BROKEN,    // they are no such message
};

struct filter {
  const struct contract_method *method;                       // of a request; NULL: the bytes are a response's
  const struct contract_field *path[CONTRACT_MAX_DEPTH + 1];  // to the message that is looked at
  size_t depth;
  const char *problem;                 // with BROKEN
  const struct contract_field *where;  // with BROKEN: the field; NULL: the message at `path`
  struct strbuf scratch;               // holds the problem, where it is made
};

// ---- what may pass ----

// Whether the field names what the request is about.
static bool names_resource(const struct filter *filter, const struct contract_field *field)
{
  const struct contract_field *path[CONTRACT_MAX_DEPTH + 2];
  memcpy(path, filter->path, filter->depth * sizeof(path[0]));
  path[filter->depth] = field;
  return method_names_field(filter->method, path, filter->depth + 1);
}

static bool is_taken_out(const struct filter *filter, const struct contract_field *field)
{
  if (filter->method == NULL)
    return field->rules.secret;
  return field->rules.output_only && !names_resource(filter, field);
}

static bool has_upper_case(struct slice text)
{
  for (size_t i = 0; i < text.size; i++)
    if (text.data[i] >= 'A' && text.data[i] <= 'F')
      return true;
  return false;
}

// Whether a UUID of a request is written in lower case, the form in which it is compared and kept.
static bool is_lowered(const struct filter *filter, const struct contract_field *field, struct slice text)
{
  return filter->method != NULL && field->rules.format == FORMAT_UUID && has_upper_case(text);
}

static enum verdict refuse(struct filter *filter, const struct contract_field *where, const char *problem)
{
  filter->where = where;
  filter->problem = problem;
  return BROKEN;
}

// ---- looking ----

static enum verdict look_at_message(struct filter *filter, const struct contract_message *message, struct slice wire);
static enum verdict look_at_form(struct filter *filter, const struct contract_message *message, struct slice wire);

static bool is_packed_whole(enum wire_type type, struct slice packed)
{
  if (type == WIRE_FIXED64 || type == WIRE_FIXED32)
    return packed.size % (type == WIRE_FIXED64 ? 8 : 4) == 0;
  size_t length = 0;
  for (size_t i = 0; i < packed.size; i++) {
    length++;
    if ((unsigned char)packed.data[i] < 0x80)
      length = 0;
    else if (length == 10)
      return false;
  }
  return length == 0;
}

// Judges what JSON has as a text: a point in time, a duration or a mask, each within its bounds.
static enum verdict look_at_well_known(struct filter *filter, const struct contract_field *field,
                                       const struct contract_message *message, struct slice wire)
{
  struct strbuf text;
  strbuf_init(&text, 0);
  bool is_good = well_known_to_json(message->well_known, wire, &text);
  strbuf_free(&text);
  return is_good ? AS_IT_IS : refuse(filter, field, "is not within the bounds of its type");
}

// Looks at the bytes of a message that the field holds, or names.
static enum verdict look_inside(struct filter *filter, const struct contract_field *field,
                                const struct contract_message *message, struct slice wire)
{
  if (filter->depth == CONTRACT_MAX_DEPTH)
    return refuse(filter, field, "is nested too deeply; 32 messages may lie inside each other");
  if (well_known_is_text(message->well_known))
    return look_at_well_known(filter, field, message, wire);
  filter->path[filter->depth++] = field;
  enum verdict verdict = look_at_form(filter, message, wire);
  // report() names what is broken by the path to it.
  if (verdict != BROKEN)
    filter->depth--;
  return verdict;
}

// What a google.protobuf.Any holds: a message of the contracts, NULL where there is no such, and its bytes.
struct held {
  const struct contract_message *message;
  struct slice url;
  struct slice wire;
};

static struct held read_any(const struct contract_message *any, struct slice wire)
{
  struct held held = {0};
  struct wire_reader reader = wire_reader_make(wire);
  struct wire_field value;
  while (wire_read(&reader, &value) == WIRE_FIELD)
    if (value.number == any->fields[0].number)
      held.url = value.bytes;
    else if (value.number == any->fields[1].number)
      held.wire = value.bytes;
  held.message = any_type(any, held.url);
  return held;
}

// Judges what an Any holds, too, because JSON would not let all of it through either.
static enum verdict look_at_any(struct filter *filter, const struct contract_message *any, struct slice wire)
{
  enum verdict verdict = look_at_message(filter, any, wire);
  if (verdict == BROKEN)
    return verdict;
  struct held held = read_any(any, wire);
  if (held.url.size == 0 && held.wire.size == 0)
    return verdict;
  if (held.message == NULL)
    return refuse(filter, &any->fields[0], "names no type that is known here");
  enum verdict inside = look_inside(filter, &any->fields[1], held.message, held.wire);
  return inside > verdict ? inside : verdict;
}

static enum verdict look_at_form(struct filter *filter, const struct contract_message *message, struct slice wire)
{
  return message->well_known == CONTRACT_ANY ? look_at_any(filter, message, wire)
                                             : look_at_message(filter, message, wire);
}

static enum verdict look_at_bytes(struct filter *filter, const struct contract_field *field, struct slice bytes)
{
  if (field->type == CONTRACT_MESSAGE)
    return look_inside(filter, field, field->message, bytes);
  if (field->type == CONTRACT_BYTES)
    return AS_IT_IS;
  if (field->type == CONTRACT_STRING) {
    if (!utf8_valid(bytes))
      return refuse(filter, field, "must be valid UTF-8");
    // C texts end at the first zero, and the rest would go unseen.
    if (memchr(bytes.data, 0, bytes.size) != NULL)
      return refuse(filter, field, "must not contain U+0000");
    return is_lowered(filter, field, bytes) ? CHANGED : AS_IT_IS;
  }
  return is_packed_whole(scalar_wire_type(field->type), bytes)
             ? AS_IT_IS
             : refuse(filter, field, "is not a list of numbers of its type");
}

// Whether a value of the field may come in this form; numbers of a list also together, packed.
static bool type_fits(const struct contract_field *field, enum wire_type type)
{
  bool has_bytes = field->type == CONTRACT_MESSAGE || scalar_has_bytes(field->type);
  if (type == WIRE_BYTES)
    return has_bytes || field->repeated;
  return !has_bytes && type == scalar_wire_type(field->type);
}

// Returns how many items of a list a field of the message holds.
static size_t count_items(const struct contract_field *field, const struct wire_field *value)
{
  if (value->type != WIRE_BYTES || field->type == CONTRACT_MESSAGE || scalar_has_bytes(field->type))
    return 1;
  enum wire_type type = scalar_wire_type(field->type);
  if (type != WIRE_VARINT)
    return value->bytes.size / (type == WIRE_FIXED64 ? 8 : 4);
  size_t count = 0;
  for (size_t i = 0; i < value->bytes.size; i++)
    count += (unsigned char)value->bytes.data[i] < 0x80 ? 1 : 0;
  return count;
}

// Bounds what a service makes of a request before it can look at it: protobuf-c makes room for all items of a list, and
// merges each repetition of a message with those before. `count` is how many items of the field came before.
static enum verdict judge_count(struct filter *filter, const struct contract_field *field,
                                const struct wire_field *value, uint32_t *count)
{
  if (filter->method == NULL)
    return AS_IT_IS;
  size_t items = count_items(field, value);
  if (!field->repeated && field->type == CONTRACT_MESSAGE && *count > 0)
    return refuse(filter, field, "must not be given twice");
  uint32_t max = field->rules.max_items == 0 ? RULES_DEFAULT_MAX_ITEMS : field->rules.max_items;
  if (field->repeated && items > max - *count)
    return refuse(filter, field, rules_check_count(&field->rules, (size_t)max + 1, &filter->scratch));
  *count += field->repeated ? (uint32_t)items : 1;
  return AS_IT_IS;
}

static enum verdict look_at_field(struct filter *filter, const struct contract_field *field,
                                  const struct wire_field *value)
{
  if (!type_fits(field, value->type))
    return refuse(filter, field, "is not of its type in the contract");
  enum verdict verdict = value->type == WIRE_BYTES ? look_at_bytes(filter, field, value->bytes) : AS_IT_IS;
  return verdict == AS_IT_IS && is_taken_out(filter, field) ? CHANGED : verdict;
}

// Looks at the fields of a message; `counts` is for how many of each there are.
static enum verdict look_at_fields(struct filter *filter, const struct contract_message *message, struct slice wire,
                                   uint32_t *counts)
{
  enum verdict verdict = AS_IT_IS;
  struct wire_reader reader = wire_reader_make(wire);
  struct wire_field value;
  enum wire_result result;
  while ((result = wire_read(&reader, &value)) == WIRE_FIELD) {
    const struct contract_field *field = field_by_number(message, value.number);
    enum verdict found = field == NULL ? CHANGED : look_at_field(filter, field, &value);
    if (found != BROKEN && field != NULL &&
        judge_count(filter, field, &value, &counts[field_place(message, field)]) == BROKEN)
      found = BROKEN;
    if (found > verdict)
      verdict = found;
    if (verdict == BROKEN)
      return BROKEN;
  }
  return result == WIRE_END ? verdict : refuse(filter, NULL, "is not a protobuf message of its type");
}

static enum verdict look_at_message(struct filter *filter, const struct contract_message *message, struct slice wire)
{
  uint32_t few[FEW_FIELDS];
  uint32_t *counts = few;
  uint32_t *many = NULL;
  if (message->field_count > FEW_FIELDS) {
    many = calloc(message->field_count, sizeof(*many));
    CHECK(many != NULL);
    counts = many;
  } else {
    memset(few, 0, message->field_count * sizeof(few[0]));
  }
  enum verdict verdict = look_at_fields(filter, message, wire, counts);
  free(many);
  return verdict;
}

// ---- copying ----

static void copy_message(struct filter *filter, const struct contract_message *message, struct slice wire,
                         struct strbuf *out);

static void copy_lowered(const struct wire_field *value, struct strbuf *out)
{
  size_t start = out->size + wire_varint_size((uint64_t)value->number << 3) + wire_varint_size(value->bytes.size);
  wire_write_bytes(out, value->number, value->bytes);
  for (size_t i = start; i < out->size; i++)
    if (out->data[i] >= 'A' && out->data[i] <= 'F')
      out->data[i] = (char)(out->data[i] | 0x20);
}

// Copies a message that the field holds, or names, with tag and length.
static void copy_inside(struct filter *filter, const struct contract_field *field,
                        const struct contract_message *message, struct slice wire, struct strbuf *out)
{
  size_t mark = wire_begin_nested(out, field->number);
  filter->path[filter->depth++] = field;
  copy_message(filter, message, wire, out);
  filter->depth--;
  wire_end_nested(out, mark);
}

static void copy_any(struct filter *filter, const struct contract_message *any, struct slice wire, struct strbuf *out)
{
  struct held held = read_any(any, wire);
  if (held.message == NULL)
    return;
  wire_write_bytes(out, any->fields[0].number, held.url);
  if (well_known_is_text(held.message->well_known))
    wire_write_bytes(out, any->fields[1].number, held.wire);
  else
    copy_inside(filter, &any->fields[1], held.message, held.wire, out);
}

static void copy_field(struct filter *filter, const struct contract_field *field, const struct wire_field *value,
                       struct strbuf *out)
{
  if (field == NULL || is_taken_out(filter, field))
    return;
  if (field->type == CONTRACT_MESSAGE && !well_known_is_text(field->message->well_known)) {
    copy_inside(filter, field, field->message, value->bytes, out);
  } else if (value->type == WIRE_BYTES && is_lowered(filter, field, value->bytes)) {
    copy_lowered(value, out);
  } else {
    wire_write_field(out, value);
  }
}

// Copies a message that was looked at: it is whole, and not too deep.
static void copy_message(struct filter *filter, const struct contract_message *message, struct slice wire,
                         struct strbuf *out)
{
  if (message->well_known == CONTRACT_ANY) {
    copy_any(filter, message, wire, out);
    return;
  }
  struct wire_reader reader = wire_reader_make(wire);
  struct wire_field value;
  while (wire_read(&reader, &value) == WIRE_FIELD)
    copy_field(filter, field_by_number(message, value.number), &value, out);
}

// Returns the bytes of the message as they may pass: `wire` itself, or a copy in `out`.
static enum verdict pass(struct filter *filter, const struct contract_message *message, struct slice wire,
                         struct strbuf *out, struct slice *passed)
{
  enum verdict verdict = look_at_form(filter, message, wire);
  *passed = wire;
  if (verdict != CHANGED)
    return verdict;
  strbuf_clear(out);
  copy_message(filter, message, wire, out);
  *passed = strbuf_slice(out);
  return verdict;
}

// ---- requests and responses ----

static void report(const struct filter *filter, struct violations *violations)
{
  struct strbuf place;
  strbuf_init(&place, 0);
  for (size_t i = 0; i <= filter->depth; i++) {
    const struct contract_field *field = i < filter->depth ? filter->path[i] : filter->where;
    if (field == NULL)
      continue;
    if (place.size > 0)
      strbuf_add_byte(&place, '.');
    strbuf_add(&place, field->json_name);
  }
  violations_add(violations, strbuf_slice(&place), slice_from_string(filter->problem));
  strbuf_free(&place);
}

static bool has_field(struct slice wire, uint32_t number)
{
  struct wire_reader reader = wire_reader_make(wire);
  struct wire_field value;
  while (wire_read(&reader, &value) == WIRE_FIELD)
    if (value.number == number)
      return true;
  return false;
}

// Fills the fields that headers fill in REST, where the message does not have them. A value that is no text is none.
static void add_headers(const struct transcode_wire_request *request, struct strbuf *out, struct slice *message)
{
  const struct message_index *index = message_index(request->method->input);
  for (size_t i = 0; i < index->from_header_count && request->header != NULL; i++) {
    const struct contract_field *field = index->from_header[i];
    struct slice value = request->header(request->header_arg, field->rules.from_header);
    if (value.size == 0 || !utf8_valid(value) || has_field(*message, field->number))
      continue;
    if (message->data != out->data || out->size == 0) {
      strbuf_clear(out);
      strbuf_add(out, *message);
    }
    wire_write_bytes(out, field->number, value);
    *message = strbuf_slice(out);
  }
}

enum status transcode_request_from_wire(const struct transcode_wire_request *request, struct strbuf *out,
                                        struct slice *message, struct violations *violations)
{
  struct filter filter = {.method = request->method};
  strbuf_init(&filter.scratch, 0);
  enum verdict verdict = pass(&filter, request->method->input, request->wire, out, message);
  if (verdict == BROKEN)
    report(&filter, violations);
  else
    add_headers(request, out, message);
  strbuf_free(&filter.scratch);
  return verdict == BROKEN ? STATUS_INVALID_ARGUMENT : STATUS_OK;
}

enum status transcode_response_to_wire(const struct contract_message *message, struct slice wire, struct strbuf *out,
                                       struct slice *response)
{
  struct filter filter = {0};
  return pass(&filter, message, wire, out, response) == BROKEN ? STATUS_INTERNAL : STATUS_OK;
}
