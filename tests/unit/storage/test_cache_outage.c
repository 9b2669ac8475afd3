// Instances of a cache in virtual time, with faults: nobody ever reads what is outdated, and what is cached is served
// while PostgreSQL is away. Nothing in it takes real time or depends on chance: the seeds are fixed.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/storage/outage_world.h"

#define SECOND_US (1000 * WORLD_MS)

enum { RUNS = 200, RUN_SECONDS = 25 };

// Starts instances on different hosts, or on the same one.
static struct world *open_world(uint64_t seed, size_t instances, size_t hosts)
{
  struct world *world = calloc(1, sizeof(*world));
  cr_assert(world != NULL);
  world_init(world, seed);
  world->hosts = hosts;
  world->traced = getenv("OUTAGE_TRACE") != NULL;
  for (size_t i = 0; i < instances; i++)
    (void)world_start(world, world_add_place(world, i % hosts));
  return world;
}

static void close_world(struct world *world)
{
  world_clear(world);
  free(world);
}

static void add_counts(struct world_counts *sum, const struct world_counts *counts)
{
  sum->served += counts->served;
  sum->promised += counts->promised;
  sum->loaded += counts->loaded;
  sum->failed += counts->failed;
  sum->acknowledged += counts->acknowledged;
}

// Tells whether a run with that seed was without a stale read.
static bool is_clean(uint64_t seed, struct world_counts *sum)
{
  struct world *world = open_world(seed, 2 + seed % 3, seed % 4 == 0 ? 1 : 2 + seed % 3);
  world->keys = 1 + seed % WORLD_KEYS;
  world->one_address = seed % 10 == 0;
  world->write_gap_ms = 100 + seed * 97 % 1400;
  world->has_locks = true;
  world->notify_ms = seed % 7 == 0 ? 50 + seed * 31 % 350 : 0;
  world->question_ms = seed % 5 == 0 ? 5 + seed * 17 % 100 : 0;
  if (seed % 2 == 0)
    world_run(world, 5 * SECOND_US);
  world_begin_faults(world);
  world_run(world, RUN_SECONDS * SECOND_US);
  bool clean = world->counts.stale == 0;
  add_counts(sum, &world->counts);
  close_world(world);
  return clean;
}

Test(cache_outage_world, nobody_reads_what_is_outdated_whatever_breaks, .timeout = 3000)
{
  struct world_counts sum = {0};
  // OUTAGE_WORLDS runs more of them, with other seeds.
  unsigned long from = 1, to = RUNS, stale = 0, first = 0;
  const char *more = getenv("OUTAGE_WORLDS");
  if (more != NULL) {
    from = RUNS + 1;
    to = RUNS + strtoul(more, NULL, 10);
  }
  for (unsigned long seed = from; seed <= to; seed++) {
    bool clean = is_clean(seed, &sum);
    stale += !clean;
    first = clean || first != 0 ? first : seed;
  }
  printf("%lu worlds of %d s with faults: %llu reads from memory, %llu of them by promises, %llu loads, %llu failed; "
         "%llu writes; %lu stale\n",
         to - from + 1, RUN_SECONDS, (unsigned long long)sum.served, (unsigned long long)sum.promised,
         (unsigned long long)sum.loaded, (unsigned long long)sum.failed, (unsigned long long)sum.acknowledged, stale);
  cr_expect_eq(stale, 0, "%lu worlds with a stale read, the first with seed %lu", stale, first);
  cr_expect_gt(sum.promised, sum.served / 200, "promises must matter in these worlds");
}

// ---- what is served, and how soon is written ----

enum outage_kind { OUTAGE_CRASH, OUTAGE_FREEZE, OUTAGE_VANISHED, OUTAGE_KINDS };

static const char *const outage_names[OUTAGE_KINDS] = {"is down", "is frozen", "has vanished"};

static void begin_outage(struct world *world, enum outage_kind kind, uint64_t for_us)
{
  if (kind == OUTAGE_CRASH)
    world_crash_postgres(world);
  if (kind == OUTAGE_FREEZE)
    world->frozen_until_us = world->now_us + for_us;
  for (size_t i = 0; kind == OUTAGE_VANISHED && i < world->count; i++)
    world_cut(world, i, WAY_DROPS, WAY_DROPS);
}

static void end_outage(struct world *world)
{
  world->up = true;
  for (size_t i = 0; i < world->count; i++)
    world_cut(world, i, WAY_OPEN, WAY_OPEN);
}

