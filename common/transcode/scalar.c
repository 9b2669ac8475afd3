// Writes scalars as wire bytes and as JSON, and checks their rules.
#include "common/transcode/scalar_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/codec.h"
#include "common/base/jsontext_writer.h"
#include "common/base/utf8.h"
#include "common/contract/rules.h"

static double bits_to_double(enum contract_type type, uint64_t bits)
{
  if (type == CONTRACT_FLOAT) {
    uint32_t word = (uint32_t)bits;
    float single;
    memcpy(&single, &word, sizeof(single));
    return (double)single;
  }
  double value;
  memcpy(&value, &bits, sizeof(value));
  return value;
}

static const struct contract_enum_value *find_number(const struct contract_enum *enumeration, int64_t number)
{
  size_t low = 0;
  size_t high = enumeration->number_count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (enumeration->by_number[middle]->number < number)
      low = middle + 1;
    else
      high = middle;
  }
  return low < enumeration->number_count && enumeration->by_number[low]->number == number ? enumeration->by_number[low]
                                                                                          : NULL;
}

static const char *check_enum(const struct contract_field *field, int64_t number, struct strbuf *scratch)
{
  bool is_closed = field->rules.defined_only || field->enumeration->is_closed;
  return is_closed && find_number(field->enumeration, number) == NULL ? scalar_name_values(field->enumeration, scratch)
                                                                      : rules_check_int(&field->rules, number, scratch);
}

const char *scalar_check_rules(const struct contract_field *field, const struct scalar *value, struct strbuf *scratch)
{
  // Required is about fields without presence: a field with presence is set whatever its value, and so is an item of a
  // list.
  if (field->rules.required && !field->has_presence && !field->repeated && scalar_is_default(field, value))
    return RULES_REQUIRED;
  switch (field->type) {
  case CONTRACT_STRING:
    return (field->repeated ? rules_check_text_item : rules_check_text)(&field->rules, value->bytes, scratch);
  case CONTRACT_BYTES:
    return rules_check_bytes(&field->rules, value->bytes, scratch);
  case CONTRACT_UINT64:
  case CONTRACT_FIXED64:
  case CONTRACT_UINT32:
  case CONTRACT_FIXED32:
    return rules_check_uint(&field->rules, value->bits, scratch);
  case CONTRACT_DOUBLE:
  case CONTRACT_FLOAT:
    return rules_check_double(&field->rules, bits_to_double(field->type, value->bits), scratch);
  case CONTRACT_ENUM:
    return check_enum(field, (int64_t)value->bits, scratch);
  default:
    return rules_check_int(&field->rules, (int64_t)value->bits, scratch);
  }
}

enum wire_type scalar_wire_type(enum contract_type type)
{
  switch (type) {
  case CONTRACT_DOUBLE:
  case CONTRACT_FIXED64:
  case CONTRACT_SFIXED64:
    return WIRE_FIXED64;
  case CONTRACT_FLOAT:
  case CONTRACT_FIXED32:
  case CONTRACT_SFIXED32:
    return WIRE_FIXED32;
  case CONTRACT_STRING:
  case CONTRACT_BYTES:
  case CONTRACT_MESSAGE:
    return WIRE_BYTES;
  default:
    return WIRE_VARINT;
  }
}

static uint64_t bits_to_varint(enum contract_type type, uint64_t bits)
{
  return type == CONTRACT_SINT32 || type == CONTRACT_SINT64 ? wire_zigzag((int64_t)bits) : bits;
}

void scalar_write(struct strbuf *out, const struct contract_field *field, const struct scalar *value)
{
  switch (scalar_wire_type(field->type)) {
  case WIRE_BYTES:
    wire_write_bytes(out, field->number, value->bytes);
    break;
  case WIRE_FIXED64:
    wire_write_fixed64(out, field->number, value->bits);
    break;
  case WIRE_FIXED32:
    wire_write_fixed32(out, field->number, (uint32_t)value->bits);
    break;
  default:
    wire_write_varint(out, field->number, bits_to_varint(field->type, value->bits));
    break;
  }
}

void scalar_write_packed(struct strbuf *out, enum contract_type type, uint64_t bits)
{
  enum wire_type wire_type = scalar_wire_type(type);
  if (wire_type == WIRE_VARINT) {
    wire_write_raw_varint(out, bits_to_varint(type, bits));
    return;
  }
  for (unsigned i = 0; i < (wire_type == WIRE_FIXED64 ? 8u : 4u); i++)
    strbuf_add_byte(out, (char)(bits >> (8 * i)));
}

