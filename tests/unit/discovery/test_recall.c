// What is recalled of a service's instances after Consul has lost its memory.
#include <criterion/criterion.h>

#include "common/discovery/consul_recall_internal.h"

#define SECOND UINT64_C(1000000)

static struct consul_recall recall;

static struct endpoint_list make_list(const char *const *ids)
{
  struct endpoint_list list = {0};
  for (size_t i = 0; ids[i] != NULL; i++)
    cr_assert(endpoint_list_add(&list, slice_from_string(ids[i]), SLICE("tcp://10.0.0.1:1")));
  return list;
}

// Takes an answer with these instances and asserts which the list has then: their ids, one after the other.
static void expect_completed(uint64_t index, uint64_t now_us, const char *const *ids, const char *expected)
{
  struct endpoint_list list = make_list(ids);
  bool recalls = consul_recall_complete(&recall, index, now_us, &list);
  char found[16] = "";
  cr_assert_lt(list.count, sizeof(found));
  for (size_t i = 0; i < list.count; i++)
    found[i] = list.endpoints[i].id[0];
  cr_expect_str_eq(found, expected, "index %llu: %s", (unsigned long long)index, found);
  cr_expect_eq(recalls, now_us < recall.until_us);
  endpoint_list_free(&list);
}

static void teardown(void)
{
  consul_recall_free(&recall);
}

TestSuite(recall, .fini = teardown);

#define IDS(...) ((const char *const[]){__VA_ARGS__, NULL})
static const char *const nobody[] = {NULL};

Test(recall, an_instance_that_leaves_is_gone_at_once)
{
  expect_completed(7, SECOND, IDS("a", "b"), "ab");
  expect_completed(8, SECOND, IDS("b"), "b");
  expect_completed(9, SECOND, nobody, "");
  expect_completed(9, SECOND, IDS("c"), "c");
}

Test(recall, a_consul_without_memory_is_told_the_instances_that_it_does_not_know_for_a_while)
{
  expect_completed(70, SECOND, IDS("a", "b"), "ab");
  expect_completed(5, 10 * SECOND, nobody, "ab");
  expect_completed(6, 12 * SECOND, IDS("b"), "ab");
  expect_completed(7, 13 * SECOND, IDS("b", "c"), "abc");
  expect_completed(7, 30 * SECOND - 1, IDS("b", "c"), "abc");
  expect_completed(7, 30 * SECOND, IDS("b", "c"), "bc");
}

Test(recall, an_instance_that_registers_at_another_place_replaces_itself)
{
  expect_completed(70, SECOND, IDS("a"), "a");
  struct endpoint_list list = {0};
  cr_assert(endpoint_list_add(&list, SLICE("a"), SLICE("tcp://10.0.0.2:2")));
  cr_expect(consul_recall_complete(&recall, 5, SECOND, &list));
  cr_assert_eq(list.count, 1);
  cr_expect_str_eq(list.endpoints[0].url, "tcp://10.0.0.2:2");
  endpoint_list_free(&list);
}
