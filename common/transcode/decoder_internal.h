// The decoder: one request on its way from JSON, path, query and headers to wire bytes. Messages are written as they
// are read; no tree is built in between. Private to this folder.
#ifndef BULKHEAD_TRANSCODE_DECODER_INTERNAL_H
#define BULKHEAD_TRANSCODE_DECODER_INTERNAL_H

#include "common/base/arena.h"
#include "common/base/jsontext_reader.h"
#include "common/base/strbuf.h"
#include "common/base/violation.h"
#include "common/contract/contract_layout.h"
#include "common/contract/duplicates.h"
#include "common/contract/update_mask.h"
#include "common/transcode/scalar_internal.h"
#include "common/transcode/transcode.h"

// A place in the document, as a chain on the stack with the innermost first. NULL is the whole document.
struct place {
  const struct place *parent;
  struct slice name;  // the member's name; NULL data for an item of a list
  size_t index;
  const struct contract_field *field;  // NULL for items and map entries
};

enum preset_origin { PRESET_PATH, PRESET_HEADER, PRESET_QUERY };

// A preset: a value from path, headers or query. The body may repeat it but not change it.
struct preset {
  enum preset_origin origin;
  const struct contract_field *path[CONTRACT_MAX_FIELD_PATH];
  size_t depth;
  struct slice text;   // the value, percent-decoded
  struct slice label;  // for violations: "item.id", "If-Match", "pageSize"
  bool written;
  size_t wire_offset;  // where the encoded field begins in `out`
  size_t wire_size;
};

struct decoder {
  struct jsontext_reader reader;
  struct arena *arena;
  struct strbuf *out;
  struct violations *violations;
  struct strbuf scratch;  // memory for sentences about rules
  struct strbuf spans;    // where each item of a list whose items must differ stands in `out`
  struct preset *presets;
  size_t preset_count;
  const struct contract_field *
      prefix[CONTRACT_MAX_FIELD_PATH];  // the fields that lead to the message being written, while presets can match it
  struct strbuf *gathered_mask;         // wire bytes of the FieldMask that is gathered from the body; NULL when none is
  bool merge_patch;                     // the body is a merge patch (RFC 7396)
  // Set where the whole message comes as one object: its method. NULL where parts come in path, headers and query.
  const struct contract_method *whole;
  bool rules_off;  // the update mask leaves out what is being read, so only its form is checked
  const struct transcode_profile *profile;
  unsigned depth;  // how many messages lie around the value that is read, the outermost left out
};

// What a message is decoded from, besides presets.
enum message_source {
  FROM_OBJECT,   // a JSON object whose { has been read
  FROM_BODY,     // the document is the value of `body_field`
  FROM_PRESETS,  // no JSON, presets alone
};

#define NO_SCOPE SIZE_MAX

struct message_target {
  const struct contract_message *message;
  const struct place *place;
  enum message_source source;
  const struct contract_field *body_field;  // the field that the body fills, with FROM_BODY
  const struct contract_field *mask_field;  // the field that gets decoder->gathered_mask, NULL for none
  bool in_any;                              // the object is that of an Any: its member "@type" is none of the message's
  size_t scope;             // how many fields of `prefix` lead to this message; NO_SCOPE where presets cannot match
  struct update_mask mask;  // which fields of the message an update writes; MASK_GIVEN while the mask is being gathered
};

// Starts with a profile of nothing, as clients get it.
void decoder_init(struct decoder *decoder, struct slice json, struct arena *arena, struct strbuf *out,
                  struct violations *violations);
void decoder_free(struct decoder *decoder);

void decoder_report(struct decoder *decoder, const struct place *place, const char *sentence);
// Reports the sentence of a rule, unless it is NULL or the update mask leaves the place out.
void decoder_report_rule(struct decoder *decoder, const struct place *place, const char *sentence);
// Reports the JSON reader's error with line and column.
void decoder_report_syntax(struct decoder *decoder);
static inline struct scalar_memory decoder_memory(struct decoder *decoder)
{
  return (struct scalar_memory){.arena = decoder->arena, .scratch = &decoder->scratch};
}

// A list of texts that grows in an arena.
struct slice_list {
  struct slice *items;
  size_t count;
  size_t capacity;
};
void slice_list_add(struct slice_list *list, struct slice item, struct arena *arena);

// decode_... functions return false only when the JSON text is broken, which ends the decoding. Every other mistake is
// reported, and decoding goes on.

// Decodes a message into its fields, without tag and length.
bool decode_message(struct decoder *decoder, const struct message_target *target) MUST_CHECK;
// Decodes the value of one field and writes it with its tag; `set` says whether the value was anything but null.
bool decode_field(struct decoder *decoder, const struct contract_field *field, const struct message_target *inside,
                  bool *set) MUST_CHECK;
// Decodes a value that is not null, whose first token was `token`, into the fields of a message, without tag and
// length. Messages with a JSON form of their own are read in it. `inside` says where the value stands.
bool decode_content(struct decoder *decoder, const struct contract_message *message, enum jsontext_token token,
                    const struct message_target *inside) MUST_CHECK;
// Whether null is a value of the field, or of its items, instead of saying that there is none: Value and NullValue.
static inline bool decode_takes_null(const struct contract_field *field)
{
  return (field->type == CONTRACT_MESSAGE && field->message->well_known == CONTRACT_VALUE) ||
         (field->type == CONTRACT_ENUM && field->enumeration->is_null);
}
// Goes into a message. False where too many lie inside each other, which is reported; then the value must be skipped.
bool decoder_enter(struct decoder *decoder, const struct place *place) MUST_CHECK;
static inline void decoder_leave(struct decoder *decoder)
{
  decoder->depth--;
}
// Skips the rest of the value whose first token was `token`.
bool decode_skip(struct decoder *decoder, enum jsontext_token token) MUST_CHECK;
// Copies the object of a FORMAT_JSON_OBJECT field, whose { has been read, to `out`, without white space.
bool decode_raw_object(struct decoder *decoder, const struct place *place) MUST_CHECK;

// ---- presets: decode_presets.c ----

// Writes the presets that fill fields of the target's own message, and adds those fields to `bound`.
void presets_write_leaves(struct decoder *decoder, const struct message_target *target, uint64_t *bound);
// Whether the field that was just written at `start` agrees with the preset of the same field.
bool presets_agree(const struct decoder *decoder, const struct message_target *target,
                   const struct contract_field *field, size_t start);
const struct preset *presets_find(const struct decoder *decoder, const struct message_target *target,
                                  const struct contract_field *field);
// Returns a message field of the target whose inner fields have presets and that is not in `set`, and adds it to `set`.
// NULL when none is left.
const struct contract_field *presets_next_nested(const struct decoder *decoder, const struct message_target *target,
                                                 uint64_t *set);

// ---- messages of any content: decode_any.c ----

// Decodes a JSON object, whose { has been read, as the fields of a google.protobuf.Struct.
bool decode_struct(struct decoder *decoder, const struct place *place) MUST_CHECK;
// Decodes the items of a JSON array, whose [ has been read, as the values of a google.protobuf.ListValue.
bool decode_list_value(struct decoder *decoder, const struct place *place) MUST_CHECK;
// Decodes any JSON value as the fields of a google.protobuf.Value.
bool decode_value(struct decoder *decoder, enum jsontext_token token, const struct place *place) MUST_CHECK;
// Decodes a JSON object, whose { has been read, as the fields of the google.protobuf.Any `any`.
bool decode_any(struct decoder *decoder, const struct contract_message *any, const struct place *place) MUST_CHECK;

#endif
