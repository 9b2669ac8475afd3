// Runs an item service on a database of the test's own, and makes items in it.
#ifndef BULKHEAD_TESTS_COMPONENT_ITEM_ITEMS_H
#define BULKHEAD_TESTS_COMPONENT_ITEM_ITEMS_H

#include "item/v1/item.pb-c.h"
#include "tests/support/service/database.h"
#include "tests/support/service/driver.h"

#define OWNER "01936b5e-0000-7d3e-9f00-1c2d3e4f5a6b"
#define OTHER_OWNER "01936b5e-0001-7d3e-9f00-1c2d3e4f5a6b"

#define BATCH_CREATE "item.v1.ItemService/BatchCreateItems"
#define CREATE_ITEM "item.v1.ItemService/CreateItem"
#define DELETE_ITEM "item.v1.ItemService/DeleteItem"
#define GET_ITEM "item.v1.ItemService/GetItem"
#define LIST_ITEMS "item.v1.ItemService/ListItems"
#define UPDATE_ITEM "item.v1.ItemService/UpdateItem"

// Verified callers.
extern const struct rpc_context owner;
extern const struct rpc_context other_owner;

struct items {
  struct database database;
  struct process process;
  struct driver driver;
};

void items_open(struct items *items);
void items_close(struct items *items);
// Starts another instance of the service on the same database, and ends it.
void items_open_other(struct items *items, struct process *process, struct driver *driver);
void items_close_other(struct process *process, struct driver *driver);
// Ends the service's process at once, as a crash does.
void items_kill(struct items *items);
// Starts the service after items_kill. What the driver returned before is freed.
void items_start_again(struct items *items);

// Formats a text as printf does, into the driver's arena.
char *items_text(struct items *items, const char *format, ...) PRINTF_LIKE(2, 3);
// Makes a valid item with this sku and name; all other fields are empty.
Item__V1__Item *items_make(struct items *items, const char *sku, const char *name);
struct outcome items_create(struct items *items, Item__V1__Item *item, const struct rpc_context *as);
// Creates an item and asserts success.
const Item__V1__Item *items_created(struct items *items, Item__V1__Item *item, const struct rpc_context *as);
const Item__V1__Item *items_get(struct items *items, const char *id);
// A change of the fields that `paths` names.
struct item_update {
  Item__V1__Item *item;  // with its id
  char **paths;
  size_t count;
  char *if_match;  // NULL for none
  const struct rpc_context *as;
  uint64_t timeout_ms;
};
void items_begin_update(struct items *items, const struct item_update *update, struct outcome *outcome);
// Waits for all calls, and expects `other` of those that do not succeed. Returns how many do.
size_t items_finish_all(struct items *items, struct outcome *outcomes, size_t count, enum status other);
// Expects that the call failed because of this field alone.
void items_expect_violation(const struct outcome *outcome, enum status status, const char *field);
struct outcome items_create_batch(struct items *items, Item__V1__Item **batch, size_t count);
const char *items_count(struct items *items);

// Reads the value of a series at /metrics, given with its labels and a space behind; 0 where there is none.
long items_read_metric(struct items *items, const char *series);

// Runs a statement in a transaction of another program, which items_unlock takes back.
void items_hold(struct items *items, struct process *holder, char *sql);
// Locks an item in such a transaction.
void items_lock(struct items *items, struct process *holder, const char *id);
void items_unlock(struct items *items, struct process *holder);

#endif
