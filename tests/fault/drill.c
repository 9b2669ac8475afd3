#include "tests/fault/drill.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "tests/fault/ledger.h"
#include "tests/support/http.h"
#include "tests/support/stack.h"

enum {
  CALM_SECONDS = 5,   // before and after, in the long form
  SLOW_US = 500000,   // what has met a fault
  MANY_STATUSES = 8,  // that are told apart
  MANY_FAULTS = 8,    // of one drill
};

// From the break to the next one, or the end.
struct fault {
  uint64_t broken_us, mended_us;
};

struct drill {
  const char *name;
  const char *note;    // "" without one
  const char *missed;  // of the drill's own goals; "" without one
  struct account owner;
  struct open_loop *loop;
  struct fault faults[MANY_FAULTS];
  size_t fault_count;
  uint64_t healthy_us;
  struct open_loop_result result;
};

// What the requests of a span of time met.
struct seen {
  size_t sent, answered, failed;
  size_t failed_of[OPEN_LOOP_KINDS];
  int statuses[MANY_STATUSES];
  size_t with_status[MANY_STATUSES];
  uint64_t longest_gap_us;      // between two answers with 2xx
  uint64_t p99_us;              // of those answers, from when they were due
  uint64_t slowest_us;          // any answer or end
  uint64_t latest_us;           // the same from its deadline
  uint64_t slowest_refusal_us;  // a failure that was answered
};

bool drill_is_long(void)
{
  const char *form = getenv("DRILL");
  return form != NULL && strcmp(form, "long") == 0;
}

// ---- the course ----

static void watch_calm(const struct drill *drill)
{
  open_loop_await(drill->loop, OPEN_LOOP_PER_SECOND * (drill_is_long() ? (size_t)CALM_SECONDS : 1));
}

struct drill *drill_start_at(const char *name, const char *url)
{
  struct drill *drill = calloc(1, sizeof(*drill));
  cr_assert_not_null(drill);
  wait_until_healthy();
  wait_until_caching();
  drill->name = name;
  drill->note = "";
  drill->missed = "";
  drill->owner = account_create();
  drill->loop = open_loop_start(&drill->owner, url);
  watch_calm(drill);
  return drill;
}

struct drill *drill_start(const char *name)
{
  return drill_start_at(name, NULL);
}

void drill_break(struct drill *drill)
{
  cr_assert_lt(drill->fault_count, MANY_FAULTS);
  drill->faults[drill->fault_count++].broken_us = clock_now_us();
}

void drill_endure(const struct drill *drill, unsigned long_seconds)
{
  open_loop_await(drill->loop, OPEN_LOOP_PER_SECOND * (drill_is_long() ? (size_t)long_seconds : 1));
}

void drill_mend(struct drill *drill)
{
  drill->faults[drill->fault_count - 1].mended_us = clock_now_us();
}

void drill_note(struct drill *drill, const char *note)
{
  drill->note = note;
}

void drill_miss(struct drill *drill, const char *what)
{
  drill->missed = drill->missed[0] == '\0' ? what : text("%s, %s", drill->missed, what);
}

// ---- figures ----

static int compare_times(const void *a, const void *b)
{
  const uint64_t *left = a, *right = b;
  return (*left > *right) - (*left < *right);
}

static uint64_t find_p99(uint64_t *times_us, size_t count)
{
  if (count == 0)
    return 0;
  qsort(times_us, count, sizeof(*times_us), compare_times);
  return times_us[count - 1 - count / 100];
}

// Finds the longest time without an answer with 2xx: from `begin_us` on, to the last one.
static uint64_t find_longest_gap(uint64_t begin_us, uint64_t *answers_us, size_t count)
{
  uint64_t longest_us = 0, before_us = begin_us;
  qsort(answers_us, count, sizeof(*answers_us), compare_times);
  for (size_t i = 0; i < count; i++) {
    if (answers_us[i] - before_us > longest_us)
      longest_us = answers_us[i] - before_us;
    before_us = answers_us[i];
  }
  return longest_us;
}

static void count_failure(struct seen *seen, const struct open_loop_outcome *outcome)
{
  uint64_t took_us = outcome->ended_us - outcome->due_us;
  seen->failed++;
  seen->failed_of[outcome->kind]++;
  if (outcome->status != 0 && took_us > seen->slowest_refusal_us)
    seen->slowest_refusal_us = took_us;
  for (size_t i = 0; i < MANY_STATUSES; i++) {
    if (seen->with_status[i] > 0 && seen->statuses[i] != outcome->status)
      continue;
    seen->statuses[i] = outcome->status;
    seen->with_status[i]++;
    return;
  }
}

static uint64_t max_us(uint64_t left, uint64_t right)
{
  return left > right ? left : right;
}

// Returns how long the contract lets it take.
static uint64_t time_limit_us(const struct open_loop_outcome *outcome)
{
  return outcome->kind == OPEN_LOOP_LOGIN ? 10000000 : 5000000;
}

