// Changes: those that come at the same time, what the caches keep of them, and which fields they store.
#include <criterion/criterion.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "tests/component/item/items.h"

static struct items items;

static void setup(void)
{
  items_open(&items);
}

static void teardown(void)
{
  items_close(&items);
}

TestSuite(item_changes, .init = setup, .fini = teardown);

// ---- concurrent changes ----

enum { CALLS = 64 };

// Each call sets a description of its own, another one for each etag, and names the etag in If-Match and in the body.
static void begin_updates(const char *id, const char *if_match, const char *body_etag, struct outcome *outcomes)
{
  for (size_t i = 0; i < CALLS; i++) {
    char *path = "description";
    Item__V1__Item *item = items_make(&items, "", "");
    item->id = items_text(&items, "%s", id);
    item->etag = items_text(&items, "%s", body_etag);
    item->description = items_text(&items, "change %s%s-%zu", if_match, body_etag, i);
    const struct item_update update = {.item = item,
                                       .paths = &path,
                                       .count = 1,
                                       .if_match = items_text(&items, "%s", if_match),
                                       .as = &owner,
                                       .timeout_ms = 30000};
    items_begin_update(&items, &update, &outcomes[i]);
  }
}

Test(item_changes, without_an_etag_all_concurrent_updates_are_made)
{
  struct outcome outcomes[CALLS];
  const Item__V1__Item *item = items_created(&items, items_make(&items, "S", "Lamp"), &owner);
  cr_expect_str_eq(item->etag, "1");
  begin_updates(item->id, "", "", outcomes);
  cr_expect_eq(items_finish_all(&items, outcomes, CALLS, STATUS_OK), CALLS);
  item = items_get(&items, item->id);
  cr_expect_str_eq(item->etag, items_text(&items, "%d", CALLS + 1));
  cr_expect_str_eq(item->name, "Lamp");
}

Test(item_changes, with_an_etag_one_of_the_concurrent_updates_is_made)
{
  struct outcome outcomes[CALLS];
  const Item__V1__Item *item = items_created(&items, items_make(&items, "S", "Lamp"), &owner);
  begin_updates(item->id, "1", "", outcomes);
  cr_expect_eq(items_finish_all(&items, outcomes, CALLS, STATUS_ABORTED), 1);
  begin_updates(item->id, "", "2", outcomes);
  cr_expect_eq(items_finish_all(&items, outcomes, CALLS, STATUS_ABORTED), 1);
  begin_updates(item->id, "2", "3", outcomes);
  cr_expect_eq(items_finish_all(&items, outcomes, CALLS, STATUS_ABORTED), 0);
  cr_expect_str_eq(items_get(&items, item->id)->etag, "3");
}

Test(item_changes, one_of_the_concurrent_deletions_finds_the_item)
{
  struct outcome outcomes[CALLS];
  Item__V1__DeleteItemRequest request = ITEM__V1__DELETE_ITEM_REQUEST__INIT;
  request.id = items_created(&items, items_make(&items, "S", "Lamp"), &owner)->id;
  for (size_t i = 0; i < CALLS; i++)
    driver_begin(&items.driver, DELETE_ITEM, driver_pack(&items.driver, &request.base), &owner, 30000, &outcomes[i]);
  cr_expect_eq(items_finish_all(&items, outcomes, CALLS, STATUS_NOT_FOUND), 1);
  cr_expect_str_eq(items_count(&items), "0");
}

Test(item_changes, one_of_the_concurrent_items_gets_the_sku)
{
  struct outcome outcomes[CALLS];
  Item__V1__CreateItemRequest request = ITEM__V1__CREATE_ITEM_REQUEST__INIT;
  request.item = items_make(&items, "S", "Lamp");
  for (size_t i = 0; i < CALLS; i++)
    driver_begin(&items.driver, CREATE_ITEM, driver_pack(&items.driver, &request.base), &owner, 30000, &outcomes[i]);
  cr_expect_eq(items_finish_all(&items, outcomes, CALLS, STATUS_ALREADY_EXISTS), 1);
  // Another owner may use the same sku.
  cr_expect_eq(items_create(&items, request.item, &other_owner).status, STATUS_OK);
}

