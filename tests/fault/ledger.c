#include "tests/fault/ledger.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/strbuf.h"
#include "tests/support/history/history.h"
#include "tests/support/http.h"
#include "tests/support/stack.h"

// ---- creates ----

static bool is_create(const struct open_loop_outcome *outcome)
{
  return outcome->kind == OPEN_LOOP_CREATE || outcome->kind == OPEN_LOOP_KEYED_CREATE;
}

// Counts how often each create is in the database, by its index.
static unsigned *count_stored(const struct open_loop_result *result)
{
  unsigned *stored = calloc(result->count + 1, sizeof(*stored));
  cr_assert_not_null(stored);
  const char *at =
      sql("SELECT string_agg(split_part(sku, '-', 2), ' ') FROM item.items WHERE category = '%s'", result->word);
  while (*at != '\0') {
    char *end;
    size_t index = strtoul(at, &end, 10);
    cr_assert_lt(index, result->count, "the database holds a create that nobody sent: %.20s", at);
    stored[index]++;
    at = end + strspn(end, " ");
  }
  return stored;
}

static bool is_as_told(const struct open_loop_outcome *outcome, unsigned stored)
{
  if (open_loop_succeeded(outcome))
    return stored == 1;
  return outcome->unapplied ? stored == 0 : stored <= 1;
}

static void assert_creates_right(const struct open_loop_result *result, const char *name)
{
  unsigned *stored = count_stored(result);
  size_t wrong = 0, first = 0;
  for (size_t i = result->count; i-- > 0;) {
    if (!is_create(&result->outcomes[i]) || is_as_told(&result->outcomes[i], stored[i]))
      continue;
    wrong++;
    first = i;
  }
  cr_expect_eq(wrong, 0,
               "%s: %zu creates are not stored as their clients were told; the first, %s-%zu, was answered %d, "
               "and is stored %u times",
               name, wrong, result->word, first, result->outcomes[first].status, stored[first]);
  free(stored);
}

// ---- reads and changes ----

static enum history_outcome judge_change(const struct open_loop_outcome *outcome)
{
  if (open_loop_succeeded(outcome))
    return HISTORY_DONE;
  return outcome->unapplied ? HISTORY_NOT_APPLIED : HISTORY_UNKNOWN;
}

static void record(struct history *history, const struct open_loop_outcome *outcome, uint32_t client)
{
  struct history_operation operation = {.client = client,
                                        .item = outcome->item,
                                        .value = outcome->value,
                                        .invoked_us = outcome->sent_us,
                                        .answered_us = outcome->ended_us};
  if (outcome->kind == OPEN_LOOP_CHANGE) {
    operation.kind = HISTORY_WRITE;
    operation.outcome = judge_change(outcome);
    history_add(history, &operation);
    operation.value = outcome->seen;
  }
  // The answer to a change holds the item, too.
  operation.kind = HISTORY_READ;
  operation.outcome = HISTORY_DONE;
  if (open_loop_succeeded(outcome))
    history_add(history, &operation);
}

static void record_creation(struct history *history, uint32_t item, uint64_t before_us)
{
  const struct history_operation operation = {
      .item = item, .kind = HISTORY_WRITE, .value = item + 1, .answered_us = before_us};
  history_add(history, &operation);
}

static void assert_history_right(const struct open_loop_result *result, const char *name)
{
  struct history history = {0};
  for (uint32_t i = 0; i < OPEN_LOOP_ITEMS; i++)
    record_creation(&history, i, result->outcomes[0].due_us - 1);
  for (size_t i = 0; i < result->count; i++)
    if (result->outcomes[i].kind == OPEN_LOOP_READ || result->outcomes[i].kind == OPEN_LOOP_CHANGE)
      record(&history, &result->outcomes[i], (uint32_t)i);
  struct strbuf why;
  strbuf_init(&why, 0);
  bool right = history_is_linearizable(&history, &why);
  const char *report = text("%s", strbuf_cstring(&why));
  strbuf_free(&why);
  history_free(&history);
  cr_expect(right, "%s: what clients saw contradicts itself: %s", name, report);
}

void ledger_assert_right(const struct open_loop_result *result, const char *name)
{
  assert_creates_right(result, name);
  assert_history_right(result, name);
}
