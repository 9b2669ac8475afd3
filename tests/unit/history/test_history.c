// The checker of histories: contradictions are found, whatever can be explained is not reported, and it agrees with a
// search of all orders.
#include "tests/support/history/history.h"

#include <criterion/criterion.h>

#include "common/base/compiler.h"

#define READ(value_, from, to)                                                                                         \
  {                                                                                                                    \
    .client = 1, .kind = HISTORY_READ, .value = (value_), .invoked_us = (from), .answered_us = (to)                    \
  }
#define WRITE(value_, from, to)                                                                                        \
  {                                                                                                                    \
    .client = 2, .kind = HISTORY_WRITE, .value = (value_), .invoked_us = (from), .answered_us = (to)                   \
  }
#define WRITE_AFTER(expected_, value_, from, to)                                                                       \
  {                                                                                                                    \
    .client = 3, .kind = HISTORY_WRITE, .value = (value_), .expected = (expected_), .invoked_us = (from),              \
    .answered_us = (to)                                                                                                \
  }
#define UNANSWERED(value_, from, to)                                                                                   \
  {                                                                                                                    \
    .client = 4, .kind = HISTORY_WRITE, .outcome = HISTORY_UNKNOWN, .value = (value_), .invoked_us = (from),           \
    .answered_us = (to)                                                                                                \
  }
#define REFUSED(value_, from, to)                                                                                      \
  {                                                                                                                    \
    .client = 5, .kind = HISTORY_WRITE, .outcome = HISTORY_NOT_APPLIED, .value = (value_), .invoked_us = (from),       \
    .answered_us = (to)                                                                                                \
  }

static bool is_linearizable(const struct history_operation *operations, size_t count, struct strbuf *why)
{
  struct history history = {0};
  for (size_t i = 0; i < count; i++)
    history_add(&history, &operations[i]);
  bool linearizable = history_is_linearizable(&history, why);
  history_free(&history);
  return linearizable;
}

static void expect_good(const struct history_operation *operations, size_t count)
{
  struct strbuf why;
  strbuf_init(&why, 0);
  cr_expect(is_linearizable(operations, count, &why), "%s", strbuf_cstring(&why));
  cr_expect_eq(why.size, 0);
  strbuf_free(&why);
}

static void expect_bad(const char *reason, const struct history_operation *operations, size_t count)
{
  struct strbuf why;
  strbuf_init(&why, 0);
  cr_expect_not(is_linearizable(operations, count, &why), "not found: %s", reason);
  cr_expect_not_null(strstr(strbuf_cstring(&why), reason), "not \"%s\" in: %s", reason, strbuf_cstring(&why));
  strbuf_free(&why);
}

#define OPERATIONS(...)                                                                                                \
  (const struct history_operation[]){__VA_ARGS__},                                                                     \
      sizeof((const struct history_operation[]){__VA_ARGS__}) / sizeof(struct history_operation)
#define GOOD(...) expect_good(OPERATIONS(__VA_ARGS__))
#define BAD(reason, ...) expect_bad(reason, OPERATIONS(__VA_ARGS__))
#define NO_ORDER "no order of effects explains these"

Test(history, reads_see_the_last_write)
{
  GOOD(WRITE(1, 0, 1), READ(1, 2, 3), WRITE(2, 4, 5), READ(2, 6, 7));
  struct strbuf why;
  strbuf_init(&why, 0);
  cr_expect(is_linearizable(NULL, 0, &why), "an empty history");
  strbuf_free(&why);
}

Test(history, what_overlaps_may_have_happened_in_either_order)
{
  GOOD(WRITE(1, 0, 1), WRITE(2, 2, 10), READ(1, 3, 4), READ(2, 5, 6));
  GOOD(WRITE(1, 0, 1), WRITE(2, 2, 10), WRITE(3, 2, 10), READ(3, 3, 4), READ(2, 5, 6), READ(2, 11, 12));
  // A moment belongs to both who share it.
  GOOD(WRITE(1, 0, 1), WRITE(2, 2, 3), READ(1, 3, 4));
}

