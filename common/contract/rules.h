// The rules of a field (FieldRules of proto/bulkhead/v1/options.proto), and the functions that check it. The gateway
// has the rules from descriptors, the services from tables that protoc-gen-bulkhead wrote.
#ifndef BULKHEAD_CONTRACT_RULES_H
#define BULKHEAD_CONTRACT_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/slice.h"
#include "common/base/strbuf.h"

// The format of a text. The numbers are those of bulkhead.v1.Format in options.proto.
enum field_format {
  FORMAT_NONE = 0,
  FORMAT_EMAIL = 1,
  FORMAT_UUID = 2,
  FORMAT_DECIMAL = 3,
  FORMAT_CURRENCY = 4,
  FORMAT_JSON_OBJECT = 5,
  FORMAT_URL_TOKEN = 6,
  FORMAT_LINE = 7,
};

#define RULES_DEFAULT_MAX_LENGTH 65536u
#define RULES_DEFAULT_MAX_ITEMS 1000u
// How many messages may lie inside each other in a request or a reply, below the outermost: whoever unpacks them has a
// stack that ends.
#define CONTRACT_MAX_DEPTH 32u
// How deep the value of a FORMAT_JSON_OBJECT field may nest.
#define RULES_JSON_MAX_DEPTH 32u

struct field_rules {
  bool required;
  bool unique_items;
  bool output_only;
  bool immutable;
  bool secret;
  bool defined_only;
  bool has_minimum;
  bool has_maximum;
  enum field_format format;
  uint32_t min_length;
  uint32_t max_length;  // 0 stands for RULES_DEFAULT_MAX_LENGTH
  uint32_t min_items;
  uint32_t max_items;  // 0 stands for RULES_DEFAULT_MAX_ITEMS
  int64_t minimum;
  int64_t maximum;
  const char *from_header;  // request header that fills the field; NULL without one
  const char *to_header;
  const char *example;
  const char *const *one_of;  // the accepted values; NULL when every value is accepted
  size_t one_of_count;
};

// The violation of a required field that is not set.
#define RULES_REQUIRED "is required"

// rules_check_... checks a value. Returns NULL when it keeps the rules, else a sentence for the caller that says what
// is accepted, such as "must be at most 128 characters". The sentence is static or in `scratch`, which is cleared
// first. Texts are also checked for UTF-8 and U+0000. Zero and the empty text are values like any other, but formats
// admit the empty text. Only rules_check_count looks at `required`, because an empty list is one that is not set; for
// other fields their presence decides, which the caller knows.
const char *rules_check_text(const struct field_rules *rules, struct slice value, struct strbuf *scratch);
const char *rules_check_bytes(const struct field_rules *rules, struct slice value, struct strbuf *scratch);
const char *rules_check_int(const struct field_rules *rules, int64_t value, struct strbuf *scratch);
const char *rules_check_uint(const struct field_rules *rules, uint64_t value, struct strbuf *scratch);
const char *rules_check_double(const struct field_rules *rules, double value, struct strbuf *scratch);
const char *rules_check_count(const struct field_rules *rules, size_t items, struct strbuf *scratch);
// Checks a text that is an item of a list. It must not be empty where the list has a format.
const char *rules_check_text_item(const struct field_rules *rules, struct slice value, struct strbuf *scratch);

// rules_begin_names and rules_add_name write the sentence about a value of an enum that is none of its values: the
// first names, in the order of their numbers.
void rules_begin_names(struct strbuf *scratch);
void rules_add_name(struct slice name, size_t index, struct strbuf *scratch);

#endif
