// Which answers a worker has room for.
#include <criterion/criterion.h>

#include "common/base/hash.h"
#include "gateway/answer_budget.h"

#define MB ((size_t)1024 * 1024)
enum { ADA = 7, BOB = 8, LIST = 3, GET = 4 };

static struct answer_budget budget;

// An answer of this size comes and is sent.
static void send_answer(uint64_t caller, uint64_t method, size_t bytes)
{
  struct answer_share share;
  cr_assert(answer_budget_reserve(&budget, &share, caller, method));
  cr_assert(answer_budget_take(&budget, &share, bytes, false));
  answer_budget_release(&budget, &share);
}

Test(answer_budget, small_answers_are_not_counted)
{
  struct answer_share share;
  for (size_t i = 0; i < 100000; i++) {
    cr_assert(answer_budget_reserve(&budget, &share, ADA, GET));
    cr_assert(answer_budget_take(&budget, &share, ANSWER_SMALL_BYTES - 1, false));
  }
  cr_assert_eq(budget.total, 0);
}

Test(answer_budget, a_caller_holds_as_much_as_the_limit_says_and_others_hold_theirs)
{
  struct answer_share shares[5];
  send_answer(ADA, LIST, 4 * MB);
  for (size_t i = 0; i < 4; i++)
    cr_assert(answer_budget_reserve(&budget, &shares[i], ADA, LIST));
  cr_assert_not(answer_budget_reserve(&budget, &shares[4], ADA, LIST));
  cr_assert(answer_budget_reserve(&budget, &shares[4], ADA, GET), "a method with small answers has room");
  answer_budget_release(&budget, &shares[0]);
  cr_assert(answer_budget_reserve(&budget, &shares[0], ADA, LIST));
}

// Five hundred lists are called before the first answer tells how large they are.
Test(answer_budget, answers_that_are_larger_than_expected_are_turned_away_when_they_come)
{
  static struct answer_share shares[500];
  size_t taken = 0;
  for (size_t i = 0; i < 500; i++)
    cr_assert(answer_budget_reserve(&budget, &shares[i], ADA, LIST));
  for (size_t i = 0; i < 500; i++)
    taken += answer_budget_take(&budget, &shares[i], 4 * MB, false) ? 1 : 0;
  cr_assert_eq(taken, 4);
  cr_assert_leq(budget.total, ANSWER_CALLER_BYTES);
  cr_assert(answer_budget_take(&budget, &shares[499], 4 * MB, true), "what tells of a change is held all the same");
  for (size_t i = 0; i < 500; i++)
    answer_budget_release(&budget, &shares[i]);
  cr_assert_eq(budget.total, 0);
  cr_assert_eq(budget.held[ADA], 0);
}

// The same, but the first answer is learned from: the service need not make what would be turned away.
Test(answer_budget, calls_before_the_first_answer_are_judged_again_once_it_has_come)
{
  static struct answer_share shares[500];
  struct answer_share bobs, other;
  struct list excess;
  list_init(&excess);
  cr_assert(answer_budget_reserve(&budget, &bobs, BOB, LIST));
  cr_assert(answer_budget_reserve(&budget, &other, ADA, GET));
  for (size_t i = 0; i < 500; i++)
    cr_assert(answer_budget_reserve(&budget, &shares[i], ADA, LIST));
  cr_assert(answer_budget_take(&budget, &shares[0], 4 * MB, false));
  answer_budget_judge_again(&budget, &shares[0], &excess);
  cr_assert_eq(budget.held[ADA], 16 * MB, "three more have room");
  size_t count = 0;
  for (; !list_empty(&excess); count++) {
    cr_assert_eq(excess.next, &shares[4 + count].node, "in the order of their calls");
    list_remove(excess.next);
    answer_budget_release(&budget, &shares[4 + count]);
  }
  cr_assert_eq(count, 496);
  answer_budget_judge_again(&budget, &shares[0], &excess);
  cr_assert(list_empty(&excess), "each is judged once");
  for (size_t i = 0; i < 4; i++)
    answer_budget_release(&budget, &shares[i]);
  cr_assert_eq(budget.total, 0);
}

Test(answer_budget, nothing_is_judged_again_after_a_small_answer_or_the_end_of_a_call)
{
  struct answer_share shares[3];
  struct list excess;
  list_init(&excess);
  for (size_t i = 0; i < 3; i++)
    cr_assert(answer_budget_reserve(&budget, &shares[i], ADA, LIST));
  cr_assert(answer_budget_take(&budget, &shares[0], ANSWER_SMALL_BYTES - 1, false));
  answer_budget_judge_again(&budget, &shares[0], &excess);
  cr_assert(list_empty(&excess));
  answer_budget_release(&budget, &shares[1]);
  cr_assert(answer_budget_take(&budget, &shares[2], 300 * MB, false));
  answer_budget_judge_again(&budget, &shares[2], &excess);
  cr_assert(list_empty(&excess));
}

// Returns a caller whose answers of the method have their expectation in the place of Ada's lists.
static uint64_t find_neighbour(uint64_t method)
{
  uint64_t place = hash_integers(ADA, LIST) % ANSWER_EXPECTATIONS;
  uint64_t caller = ADA + 1;
  while (hash_integers(caller, method) % ANSWER_EXPECTATIONS != place || caller % ANSWER_CALLERS == ADA)
    caller++;
  return caller;
}