Test(history, a_stale_read_is_found)
{
  BAD(NO_ORDER, WRITE(1, 0, 1), WRITE(2, 2, 3), READ(1, 4, 5));
  BAD(NO_ORDER, WRITE(1, 0, 1), WRITE(2, 2, 3), READ(2, 4, 5), READ(1, 6, 7));
}

Test(history, two_readers_who_see_the_writes_in_opposite_orders_are_found)
{
  BAD(NO_ORDER, WRITE(1, 0, 20), WRITE(2, 0, 20), READ(1, 1, 2), READ(2, 3, 4), READ(1, 5, 6));
  BAD(NO_ORDER, WRITE(1, 0, 20), WRITE(2, 0, 20), READ(1, 1, 4), READ(2, 1, 4), READ(1, 5, 8), READ(2, 5, 8));
}

Test(history, a_read_of_the_future_is_found)
{
  BAD("the first of these has seen what came only after the second", WRITE(1, 0, 1), READ(2, 2, 3), WRITE(2, 4, 5));
}

Test(history, a_read_of_what_nobody_wrote_is_found)
{
  BAD("a value was read that nobody has written", WRITE(1, 0, 1), READ(7, 2, 3));
}

Test(history, items_are_registers_of_their_own)
{
  struct history_operation other = WRITE(2, 2, 3);
  other.item = 1;
  GOOD(WRITE(1, 0, 1), other, READ(1, 4, 5));
  struct history_operation stray = READ(1, 4, 5);
  stray.item = 1;
  BAD("item 1: a value was read that nobody has written", WRITE(1, 0, 1), other, stray);
}

// ---- outcomes ----

Test(history, an_unknown_write_takes_effect_late_or_never)
{
  GOOD(WRITE(1, 0, 1), UNANSWERED(2, 2, 3), READ(1, 4, 5), READ(1, 6, 7));
  GOOD(WRITE(1, 0, 1), UNANSWERED(2, 2, 3), READ(1, 4, 5), READ(2, 6, 7));
  GOOD(WRITE(1, 0, 1), UNANSWERED(2, 2, 3), WRITE(3, 4, 5), READ(3, 6, 7), READ(2, 8, 9));
  GOOD(UNANSWERED(2, 2, 3), WRITE(1, 0, 1), UNANSWERED(3, 2, 3), READ(3, 4, 5), READ(2, 6, 7));
}

Test(history, an_unknown_write_takes_effect_once)
{
  BAD(NO_ORDER, WRITE(1, 0, 1), UNANSWERED(2, 2, 3), READ(2, 4, 5), READ(1, 6, 7));
  BAD(NO_ORDER, WRITE(1, 0, 1), UNANSWERED(2, 2, 3), READ(2, 4, 5), WRITE(3, 6, 7), READ(3, 8, 9), READ(2, 10, 11));
}

Test(history, an_unknown_write_takes_no_effect_before_it_began)
{
  BAD("the first of these has seen what came only after the second", WRITE(1, 0, 1), READ(2, 2, 3),
      UNANSWERED(2, 4, 5));
}

Test(history, a_write_answered_as_not_applied_never_takes_effect)
{
  GOOD(WRITE(1, 0, 1), REFUSED(2, 2, 3), READ(1, 4, 5));
  BAD("a value was read whose write was answered as not applied", WRITE(1, 0, 1), REFUSED(2, 2, 3), READ(2, 4, 5));
  BAD("a write took effect that expects the value of one answered as not applied", WRITE(1, 0, 1), REFUSED(2, 2, 3),
      WRITE_AFTER(2, 3, 4, 5));
}

// ---- conditional writes ----

