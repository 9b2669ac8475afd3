// The calling side of WatchItems.
#ifndef BULKHEAD_TESTS_COMPONENT_ITEM_WATCHERS_H
#define BULKHEAD_TESTS_COMPONENT_ITEM_WATCHERS_H

#include "item/v1/item.pb-c.h"
#include "tests/support/service/driver.h"

#define WATCH_ITEMS "item.v1.ItemService/WatchItems"

#define CREATED ITEM__V1__ITEM_CHANGE_KIND__ITEM_CHANGE_KIND_CREATED
#define UPDATED ITEM__V1__ITEM_CHANGE_KIND__ITEM_CHANGE_KIND_UPDATED
#define DELETED ITEM__V1__ITEM_CHANGE_KIND__ITEM_CHANGE_KIND_DELETED

// Messages that a watcher keeps; it counts those beyond.
#define WATCHER_KEEPS 512

struct told {
  Item__V1__ItemChangeKind kind;
  int64_t revision;
  char id[40];
  char name[40];
};

struct watcher {
  struct driver *driver;
  struct rpc_call *call;
  bool reads_nothing;  // gives no credit for what comes
  size_t unread;       // bytes without credit
  size_t messages;
  size_t count;  // changes
  struct told told[WATCHER_KEEPS];
  char token[80];  // the last one
  bool done;
  enum status status;
  char reason[48];
};

// Opens a stream as `owner`. Waits for its first message, unless it reads nothing.
void watcher_open(struct watcher *watcher, struct driver *driver, const Item__V1__WatchItemsRequest *request);
// Opens a stream for all items without waiting. `token` is "" for now.
void watcher_begin(struct watcher *watcher, struct driver *driver, const char *token);
void watcher_await(struct watcher *watcher, size_t count);
void watcher_await_end(struct watcher *watcher, enum status status, const char *reason);
void watcher_cancel(struct watcher *watcher);
// Expects that the change `index` is this one.
void watcher_expect(const struct watcher *watcher, size_t index, Item__V1__ItemChangeKind kind, const char *name);

#endif
