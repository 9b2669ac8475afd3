// After a 503 or 504 with NOT_APPLIED nothing happens any more; and nothing begins after its deadline, whatever was
// said.
#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>

#include "tests/support/http.h"
#include "tests/support/stack.h"

struct item {
  struct account owner;
  const char *id;
  const char *path;
};

static struct item make_item(void)
{
  struct item item = {.owner = account_create()};
  item.id = item_create(&item.owner, text("{\"sku\":\"%s\",\"name\":\"Thing\",\"quantity\":1}", fresh_word()));
  item.path = text("/v1/items/%s", item.id);
  return item;
}

static struct http_reply change_quantity(const struct item *item, int quantity)
{
  return HTTP(.method = "PATCH", .path = item->path, .token = item->owner.token,
              .body = text("{\"quantity\":%d}", quantity));
}

// Whatever the services had under way in PostgreSQL has ended, and no session of theirs is inside a transaction.
static bool services_are_idle(const void *arg)
{
  (void)arg;
  return strcmp(sql("SELECT count(*) FROM pg_stat_activity WHERE usename LIKE 'bulkhead\\_%%' AND state <> 'idle'"),
                "0") == 0;
}

static void expect_quantity(const struct item *item, const char *quantity)
{
  cr_expect_str_eq(sql("SELECT quantity FROM item.items WHERE id = '%s'", item->id), quantity);
  struct http_reply read = HTTP(.path = item->path, .token = item->owner.token);
  ASSERT_STATUS(read, 200);
  cr_expect_str_eq(http_json(&read, "quantity"), quantity);
}

// ---- a lock that does not come ----

struct change {
  struct item item;
  int quantity;
  struct http_reply reply;
};

static void run_change(void *arg)
{
  struct change *change = arg;
  change->reply = change_quantity(&change->item, change->quantity);
}

// Many changes of one row: more than the services have connections, so that some have not even reached PostgreSQL.
Test(fault_06_outcomes, no_change_that_waited_for_a_lock_until_its_deadline_is_ever_made)
{
  enum { CHANGES = 24 };
  static struct change changes[CHANGES];
  struct background *threads[CHANGES];
  struct item item = make_item();
  struct sql_transaction *lock = sql_begin(text("SELECT FROM item.items WHERE id = '%s' FOR UPDATE", item.id));
  for (size_t i = 0; i < CHANGES; i++) {
    changes[i] = (struct change){.item = item, .quantity = 100 + (int)i};
    threads[i] = background_start(run_change, &changes[i]);
  }
  for (size_t i = 0; i < CHANGES; i++)
    background_join(threads[i]);
  sql_commit(lock);
  wait_until(services_are_idle, NULL, "the end of all statements");
  size_t refused = 0;
  for (size_t i = 0; i < CHANGES; i++) {
    const struct http_reply *reply = &changes[i].reply;
    cr_expect(reply->status == 429 || reply->status == 503 || reply->status == 504, "%d: %s", reply->status,
              reply->body);
    refused += reply->status == 429;
    if (reply->status != 429)
      cr_expect_str_eq(http_json(reply, "reason"), "NOT_APPLIED", "%s", reply->body);
  }
  cr_expect_lt(refused, CHANGES, "none waited for the lock");
  expect_quantity(&item, "1");
  ASSERT_STATUS(change_quantity(&item, 3), 200);
}

// ---- processes that are stopped ----

// The gateway cannot know whether a stopped process has begun the change. The process knows once it goes on.
Test(fault_06_outcomes, stopped_instances_make_no_change_after_its_deadline)
{
  struct item item = make_item();
  stack_signal("item-1", SIGSTOP);
  stack_signal("item-2", SIGSTOP);
  struct http_reply reply = change_quantity(&item, 2);
  cr_expect(reply.status == 503 || reply.status == 504, "%d: %s", reply.status, reply.body);
  const char *reason = http_json(&reply, "reason");
  cr_expect(strcmp(reason, "OUTCOME_UNKNOWN") == 0 || strcmp(reason, "NOT_APPLIED") == 0, "%s", reply.body);
  stack_signal("item-1", SIGCONT);
  stack_signal("item-2", SIGCONT);
  wait_until_healthy();
  // A connection's requests are read in order: what answers these has read the change.
  for (int i = 0; i < 50; i++)
    ASSERT_STATUS(HTTP(.path = item.path, .token = item.owner.token), 200);
  wait_until(services_are_idle, NULL, "the end of all statements");
  expect_quantity(&item, "1");
}