Test(history, a_conditional_write_comes_directly_after_what_it_expects)
{
  GOOD(WRITE(1, 0, 1), WRITE_AFTER(1, 2, 2, 3), WRITE_AFTER(2, 3, 4, 5), READ(3, 6, 7));
  GOOD(WRITE(1, 0, 1), WRITE_AFTER(1, 2, 2, 9), WRITE(3, 2, 9), READ(3, 10, 11));
  GOOD(WRITE(1, 0, 1), UNANSWERED(2, 2, 3), WRITE_AFTER(2, 3, 4, 5), READ(3, 6, 7));
  BAD(NO_ORDER, WRITE(1, 0, 1), WRITE(2, 2, 3), WRITE_AFTER(1, 3, 4, 5));
  BAD("the first of these has seen what came only after the second", WRITE(1, 0, 1), WRITE_AFTER(1, 2, 2, 3),
      READ(1, 4, 5));
}

Test(history, a_lost_update_is_found)
{
  BAD("an update was lost", WRITE(1, 0, 1), WRITE_AFTER(1, 2, 2, 9), WRITE_AFTER(1, 3, 2, 9));
}

Test(history, a_write_that_expects_what_nobody_wrote_is_found)
{
  BAD("expects a value that nobody has written", WRITE(1, 0, 1), WRITE_AFTER(9, 2, 2, 3));
  BAD("expect each other in a circle", WRITE_AFTER(2, 1, 0, 9), WRITE_AFTER(1, 2, 0, 9));
}

Test(history, a_report_names_each_contradicting_operation_once_and_what_else_happened)
{
  struct strbuf why;
  strbuf_init(&why, 0);
  const struct history_operation operations[] = {WRITE(1, 1000, 2000), READ(1, 2100, 2200),       READ(2, 5000, 6000),
                                                 READ(1, 7000, 8000),  UNANSWERED(2, 3000, 4500), READ(2, 5500, 6500),
                                                 READ(1, 9000, 9500)};
  cr_expect_not(is_linearizable(operations, ARRAY_LEN(operations), &why));
  cr_expect_str_eq(strbuf_cstring(&why),
                   "item 0: no order of effects explains these:\n"
                   "       0.000 to      1.000 ms: client 2 wrote 1\n"
                   "       4.000 to      5.000 ms: client 1 read  2\n"
                   "       4.500 to      5.500 ms: client 1 read  2\n"
                   "       8.000 to      8.500 ms: client 1 read  1\n"
                   "what else happened to this item meanwhile:\n"
                   "       0.000 to      1.000 ms: client 2 wrote 1\n"
                   "       1.100 to      1.200 ms: client 1 read  1\n"
                   "       2.000 to      3.500 ms: client 4 wrote 2, answered without an outcome\n"
                   "       4.000 to      5.000 ms: client 1 read  2\n"
                   "       4.500 to      5.500 ms: client 1 read  2\n"
                   "       6.000 to      7.000 ms: client 1 read  1\n"
                   "       8.000 to      8.500 ms: client 1 read  1\n");
  strbuf_free(&why);
}

Test(history, what_several_clients_recorded_is_checked_as_one)
{
  struct history first = {0}, second = {0};
  history_add(&first, &(struct history_operation)WRITE(1, 0, 1));
  history_add(&second, &(struct history_operation)WRITE(2, 2, 3));
  history_add(&second, &(struct history_operation)READ(1, 4, 5));
  history_add_all(&first, &second);
  struct strbuf why;
  strbuf_init(&why, 0);
  cr_expect_eq(first.count, 3);
  cr_expect_not(history_is_linearizable(&first, &why));
  strbuf_free(&why);
  history_free(&first);
  history_free(&second);
}

// ---- against a search of all orders ----

enum { MOST = 7 };

struct search {
  const struct history_operation *operations;
  size_t count;
};

static uint64_t end_of(const struct history_operation *operation)
{
  return operation->outcome == HISTORY_DONE ? operation->answered_us : UINT64_MAX;
}