// An item of a neighbour is not taken for one of Ada's lists, before or after her answer.
Test(answer_budget, another_callers_calls_in_the_same_place_are_neither_given_up_nor_taken_for_large)
{
  uint64_t neighbour = find_neighbour(GET);
  struct answer_share first, items[20];
  struct list excess;
  list_init(&excess);
  cr_assert(answer_budget_reserve(&budget, &first, ADA, LIST));
  for (size_t i = 0; i < 10; i++)
    cr_assert(answer_budget_reserve(&budget, &items[i], neighbour, GET));
  cr_assert(answer_budget_take(&budget, &first, 5 * MB, false));
  answer_budget_judge_again(&budget, &first, &excess);
  cr_assert(list_empty(&excess));
  for (size_t i = 10; i < 20; i++)
    cr_assert(answer_budget_reserve(&budget, &items[i], neighbour, GET));
  cr_assert_eq(budget.held[neighbour % ANSWER_CALLERS], 0);
  for (size_t i = 0; i < 20; i++)
    cr_assert(answer_budget_take(&budget, &items[i], 1000, false));
  answer_budget_release(&budget, &first);
  cr_assert(answer_budget_reserve(&budget, &first, ADA, LIST));
  cr_assert_eq(budget.held[ADA], 5 * MB, "small answers do not make others forgotten");
}

Test(answer_budget, large_answers_to_another_caller_in_the_same_place_begin_anew)
{
  uint64_t neighbour = find_neighbour(LIST);
  struct answer_share share;
  send_answer(ADA, LIST, 8 * MB);
  send_answer(neighbour, LIST, MB);
  cr_assert(answer_budget_reserve(&budget, &share, neighbour, LIST));
  cr_assert_eq(budget.total, MB);
  cr_assert(answer_budget_reserve(&budget, &share, ADA, LIST));
  cr_assert_eq(budget.total, MB, "of Ada's nothing is known any more");
}

// Others hold all there is. That Ada's first list is turned away does not mean that there is no room for the next.
Test(answer_budget, calls_of_a_caller_who_holds_nothing_are_judged_when_they_have_come)
{
  struct answer_share bobs, lists[3];
  struct list excess;
  list_init(&excess);
  cr_assert(answer_budget_reserve(&budget, &bobs, BOB, LIST));
  cr_assert(answer_budget_take(&budget, &bobs, ANSWER_TOTAL_BYTES, false));
  for (size_t i = 0; i < 3; i++)
    cr_assert(answer_budget_reserve(&budget, &lists[i], ADA, LIST));
  cr_assert_not(answer_budget_take(&budget, &lists[0], 4 * MB, false));
  answer_budget_judge_again(&budget, &lists[0], &excess);
  cr_assert(list_empty(&excess));
  answer_budget_release(&budget, &bobs);
  cr_assert(answer_budget_take(&budget, &lists[1], 4 * MB, false));
  answer_budget_judge_again(&budget, &lists[1], &excess);
  cr_assert(list_empty(&excess));
  cr_assert_eq(budget.total, 8 * MB);
}

Test(answer_budget, a_single_answer_is_held_whatever_its_size)
{
  struct answer_share first, second;
  send_answer(ADA, LIST, 300 * MB);
  cr_assert(answer_budget_reserve(&budget, &first, ADA, LIST));
  cr_assert(answer_budget_reserve(&budget, &second, BOB, LIST));
  cr_assert(answer_budget_take(&budget, &second, ANSWER_SMALL_BYTES - 1, false), "a small one has room beside it");
  cr_assert(answer_budget_reserve(&budget, &second, BOB, LIST));
  cr_assert_not(answer_budget_take(&budget, &second, MB, false), "a large one has not");
  answer_budget_release(&budget, &first);
  cr_assert(answer_budget_take(&budget, &second, MB, false));
}

Test(answer_budget, many_callers_hold_no_more_than_all_may)
{
  static struct answer_share shares[ANSWER_CALLERS];
  size_t held = 0;
  for (size_t i = 0; i < ANSWER_CALLERS; i++)
    cr_assert(answer_budget_reserve(&budget, &shares[i], i, LIST));
  for (size_t i = 0; i < ANSWER_CALLERS; i++)
    held += answer_budget_take(&budget, &shares[i], 8 * MB, false) ? 1 : 0;
  cr_assert_eq(held, ANSWER_TOTAL_BYTES / (8 * MB));
}

// Ada's lists are large. Bob's are not, and he may ask for as many as he likes.
Test(answer_budget, the_large_answers_of_one_caller_say_nothing_of_anothers)
{
  struct answer_share share;
  send_answer(ADA, LIST, 8 * MB);
  for (size_t i = 0; i < 1000; i++) {
    cr_assert(answer_budget_reserve(&budget, &share, BOB, LIST));
    cr_assert(answer_budget_take(&budget, &share, 1000, false));
  }
  cr_assert_eq(budget.total, 0);
}

// One large answer does not keep a method's small ones out for long.
Test(answer_budget, an_expectation_that_was_too_high_goes_down)
{
  send_answer(ADA, LIST, 4 * MB);
  for (size_t i = 0; i < 100; i++)
    send_answer(ADA, LIST, 1000);
  struct answer_share share;
  cr_assert(answer_budget_reserve(&budget, &share, ADA, LIST));
  cr_assert_eq(budget.total, 0);
}