// ---- the cache ----

static void begin_rename(const char *id, char *name, struct outcome *outcome)
{
  char *path = "name";
  Item__V1__Item *item = items_make(&items, "", name);
  item->id = items_text(&items, "%s", id);
  items_begin_update(&items,
                     &(struct item_update){.item = item, .paths = &path, .count = 1, .as = &owner, .timeout_ms = 30000},
                     outcome);
}

static struct outcome rename_item(const char *id, char *name)
{
  struct outcome outcome;
  begin_rename(id, name, &outcome);
  driver_finish(&items.driver, &outcome);
  return outcome;
}

// A fresh process trusts its cache only after some seconds.
static void wait_cached(const char *id)
{
  uint64_t end_us = patience_end_us();
  do {
    cr_assert_lt(clock_now_us(), end_us, "the item is not served from memory");
    poll(NULL, 0, 20);
    items_get(&items, id);
  } while (items_read_metric(&items, "bulkhead_cache_hits_total{cache=\"item.v1.1\",tier=\"memory\"} ") == 0);
}

// A stranger must not be able to keep an item out of the caches by changes that are refused.
Test(item_changes, that_are_refused_leave_the_item_in_the_cache)
{
  static const char invalidations[] = "bulkhead_cache_invalidations_total{cache=\"item.v1.1\"} ";
  char *path = "name";
  Item__V1__Item *item = items_make(&items, "", "Stolen");
  item->id = items_text(&items, "%s", items_created(&items, items_make(&items, "S", "One"), &owner)->id);
  wait_cached(item->id);
  long before = items_read_metric(&items, invalidations);
  struct outcome outcome;
  items_begin_update(
      &items, &(struct item_update){.item = item, .paths = &path, .count = 1, .as = &other_owner, .timeout_ms = 30000},
      &outcome);
  driver_finish(&items.driver, &outcome);
  cr_expect_eq(outcome.status, STATUS_PERMISSION_DENIED);
  cr_expect_eq(items_read_metric(&items, invalidations), before);
  cr_expect_eq(rename_item(item->id, "Two").status, STATUS_OK);
  cr_expect_gt(items_read_metric(&items, invalidations), before, "the owner's change does drop it");
}

// Who changes an item reads it next: neither that read nor the next change asks PostgreSQL for it.
Test(item_changes, leave_the_new_item_in_the_cache)
{
  static const char reads[] = "bulkhead_postgres_statement_duration_seconds_count{statement=\"item_get\"} ";
  const Item__V1__Item *item = items_created(&items, items_make(&items, "S", "One"), &owner);
  wait_cached(item->id);
  long before = items_read_metric(&items, reads);
  cr_expect_gt(before, 0);
  cr_expect_eq(rename_item(item->id, "Two").status, STATUS_OK);
  cr_expect_str_eq(items_get(&items, item->id)->name, "Two");
  cr_expect_eq(rename_item(item->id, "Three").status, STATUS_OK);
  item = items_get(&items, item->id);
  cr_expect_str_eq(item->name, "Three");
  cr_expect_str_eq(item->etag, "3");
  cr_expect_eq(items_read_metric(&items, reads), before);
}

// A UUID is the same in either case (RFC 9562, section 4): both ways to write it must see the change.
Test(item_changes, are_seen_at_once_however_the_id_is_written)
{
  const Item__V1__Item *item = items_created(&items, items_make(&items, "S", "One"), &owner);
  char *upper = items_text(&items, "%s", item->id);
  for (char *c = upper; *c != '\0'; c++)
    *c = (char)(*c >= 'a' && *c <= 'f' ? *c - 0x20 : *c);
  const char *const ids[] = {item->id, upper};
  wait_cached(item->id);
  static char *names[] = {"Two", "Three", "Four", "Five"};
  for (size_t i = 0; i < ARRAY_LEN(names); i++) {
    // Each way to write the id is read twice: what is not in the cache then is there the second time.
    for (size_t k = 0; k < 4; k++)
      items_get(&items, ids[k % 2]);
    cr_expect_eq(rename_item(ids[i % 2], names[i]).status, STATUS_OK);
    cr_expect_str_eq(items_get(&items, item->id)->name, names[i]);
    cr_expect_str_eq(items_get(&items, upper)->name, names[i]);
  }
}

