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

// Takes an answer and asserts which list it leads to: the ids, one after the other. Frees the answer.
static void expect_list(struct consul_answer answer, uint64_t now_us, const char *expected)
{
  struct endpoint_list list;
  bool recalls = consul_recall_complete(&recall, &answer, now_us, &list);
  char found[16] = "";
  cr_assert_lt(list.count, sizeof(found));
  for (size_t i = 0; i < list.count; i++)
    found[i] = list.endpoints[i].id[0];
  cr_expect_str_eq(found, expected, "index %llu: %s", (unsigned long long)answer.index, found);
  cr_expect_eq(recalls, consul_recall_left_ms(&recall, now_us) != 0);
  endpoint_list_free(&list);
  consul_answer_free(&answer);
}

static void expect_completed(uint64_t index, uint64_t now_us, const char *const *ids, const char *expected)
{
  expect_list((struct consul_answer){.passing = make_list(ids), .index = index}, now_us, expected);
}

static void teardown(void)
{
  consul_recall_free(&recall);
}

TestSuite(recall, .fini = teardown);

#define IDS(...) ((const char *const[]){__VA_ARGS__, NULL})
static const char *const nobody[] = {NULL};

Test(recall, an_instance_that_leaves_others_is_gone_at_once)
{
  expect_completed(7, SECOND, IDS("a", "b"), "ab");
  expect_completed(8, SECOND, IDS("b"), "b");
  expect_completed(9, SECOND, IDS("c"), "c");
}

Test(recall, an_instance_that_leaves_is_gone_at_once_though_nobody_was_there_at_first)
{
  expect_completed(7, SECOND, nobody, "");
  expect_completed(8, SECOND, IDS("a", "b"), "ab");
  expect_completed(9, SECOND, IDS("b"), "b");
}

Test(recall, the_last_instances_stay_for_two_minutes_when_consul_names_nobody)
{
  expect_completed(7, SECOND, IDS("a", "b"), "ab");
  expect_completed(8, 2 * SECOND, nobody, "ab");
  expect_completed(9, 100 * SECOND, nobody, "ab");
  expect_completed(9, 122 * SECOND - 1, nobody, "ab");
  expect_completed(9, 122 * SECOND, nobody, "");
  expect_completed(10, 123 * SECOND, IDS("c"), "c");
}

Test(recall, those_that_have_not_registered_again_stay_beside_those_that_have)
{
  expect_completed(7, SECOND, IDS("a", "b"), "ab");
  expect_completed(8, 2 * SECOND, nobody, "ab");
  expect_completed(9, 3 * SECOND, IDS("a"), "ab");
  expect_completed(10, 4 * SECOND, IDS("a", "b"), "ab");
  expect_completed(11, 122 * SECOND, IDS("b"), "b");
}

Test(recall, a_consul_with_lower_indexes_has_lost_its_memory)
{
  expect_completed(70, SECOND, IDS("a", "b"), "ab");
  expect_completed(6, 12 * SECOND, IDS("b"), "ab");
  expect_completed(7, 13 * SECOND, IDS("b", "c"), "abc");
  expect_completed(7, 132 * SECOND - 1, IDS("b", "c"), "abc");
  expect_completed(7, 132 * SECOND, IDS("b", "c"), "bc");
}

// A Consul that began again may have higher indexes than the one before.
Test(recall, after_an_outage_consul_may_have_lost_its_memory)
{
  expect_completed(7, SECOND, IDS("a", "b"), "ab");
  expect_list((struct consul_answer){.passing = make_list(IDS("b")), .index = 9, .is_after_outage = true}, 10 * SECOND,
              "ab");
  expect_completed(10, 11 * SECOND, IDS("b", "c"), "abc");
  expect_completed(10, 130 * SECOND, IDS("b", "c"), "bc");
}

// Such as a proxy in front of Consul that ends each long query.
Test(recall, an_instance_that_is_gone_does_not_stay_because_outages_go_on)
{
  uint64_t now_us = SECOND;
  expect_completed(7, now_us, IDS("a", "b"), "ab");
  for (size_t i = 0; i < 2; i++)
    expect_list((struct consul_answer){.passing = make_list(IDS("b")), .index = 8, .is_after_outage = true},
                now_us += 60 * SECOND, "ab");
  for (size_t i = 0; i < 5; i++)
    expect_list((struct consul_answer){.passing = make_list(IDS("b")), .index = 8, .is_after_outage = true},
                now_us += 61 * SECOND, "b");
}

Test(recall, an_instance_that_fails_its_check_is_left_out_while_another_passes)
{
  expect_completed(7, SECOND, IDS("a", "b"), "ab");
  expect_list((struct consul_answer){.passing = make_list(IDS("a")), .failing = make_list(IDS("b")), .index = 8},
              SECOND, "a");
  // Also while Consul may have forgotten others: this one it knows.
  expect_completed(7, SECOND, IDS("a", "b", "c"), "abc");
  expect_list((struct consul_answer){.passing = make_list(IDS("a")), .failing = make_list(IDS("b")), .index = 8},
              SECOND, "ac");
}

Test(recall, where_no_instance_passes_its_check_those_that_are_registered_are_listed)
{
  expect_completed(7, SECOND, IDS("a", "b"), "ab");
  expect_list((struct consul_answer){.failing = make_list(IDS("a", "b", "c")), .index = 8}, SECOND, "abc");
  expect_list((struct consul_answer){.passing = make_list(IDS("c")), .failing = make_list(IDS("a", "b")), .index = 9},
              SECOND, "c");
}

Test(recall, a_list_that_was_saved_is_used_when_consul_names_nobody)
{
  recall.known = make_list(IDS("a", "b"));
  expect_completed(3, SECOND, nobody, "ab");
  expect_completed(4, 2 * SECOND, IDS("c"), "abc");
}

Test(recall, what_consul_names_at_the_start_goes_before_a_list_that_was_saved)
{
  recall.known = make_list(IDS("a", "b"));
  expect_completed(3, SECOND, IDS("b", "c"), "bc");
}

Test(recall, an_instance_that_registers_at_another_place_replaces_itself)
{
  expect_completed(70, SECOND, IDS("a"), "a");
  struct consul_answer answer = {.index = 5};
  cr_assert(endpoint_list_add(&answer.passing, SLICE("a"), SLICE("tcp://10.0.0.2:2")));
  struct endpoint_list list;
  cr_expect(consul_recall_complete(&recall, &answer, SECOND, &list));
  cr_assert_eq(list.count, 1);
  cr_expect_str_eq(list.endpoints[0].url, "tcp://10.0.0.2:2");
  endpoint_list_free(&list);
  consul_answer_free(&answer);
}