static unsigned served_percent(const struct world *world)
{
  return (unsigned)(world->counts.window_served * 100 / world->counts.window_reads);
}

// Three instances with everything in memory lose PostgreSQL for 20 s.
static unsigned served_in_outage(uint64_t seed, enum outage_kind kind, size_t dead)
{
  struct world *world = open_world(seed, 3, 3);
  world_run(world, 8 * SECOND_US);
  world->write_gap_ms = 0;
  world_run(world, 10 * SECOND_US);
  for (size_t i = 0; i < dead; i++)
    world_kill(world, i);
  world->window_from_us = world->now_us;
  world->window_to_us = world->now_us + 20 * SECOND_US;
  begin_outage(world, kind, 20 * SECOND_US);
  world_run(world, 30 * SECOND_US);
  end_outage(world);
  unsigned percent = served_percent(world);
  world->write_gap_ms = 100;
  world_run(world, 45 * SECOND_US);
  cr_expect_eq(world->counts.stale, 0);
  close_world(world);
  return percent;
}

Test(cache_outage_world, what_is_cached_is_served_while_postgresql_is_away)
{
  enum { WORLDS = 10 };
  for (enum outage_kind kind = 0; kind < OUTAGE_KINDS; kind++) {
    unsigned least = 100;
    for (uint64_t seed = 1; seed <= WORLDS; seed++) {
      unsigned percent = served_in_outage(seed, kind, 0);
      least = percent < least ? percent : least;
    }
    printf("PostgreSQL %s for 20 s: of %d times the least that three instances served is %u %%\n", outage_names[kind],
           WORLDS, least);
    cr_expect_geq(least, 99, "PostgreSQL %s", outage_names[kind]);
  }
}

// One that is cut off alone stops within its lease, and the others write on.
Test(cache_outage_world, one_that_is_cut_off_alone_serves_nothing_that_others_may_change)
{
  for (uint64_t seed = 1; seed <= 10; seed++) {
    struct world *world = open_world(seed, 3, 3);
    world_run(world, 10 * SECOND_US);
    world_cut(world, 0, seed % 2 == 0 ? WAY_DROPS : WAY_REFUSES, WAY_OPEN);
    uint64_t written = world->counts.acknowledged;
    world_run(world, 11 * SECOND_US);
    cr_expect_not(outage_may_serve(&world->instances[0].outage, instance_now_us(world, 0)));
    world_run(world, 20 * SECOND_US);
    cr_expect_gt(world->counts.acknowledged, written + 10, "the others write on");
    cr_expect_eq(world->counts.stale, 0);
    close_world(world);
  }
}

// Returns how long after its start the successor of a killed instance has written first.
static uint64_t first_write_ms(uint64_t seed, size_t instances, bool same_place, uint64_t dead_for_us)
{
  struct world *world = open_world(seed, instances, instances);
  world->write_gap_ms = 20;
  world_run(world, 10 * SECOND_US);
  size_t place = world->instances[0].place;
  world_kill(world, 0);
  world_run(world, world->now_us + dead_for_us);
  (void)world_start(world, same_place ? place : world_add_place(world, 3));
  world_run(world, 17 * SECOND_US);
  uint64_t ms = world->counts.first_write_us / WORLD_MS;
  cr_expect_neq(ms, 0, "it has written");
  cr_expect_eq(world->counts.stale, 0);
  close_world(world);
  return ms;
}

Test(cache_outage_world, the_successor_of_a_killed_instance_soon_writes)
{
  uint64_t alone = 0, with_others = 0, elsewhere = 0;
  for (uint64_t seed = 1; seed <= 10; seed++) {
    uint64_t ms = first_write_ms(seed, 1, true, 300 * WORLD_MS);
    alone = ms > alone ? ms : alone;
    ms = first_write_ms(seed, 3, true, 300 * WORLD_MS);
    with_others = ms > with_others ? ms : with_others;
    ms = first_write_ms(seed, 3, false, 300 * WORLD_MS);
    elsewhere = ms > elsewhere ? ms : elsewhere;
  }
  printf("first write of the successor of a killed instance, at most: alone %llu ms, beside others %llu ms, at another "
         "address beside others %llu ms\n",
         (unsigned long long)alone, (unsigned long long)with_others, (unsigned long long)elsewhere);
  cr_expect_leq(alone, 700);
  cr_expect_leq(with_others, 700);
  cr_expect_leq(elsewhere, 4000);
}