static void wait_sql(const char *query, const char *expected)
{
  database_wait_sql(&items.database, query, expected);
}

// The caller goes away while PostgreSQL is at it: the change is cancelled there, nothing of it comes later, and the
// next one is seen.
Test(item_changes, end_when_the_caller_has_gone, .timeout = 60)
{
  static const char locked[] = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'bulkhead_item' AND datname = "
                               "current_database() AND wait_event_type = 'Lock'";
  const Item__V1__Item *item = items_created(&items, items_make(&items, "S", "One"), &owner);
  struct process holder;
  wait_cached(item->id);
  items_lock(&items, &holder, item->id);

  struct outcome outcome;
  begin_rename(item->id, "Two", &outcome);
  wait_sql(locked, "1");
  rpc_call_cancel(outcome.call);
  // When a later call is answered the service has heard of it.
  cr_expect_str_eq(items_get(&items, item->id)->name, "One");
  wait_sql(locked, "0");
  items_unlock(&items, &holder);
  cr_expect_str_eq(items_get(&items, item->id)->name, "One");
  cr_expect_eq(rename_item(item->id, "Three").status, STATUS_OK);
  cr_expect_str_eq(items_get(&items, item->id)->name, "Three");
}

static const Item__V1__Item *change_fields(Item__V1__Item *item, char **paths, size_t count)
{
  struct outcome outcome;
  const struct item_update update = {.item = item, .paths = paths, .count = count, .as = &owner, .timeout_ms = 30000};
  items_begin_update(&items, &update, &outcome);
  driver_finish(&items.driver, &outcome);
  cr_assert_eq(outcome.status, STATUS_OK, SLICE_FMT, SLICE_ARG(outcome.message));
  return items_get(&items, item->id);
}

static const char *count_found(const char *word)
{
  return database_sql(&items.database, "SELECT count(*) FROM item.items WHERE search @@ to_tsquery('english', '%s')",
                      word);
}

// The fields that the search looks at and the others have a statement each; a mask may name any of them.
Test(item_changes, of_any_fields_are_stored_and_leave_the_others)
{
  const Item__V1__Item *item = items_created(&items, items_make(&items, "S", "Lamp"), &owner);
  Item__V1__Item *changed = items_make(&items, "T", "Desk");
  changed->id = items_text(&items, "%s", item->id);
  changed->quantity = 7;
  changed->category = items_text(&items, "light");
  changed->price = items_text(&items, "2.50");
  changed->currency = items_text(&items, "EUR");
  changed->attributes = items_text(&items, "{\"a\":1}");
  char *others[] = {"quantity", "category", "price", "currency", "attributes"};
  item = change_fields(changed, others, ARRAY_LEN(others));
  cr_expect_eq(item->quantity, 7);
  cr_expect_str_eq(item->category, "light");
  cr_expect_str_eq(item->price, "2.50");
  cr_expect_str_eq(item->attributes, "{\"a\":1}");
  cr_expect_str_eq(item->name, "Lamp");
  cr_expect_str_eq(item->etag, "2");
  cr_expect_str_eq(count_found("lamp"), "1");

  changed->quantity = 8;
  char *both[] = {"quantity", "name"};
  item = change_fields(changed, both, ARRAY_LEN(both));
  cr_expect_eq(item->quantity, 8);
  cr_expect_str_eq(item->name, "Desk");
  cr_expect_str_eq(item->sku, "S");
  cr_expect_str_eq(item->category, "light");
  cr_expect_str_eq(count_found("lamp"), "0");
  cr_expect_str_eq(count_found("desk"), "1");
}