uint64_t scalar_bits_from_wire(enum contract_type type, uint64_t varint)
{
  switch (type) {
  case CONTRACT_SINT32:
    return (uint64_t)(int64_t)(int32_t)wire_unzigzag((uint32_t)varint);
  case CONTRACT_SINT64:
    return (uint64_t)wire_unzigzag(varint);
  case CONTRACT_INT32:
  case CONTRACT_ENUM:
  case CONTRACT_SFIXED32:
    // Only the low 32 bits of the varint count, as in every other reader of protobuf.
    return (uint64_t)(int64_t)(int32_t)(uint32_t)varint;
  case CONTRACT_UINT32:
    return (uint32_t)varint;
  case CONTRACT_BOOL:
    return varint != 0;
  default:
    return varint;
  }
}

// Writes the fewest digits that read back as the same number.
static void write_double(struct strbuf *json, double value)
{
  char text[40];
  int length = 0;
  for (int precision = 15; precision <= 17; precision++) {
    length = snprintf(text, sizeof(text), "%.*g", precision, value);
    if (strtod(text, NULL) == value)
      break;
  }
  strbuf_add(json, slice_make(text, (size_t)length));
}

static void write_float(struct strbuf *json, float value)
{
  char text[40];
  int length = 0;
  for (int precision = 6; precision <= 9; precision++) {
    length = snprintf(text, sizeof(text), "%.*g", precision, (double)value);
    if (strtof(text, NULL) == value)
      break;
  }
  strbuf_add(json, slice_make(text, (size_t)length));
}

static void floating_to_json(struct strbuf *json, enum contract_type type, uint64_t bits)
{
  double value = bits_to_double(type, bits);
  if (isnan(value))
    strbuf_add_string(json, "\"NaN\"");
  else if (isinf(value))
    strbuf_add_string(json, value > 0 ? "\"Infinity\"" : "\"-Infinity\"");
  else if (type == CONTRACT_FLOAT)
    write_float(json, (float)value);
  else
    write_double(json, value);
}

static void enum_to_json(struct strbuf *json, const struct contract_enum *enumeration, int64_t number)
{
  const struct contract_enum_value *value = find_number(enumeration, number);
  if (enumeration->is_null) {
    strbuf_add_string(json, "null");
  } else if (value == NULL) {
    // An unknown number is written as a number, because a newer service may know more values than this contract.
    strbuf_add_int(json, number);
  } else {
    strbuf_add_byte(json, '"');
    strbuf_add(json, value->name);
    strbuf_add_byte(json, '"');
  }
}

bool scalar_to_json(struct strbuf *json, const struct contract_field *field, const struct scalar *value)
{
  switch (field->type) {
  case CONTRACT_STRING:
    return jsontext_write_text(json, value->bytes);
  case CONTRACT_BYTES:
    strbuf_add_byte(json, '"');
    base64_encode(value->bytes, json);
    strbuf_add_byte(json, '"');
    break;
  case CONTRACT_BOOL:
    strbuf_add(json, value->bits != 0 ? SLICE("true") : SLICE("false"));
    break;
  case CONTRACT_ENUM:
    enum_to_json(json, field->enumeration, (int64_t)value->bits);
    break;
  case CONTRACT_DOUBLE:
  case CONTRACT_FLOAT:
    floating_to_json(json, field->type, value->bits);
    break;
  // 64-bit numbers are written as strings, because JavaScript's numbers cannot hold them all.
  case CONTRACT_INT64:
  case CONTRACT_SINT64:
  case CONTRACT_SFIXED64:
    strbuf_add_byte(json, '"');
    strbuf_add_int(json, (int64_t)value->bits);
    strbuf_add_byte(json, '"');
    break;
  case CONTRACT_UINT64:
  case CONTRACT_FIXED64:
    strbuf_add_byte(json, '"');
    strbuf_add_uint(json, value->bits);
    strbuf_add_byte(json, '"');
    break;
  default:
    strbuf_add_int(json, (int64_t)value->bits);
    break;
  }
  return true;
}

bool scalar_read_packed(struct wire_reader *reader, enum wire_type type, uint64_t *out)
{
  if (type != WIRE_VARINT) {
    size_t size = type == WIRE_FIXED64 ? 8 : 4;
    if ((size_t)(reader->end - reader->next) < size)
      return false;
    *out = 0;
    for (size_t i = 0; i < size; i++)
      *out |= (uint64_t)reader->next[i] << (8 * i);
    reader->next += size;
    return true;
  }
  *out = 0;
  for (unsigned shift = 0; shift < 70 && reader->next < reader->end; shift += 7) {
    uint8_t byte = *reader->next++;
    if (shift == 63 && byte > 1)
      return false;
    *out |= (uint64_t)(byte & 0x7F) << shift;
    if (byte < 0x80)
      return true;
  }
  return false;
}