// One that has served by promises and is frozen when PostgreSQL comes back holds no writes up: it needs the
// promises of those who write.
Test(cache_outage_world, an_instance_frozen_in_an_outage_does_not_hold_the_others_up)
{
  for (uint64_t seed = 1; seed <= 10; seed++) {
    struct world *world = open_world(seed, 3, 3);
    world_run(world, 10 * SECOND_US);
    begin_outage(world, OUTAGE_CRASH, 0);
    world_run(world, 15 * SECOND_US);
    world_freeze(world, 0, 20 * SECOND_US);
    world_run(world, 18 * SECOND_US);
    end_outage(world);
    uint64_t written = world->counts.acknowledged;
    world_run(world, 21 * SECOND_US);
    cr_expect_gt(world->counts.acknowledged, written, "the others write within three seconds");
    world_run(world, 45 * SECOND_US);
    cr_expect_eq(world->counts.stale, 0);
    close_world(world);
  }
}

// ---- instances that come and go in an outage ----

enum ending { ENDING_PLANNED, ENDING_KILLED };

// What became of three instances, of which the first two are replaced one after the other while PostgreSQL is away.
struct replacement {
  unsigned served_percent;  // by the third one
  uint64_t first_write_ms;  // of anybody after PostgreSQL was back
};

static void end_one(struct world *world, size_t instance, enum ending ending)
{
  if (ending == ENDING_PLANNED)
    instance_quit(world, instance);
  else
    world_kill(world, instance);
}

static struct replacement replace_in_outage(uint64_t seed, enum outage_kind kind, enum ending ending, size_t hosts)
{
  struct world *world = open_world(seed, 3, hosts);
  world_run(world, 8 * SECOND_US);
  world->write_gap_ms = 0;
  world_run(world, 10 * SECOND_US);
  world->window_from_us = world->now_us;
  world->window_to_us = world->now_us + 20 * SECOND_US;
  world->window_first = 2;
  world->window_count = 1;
  begin_outage(world, kind, 20 * SECOND_US);
  for (size_t i = 0; i < 2; i++) {
    world_run(world, world->now_us + 2 * SECOND_US);
    end_one(world, i, ending);
    world_run(world, world->now_us + 4 * SECOND_US);
    size_t started = world_start(world, world_add_place(world, i % hosts));
    if (kind == OUTAGE_VANISHED)
      world_cut(world, started, WAY_DROPS, WAY_DROPS);
  }
  world_run(world, 30 * SECOND_US);
  struct replacement result = {.served_percent = served_percent(world)};
  end_outage(world);
  world->write_gap_ms = 20;
  uint64_t written = world->counts.acknowledged;
  for (; world->counts.acknowledged == written && world->now_us < 75 * SECOND_US; result.first_write_ms += 50)
    world_run(world, world->now_us + 50 * WORLD_MS);
  world_run(world, 80 * SECOND_US);
  cr_expect_eq(world->counts.stale, 0);
  close_world(world);
  return result;
}

static void expect_replaced(enum ending ending, size_t hosts)
{
  enum { WORLDS = 10 };
  for (enum outage_kind kind = 0; kind < OUTAGE_KINDS; kind++) {
    struct replacement worst = {.served_percent = 100};
    for (uint64_t seed = 1; seed <= WORLDS; seed++) {
      struct replacement one = replace_in_outage(seed, kind, ending, hosts);
      worst.served_percent = one.served_percent < worst.served_percent ? one.served_percent : worst.served_percent;
      worst.first_write_ms = one.first_write_ms > worst.first_write_ms ? one.first_write_ms : worst.first_write_ms;
    }
    printf("PostgreSQL %s, two of three instances on %zu hosts are %s meanwhile: of %d times the least that the third "
           "served is %u %%; the first write followed after %llu ms at most\n",
           outage_names[kind], hosts, ending == ENDING_PLANNED ? "replaced" : "killed", WORLDS, worst.served_percent,
           (unsigned long long)worst.first_write_ms);
    cr_expect_geq(worst.served_percent, 99, "PostgreSQL %s", outage_names[kind]);
    cr_expect_leq(worst.first_write_ms, 6000, "PostgreSQL %s", outage_names[kind]);
  }
}

