// A quarter of an hour of requests with a fault now and then: no process that lives through it grows. Two figures are
// looked at: what a process has of its own in RAM, without pages of files, which the kernel takes and brings as it
// likes; and what malloc has handed out, which tells a leak from fragmentation. Of each round the least counts, because
// requests that wait while something is away need some for as long. A straight line through the rounds after a warm-up
// says how fast a figure grows, and how far the line can be trusted.
//
// glibc keeps up to seven freed pieces of each small size for each thread, and counts them as handed out. These stocks
// fill for hours, with sizes that are needed now and then. The processes run without them here, so that what is in use
// is what the program holds.
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/compiler.h"
#include "tests/fault/drill.h"
#include "tests/support/environment.h"
#include "tests/support/stack.h"

// The warm-up takes longer than an access token lives (tests/run).
enum { WARM_UP_ROUNDS = 7, ROUNDS = 15, QUIET_SECONDS = 12 };
// Growth in percent an hour: what is asked for, and what fails the drill.
static const double goal = 1, too_much = 60;

// Those that nothing restarts meanwhile.
static const char *const watched[] = {"auth-1", "user-1", "item-2", "gateway"};

struct size {
  long kib, in_use_kib, threads, files;
};

struct round {
  double hours;  // since the soak began
  struct size sizes[ARRAY_LEN(watched)];
};

// Measures a process, or the workers of the gateway together.
static struct size measure(const char *name)
{
  struct size size = {0};
  const char *script =
      text("pids=$(cut -d' ' -f1 %s/pids/%s); [ %s != gateway ] || pids=$(cat /proc/$pids/task/$pids/children); "
           "for pid in $pids; do cat /proc/$pid/status; ls /proc/$pid/fd | sed 's/.*/File: 1/'; done | awk "
           "'/^RssAnon:/ {kib += $2} /^Threads:/ {threads += $2} /^File:/ {files++} END {print kib, threads, files}'",
           need_variable("BULKHEAD_RUN_DIR"), name, name);
  const char *said = output_of((const char *const[]){"sh", "-c", script, NULL});
  char *end;
  size.kib = strtol(said, &end, 10);
  size.threads = strtol(end, &end, 10);
  size.files = strtol(end, &end, 10);
  size.in_use_kib = lround(metric_sum(name, "bulkhead_malloc_bytes{state=\"in_use\"}") / 1024);
  cr_assert(size.kib > 0 && size.threads > 0 && size.files > 0, "%s: %s", name, said);
  return size;
}

static long least(long left, long right)
{
  return left == 0 || right < left ? right : left;
}

// Takes the least that was seen in the round.
static void look(struct round *round)
{
  for (size_t i = 0; i < ARRAY_LEN(watched); i++) {
    struct size now = measure(watched[i]), *size = &round->sizes[i];
    *size = (struct size){.kib = least(size->kib, now.kib),
                          .in_use_kib = least(size->in_use_kib, now.in_use_kib),
                          .threads = least(size->threads, now.threads),
                          .files = least(size->files, now.files)};
  }
}

// Tells whether SOAK_VICTIMS, which says which faults there are, leaves this one out.
static bool is_spared(const char *victim)
{
  const char *chosen = getenv("SOAK_VICTIMS");
  return chosen != NULL && strstr(chosen, victim) == NULL;
}

// Some fifty seconds: each fault, and quiet between them, in which the memory of a burst is given back.
static void go_round(const struct drill *drill, struct round *round)
{
  static const char *const victims[] = {"redis", "item-1", "consul", "postgres"};
  for (size_t i = 0; i < ARRAY_LEN(victims); i++) {
    bool spared = is_spared(victims[i]);
    if (!spared)
      stack("kill", victims[i]);
    drill_endure(drill, 2);
    if (!spared)
      stack("start", victims[i]);
    drill_endure(drill, QUIET_SECONDS);
    look(round);
  }
}

// Restarts the processes that are watched without malloc's stocks for each thread.
static void restart_watched(void)
{
  cr_assert_eq(setenv("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0", 1), 0);
  for (size_t i = 0; i < ARRAY_LEN(watched); i++) {
    // A restart of the gateway would keep its environment.
    stack("stop", watched[i]);
    stack("start", watched[i]);
  }
  unsetenv("GLIBC_TUNABLES");
}

// ---- the line ----

// Percent an hour, and twice its standard error.
struct slope {
  double percent, error;
};

static long get_kib(const struct size *size)
{
  return size->kib;
}

static long get_in_use_kib(const struct size *size)
{
  return size->in_use_kib;
}

// How much less what follows one another says than as many points that have nothing to do with each other: an excursion
// lasts several rounds. The factor of the standard error, from the correlation of neighbours.
static double find_dependence(const double *rests, size_t count)
{
  double square = 0, neighbours = 0;
  for (size_t i = 0; i < count; i++) {
    square += rests[i] * rests[i];
    neighbours += i == 0 ? 0 : rests[i - 1] * rests[i];
  }
  double correlation = square > 0 ? fmin(neighbours / square, 0.9) : 0;
  return correlation > 0 ? sqrt((1 + correlation) / (1 - correlation)) : 1;
}