// Sums up the requests that were due in a span of time.
static struct seen sum_up(const struct drill *drill, uint64_t begin_us, uint64_t end_us)
{
  struct seen seen = {0};
  uint64_t *times_us = calloc(2 * drill->result.count + 1, sizeof(*times_us));
  cr_assert_not_null(times_us);
  uint64_t *answers_us = times_us + drill->result.count;
  for (size_t i = 0; i < drill->result.count; i++) {
    const struct open_loop_outcome *outcome = &drill->result.outcomes[i];
    if (outcome->due_us < begin_us || outcome->due_us >= end_us)
      continue;
    uint64_t took_us = outcome->ended_us - outcome->due_us;
    seen.sent++;
    seen.slowest_us = max_us(seen.slowest_us, took_us);
    if (took_us > time_limit_us(outcome))
      seen.latest_us = max_us(seen.latest_us, took_us - time_limit_us(outcome));
    if (!open_loop_succeeded(outcome)) {
      count_failure(&seen, outcome);
      continue;
    }
    answers_us[seen.answered] = outcome->ended_us;
    times_us[seen.answered++] = took_us;
  }
  seen.longest_gap_us = find_longest_gap(begin_us, answers_us, seen.answered);
  seen.p99_us = find_p99(times_us, seen.answered);
  free(times_us);
  return seen;
}

// Returns the time from a moment on until the last request was due, before `end_us`, that failed, or, with `slow`, took
// long; 0 without one.
static uint64_t find_last_trouble(const struct drill *drill, uint64_t from_us, uint64_t end_us, bool slow)
{
  uint64_t last_us = from_us;
  for (size_t i = 0; i < drill->result.count; i++) {
    const struct open_loop_outcome *outcome = &drill->result.outcomes[i];
    bool is_trouble = !open_loop_succeeded(outcome) || (slow && outcome->ended_us - outcome->due_us >= SLOW_US);
    if (is_trouble && outcome->due_us > last_us && outcome->due_us < end_us)
      last_us = outcome->due_us;
  }
  return last_us - from_us;
}

static uint64_t find_settling(const struct drill *drill)
{
  uint64_t longest_us = 0;
  for (size_t i = 0; i < drill->fault_count; i++)
    longest_us =
        max_us(longest_us, find_last_trouble(drill, drill->faults[i].broken_us, drill->faults[i].mended_us, true));
  return longest_us;
}

static uint64_t find_recovery(const struct drill *drill)
{
  uint64_t longest_us = 0;
  for (size_t i = 0; i < drill->fault_count; i++) {
    uint64_t end_us = i + 1 < drill->fault_count ? drill->faults[i + 1].broken_us : UINT64_MAX;
    longest_us = max_us(longest_us, find_last_trouble(drill, drill->faults[i].mended_us, end_us, false));
  }
  return longest_us;
}

// ---- judgement ----

static bool is_excused(const struct drill *drill, const struct drill_goal *goal,
                       const struct open_loop_outcome *outcome)
{
  if (outcome->ended_us < drill->faults[0].broken_us || outcome->due_us >= drill->healthy_us)
    return false;
  if ((goal->may_fail >> outcome->kind & 1) == 0)
    return false;
  // What would wait behind others for too long is refused by 429.
  return outcome->status == 503 || outcome->status == 504 || outcome->status == 429 ||
         (outcome->status == 0 && goal->may_be_silent);
}

// Tells whether a client that was refused does not hear when to come again.
static bool lacks_retry_after(const struct open_loop_outcome *outcome)
{
  return outcome->status == 503 && outcome->unapplied && !outcome->retry_after;
}

// Returns how many requests of a kind were served while a fault had lasted for a second.
static size_t count_served_late(const struct drill *drill, unsigned kind)
{
  size_t served = 0;
  for (size_t i = 0; i < drill->result.count; i++) {
    const struct open_loop_outcome *outcome = &drill->result.outcomes[i];
    served += outcome->kind == kind && open_loop_succeeded(outcome) &&
              outcome->due_us > drill->faults[0].broken_us + 1000000 && outcome->due_us < drill->faults[0].mended_us;
  }
  return served;
}

static void judge_served(const struct drill *drill, const struct drill_goal *goal)
{
  for (unsigned kind = 0; kind < OPEN_LOOP_KINDS; kind++)
    if ((goal->some_served >> kind & 1) != 0)
      cr_expect_gt(count_served_late(drill, kind), 0, "%s: none of what is to be served meanwhile was", drill->name);
}

static size_t count_unexcused(const struct drill *drill, const struct drill_goal *goal)
{
  size_t unexcused = 0;
  for (size_t i = 0; i < drill->result.count; i++)
    unexcused +=
        !open_loop_succeeded(&drill->result.outcomes[i]) && !is_excused(drill, goal, &drill->result.outcomes[i]);
  return unexcused;
}

static void judge_counts(const struct drill *drill, const struct drill_goal *goal)
{
  size_t unexcused = count_unexcused(drill, goal), without_retry_after = 0;
  for (size_t i = 0; i < drill->result.count; i++)
    without_retry_after += lacks_retry_after(&drill->result.outcomes[i]);
  cr_expect_eq(unexcused, 0, "%s: %zu of %zu requests failed that were to succeed; the first that failed: %s",
               drill->name, unexcused, drill->result.count, drill->result.first_failure);
  cr_expect_eq(without_retry_after, 0, "%s: %zu answers with 503 have no Retry-After", drill->name,
               without_retry_after);
  judge_served(drill, goal);
  ledger_assert_right(&drill->result, drill->name);
}

