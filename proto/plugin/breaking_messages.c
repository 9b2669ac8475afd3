// Compares messages, fields and enums. RPC clients rely on numbers and types, REST clients on JSON names.
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "proto/plugin/breaking_internal.h"

const char *field_element(struct comparison *comparison, const struct contract_message *message,
                          const struct contract_field *field)
{
  return arena_printf(&comparison->arena, "%s." SLICE_FMT, message->full_name, SLICE_ARG(field->name));
}

// ---- pairs ----

static struct pair *find_pair(struct comparison *comparison, const struct contract_message *released,
                              const struct contract_message *present)
{
  for (size_t i = 0; i < comparison->pair_count; i++)
    if (comparison->pairs[i].released == released && comparison->pairs[i].present == present)
      return &comparison->pairs[i];
  if (comparison->pair_count == comparison->pair_capacity) {
    comparison->pair_capacity = comparison->pair_capacity == 0 ? 64 : 2 * comparison->pair_capacity;
    comparison->pairs = realloc(comparison->pairs, comparison->pair_capacity * sizeof(*comparison->pairs));
    CHECK(comparison->pairs != NULL);
  }
  struct pair *added = &comparison->pairs[comparison->pair_count++];
  *added = (struct pair){.released = released, .present = present};
  return added;
}

void comparison_add_pair(struct comparison *comparison, const struct contract_message *released,
                         const struct contract_message *present, unsigned use)
{
  struct pair *pair = find_pair(comparison, released, present);
  unsigned *known = (use & USE_REQUEST) != 0 ? &pair->request : &pair->response;
  if ((*known | use) == *known)
    return;
  *known |= use;
  // The recursion ends, because no message holds itself.
  for (size_t i = 0; i < released->field_count; i++) {
    const struct contract_field *old = &released->fields[i];
    const struct contract_field *new = contract_field_by_number(present, old->number);
    if (old->message != NULL && new != NULL &&new->message != NULL)
      comparison_add_pair(comparison, old->message, new->message, use);
  }
}

// ---- enums ----

static const struct contract_enum_value *find_value(const struct contract_enum *enumeration, struct slice name)
{
  for (size_t i = 0; i < enumeration->value_count; i++)
    if (slice_equal(enumeration->values[i].name, name))
      return &enumeration->values[i];
  return NULL;
}

static bool has_number(const struct contract_enum *enumeration, int32_t number)
{
  for (size_t i = 0; i < enumeration->value_count; i++)
    if (enumeration->values[i].number == number)
      return true;
  return false;
}

static void compare_enums(struct comparison *comparison, unsigned use, const struct contract_enum *released,
                          const struct contract_enum *present)
{
  for (size_t i = 0; i < released->value_count; i++) {
    const struct contract_enum_value *old = &released->values[i];
    const struct contract_enum_value *new = find_value(present, old->name);
    bool has_its_number = has_number(present, old->number);
    if (new != NULL &&new->number != old->number)
      diagnostics_add(comparison->diagnostics, &new->place, present->full_name,
                      "the number of " SLICE_FMT
                      " changed from %d to %d; RPC clients send and read the old one; restore it",
                      SLICE_ARG(old->name), old->number, new->number);
    else if (new == NULL && has_its_number && (use & USE_REST) != 0)
      diagnostics_add(comparison->diagnostics, &present->place, present->full_name,
                      "the value " SLICE_FMT " (%d) was renamed; REST clients send and read the old name; restore it",
                      SLICE_ARG(old->name), old->number);
    else if (new == NULL && !has_its_number)
      diagnostics_add(comparison->diagnostics, &present->place, present->full_name,
                      "the value " SLICE_FMT " (%d) was removed; %s that %s; keep it", SLICE_ARG(old->name),
                      old->number, clients_of(use),
                      (use & USE_REQUEST) != 0 ? "send it are refused" : "wait for it do not get it any more");
  }
}

// ---- fields ----