// Fits a straight line by least squares. What is 0, as what is in use is under a sanitizer, does not grow.
static struct slope fit(const struct round *rounds, size_t count, size_t process, long (*get)(const struct size *size))
{
  double hours = 0, kib = 0, spread = 0, together = 0, square = 0;
  double *rests = calloc(count, sizeof(*rests));
  cr_assert_not_null(rests);
  for (size_t i = 0; i < count; i++) {
    hours += rounds[i].hours / (double)count;
    kib += (double)get(&rounds[i].sizes[process]) / (double)count;
  }
  for (size_t i = 0; i < count; i++) {
    spread += pow(rounds[i].hours - hours, 2);
    together += (rounds[i].hours - hours) * ((double)get(&rounds[i].sizes[process]) - kib);
  }
  double slope = together / spread;
  for (size_t i = 0; i < count; i++) {
    rests[i] = (double)get(&rounds[i].sizes[process]) - kib - slope * (rounds[i].hours - hours);
    square += rests[i] * rests[i];
  }
  double error = sqrt(square / (double)(count - 2) / spread) * find_dependence(rests, count);
  free(rests);
  return kib == 0 ? (struct slope){0} : (struct slope){.percent = 100 * slope / kib, .error = 200 * error / kib};
}

static bool is_growth(const struct slope *slope)
{
  return slope->percent - slope->error > goal;
}

static const char *judge(const struct slope *slope)
{
  if (is_growth(slope))
    return "grows";
  return slope->percent + slope->error <= goal ? "flat" : "not known better";
}

// Prints one round at once, so that an interrupted soak keeps its results.
static void tell_round(const struct round *round)
{
  for (size_t i = 0; i < ARRAY_LEN(watched); i++) {
    const struct size *size = &round->sizes[i];
    fprintf(stderr, "drill: soak: %s: %.3f h, %ld KiB, %ld KiB in use, %ld threads, %ld files\n", watched[i],
            round->hours, size->kib, size->in_use_kib, size->threads, size->files);
  }
}

static const char *judge_process(struct drill *drill, const struct round *rounds, size_t count, size_t process)
{
  const struct size *first = &rounds[0].sizes[process], *last = &rounds[count - 1].sizes[process];
  const struct slope own = fit(rounds, count, process, get_kib), in_use = fit(rounds, count, process, get_in_use_kib);
  const char *name = watched[process];
  if (is_growth(&own))
    drill_miss(drill, text("%s grows", name));
  if (is_growth(&in_use))
    drill_miss(drill, text("%s has more and more in use", name));
  cr_expect_lt(own.percent - own.error, too_much, "%s grows by %.0f +- %.0f %% an hour", name, own.percent, own.error);
  cr_expect_lt(in_use.percent - in_use.error, too_much, "%s has %.0f +- %.0f %% more in use an hour", name,
               in_use.percent, in_use.error);
  cr_expect_eq(first->threads, last->threads, "%s: %ld threads, and %ld after", name, first->threads, last->threads);
  cr_expect_leq(last->files, first->files + first->files / 5, "%s: %ld files, and %ld after", name, first->files,
                last->files);
  return text("%s %+.1f +- %.1f %% an hour of %ld KiB (%s), in use %+.1f +- %.1f of %ld (%s), %+ld threads, %+ld files",
              name, own.percent, own.error, last->kib, judge(&own), in_use.percent, in_use.error, last->in_use_kib,
              judge(&in_use), last->threads - first->threads, last->files - first->files);
}

static size_t count_rounds(void)
{
  const char *asked = getenv("SOAK_ROUNDS");
  size_t rounds = asked == NULL ? ROUNDS : strtoul(asked, NULL, 10);
  cr_assert(rounds >= WARM_UP_ROUNDS + 3, "SOAK_ROUNDS must be %d at least, not %s", WARM_UP_ROUNDS + 3, asked);
  return rounds;
}

Test(drill_08_soak, a_quarter_of_an_hour_with_faults)
{
  if (!drill_is_long())
    cr_skip_test("it takes a quarter of an hour");
  size_t count = count_rounds();
  struct round *rounds = calloc(count, sizeof(*rounds));
  cr_assert_not_null(rounds);
  const char *note = "";
  restart_watched();
  struct drill *drill =
      drill_start("a quarter of an hour; every 14 s Redis, an instance, Consul or PostgreSQL is killed");
  uint64_t began_us = clock_now_us();
  drill_break(drill);
  for (size_t i = 0; i < count; i++) {
    go_round(drill, &rounds[i]);
    rounds[i].hours = (double)(clock_now_us() - began_us) / 3600e6;
    tell_round(&rounds[i]);
  }
  for (size_t i = 0; i < ARRAY_LEN(watched); i++)
    note = text("%s%s%s", note, i == 0 ? "" : "; ",
                judge_process(drill, rounds + WARM_UP_ROUNDS, count - WARM_UP_ROUNDS, i));
  free(rounds);
  drill_note(drill, note);
  drill_end(&drill, &(struct drill_goal){
                        .text = "memory grows by 1 % an hour at most; threads and files constant",
                        .may_fail = DRILL_ALL,
                    });
}