static const char *join(const char *left, const char *separator, const char *right)
{
  return left[0] == '\0' ? right : text("%s%s%s", left, separator, right);
}

// Returns how many requests of these kinds have failed.
static size_t count_failed_of(const struct seen *seen, unsigned kinds)
{
  size_t failed = 0;
  for (unsigned i = 0; i < OPEN_LOOP_KINDS; i++)
    failed += (kinds >> i & 1) != 0 ? seen->failed_of[i] : 0;
  return failed;
}

static const char *miss(const char *missed, const char *what, double got, double asked)
{
  return asked == 0 || got <= asked ? missed : join(missed, ", ", text("%s %.0f > %.0f ms", what, got, asked));
}

// Returns what was missed, for the table; "" where nothing was.
static const char *find_missed(const struct drill *drill, const struct drill_goal *goal, const struct seen *before,
                               const struct seen *seen)
{
  size_t unspared = count_failed_of(seen, goal->to_be_spared);
  size_t unexcused = count_unexcused(drill, goal);
  const char *missed = drill->missed;
  if (unexcused > 0)
    missed = join(missed, ", ", text("%zu failed that were to succeed", unexcused));
  if (unspared > 0)
    missed = join(missed, ", ", text("%zu failed that ought not to", unspared));
  if (goal->p99_times > 0 && (double)seen->p99_us > goal->p99_times * (double)before->p99_us)
    missed =
        join(missed, ", ", text("p99 %.1f x > %.0f x", (double)seen->p99_us / (double)before->p99_us, goal->p99_times));
  missed = miss(missed, "a failure took", (double)seen->slowest_refusal_us / 1e3, (double)goal->refusal_ms);
  missed = miss(missed, "an answer came after its deadline by", (double)seen->latest_us / 1e3, (double)goal->late_ms);
  missed = miss(missed, "settled after", (double)find_settling(drill) / 1e3, (double)goal->settle_ms);
  missed = miss(missed, "last failure after", (double)find_recovery(drill) / 1e3, (double)goal->recovery_ms);
  return missed;
}

// ---- the line ----

static const char *tell_failures(const struct seen *seen)
{
  static const char *const names[] = {"reads",         "changes", "creates",     "keyed creates",
                                      "account reads", "logins",  "steady reads"};
  const char *kinds = "", *statuses = "";
  if (seen->failed == 0)
    return "0";
  for (size_t i = 0; i < OPEN_LOOP_KINDS; i++)
    if (seen->failed_of[i] > 0)
      kinds = join(kinds, ", ", text("%zu %s", seen->failed_of[i], names[i]));
  for (size_t i = 0; i < MANY_STATUSES && seen->with_status[i] > 0; i++)
    statuses = join(
        statuses, ", ",
        text("%zu x %s", seen->with_status[i], seen->statuses[i] == 0 ? "no answer" : text("%d", seen->statuses[i])));
  return text("%zu: %s (%s)", seen->failed, kinds, statuses);
}

void drill_print_line(const char *line)
{
  const char *path = getenv("DRILL_TABLE");
  fprintf(stderr, "drill: %s\n", line);
  FILE *table = path == NULL ? NULL : fopen(path, "a");
  if (table == NULL)
    return;
  fprintf(table, "%s\n", line);
  fclose(table);
}

static void tell(const struct drill *drill, const struct drill_goal *goal)
{
  struct seen before = sum_up(drill, 0, drill->faults[0].broken_us);
  struct seen seen = sum_up(drill, drill->faults[0].broken_us, UINT64_MAX);
  const char *missed = find_missed(drill, goal, &before, &seen);
  drill_print_line(text("| %s | %zu | %zu | %s | %.0f ms | %.1f -> %.1f ms | %.0f ms | %.2f s | %s | %s |", drill->name,
                        seen.sent, seen.answered, tell_failures(&seen), (double)seen.longest_gap_us / 1e3,
                        (double)before.p99_us / 1e3, (double)seen.p99_us / 1e3, (double)seen.slowest_us / 1e3,
                        (double)find_recovery(drill) / 1e6, goal->text,
                        join(drill->note, "; ", missed[0] == '\0' ? "reached" : text("missed: %s", missed))));
}

void drill_end(struct drill **drill_pointer, const struct drill_goal *goal)
{
  struct drill *drill = *drill_pointer;
  *drill_pointer = NULL;
  if (drill->faults[drill->fault_count - 1].mended_us == 0)
    drill_mend(drill);
  wait_until_healthy();
  wait_until_items_change();
  drill->healthy_us = clock_now_us();
  watch_calm(drill);
  drill->result = open_loop_stop(&drill->loop);
  tell(drill, goal);
  judge_counts(drill, goal);
  free(drill->result.outcomes);
  free(drill);
}
