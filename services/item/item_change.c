#include "services/item/item_change.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/slice.h"
#include "common/base/uuid.h"
#include "item/v1/item.bh.h"

#define CREATED ITEM__V1__ITEM_CHANGE_KIND__ITEM_CHANGE_KIND_CREATED
#define UPDATED ITEM__V1__ITEM_CHANGE_KIND__ITEM_CHANGE_KIND_UPDATED
#define DELETED ITEM__V1__ITEM_CHANGE_KIND__ITEM_CHANGE_KIND_DELETED
#define NONE ITEM__V1__ITEM_CHANGE_KIND__ITEM_CHANGE_KIND_NONE

struct item_change {
  size_t users;
  size_t bytes;
  size_t *total;  // of which `bytes` are a part
  struct item_position position;
  Item__V1__ItemChangeKind kind;
  int64_t revision;
  int64_t time;         // microseconds since 1970
  Item__V1__Item *now;  // NULL: it is gone
  Item__V1__Item *was;  // what filters look at, before the change; NULL where that has not changed
  char id[UUID_TEXT_SIZE];
  char owner_id[UUID_TEXT_SIZE];
  char etag[24];
  char token[ITEM_TOKEN_SIZE];
};

// Copies an item into memory of its own, and counts that.
static Item__V1__Item *copy_item(const Item__V1__Item *item, size_t *bytes)
{
  size_t size = item__v1__item__get_packed_size(item);
  uint8_t *wire = malloc(size + 1);
  CHECK(wire != NULL);
  item__v1__item__pack(item, wire);
  Item__V1__Item *copy = item__v1__item__unpack(NULL, size, wire);
  CHECK(copy != NULL);
  free(wire);
  *bytes += sizeof(*copy) + size;
  return copy;
}

static Item__V1__Item *copy_old(const struct item_db_list_changes_row *row, size_t *bytes)
{
  if (row->old_category == NULL)
    return NULL;
  Item__V1__Item was = ITEM__V1__ITEM__INIT;
  was.owner_id = (char *)(uintptr_t)row->owner_id;
  was.category = (char *)(uintptr_t)row->old_category;
  was.tags = row->old_tags;
  was.n_tags = row->old_tags_count;
  return copy_item(&was, bytes);
}

struct item_change *item_change_create(const struct item_db_list_changes_row *row, const Item__V1__Item *item,
                                       size_t *bytes)
{
  struct item_change *change = calloc(1, sizeof(*change));
  CHECK(change != NULL);
  change->users = 1;
  change->bytes = sizeof(*change);
  change->position = (struct item_position){row->clock, row->id};
  change->kind = (Item__V1__ItemChangeKind)row->kind;
  change->revision = row->revision;
  change->time = row->time;
  change->now = item == NULL || change->kind == DELETED ? NULL : copy_item(item, &change->bytes);
  change->was = copy_old(row, &change->bytes);
  (void)snprintf(change->id, sizeof(change->id), "%s", row->item_id);
  (void)snprintf(change->owner_id, sizeof(change->owner_id), "%s", row->owner_id);
  (void)snprintf(change->etag, sizeof(change->etag), "%lld", (long long)row->revision);
  item_position_write(change->position, change->token);
  change->total = bytes;
  *bytes += change->bytes;
  return change;
}

struct item_change *item_change_share(struct item_change *change)
{
  change->users++;
  return change;
}

void item_change_release(struct item_change **change_pointer)
{
  struct item_change *change = *change_pointer;
  *change_pointer = NULL;
  if (--change->users > 0)
    return;
  *change->total -= change->bytes;
  item__v1__item__free_unpacked(change->now, NULL);
  item__v1__item__free_unpacked(change->was, NULL);
  free(change);
}

struct item_position item_change_position(const struct item_change *change)
{
  return change->position;
}

static bool carries(const Item__V1__Item *item, const char *tag)
{
  for (size_t i = 0; i < item->n_tags; i++)
    if (strcmp(item->tags[i], tag) == 0)
      return true;
  return false;
}

static bool matches(const Item__V1__Item *item, const struct item_filter *filter)
{
  if (item == NULL || (filter->owner_id[0] != '\0' && strcmp(filter->owner_id, item->owner_id) != 0))
    return false;
  if (filter->category[0] != '\0' && strcmp(filter->category, item->category) != 0)
    return false;
  return filter->tag[0] == '\0' || carries(item, filter->tag);
}

Item__V1__ItemChangeKind item_change_judge(const struct item_change *change, const struct item_filter *filter)
{
  if (matches(change->now, filter))
    return change->kind;
  return matches(change->was, filter) ? DELETED : NONE;
}

// An item that is there is shown as it is now, and has the revision of that.
static int64_t find_revision(const struct item_change *change, Item__V1__ItemChangeKind kind)
{
  int64_t revision = change->revision;
  if (kind != DELETED)
    (void)slice_to_int64(slice_from_string(change->now->etag), 0, INT64_MAX, &revision);
  return revision;
}

bool item_change_tell(const struct item_change *change, Item__V1__ItemChangeKind kind, struct stream *stream)
{
  enum { MICROS = 1000000, NANOS_OF_MICRO = 1000 };
  Item__V1__WatchItemsResponse response = ITEM__V1__WATCH_ITEMS_RESPONSE__INIT;
  Google__Protobuf__Timestamp time = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
  Item__V1__Item gone = ITEM__V1__ITEM__INIT;
  gone.id = (char *)(uintptr_t)change->id;
  gone.owner_id = (char *)(uintptr_t)change->owner_id;
  gone.etag = (char *)(uintptr_t)change->etag;
  time.seconds = change->time / MICROS;
  time.nanos = (int32_t)(change->time % MICROS) * NANOS_OF_MICRO;
  response.kind = kind;
  response.item = kind == DELETED ? &gone : change->now;
  response.revision = find_revision(change, kind);
  response.time = &time;
  response.resume_token = (char *)(uintptr_t)change->token;
  return item_v1_item_service_watch_items_write_response(stream, &response);
}
