#include "services/item/item_row_repo.h"

#include "common/service/resource.h"

enum column {
  COLUMN_ID,
  COLUMN_OWNER_ID,
  COLUMN_SKU,
  COLUMN_NAME,
  COLUMN_DESCRIPTION,
  COLUMN_CATEGORY,
  COLUMN_TAGS,
  COLUMN_PRICE,
  COLUMN_CURRENCY,
  COLUMN_QUANTITY,
  COLUMN_ATTRIBUTES,
  COLUMN_REVISION,
  COLUMN_CREATE_TIME,
  COLUMN_UPDATE_TIME,
};

enum status item_row_read(const struct pg_result *result, size_t row, struct arena *arena, Item__V1__Item *item)
{
  item__v1__item__init(item);
  item->id = resource_text(result, row, COLUMN_ID);
  item->owner_id = resource_text(result, row, COLUMN_OWNER_ID);
  item->sku = resource_text(result, row, COLUMN_SKU);
  item->name = resource_text(result, row, COLUMN_NAME);
  item->description = resource_text(result, row, COLUMN_DESCRIPTION);
  item->category = resource_text(result, row, COLUMN_CATEGORY);
  item->price = resource_text(result, row, COLUMN_PRICE);
  item->currency = resource_text(result, row, COLUMN_CURRENCY);
  item->quantity = (int32_t)pg_int(result, row, COLUMN_QUANTITY);
  item->attributes = resource_text(result, row, COLUMN_ATTRIBUTES);
  item->etag = resource_text(result, row, COLUMN_REVISION);
  item->create_time = resource_time(pg_int(result, row, COLUMN_CREATE_TIME), arena);
  item->update_time = resource_time(pg_int(result, row, COLUMN_UPDATE_TIME), arena);
  return pg_text_array(result, row, COLUMN_TAGS, arena, &item->tags, &item->n_tags);
}

enum status item_rows_read(const struct pg_result *result, struct arena *arena, Item__V1__Item **items)
{
  *items = arena_array(arena, result->rows, sizeof(**items));
  for (size_t row = 0; row < result->rows; row++) {
    enum status status = item_row_read(result, row, arena, &(*items)[row]);
    if (status != STATUS_OK)
      return status;
  }
  return STATUS_OK;
}
