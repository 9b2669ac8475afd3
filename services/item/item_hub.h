// Hands changes of items to those who watch them: one reader in each process, whatever the number of watchers.
//
// A process that has made a change says so to all (NOTIFY, one message for many changes), once its transaction has
// ended, and while somebody watches: a NOTIFY within the transaction would make all commits wait for each other.
// Whoever has watchers reads the new rows of item_changes then, and every second in any case, because a process may die
// before it has said anything. So no change depends on a message, nor on a connection that is there when it is made.
//
// What was not settled when it was read, because a transaction with a lower number still runs, is read a little later.
#ifndef BULKHEAD_SERVICES_ITEM_ITEM_HUB_H
#define BULKHEAD_SERVICES_ITEM_ITEM_HUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/list.h"
#include "services/item/item_change.h"

struct call;
struct completion;
struct item_hub;
struct service;
struct stream;

// Changes that wait for one watcher at most.
#define ITEM_WATCHER_QUEUE 256
// The rows that are read at once.
#define ITEM_CHANGES_PAGE 100

enum item_watcher_end {
  ITEM_WATCHER_GOES_ON,
  ITEM_WATCHER_TOO_SLOW,  // more changes came than wait for one watcher
  ITEM_WATCHER_EXPIRED,   // changes that it has not seen are gone
  ITEM_WATCHER_DRAINED,   // the process is about to end
};

// A watcher, from item_hub_join to item_hub_leave.
struct item_watcher {
  struct list node;
  struct call *call;
  struct stream *stream;
  const struct item_filter *filter;
  struct item_position from;  // what came up to here is known
  struct completion *waiting;
  enum item_watcher_end end;
  size_t first;
  size_t count;
  struct item_told {
    struct item_change *change;
    Item__V1__ItemChangeKind kind;
  } queue[ITEM_WATCHER_QUEUE];
};

struct item_hub *item_hub_create(struct service *service);
// Called after the last call and the last background task have ended. Nulls the pointer; accepts NULL.
void item_hub_free(struct item_hub **hub);
// Says that a change was committed by this process, or may have been.
void item_hub_note(struct item_hub *hub);

// True where somebody watches; *position is then up to where the changes were handed out.
bool item_hub_position(const struct item_hub *hub, struct item_position *position);
// Adds a watcher that knows all changes up to `from`, which must not be before the hub's position. The first watcher
// sets that.
void item_hub_join(struct item_hub *hub, struct item_watcher *watcher, struct item_position from);
// Removes the watcher and what waits for it; harmless where it has not joined.
void item_hub_leave(struct item_hub *hub, struct item_watcher *watcher);
// Takes the next change that waits for the watcher; the caller releases it. False where there is none.
bool item_watcher_take(struct item_watcher *watcher, struct item_told *told);

#endif
