// Places in the order of changes, and what a watcher's filter makes of a change.
#include <criterion/criterion.h>
#include <string.h>

#include "services/item/item_change.h"

Test(positions, are_ordered_by_clock_and_then_by_id)
{
  const struct item_position rising[] = {{0, 0}, {0, 1}, {7, 0}, {7, 2}, {8, 0}, {8, 1}};
  for (size_t i = 0; i < 6; i++)
    for (size_t j = 0; j < 6; j++) {
      int order = item_position_compare(rising[i], rising[j]);
      cr_expect_eq((order > 0) - (order < 0), (i > j) - (i < j), "%zu and %zu", i, j);
    }
}

Test(positions, tokens_bring_them_back)
{
  const struct item_position positions[] = {{0, 0}, {1, 2}, {INT64_MAX, INT64_MAX}, {INT64_C(1) << 40, 255}};
  for (size_t i = 0; i < 4; i++) {
    char token[ITEM_TOKEN_SIZE];
    struct item_position read = {-1, -1};
    item_position_write(positions[i], token);
    cr_assert_eq(strlen(token), ITEM_TOKEN_SIZE - 1);
    cr_assert(item_position_read(slice_from_string(token), &read));
    cr_expect_eq(item_position_compare(read, positions[i]), 0);
  }
}

Test(positions, what_is_no_token_is_refused)
{
  const char *const texts[] = {"",
                               "AQ",
                               "not base64!",
                               "AgAAAAAAAAABAAAAAAAAAAE",       // of version 2
                               "Af__________AAAAAAAAAAE",       // with a negative clock
                               "AQAAAAAAAAAB__________8",       // with a negative id
                               "AQAAAAAAAAABAAAAAAAAAA",        // too short
                               "AQAAAAAAAAABAAAAAAAAAAEAAAA"};  // too long
  for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
    struct item_position read;
    cr_expect_not(item_position_read(slice_from_string(texts[i]), &read), "%s", texts[i]);
  }
}

#define CREATED ITEM__V1__ITEM_CHANGE_KIND__ITEM_CHANGE_KIND_CREATED
#define UPDATED ITEM__V1__ITEM_CHANGE_KIND__ITEM_CHANGE_KIND_UPDATED
#define DELETED ITEM__V1__ITEM_CHANGE_KIND__ITEM_CHANGE_KIND_DELETED
#define NONE ITEM__V1__ITEM_CHANGE_KIND__ITEM_CHANGE_KIND_NONE

// Judges a change of an item of the owner "o" that has the category "light" and the tag "new" now, unless it is gone.
// Before, where the filters' fields have changed, it had `old_category` and the tag "old".
static Item__V1__ItemChangeKind judge(Item__V1__ItemChangeKind kind, bool is_gone, const char *old_category,
                                      struct item_filter filter)
{
  char *new_tags[] = {"new"}, *old_tags[] = {"old"};
  size_t bytes = 0;
  Item__V1__Item item = ITEM__V1__ITEM__INIT;
  item.owner_id = "o";
  item.category = "light";
  item.tags = new_tags;
  item.n_tags = 1;
  const struct item_db_list_changes_row row = {.kind = kind,
                                               .item_id = "i",
                                               .owner_id = "o",
                                               .revision = 2,
                                               .old_category = old_category,
                                               .old_tags = old_tags,
                                               .old_tags_count = 1};
  struct item_change *change = item_change_create(&row, is_gone ? NULL : &item, &bytes);
  cr_expect_gt(bytes, 0);
  Item__V1__ItemChangeKind judged = item_change_judge(change, &filter);
  item_change_release(&change);
  cr_expect_eq(bytes, 0);
  return judged;
}

Test(item_change, a_filter_tells_what_comes_changes_and_goes)
{
  const struct item_filter all = {"", "", ""}, light = {"light", "", ""}, waste = {"waste", "", ""};
  cr_expect_eq(judge(CREATED, false, NULL, all), CREATED);
  cr_expect_eq(judge(CREATED, false, NULL, light), CREATED);
  cr_expect_eq(judge(CREATED, false, NULL, waste), NONE);
  cr_expect_eq(judge(UPDATED, false, NULL, light), UPDATED);
  cr_expect_eq(judge(UPDATED, false, NULL, waste), NONE);
  // From waste to light: it goes for some, and comes for others.
  cr_expect_eq(judge(UPDATED, false, "waste", waste), DELETED);
  cr_expect_eq(judge(UPDATED, false, "waste", light), UPDATED);
  cr_expect_eq(judge(DELETED, true, "waste", waste), DELETED);
  cr_expect_eq(judge(DELETED, true, "waste", light), NONE);
  // Gone since: its end is told by itself, but not to those for whom it has left before.
  cr_expect_eq(judge(CREATED, true, NULL, all), NONE);
  cr_expect_eq(judge(UPDATED, true, NULL, light), NONE);
  cr_expect_eq(judge(UPDATED, true, "waste", waste), DELETED);
}

Test(item_change, all_parts_of_a_filter_hold_together)
{
  const struct item_filter fits = {"light", "new", "o"}, other_tag = {"light", "old", "o"}, other_owner = {"", "", "p"};
  cr_expect_eq(judge(UPDATED, false, NULL, fits), UPDATED);
  cr_expect_eq(judge(UPDATED, false, NULL, other_tag), NONE);
  cr_expect_eq(judge(UPDATED, false, "light", other_tag), DELETED);
  cr_expect_eq(judge(DELETED, true, "light", other_owner), NONE);
}

// A field that clients write and that an import does not know would be lost.
Test(item_import, a_line_has_all_fields_that_clients_write)
{
  static const char *const servers[] = {"id", "owner_id", "etag", "create_time", "update_time"};
  const ProtobufCMessageDescriptor *item = &item__v1__item__descriptor;
  for (unsigned i = 0; i < item->n_fields; i++) {
    const ProtobufCFieldDescriptor *field = &item->fields[i];
    bool is_servers = false;
    for (size_t j = 0; j < sizeof(servers) / sizeof(servers[0]); j++)
      is_servers = is_servers || strcmp(servers[j], field->name) == 0;
    const ProtobufCFieldDescriptor *own =
        protobuf_c_message_descriptor_get_field_by_name(&item__v1__import_items_request__descriptor, field->name);
    if (is_servers) {
      cr_expect_null(own, "%s", field->name);
      continue;
    }
    cr_assert_not_null(own, "ImportItemsRequest lacks %s; item_import.c copies it, too", field->name);
    cr_expect_eq(own->id, field->id, "%s", field->name);
    cr_expect_eq(own->type, field->type, "%s", field->name);
    cr_expect_eq(own->label, field->label, "%s", field->name);
  }
}
