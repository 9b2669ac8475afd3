#include "services/item/item_rules.h"

#include <string.h>

#include "common/base/hash.h"
#include "common/base/strbuf.h"
#include "common/base/utf8.h"
#include "common/service/resource.h"

struct item_problem item_rules_check(const Item__V1__Item *item)
{
  bool price = item->price[0] != '\0';
  bool currency = item->currency[0] != '\0';
  if (item->sku[0] == '\0')
    return (struct item_problem){"sku", "is required"};
  if (item->name[0] == '\0')
    return (struct item_problem){"name", "is required"};
  if (price && item->price[0] == '-')
    return (struct item_problem){"price", "must not be negative"};
  if (price && !currency)
    return (struct item_problem){"currency", "is required where a price is given"};
  if (currency && !price)
    return (struct item_problem){"price", "is required where a currency is given"};
  return (struct item_problem){NULL, NULL};
}

// Fields that a client may change, by their name in the contract, and how to copy one.
#define COPY(field)                                                                                                    \
  static void copy_##field(void *to, const void *from)                                                                 \
  {                                                                                                                    \
    ((Item__V1__Item *)to)->field = ((const Item__V1__Item *)from)->field;                                             \
  }
COPY(sku)
COPY(name)
COPY(description)
COPY(category)
COPY(price)
COPY(currency)
COPY(quantity)
COPY(attributes)
#undef COPY

static void copy_tags(void *to, const void *from)
{
  const Item__V1__Item *change = from;
  Item__V1__Item *item = to;
  item->tags = change->tags;
  item->n_tags = change->n_tags;
}

static const struct resource_field FIELDS[] = {
    {"sku", copy_sku},
    {"name", copy_name},
    {"description", copy_description},
    {"category", copy_category},
    {"tags", copy_tags},
    {"price", copy_price},
    {"currency", copy_currency},
    {"quantity", copy_quantity},
    {"attributes", copy_attributes},
    {"id", NULL},
    {"owner_id", NULL},
    {"etag", NULL},
    {"create_time", NULL},
    {"update_time", NULL},
};

const char *item_rules_merge(Item__V1__Item *item, const Item__V1__Item *change,
                             const Google__Protobuf__FieldMask *mask)
{
  return resource_merge(item, change, mask, FIELDS, ARRAY_LEN(FIELDS));
}

void item_rules_parse_order(const char *order_by, enum item_order *order, bool *descending)
{
  static const struct {
    struct slice name;
    enum item_order order;
  } NAMES[] = {
      {SLICE_INIT("createTime"), ITEM_ORDER_CREATE_TIME},
      {SLICE_INIT("updateTime"), ITEM_ORDER_UPDATE_TIME},
      {SLICE_INIT("name"), ITEM_ORDER_NAME},
      {SLICE_INIT("quantity"), ITEM_ORDER_QUANTITY},
  };
  *order = ITEM_ORDER_CREATE_TIME;
  *descending = true;
  struct slice text = slice_from_string(order_by);
  for (size_t i = 0; i < ARRAY_LEN(NAMES); i++) {
    if (!slice_starts_with(text, NAMES[i].name))
      continue;
    *order = NAMES[i].order;
    *descending = slice_equal_string(slice_skip(text, NAMES[i].name.size), " desc");
  }
}

static uint64_t query_fingerprint(const struct item_query *query)
{
  const char *parts[] = {query->category, query->tag, query->owner_id, query->words};
  struct strbuf text;
  strbuf_init(&text, 0);
  strbuf_printf(&text, "%d %d", (int)query->order, (int)query->descending);
  for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
    strbuf_add_byte(&text, parts[i] == NULL ? 'n' : 's');
    strbuf_add_string(&text, parts[i] == NULL ? "" : parts[i]);
    strbuf_add_byte(&text, '\0');
  }
  uint64_t hash = hash_fingerprint(strbuf_slice(&text));
  strbuf_free(&text);
  return hash;
}

const char *item_rules_write_token(const struct item_query *query, const Item__V1__Item *last, struct arena *arena)
{
  struct slice value = slice_from_string(item_repo_order_value(last, query->order, arena));
  return resource_write_page_token(query_fingerprint(query), value, slice_from_string(last->id), arena);
}

static bool value_fits(struct slice value, enum item_order order)
{
  int64_t number;
  switch (order) {
  case ITEM_ORDER_CREATE_TIME:
  case ITEM_ORDER_UPDATE_TIME:
    return resource_parse_micros(value, &number);
  case ITEM_ORDER_QUANTITY:
    return slice_to_int64(value, 0, INT32_MAX, &number);
  case ITEM_ORDER_NAME:
    return utf8_valid(value) && memchr(value.data, '\0', value.size) == NULL;
  case ITEM_ORDERS:
    break;
  }
  return false;
}

bool item_rules_read_token(const char *token, struct item_query *query, struct arena *arena)
{
  struct slice value, id;
  if (!resource_read_page_token(token, query_fingerprint(query), arena, &value, &id) ||
      !value_fits(value, query->order))
    return false;
  query->after_value = value.data;
  query->after_id = id.data;
  return true;
}