// Tells whether operation `next` may be the next to take effect when those of `done` have, and `value` is there.
static bool may_be_next(const struct search *search, unsigned done, uint64_t value, size_t next)
{
  const struct history_operation *operation = &search->operations[next];
  if ((done >> next & 1) != 0 || operation->outcome == HISTORY_NOT_APPLIED)
    return false;
  if (operation->kind == HISTORY_READ ? operation->value != value
                                      : operation->expected != 0 && operation->expected != value)
    return false;
  for (size_t i = 0; i < search->count; i++)
    if ((done >> i & 1) == 0 && end_of(&search->operations[i]) < operation->invoked_us)
      return false;
  return true;
}

static bool search_orders(const struct search *search, unsigned done, uint64_t value)
{
  bool all = true;
  for (size_t i = 0; i < search->count; i++)
    all = all && ((done >> i & 1) != 0 || search->operations[i].outcome != HISTORY_DONE);
  if (all)
    return true;
  for (size_t i = 0; i < search->count; i++)
    if (may_be_next(search, done, value, i) && search_orders(search, done | 1U << i, search->operations[i].value))
      return true;
  return false;
}

static uint64_t next_number(uint64_t *state, uint64_t below)
{
  // A fixed sequence, so that a failure can be repeated.
  *state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
  return (*state >> 33) % below;
}

static size_t make_random(uint64_t *state, struct history_operation operations[MOST])
{
  size_t writes = 1 + next_number(state, 4), count = writes + next_number(state, MOST - writes + 1);
  uint64_t length = 4 + next_number(state, 20);
  for (size_t i = 0; i < count; i++) {
    struct history_operation *operation = &operations[i];
    *operation = (struct history_operation){.client = (uint32_t)i, .invoked_us = next_number(state, length)};
    operation->answered_us = operation->invoked_us + next_number(state, length / 2);
    operation->kind = i < writes ? HISTORY_WRITE : HISTORY_READ;
    operation->value = i < writes ? i + 1 : 1 + next_number(state, writes);
    if (i >= writes)
      continue;
    if (next_number(state, 3) == 0)
      operation->outcome = next_number(state, 4) == 0 ? HISTORY_NOT_APPLIED : HISTORY_UNKNOWN;
    if (next_number(state, 3) == 0)
      operation->expected = 1 + next_number(state, writes);
  }
  return count;
}

Test(history, agrees_with_a_search_of_all_orders)
{
  uint64_t state = 42;
  size_t good = 0, bad = 0;
  struct strbuf why;
  strbuf_init(&why, 0);
  for (int round = 0; round < 200000; round++) {
    struct history_operation operations[MOST];
    const struct search search = {operations, make_random(&state, operations)};
    strbuf_clear(&why);
    bool found = is_linearizable(operations, search.count, &why);
    cr_assert_eq(found, search_orders(&search, 0, 0), "round %d: %s", round, strbuf_cstring(&why));
    *(found ? &good : &bad) += 1;
  }
  cr_expect_gt(good, 20000);
  cr_expect_gt(bad, 20000);
  strbuf_free(&why);
}

Test(history, a_long_history_takes_no_long_time)
{
  struct history history = {0};
  for (uint64_t i = 1; i <= 200000; i++) {
    history_add(&history, &(struct history_operation)WRITE(i, 10 * i, 10 * i + 4));
    history_add(&history, &(struct history_operation)READ(i, 10 * i + 5, 10 * i + 9));
    history_add(&history, &(struct history_operation)UNANSWERED(i + 1000000, 10 * i, 10 * i + 1));
  }
  struct strbuf why;
  strbuf_init(&why, 0);
  cr_expect(history_is_linearizable(&history, &why), "%s", strbuf_cstring(&why));
  history_add(&history, &(struct history_operation)READ(100000, 1000100, 1000200));
  cr_expect_not(history_is_linearizable(&history, &why));
  strbuf_free(&why);
  history_free(&history);
}
