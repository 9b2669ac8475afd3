// Hedging: a read whose instance stands still is answered by the other one, before anybody notices what is wrong with
// the first.
#include <criterion/criterion.h>
#include <signal.h>

#include "tests/support/http.h"
#include "tests/support/stack.h"

enum {
  WARM_READS = 400,  // so that a tenth of them allows some hedges
  READS = 4,         // while an instance stands still: too few for the second or so in which others would notice
  MAX_ROUNDS = 40,
  WANTED = 5,  // hedges that are answered first
};

static const char *const both[] = {"item-1", "item-2"};

static void thaw(void)
{
  stack_signal(both[0], SIGCONT);
  stack_signal(both[1], SIGCONT);
}

TestSuite(fault_22_hedging, .fini = thaw);

static void read_item(const struct account *owner, const char *id)
{
  ASSERT_STATUS(HTTP(.path = text("/v1/items/%s", id), .token = owner->token), 200);
}

static double count_hedges(const char *event)
{
  return metric_sum("gateway", text("bulkhead_rpc_hedges_total{service=\"item\",event=\"%s\"}", event));
}

static double count_retries(void)
{
  return metric_sum("gateway", "bulkhead_rpc_retries_total{service=\"item\"");
}

static double count_ejections(void)
{
  return metric_sum("gateway", "bulkhead_rpc_ejections_total{service=\"item\"");
}

// Stops one instance for as long as a few reads take.
static void read_while_one_stands_still(const struct account *owner, const char *id, const char *instance)
{
  stack_signal(instance, SIGSTOP);
  for (size_t i = 0; i < READS; i++)
    read_item(owner, id);
  stack_signal(instance, SIGCONT);
  for (size_t i = 0; i < READS; i++)
    read_item(owner, id);
}

struct counts {
  double sent, won, cancelled, retries, ejections;
};

static struct counts count_all(void)
{
  return (struct counts){.sent = count_hedges("sent"),
                         .won = count_hedges("won"),
                         .cancelled = count_hedges("cancelled"),
                         .retries = count_retries(),
                         .ejections = count_ejections()};
}

static struct counts count_since(const struct counts *before)
{
  struct counts now = count_all();
  return (struct counts){.sent = now.sent - before->sent,
                         .won = now.won - before->won,
                         .cancelled = now.cancelled - before->cancelled,
                         .retries = now.retries - before->retries,
                         .ejections = now.ejections - before->ejections};
}

Test(fault_22_hedging, reads_of_an_instance_that_stands_still_are_answered_by_the_other)
{
  struct account owner = account_create();
  const char *id = item_create(&owner, text("{\"sku\":\"%s\",\"name\":\"Lamp\"}", fresh_word()));
  wait_until_caching();
  for (size_t i = 0; i < WARM_READS; i++)
    read_item(&owner, id);
  struct counts before = count_all();
  size_t rounds = 0;
  for (; rounds < MAX_ROUNDS && count_since(&before).won < WANTED; rounds++)
    read_while_one_stands_still(&owner, id, both[rounds % 2]);
  struct counts counts = count_since(&before);
  cr_log_info(
      "%zu rounds of %d reads: %.0f hedges sent, %.0f won, %.0f requests cancelled; %.0f retries, %.0f ejections",
      rounds, 2 * READS, counts.sent, counts.won, counts.cancelled, counts.retries, counts.ejections);
  cr_expect(counts.won >= WANTED && counts.won <= counts.sent);
  cr_expect_geq(counts.cancelled, counts.won, "requests at instances that stand still are taken back");
  // The budget also counts the reads before, and allows each worker a few more.
  cr_expect_leq(counts.sent, (double)(WARM_READS + rounds * 2 * READS) / 10 + 10);
  cr_expect_lt(counts.retries, counts.won, "reads were answered before the silence was noticed");
  cr_expect_eq(counts.ejections, 0, "a request that was cancelled is no failure of its instance");
}