static const char *type_text(struct comparison *comparison, const struct contract_field *field)
{
  static const char *const NAMES[] = {
      [CONTRACT_DOUBLE] = "double",   [CONTRACT_FLOAT] = "float",       [CONTRACT_INT64] = "int64",
      [CONTRACT_UINT64] = "uint64",   [CONTRACT_INT32] = "int32",       [CONTRACT_FIXED64] = "fixed64",
      [CONTRACT_FIXED32] = "fixed32", [CONTRACT_BOOL] = "bool",         [CONTRACT_STRING] = "string",
      [CONTRACT_MESSAGE] = "message", [CONTRACT_BYTES] = "bytes",       [CONTRACT_UINT32] = "uint32",
      [CONTRACT_ENUM] = "enum",       [CONTRACT_SFIXED32] = "sfixed32", [CONTRACT_SFIXED64] = "sfixed64",
      [CONTRACT_SINT32] = "sint32",   [CONTRACT_SINT64] = "sint64",
  };
  const char *name = field->message != NULL ? field->message->full_name : NAMES[field->type];
  return field->is_map ? "map" : field->repeated ? arena_printf(&comparison->arena, "repeated %s", name) : name;
}

static bool same_type(const struct contract_field *a, const struct contract_field *b)
{
  if (a->type != b->type || a->repeated != b->repeated || a->is_map != b->is_map)
    return false;
  // Google's messages have JSON forms of their own.
  return a->message == NULL || a->message->well_known == b->message->well_known;
}

static const char *oneof_name(const struct contract_message *message, const struct contract_field *field)
{
  return field->oneof_index < 0 ? NULL : message->oneofs[field->oneof_index].name;
}

static void compare_presence(struct comparison *comparison, const struct pair *pair, const struct contract_field *old,
                             const struct contract_field *new)
{
  const char *element = field_element(comparison, pair->present, new);
  const char *oneof = oneof_name(pair->present, new);
  unsigned use = pair->request | pair->response;
  if (oneof != NULL && oneof_name(pair->released, old) == NULL)
    diagnostics_add(comparison->diagnostics, &new->place, element,
                    "the field moved into the oneof %s; %s that set another of its fields, too, lose one; take it out",
                    oneof, clients_of(use));
  if (new->optional && !old->has_presence && (pair->response & USE_REST) != 0)
    diagnostics_add(comparison->diagnostics, &new->place, element,
                    "the field became optional; REST clients that read it rely on its being there; take optional back");
  if (old->optional && !new->has_presence &&new->has_rules && pair->request != 0)
    diagnostics_add(comparison->diagnostics, &new->place, element,
                    "the field is not optional any more, so its rules hold for requests without it; %s may be refused; "
                    "restore optional",
                    clients_of(pair->request));
}

static void compare_headers(struct comparison *comparison, const struct pair *pair, const struct contract_field *old,
                            const struct contract_field *new)
{
  const struct {
    unsigned use;
    const char *name;
    const char *released;
    const char *present;
  } table[] = {
      {pair->request, "from_header", old->rules.from_header, new->rules.from_header},
      {pair->response, "to_header", old->rules.to_header, new->rules.to_header},
  };
  for (size_t i = 0; i < 2; i++)
    if ((table[i].use & USE_REST) != 0 && table[i].released != NULL &&
        (table[i].present == NULL || strcmp(table[i].released, table[i].present) != 0))
      diagnostics_add(comparison->diagnostics, &new->place, field_element(comparison, pair->present, new),
                      "%s %s is gone; REST clients use that header; restore it", table[i].name, table[i].released);
}

static void compare_fields(struct comparison *comparison, const struct pair *pair, const struct contract_field *old,
                           const struct contract_field *new)
{
  const char *element = field_element(comparison, pair->present, new);
  unsigned use = pair->request | pair->response;
  if (!slice_equal(old->json_name, new->json_name) && (use & USE_REST) != 0)
    diagnostics_add(comparison->diagnostics, &new->place, element,
                    "the JSON name of field %u changed from " SLICE_FMT " to " SLICE_FMT
                    "; REST clients send and read the old one; restore it, or write json_name = \"" SLICE_FMT "\"",
                    new->number, SLICE_ARG(old->json_name), SLICE_ARG(new->json_name), SLICE_ARG(old->json_name));
  if (!same_type(old, new)) {
    diagnostics_add(comparison->diagnostics, &new->place, element,
                    "the type of field %u changed from %s to %s; %s send and read the old one; restore it", new->number,
                    type_text(comparison, old), type_text(comparison, new), clients_of(use));
    return;
  }
  if (old->enumeration != NULL)
    compare_enums(comparison, use, old->enumeration, new->enumeration);
  compare_presence(comparison, pair, old, new);
  compare_headers(comparison, pair, old, new);
  if (new->rules.secret && !old->rules.secret && (pair->response & USE_REST) != 0)
    diagnostics_add(comparison->diagnostics, &new->place, element,
                    "the field became a secret; REST clients that read it do not get it any more; keep it readable");
  if (pair->request != 0)
    compare_rules(comparison, pair, old, new);
}

