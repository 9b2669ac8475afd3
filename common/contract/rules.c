// Checks values against FieldRules, in the order that helps a caller most: is it text, is it short enough, does it have
// the right form.
#include "common/contract/rules.h"

#include "common/base/utf8.h"
#include "common/contract/formats.h"

static const char MUST_NOT_BE_EMPTY[] = "must not be empty";

static uint32_t max_length(const struct field_rules *rules)
{
  return rules->max_length == 0 ? RULES_DEFAULT_MAX_LENGTH : rules->max_length;
}

static const char *say(struct strbuf *scratch, const char *before, int64_t number, const char *after)
{
  strbuf_clear(scratch);
  strbuf_add_string(scratch, before);
  strbuf_add_int(scratch, number);
  strbuf_add_string(scratch, after);
  return strbuf_cstring(scratch);
}

// Checks the length of a text or of bytes. `characters` counts what the rule counts; NULL means bytes. It is called
// only when the size in bytes does not settle the matter, because most texts are short.
static const char *check_length(const struct field_rules *rules, size_t size, size_t (*characters)(struct slice),
                                struct slice value, struct strbuf *scratch)
{
  uint32_t max = max_length(rules);
  if (size <= max && rules->min_length <= (size > 0 ? 1u : 0u))
    return NULL;
  if (size == 0 && rules->min_length == 1)
    return MUST_NOT_BE_EMPTY;
  size_t length = characters == NULL ? size : characters(value);
  const char *unit = characters == NULL ? " bytes" : " characters";
  if (length > max)
    return say(scratch, "must be at most ", max, unit);
  return length < rules->min_length ? say(scratch, "must be at least ", rules->min_length, unit) : NULL;
}

static const char *check_one_of(const struct field_rules *rules, struct slice value, struct strbuf *scratch)
{
  for (size_t i = 0; i < rules->one_of_count; i++)
    if (slice_equal_string(value, rules->one_of[i]))
      return NULL;
  const char *separator = "";
  strbuf_clear(scratch);
  strbuf_add_string(scratch, "must be one of: ");
  for (size_t i = 0; i < rules->one_of_count; i++) {
    // "" is accepted but not listed, because it does not help the caller.
    if (rules->one_of[i][0] == '\0')
      continue;
    strbuf_add_string(scratch, separator);
    strbuf_add_string(scratch, rules->one_of[i]);
    separator = ", ";
  }
  return strbuf_cstring(scratch);
}

const char *rules_check_text(const struct field_rules *rules, struct slice value, struct strbuf *scratch)
{
  if (value.size > 0 && !utf8_valid(value))
    return "must be valid UTF-8";
  if (value.size > 0 && memchr(value.data, 0, value.size) != NULL)
    return "must not contain the character U+0000";
  const char *problem = check_length(rules, value.size, utf8_length, value, scratch);
  if (problem == NULL && rules->one_of_count > 0)
    problem = check_one_of(rules, value, scratch);
  return problem != NULL || value.size == 0 ? problem : format_check(rules->format, value);
}

const char *rules_check_text_item(const struct field_rules *rules, struct slice value, struct strbuf *scratch)
{
  if (value.size == 0 && rules->format != FORMAT_NONE)
    return MUST_NOT_BE_EMPTY;
  return rules_check_text(rules, value, scratch);
}

const char *rules_check_bytes(const struct field_rules *rules, struct slice value, struct strbuf *scratch)
{
  return check_length(rules, value.size, NULL, value, scratch);
}

const char *rules_check_int(const struct field_rules *rules, int64_t value, struct strbuf *scratch)
{
  if (rules->has_minimum && value < rules->minimum)
    return say(scratch, "must be at least ", rules->minimum, "");
  if (rules->has_maximum && value > rules->maximum)
    return say(scratch, "must be at most ", rules->maximum, "");
  return NULL;
}

const char *rules_check_uint(const struct field_rules *rules, uint64_t value, struct strbuf *scratch)
{
  if (value <= INT64_MAX)
    return rules_check_int(rules, (int64_t)value, scratch);
  return rules->has_maximum ? say(scratch, "must be at most ", rules->maximum, "") : NULL;
}

const char *rules_check_double(const struct field_rules *rules, double value, struct strbuf *scratch)
{
  // The comparisons are negated so that NaN violates every bound.
  if (rules->has_minimum && !(value >= (double)rules->minimum))
    return say(scratch, "must be at least ", rules->minimum, "");
  if (rules->has_maximum && !(value <= (double)rules->maximum))
    return say(scratch, "must be at most ", rules->maximum, "");
  return NULL;
}

const char *rules_check_count(const struct field_rules *rules, size_t items, struct strbuf *scratch)
{
  if (items == 0 && rules->required)
    return RULES_REQUIRED;
  uint32_t max = rules->max_items == 0 ? RULES_DEFAULT_MAX_ITEMS : rules->max_items;
  if (items > max)
    return say(scratch, "must have at most ", max, " items");
  return items < rules->min_items ? say(scratch, "must have at least ", rules->min_items, " items") : NULL;
}

void rules_begin_names(struct strbuf *scratch)
{
  strbuf_clear(scratch);
  strbuf_add_string(scratch, "must be one of: ");
}

void rules_add_name(struct slice name, size_t index, struct strbuf *scratch)
{
  enum { MAX_NAMED = 20 };
  if (index > MAX_NAMED)
    return;
  strbuf_add_string(scratch, index == 0 ? "" : ", ");
  strbuf_add(scratch, index == MAX_NAMED ? SLICE("...") : name);
}
