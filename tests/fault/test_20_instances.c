// Instances of a service that crash or freeze while clients read without a pause: what one had to do, another does.
#include <criterion/criterion.h>
#include <signal.h>

#include "tests/support/http.h"
#include "tests/support/stack.h"
#include "tests/support/steady_client.h"

enum { READERS = 4, ENOUGH_READS = 200 };

static void thaw_instances(void)
{
  stack_signal("item-1", SIGCONT);
  stack_signal("item-2", SIGCONT);
}

TestSuite(fault_20_instances, .fini = thaw_instances);

static void start_readers(const struct account *owner, struct steady_client **readers)
{
  for (size_t i = 0; i < READERS; i++)
    readers[i] = steady_client_start(owner, STEADY_READS);
}

static void await_reads(struct steady_client *const *readers)
{
  for (size_t i = 0; i < READERS; i++)
    steady_client_await(readers[i], ENOUGH_READS);
}

static void end_readers(struct steady_client **readers)
{
  for (size_t i = 0; i < READERS; i++)
    steady_client_end(&readers[i], 0);
}

Test(fault_20_instances, no_read_fails_when_one_of_two_is_killed)
{
  static const char *const names[] = {"item-1", "item-2"};
  struct account ada = account_create();
  struct steady_client *readers[READERS];
  start_readers(&ada, readers);
  for (size_t round = 0; round < 4; round++) {
    await_reads(readers);
    stack("kill", names[round % 2]);
    await_reads(readers);
    stack("start", names[round % 2]);
    wait_until_healthy();
  }
  end_readers(readers);
}

// Consul asks each instance every two seconds, so the gateways must notice by themselves.
Test(fault_20_instances, no_read_fails_when_one_of_two_freezes)
{
  static const char *const names[] = {"item-1", "item-2"};
  struct account ada = account_create();
  struct steady_client *readers[READERS];
  start_readers(&ada, readers);
  for (size_t round = 0; round < 2; round++) {
    await_reads(readers);
    stack_signal(names[round], SIGSTOP);
    await_reads(readers);
    stack_signal(names[round], SIGCONT);
    wait_until_healthy();
  }
  end_readers(readers);
}

Test(fault_20_instances, without_any_instance_no_request_waits)
{
  struct account ada = account_create();
  const char *path = text("/v1/items/%s", item_create(&ada, "{\"sku\":\"a\",\"name\":\"b\"}"));
  stack("kill", "item-1");
  stack("kill", "item-2");
  double shortest_s = 60;
  for (size_t i = 0; i < 20; i++) {
    struct http_reply reply = HTTP(.path = path, .token = ada.token);
    shortest_s = reply.seconds < shortest_s ? reply.seconds : shortest_s;
    ASSERT_PROBLEM(reply, 503, "UNAVAILABLE");
    cr_assert_str_eq(http_json(&reply, "reason"), "NOT_APPLIED");
    cr_assert_not_null(http_header(&reply, "Retry-After"));
  }
  // A request that waits for an instance does so for a second. A busy machine may take as long for some of them.
  cr_assert_lt(shortest_s, 0.9);
  stack("start", "item-1");
  stack("start", "item-2");
  wait_until_healthy();
  ASSERT_STATUS(HTTP(.path = path, .token = ada.token), 200);
}
