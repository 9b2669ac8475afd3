// A change of an item as watchers are told it. It belongs to the hub and to the watchers that have not told it yet, and
// is freed with its last user.
#ifndef BULKHEAD_SERVICES_ITEM_ITEM_CHANGE_H
#define BULKHEAD_SERVICES_ITEM_ITEM_CHANGE_H

#include <stdbool.h>
#include <stddef.h>

#include "item/queries.bh.h"
#include "item/v1/item.pb-c.h"
#include "services/item/item_position.h"

struct item_change;
struct stream;

// What a watcher wants to be told; "" fits everything. The texts are those of its request.
struct item_filter {
  const char *category;
  const char *tag;
  const char *owner_id;
};

// Makes a change of a row of list_changes that holds one. `item` is the item as it is now, NULL where it is gone. All
// that is needed is copied. The caller is the first user. `bytes` counts how much memory such changes take, about, and
// outlives them.
struct item_change *item_change_create(const struct item_db_list_changes_row *row, const Item__V1__Item *item,
                                       size_t *bytes);
struct item_change *item_change_share(struct item_change *change);
// Nulls the pointer.
void item_change_release(struct item_change **change);

struct item_position item_change_position(const struct item_change *change);
// Returns what a watcher with this filter is told: that an item has come, changed or gone, or NONE.
Item__V1__ItemChangeKind item_change_judge(const struct item_change *change, const struct item_filter *filter);
// Sends the change to a watcher; `kind` is not NONE. False as stream_write.
bool item_change_tell(const struct item_change *change, Item__V1__ItemChangeKind kind, struct stream *stream);

#endif
