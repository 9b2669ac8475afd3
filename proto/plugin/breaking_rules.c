// Reports rules that became tighter, so that a request that was accepted is refused.
#include <string.h>

#include "common/base/compiler.h"
#include "proto/plugin/breaking_internal.h"

static uint32_t max_length(const struct field_rules *rules)
{
  return rules->max_length == 0 ? RULES_DEFAULT_MAX_LENGTH : rules->max_length;
}

static uint32_t max_items(const struct field_rules *rules)
{
  return rules->max_items == 0 ? RULES_DEFAULT_MAX_ITEMS : rules->max_items;
}

static bool allows_text(const struct field_rules *rules, const char *text)
{
  for (size_t i = 0; i < rules->one_of_count; i++)
    if (strcmp(rules->one_of[i], text) == 0)
      return true;
  return rules->one_of_count == 0;
}

// Whether one_of lost a value that was accepted.
static bool lost_value(const struct field_rules *old, const struct field_rules *new)
{
  if (old->one_of_count == 0)
    return new->one_of_count > 0;
  for (size_t i = 0; i < old->one_of_count; i++)
    if (!allows_text(new, old->one_of[i]))
      return true;
  return false;
}

void compare_rules(struct comparison *comparison, const struct pair *pair, const struct contract_field *released,
                   const struct contract_field *present)
{
  const struct field_rules *old = &released->rules;
  const struct field_rules *new = &present->rules;
  if (new->output_only && old->output_only)
    return;
  const struct {
    bool is_tighter;
    const char *change;
    const char *consequence;
  } table[] = {
      {new->required && !old->required, "the field is required now", "leave it out are refused"},
      {new->immutable && !old->immutable, "the field is immutable now", "change it are refused"},
      {new->output_only && !old->output_only, "the field is output_only now", "send it find their value ignored"},
      {new->min_length > old->min_length, "min_length was raised", "send shorter values are refused"},
      {max_length(new) < max_length(old), "max_length was lowered", "send longer values are refused"},
      {new->min_items > old->min_items, "min_items was raised", "send fewer items are refused"},
      {max_items(new) < max_items(old), "max_items was lowered", "send more items are refused"},
      {new->unique_items && !old->unique_items, "unique_items was added", "send an item twice are refused"},
      {new->has_minimum && (!old->has_minimum || new->minimum > old->minimum), "minimum was added or raised",
       "send smaller numbers are refused"},
      {new->has_maximum && (!old->has_maximum || new->maximum < old->maximum), "maximum was added or lowered",
       "send larger numbers are refused"},
      {new->format != FORMAT_NONE &&new->format != old->format, "format was added or changed",
       "send other texts are refused"},
      {new->defined_only && !old->defined_only, "defined_only was added", "send other numbers are refused"},
      {lost_value(old, new), "one_of accepts less", "send the other values are refused"},
  };
  for (size_t i = 0; i < ARRAY_LEN(table); i++)
    if (table[i].is_tighter)
      diagnostics_add(comparison->diagnostics, &present->place, field_element(comparison, pair->present, present),
                      "%s; %s that %s; take it back", table[i].change, clients_of(pair->request), table[i].consequence);
}

void compare_new_field(struct comparison *comparison, const struct pair *pair, const struct contract_field *present)
{
  if (present->absence != NULL && !present->rules.output_only)
    diagnostics_add(comparison->diagnostics, &present->place, field_element(comparison, pair->present, present),
                    "the new field must be sent; %s that do not know it are refused; make it optional, or take the "
                    "rule back",
                    clients_of(pair->request));
}
