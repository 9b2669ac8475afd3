// A row of `items` as a message, shared by the repo's files.
#ifndef BULKHEAD_SERVICES_ITEM_ITEM_ROW_REPO_H
#define BULKHEAD_SERVICES_ITEM_ITEM_ROW_REPO_H

#include "common/base/arena.h"
#include "common/base/status.h"
#include "common/storage/pg.h"
#include "item/v1/item.pb-c.h"

// What item_row_read expects, in this order. Times as microseconds since 1970.
#define ITEM_COLUMNS                                                                                                   \
  "id, owner_id, sku, name, description, category, tags, price, currency, quantity, attributes, revision,"             \
  " (extract(epoch FROM create_time) * 1000000)::bigint, (extract(epoch FROM update_time) * 1000000)::bigint"

// Initialises `item` and fills it; its texts live in `arena` or in the result's arena.
enum status item_row_read(const struct pg_result *result, size_t row, struct arena *arena,
                          Item__V1__Item *item) MUST_CHECK;
// All rows.
enum status item_rows_read(const struct pg_result *result, struct arena *arena, Item__V1__Item **items) MUST_CHECK;

#endif