Test(cache_outage_world, instances_that_end_in_good_order_take_nothing_from_the_others)
{
  expect_replaced(ENDING_PLANNED, 3);
}

// A port of its own host that is free again shows that nobody is there any more.
Test(cache_outage_world, an_instance_that_is_killed_on_the_same_host_takes_nothing_from_the_others)
{
  expect_replaced(ENDING_KILLED, 1);
}

// ---- slow ways ----

struct pace {
  uint64_t written;
  unsigned served_percent;
};

// Three instances write and read for 20 s, and every message between them takes long.
static struct pace live_slowly(uint64_t seed, uint64_t notify_ms, uint64_t question_ms)
{
  struct world *world = open_world(seed, 3, 3);
  world->notify_ms = notify_ms;
  world->question_ms = question_ms;
  world->write_gap_ms = 1000;
  world_run(world, 15 * SECOND_US);
  world->window_from_us = world->now_us;
  world->window_to_us = world->now_us + 20 * SECOND_US;
  uint64_t before = world->counts.acknowledged;
  world_run(world, 35 * SECOND_US);
  struct pace pace = {.written = world->counts.acknowledged - before, .served_percent = served_percent(world)};
  cr_expect_eq(world->counts.stale, 0);
  close_world(world);
  return pace;
}

// Whatever PostgreSQL or the network take, changes go on: an instance that is only slow is not taken for one that has
// lost PostgreSQL for as long as somebody asks.
Test(cache_outage_world, changes_go_on_however_slow_messages_are)
{
  for (uint64_t notify_ms = 0; notify_ms <= 400; notify_ms += 200)
    for (uint64_t question_ms = 0; question_ms <= 200; question_ms += 100) {
      struct pace least = {.written = UINT64_MAX, .served_percent = 100};
      for (uint64_t seed = 1; seed <= 5; seed++) {
        struct pace pace = live_slowly(seed, notify_ms, question_ms);
        least.written = pace.written < least.written ? pace.written : least.written;
        least.served_percent = pace.served_percent < least.served_percent ? pace.served_percent : least.served_percent;
      }
      printf("a NOTIFY takes %llu ms, a question %llu ms each way: at least %llu writes in 20 s, %u %% served\n",
             (unsigned long long)notify_ms, (unsigned long long)question_ms, (unsigned long long)least.written,
             least.served_percent);
      cr_expect_gt(least.written, 20, "a NOTIFY takes %llu ms", (unsigned long long)notify_ms);
    }
}

// ---- who has heard a farewell ----

static bool is_never_free(const char *address)
{
  (void)address;
  return false;
}

// Tells whether an instance that leaves takes its only neighbour to know of that, once a process named `answers` has
// answered at the neighbour's address, on another host.
static bool is_farewell_heard(const char *address, const char *answers)
{
  struct outage outage;
  const struct outage_row row = {.name = SLICE("bbbbbbbbbbbbbbbb"),
                                 .address = slice_from_string(address),
                                 .host = SLICE("there"),
                                 .generation = 1};
  outage_init(&outage, "aaaaaaaaaaaaaaaa", "here");
  outage_set_address(&outage, "tcp://192.0.2.1:9000");
  outage_connected(&outage, SECOND_US);
  outage_stored(&outage, outage.generation, true);
  outage_rows(&outage, &row, 1, SECOND_US);
  outage_leave(&outage, 2 * SECOND_US);
  cr_assert_eq(outage_next(&outage, 2 * SECOND_US, is_never_free).kind, OUTAGE_LEAVE);
  const struct outage_reply reply = {.answered = true, .agreed = true, .name = slice_from_string(answers)};
  outage_answered(&outage, row.name, &reply, 2 * SECOND_US);
  bool is_heard = outage_is_left_known(&outage);
  bool is_told_again = outage_next(&outage, 3 * SECOND_US, is_never_free).kind == OUTAGE_LEAVE;
  cr_expect_neq(is_heard, is_told_again);
  outage_clear(&outage);
  return is_heard;
}

Test(cache_outage, only_who_is_meant_has_heard_a_farewell)
{
  cr_expect(is_farewell_heard("tcp://item:9000", "bbbbbbbbbbbbbbbb"));
  cr_expect_not(is_farewell_heard("tcp://item:9000", "cccccccccccccccc"), "one of several behind the name");
  cr_expect(is_farewell_heard("tcp://192.0.2.2:9000", "cccccccccccccccc"), "whoever had the address is dead");
}