static bool is_reserved(const struct contract_message *message, uint32_t number)
{
  for (size_t i = 0; i < message->reserved_count; i++)
    if (number >= (uint32_t)message->reserved[i].first && number <= (uint32_t)message->reserved[i].last)
      return true;
  return false;
}

static void report_removed(struct comparison *comparison, const struct pair *pair, const struct contract_field *old)
{
  const struct contract_message *message = pair->present;
  unsigned use = pair->request | pair->response;
  if (!is_reserved(message, old->number))
    diagnostics_add(comparison->diagnostics, &message->place, message->full_name,
                    "field %u (" SLICE_FMT ") was removed and its number is free; RPC clients that send it are misread "
                    "when another field takes the number; write reserved %u;",
                    old->number, SLICE_ARG(old->name), old->number);
  if ((use & USE_REST) != 0)
    diagnostics_add(comparison->diagnostics, &message->place, message->full_name,
                    "field %u (" SLICE_FMT ") was removed; REST clients that %s; keep it", old->number,
                    SLICE_ARG(old->json_name),
                    (pair->request & USE_REST) != 0 ? "send it are answered 400" : "read it do not get it any more");
}

// Compares one released field. The present field with its number may have another name, and the one with its name
// another number.
static void compare_field(struct comparison *comparison, const struct pair *pair, const struct contract_field *old)
{
  const struct contract_field *same_number = contract_field_by_number(pair->present, old->number);
  const struct contract_field *same_name = contract_field_by_name(pair->present, old->name);
  if (same_name != NULL && same_name != same_number)
    diagnostics_add(comparison->diagnostics, &same_name->place, field_element(comparison, pair->present, same_name),
                    "the number changed from %u to %u; RPC clients send and read the old one; restore it", old->number,
                    same_name->number);
  else if (same_number == NULL)
    report_removed(comparison, pair, old);
  else
    compare_fields(comparison, pair, old, same_number);
}

// True where the members of the released oneof that are still there are members of the present one, and some are.
static bool keeps_members(const struct pair *pair, size_t released_oneof, size_t present_oneof)
{
  bool keeps = false;
  for (size_t i = 0; i < pair->released->field_count; i++) {
    const struct contract_field *old = &pair->released->fields[i];
    const struct contract_field *kept = contract_field_by_number(pair->present, old->number);
    if (old->oneof_index != (int)released_oneof || kept == NULL)
      continue;
    if (kept->oneof_index != (int)present_oneof)
      return false;
    keeps = true;
  }
  return keeps;
}

// True where every released request has a member of the present oneof. A oneof is known by its members, because its
// name is not sent.
static bool was_required(const struct pair *pair, size_t present_oneof)
{
  for (size_t i = 0; i < pair->released->oneof_count; i++)
    if (pair->released->oneofs[i].required && keeps_members(pair, i, present_oneof))
      return true;
  return false;
}

static void compare_pair(struct comparison *comparison, const struct pair *pair)
{
  const struct contract_message *released = pair->released;
  const struct contract_message *present = pair->present;
  for (size_t i = 0; i < released->field_count; i++)
    compare_field(comparison, pair, &released->fields[i]);
  for (size_t i = 0; i < present->field_count && pair->request != 0; i++) {
    const struct contract_field *field = &present->fields[i];
    if (contract_field_by_number(released, field->number) == NULL &&
        contract_field_by_name(released, field->name) == NULL)
      compare_new_field(comparison, pair, field);
  }
  for (size_t i = 0; i < present->oneof_count && pair->request != 0; i++)
    if (present->oneofs[i].required && !was_required(pair, i))
      diagnostics_add(comparison->diagnostics, &present->place, present->full_name,
                      "the oneof %s is required now; %s that leave it out are refused; take required back",
                      present->oneofs[i].name, clients_of(pair->request));
}

void compare_messages(struct comparison *comparison)
{
  for (size_t i = 0; i < comparison->pair_count; i++)
    compare_pair(comparison, &comparison->pairs[i]);
}
