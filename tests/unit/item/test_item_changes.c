// What a field mask changes of an item: the fields that the update query writes.
#include <criterion/criterion.h>
#include <string.h>

#include "common/service/resource.h"
#include "item/queries.bh.h"

#define ID "01936b5e-7c1a-7d3e-9f00-1c2d3e4f5a6b"
#define OWNER "01936b5e-0000-7d3e-9f00-1c2d3e4f5a6b"

static Google__Protobuf__Timestamp create_time, update_time;

static Item__V1__Item item_of(char *sku, char *name, char *price, char *currency)
{
  Item__V1__Item item = ITEM__V1__ITEM__INIT;
  item.sku = sku;
  item.name = name;
  item.price = price;
  item.currency = currency;
  return item;
}

// An item holds no messages that a path could lead into, so no memory is needed.
static const struct resource_merging MERGING = {.update = &item_db_update_query};

static const char *merge(Item__V1__Item *item, const Item__V1__Item *change, const Google__Protobuf__FieldMask *mask)
{
  bool differs;
  return resource_merge(&item->base, &change->base, mask == NULL ? NULL : &mask->base, &MERGING, &differs);
}

static char *old_tags[] = {"old"};
static char *new_tags[] = {"new", "newer"};

static Item__V1__Item old_item(void)
{
  Item__V1__Item item = item_of("old-sku", "old name", "1", "EUR");
  item.id = ID;
  item.owner_id = OWNER;
  item.description = "old description";
  item.category = "old category";
  item.tags = old_tags;
  item.n_tags = 1;
  item.quantity = 1;
  item.attributes = "{\"old\":1}";
  item.etag = "7";
  item.create_time = &create_time;
  item.update_time = &update_time;
  return item;
}

static Item__V1__Item new_item(void)
{
  Item__V1__Item item = item_of("new-sku", "new name", "2", "USD");
  item.id = "00000000-0000-7000-8000-000000000000";
  item.owner_id = "00000000-0000-7000-8000-000000000001";
  item.description = "new description";
  item.category = "new category";
  item.tags = new_tags;
  item.n_tags = 2;
  item.quantity = 2;
  item.attributes = "{\"new\":2}";
  item.etag = "8";
  return item;
}

enum field {
  SKU = 1,
  NAME = 2,
  DESCRIPTION = 4,
  CATEGORY = 8,
  TAGS = 16,
  PRICE = 32,
  CURRENCY = 64,
  QUANTITY = 128,
  ATTRIBUTES = 256,
  ALL = 511,
};

static const struct {
  char *path;
  enum field field;
} paths[] = {
    {"sku", SKU},     {"name", NAME},         {"description", DESCRIPTION}, {"category", CATEGORY},     {"tags", TAGS},
    {"price", PRICE}, {"currency", CURRENCY}, {"quantity", QUANTITY},       {"attributes", ATTRIBUTES},
};

// Which fields are the new ones; the service's own must never be.
static unsigned changed(const Item__V1__Item *item)
{
  const Item__V1__Item new = new_item();
  cr_expect_str_eq(item->id, ID);
  cr_expect_str_eq(item->owner_id, OWNER);
  cr_expect_str_eq(item->etag, "7");
  cr_expect_eq(item->create_time, &create_time);
  cr_expect_eq(item->update_time, &update_time);
  cr_expect_eq(item->tags == new_tags ? 2 : 1, item->n_tags);
  unsigned fields = item->tags == new_tags ? TAGS : 0;
  fields |= strcmp(item->sku, new.sku) == 0 ? SKU : 0;
  fields |= strcmp(item->name, new.name) == 0 ? NAME : 0;
  fields |= strcmp(item->description, new.description) == 0 ? DESCRIPTION : 0;
  fields |= strcmp(item->category, new.category) == 0 ? CATEGORY : 0;
  fields |= strcmp(item->price, new.price) == 0 ? PRICE : 0;
  fields |= strcmp(item->currency, new.currency) == 0 ? CURRENCY : 0;
  fields |= item->quantity == new.quantity ? QUANTITY : 0;
  fields |= strcmp(item->attributes, new.attributes) == 0 ? ATTRIBUTES : 0;
  return fields;
}

static unsigned changed_by(const Google__Protobuf__FieldMask *mask)
{
  Item__V1__Item item = old_item();
  const Item__V1__Item change = new_item();
  cr_expect_null(merge(&item, &change, mask));
  return changed(&item);
}

static unsigned changed_by_paths(char **list, size_t count)
{
  Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
  mask.paths = list;
  mask.n_paths = count;
  return changed_by(&mask);
}

Test(item_changes, each_field_is_changed_by_its_name_and_no_other)
{
  for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
    char *path = paths[i].path;
    cr_expect_eq(changed_by_paths(&path, 1), paths[i].field, "%s", path);
  }
  cr_expect_eq(changed_by_paths((char *[]){"price", "currency"}, 2), PRICE | CURRENCY);
}

Test(item_changes, no_mask_and_a_star_change_all_an_empty_mask_nothing)
{
  cr_expect_eq(changed_by(NULL), ALL);
  cr_expect_eq(changed_by_paths((char *[]){"*"}, 1), ALL);
  cr_expect_eq(changed_by_paths(NULL, 0), 0);
}

static bool differs_by(const Item__V1__Item *change, char *path)
{
  Item__V1__Item item = old_item();
  Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
  mask.paths = &path;
  mask.n_paths = 1;
  bool differs = false;
  cr_expect_null(resource_merge(&item.base, &change->base, &mask.base, &MERGING, &differs));
  return differs;
}

Test(item_changes, an_update_with_what_is_there_already_differs_in_nothing)
{
  // Equal values that lie elsewhere in memory.
  Item__V1__Item same = old_item();
  char name[] = "old name", tag[] = "old", *tags[] = {tag};
  same.name = name;
  same.tags = tags;
  const Item__V1__Item other = new_item();
  cr_expect_not(differs_by(&same, "*"));
  cr_expect(differs_by(&other, "*"));
  for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
    cr_expect_not(differs_by(&same, paths[i].path), "%s", paths[i].path);
    cr_expect(differs_by(&other, paths[i].path), "%s", paths[i].path);
  }
  // A list that is longer, and one of the same length.
  char *more[] = {tag, tag}, *others[] = {"new"};
  same.tags = more;
  same.n_tags = 2;
  cr_expect(differs_by(&same, "tags"));
  same.tags = others;
  same.n_tags = 1;
  cr_expect(differs_by(&same, "tags"));
}

// A client sends back what it read.
Test(item_changes, what_the_service_sets_may_be_named_and_stays)
{
  static char *own[] = {"id", "owner_id", "etag", "create_time", "update_time"};
  cr_expect_eq(changed_by_paths(own, ARRAY_LEN(own)), 0);
}

Test(item_changes, a_path_that_names_no_field_is_given_back)
{
  static char *wrong[] = {"", "Sku", "colour", "attributes.colour", "ownerId", "sku "};
  for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
    Item__V1__Item item = old_item();
    const Item__V1__Item change = new_item();
    Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
    char *list[] = {"name", wrong[i]};
    mask.paths = list;
    mask.n_paths = 2;
    const char *unknown = merge(&item, &change, &mask);
    cr_assert_not_null(unknown, "\"%s\"", wrong[i]);
    cr_expect_str_eq(unknown, wrong[i]);
  }
}