// A refusal by the rules must not be reported as one of the attributes, which only PostgreSQL can refuse.
Test(item_changes, an_update_that_the_rules_refuse_names_its_field)
{
  static const struct {
    char *path;
    const char *reason;
    const char *field;
    size_t violations;
  } refused[] = {
      {"name", "INVALID_REQUEST", "item.name", 1},
      {"currency", "INVALID_ITEM", "price", 1},
      {"price", "INVALID_ITEM", "price", 2},
      {"no_such_field", "INVALID_UPDATE_MASK", "updateMask", 1},
  };
  const Item__V1__Item *item = items_created(&items, items_make(&items, "S", "Lamp"), &owner);
  for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
    Item__V1__UpdateItemRequest request = ITEM__V1__UPDATE_ITEM_REQUEST__INIT;
    Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
    char *path = refused[i].path;
    mask.paths = &path;
    mask.n_paths = 1;
    request.update_mask = &mask;
    request.item = items_make(&items, "", "");
    request.item->id = item->id;
    request.item->currency = "EUR";
    request.item->price = "-1";
    struct outcome outcome = driver_call(&items.driver, UPDATE_ITEM, &request.base, &owner);
    cr_expect_eq(outcome.status, STATUS_INVALID_ARGUMENT, "%s: %s", path, status_name(outcome.status));
    cr_expect(slice_equal_string(outcome.reason, refused[i].reason), "%s: " SLICE_FMT, path, SLICE_ARG(outcome.reason));
    cr_expect_eq(outcome.violation_count, refused[i].violations, "%s: %zu", path, outcome.violation_count);
    cr_expect(slice_equal_string(outcome.violation_field, refused[i].field), "%s: " SLICE_FMT, path,
              SLICE_ARG(outcome.violation_field));
  }
  cr_expect_str_eq(items_get(&items, item->id)->etag, "1");
}

// What a PATCH with the body {} sends is an empty mask; the service's own fields may be named and stay.
Test(item_changes, an_update_that_names_no_field_changes_nothing)
{
  static const struct {
    char *path;
    char *if_match;
    enum status status;
  } cases[] = {
      {NULL, "", STATUS_OK},   {NULL, "1", STATUS_OK},       {NULL, "2", STATUS_ABORTED},
      {"etag", "", STATUS_OK}, {"owner_id", "*", STATUS_OK}, {"no_such_field", "", STATUS_INVALID_ARGUMENT},
  };
  const Item__V1__Item *item = items_created(&items, items_make(&items, "S", "Lamp"), &owner);
  for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
    Item__V1__UpdateItemRequest request = ITEM__V1__UPDATE_ITEM_REQUEST__INIT;
    Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
    char *path = cases[i].path;
    mask.paths = &path;
    mask.n_paths = path == NULL ? 0 : 1;
    request.update_mask = &mask;
    request.item = items_make(&items, "", "");
    request.item->id = item->id;
    request.if_match = cases[i].if_match;
    struct outcome outcome = driver_call(&items.driver, UPDATE_ITEM, &request.base, &owner);
    cr_expect_eq(outcome.status, cases[i].status, "case %zu: %s", i, status_name(outcome.status));
    if (outcome.status != STATUS_OK)
      continue;
    const Item__V1__Item *reply =
        (const Item__V1__Item *)(const void *)driver_reply(&outcome, &item__v1__item__descriptor);
    cr_expect_str_eq(reply->etag, "1", "case %zu", i);
    cr_expect_str_eq(reply->name, "Lamp", "case %zu", i);
  }
  cr_expect_str_eq(items_get(&items, item->id)->etag, "1");
}

// ---- attributes ----

Test(item_changes, attributes_without_a_place_in_a_database_are_the_clients_fault)
{
  Item__V1__Item *item = items_make(&items, "S", "Lamp");
  item->attributes = (char[]){"{\"a\":\"\\\\\\u0000\"}"};
  struct outcome outcome = items_create(&items, item, &owner);
  items_expect_violation(&outcome, STATUS_INVALID_ARGUMENT, "item.attributes");
}

// Written out, this number has 200,000 digits.
Test(item_changes, attributes_stay_as_they_were_sent)
{
  Item__V1__Item *item = items_make(&items, "S", "Lamp");
  item->attributes = (char[]){"{\"b\":1e200000,\"a\":\"\\\\u0000\"}"};
  const Item__V1__Item *created = items_created(&items, item, &owner);
  cr_expect_str_eq(created->attributes, item->attributes);
}
