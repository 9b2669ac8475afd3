// Which key signs and which are published, in virtual months: instances with clocks of their own that crash, lose the
// database and start again with other settings, verifiers that fetch from any of them, and commits that take long.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "services/auth/auth_key_plan.h"

#define SECOND_MS INT64_C(1000)
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS (60 * MINUTE_MS)
#define DAY_MS (24 * HOUR_MS)
#define LEEWAY_MS (30 * SECOND_MS)
#define FETCH_MS INT64_C(500)

// ---- single decisions ----

static const struct key_rules rules = {
    .rotation_ms = 90 * DAY_MS, .publish_ms = 10 * MINUTE_MS, .ttl_ms = 15 * MINUTE_MS};

Test(auth_key_plan, the_first_key_comes_at_once)
{
  cr_expect_eq(key_plan_step(&rules, NULL, 0, 5).kind, KEY_STEP_FIRST);
  const struct key_times keys[] = {{.sign_ms = 5, .longest_ttl_ms = MINUTE_MS}};
  cr_expect_eq(key_plan_step(&rules, keys, 1, 5).kind, KEY_STEP_NONE);
  cr_expect_eq(key_plan_signer(keys, 1, 5), 0);
}

Test(auth_key_plan, a_key_is_published_before_the_old_one_ends)
{
  struct key_times keys[] = {{.sign_ms = 0, .longest_ttl_ms = HOUR_MS}, {.sign_ms = KEY_UNDATED}};
  int64_t due_ms = rules.rotation_ms - rules.publish_ms;
  cr_expect_eq(key_plan_step(&rules, keys, 1, due_ms - 1).kind, KEY_STEP_NONE);
  cr_expect_eq(key_plan_step(&rules, keys, 1, due_ms).kind, KEY_STEP_PUBLISH);
  struct key_step step = key_plan_step(&rules, keys, 2, due_ms + 7);
  cr_expect_eq(step.kind, KEY_STEP_DATE);
  cr_expect_eq(step.key, 1);
  cr_expect_eq(step.sign_ms, due_ms + 7 + rules.publish_ms);
  cr_expect_eq(key_plan_signer(keys, 2, due_ms), 0, "an undated key does not sign");
}

Test(auth_key_plan, a_superseded_key_stays_until_its_last_token_is_gone)
{
  const struct key_times keys[] = {{.sign_ms = 0, .longest_ttl_ms = HOUR_MS}, {.sign_ms = DAY_MS}};
  cr_expect_eq(key_plan_signer(keys, 2, DAY_MS - 1), 0);
  cr_expect_eq(key_plan_signer(keys, 2, DAY_MS), 1);
  int64_t end_ms = DAY_MS + HOUR_MS + KEY_MARGIN_MS;
  cr_expect_eq(key_plan_step(&rules, keys, 2, end_ms - 1).kind, KEY_STEP_NONE);
  struct key_step step = key_plan_step(&rules, keys, 2, end_ms);
  cr_expect_eq(step.kind, KEY_STEP_REMOVE);
  cr_expect_eq(step.key, 0);
  cr_expect_eq(key_plan_removal_ms(keys, 2, 1), INT64_MAX);
}

Test(auth_key_plan, a_key_that_replaces_all_others_signs_after_a_second)
{
  struct key_times keys[] = {{.sign_ms = KEY_UNDATED}};
  cr_expect_eq(key_plan_signer(keys, 1, 100), 1, "none signs");
  cr_expect_eq(key_plan_step(&rules, keys, 1, 100).sign_ms, 100 + KEY_LEAD_MS);
  keys[0].sign_ms = 100 + KEY_LEAD_MS;
  cr_expect_eq(key_plan_signer(keys, 1, 100), 1);
  cr_expect_eq(key_plan_signer(keys, 1, 100 + KEY_LEAD_MS), 0);
  cr_expect_eq(key_plan_signer(keys, 1, 100 - HOUR_MS), 0, "the database's clock was set back");
}

Test(auth_key_plan, rotation_by_time_leaves_room_for_rotation_by_command)
{
  struct key_times keys[KEY_PLAN_MAX_KEYS];
  for (size_t i = 0; i < KEY_PLAN_MAX_KEYS; i++)
    keys[i] = (struct key_times){.sign_ms = (int64_t)i, .longest_ttl_ms = 1000 * DAY_MS};
  cr_expect_eq(key_plan_step(&rules, keys, KEY_PLAN_MAX_KEYS - 1, 200 * DAY_MS).kind, KEY_STEP_PUBLISH);
  cr_expect_eq(key_plan_step(&rules, keys, KEY_PLAN_MAX_KEYS, 200 * DAY_MS).kind, KEY_STEP_NONE);
  cr_expect(key_plan_rules_fit(&rules));
  cr_expect_not(key_plan_rules_fit(&(struct key_rules){20 * MINUTE_MS - 1, 10 * MINUTE_MS, MINUTE_MS}));
  cr_expect_not(key_plan_rules_fit(&(struct key_rules){HOUR_MS, MINUTE_MS, 30 * HOUR_MS}));
}

// ---- a simulation ----

enum { INSTANCES = 3, VERIFIERS = 4, MAX_TOKENS = 2048, MAX_STORED = TOKEN_MAX_KEYS };

struct stored {
  struct key_times times;
  int id;  // grows, and is the key's name
};

struct table {
  struct stored keys[MAX_STORED];
  size_t count;
};

struct instance {
  struct key_rules rules;
  struct table view;
  int64_t view_ms;        // the database's time of the view
  int64_t read_ms;        // when it was read, by the own clock
  int64_t skew_ms;        // of the own clock, against true time
  int64_t cut_until_ms;   // has lost the database until then
  int64_t down_until_ms;  // is not running until then
  bool has_view;
};

struct verifier {
  int ids[MAX_STORED];
  size_t count;
  int64_t next_fetch_ms;
};

struct token {
  int id;
  int64_t expires_ms;
};

struct world {
  uint64_t seed;
  int64_t now_ms;  // true time, which is the database's
  int next_id;
  struct table table;       // what is committed
  struct table committing;  // what becomes visible at commit_ms
  int64_t commit_ms;        // 0: nothing is being committed, and the lock is free
  struct instance instances[INSTANCES];
  struct verifier verifiers[VERIFIERS];
  struct token tokens[MAX_TOKENS];
  size_t token_count;
  unsigned long signed_count, verified, refetched, rotated, removed, crashes, unsigned_count;
};

static uint32_t draw(struct world *world, uint32_t below)
{
  world->seed = world->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return (uint32_t)(world->seed >> 33) % below;
}

static size_t times_of(const struct table *table, struct key_times times[MAX_STORED])
{
  for (size_t i = 0; i < table->count; i++)
    times[i] = table->keys[i].times;
  return table->count;
}

static void sort(struct table *table)
{
  for (size_t i = 1; i < table->count; i++)
    for (size_t k = i; k > 0 && table->keys[k].times.sign_ms < table->keys[k - 1].times.sign_ms; k--) {
      struct stored moved = table->keys[k];
      table->keys[k] = table->keys[k - 1];
      table->keys[k - 1] = moved;
    }
}

static void add_key(struct world *world, struct table *table, int64_t sign_ms, int64_t ttl_ms)
{
  cr_assert_lt(table->count, MAX_STORED);
  table->keys[table->count++] =
      (struct stored){.times = {.sign_ms = sign_ms, .longest_ttl_ms = ttl_ms}, .id = world->next_id++};
}

static void carry_out(struct world *world, const struct instance *instance, struct table *table,
                      const struct key_step *step)
{
  switch (step->kind) {
  case KEY_STEP_NONE:
    return;
  case KEY_STEP_FIRST:
    add_key(world, table, world->now_ms, instance->rules.ttl_ms);
    break;
  case KEY_STEP_PUBLISH:
    add_key(world, table, KEY_UNDATED, instance->rules.ttl_ms);
    world->rotated++;
    break;
  case KEY_STEP_DATE:
    table->keys[step->key].times.sign_ms = step->sign_ms;
    break;
  case KEY_STEP_REMOVE:
    memmove(&table->keys[step->key], &table->keys[step->key + 1],
            (table->count - step->key - 1) * sizeof(table->keys[0]));
    table->count--;
    world->removed++;
    break;
  }
  sort(table);
}

// Begins a transaction with the lock; it becomes visible later, or never, where the instance crashes before.
static void begin(struct world *world, const struct table *next)
{
  if (draw(world, 20) == 0)
    return;
  world->committing = *next;
  world->commit_ms = world->now_ms + (draw(world, 30) == 0 ? 1 + draw(world, 20000) : 1 + draw(world, 20));
}

static void rotate_by_command(struct world *world)
{
  struct table next = world->table;
  if (next.count == 0 || next.count == MAX_STORED)
    return;
  add_key(world, &next, KEY_UNDATED, world->instances[0].rules.ttl_ms);
  world->rotated++;
  begin(world, &next);
}

static void read_keys(struct world *world, struct instance *instance)
{
  struct key_times times[MAX_STORED];
  bool raised = false;
  // Whoever issues tokens that live longer says so before it signs one.
  for (size_t i = 0; i < world->table.count && world->commit_ms == 0; i++)
    if (world->table.keys[i].times.longest_ttl_ms < instance->rules.ttl_ms) {
      world->table.keys[i].times.longest_ttl_ms = instance->rules.ttl_ms;
      raised = true;
    }
  if (raised)
    return;
  instance->view = world->table;
  instance->view_ms = world->now_ms;
  instance->read_ms = world->now_ms + instance->skew_ms;
  instance->has_view = world->table.count > 0;
  for (size_t i = 0; i < world->table.count; i++)
    instance->has_view = instance->has_view && world->table.keys[i].times.longest_ttl_ms >= instance->rules.ttl_ms;
  size_t count = times_of(&world->table, times);
  struct key_step step = key_plan_step(&instance->rules, times, count, world->now_ms);
  if (step.kind == KEY_STEP_NONE || world->commit_ms != 0)
    return;
  struct table next = world->table;
  carry_out(world, instance, &next, &step);
  begin(world, &next);
}

static bool is_usable(const struct world *world, const struct instance *instance)
{
  int64_t age_ms = world->now_ms + instance->skew_ms - instance->read_ms;
  return world->now_ms >= instance->down_until_ms && instance->has_view && age_ms <= key_plan_view_ms(&instance->rules);
}

static void turn_instance(struct world *world, struct instance *instance)
{
  if (world->now_ms < instance->down_until_ms)
    return;
  if (draw(world, 20000) == 0) {
    world->crashes++;
    static const int64_t ttls[] = {5 * MINUTE_MS, 15 * MINUTE_MS, 3 * HOUR_MS};
    instance->has_view = false;
    instance->down_until_ms = world->now_ms + draw(world, 90000);
    instance->skew_ms = (int64_t)draw(world, 7200000) - HOUR_MS;
    instance->rules.ttl_ms = ttls[draw(world, 3)];
  }
  if (draw(world, 2000) == 0)
    instance->cut_until_ms = world->now_ms + draw(world, 200000);
  if (world->now_ms >= instance->cut_until_ms)
    read_keys(world, instance);
}

static bool fetch(struct world *world, struct verifier *verifier)
{
  const struct instance *instance = &world->instances[draw(world, INSTANCES)];
  verifier->next_fetch_ms = world->now_ms + FETCH_MS;
  if (!is_usable(world, instance))
    return false;
  verifier->count = instance->view.count;
  for (size_t i = 0; i < verifier->count; i++)
    verifier->ids[i] = instance->view.keys[i].id;
  return true;
}

static bool knows(const struct verifier *verifier, int id)
{
  for (size_t i = 0; i < verifier->count; i++)
    if (verifier->ids[i] == id)
      return true;
  return false;
}

// A verifier takes a token, fetches again where its key is unknown, and must not refuse it then. Without an answer it
// says that it cannot tell, and the client repeats.
static void verify(struct world *world, const struct token *token)
{
  struct verifier *verifier = &world->verifiers[draw(world, VERIFIERS)];
  if (token->expires_ms + LEEWAY_MS <= world->now_ms)
    return;
  if (!knows(verifier, token->id)) {
    world->refetched++;
    if (!fetch(world, verifier))
      return;
  }
  world->verified++;
  cr_assert(knows(verifier, token->id), "a token of key %d is refused at %lld", token->id, (long long)world->now_ms);
}

static void sign(struct world *world)
{
  const struct instance *instance = &world->instances[draw(world, INSTANCES)];
  if (!is_usable(world, instance))
    return;
  struct key_times times[MAX_STORED];
  size_t count = times_of(&instance->view, times);
  int64_t age_ms = world->now_ms + instance->skew_ms - instance->read_ms;
  size_t signer = key_plan_signer(times, count, instance->view_ms + age_ms);
  if (signer == count) {
    world->unsigned_count++;
    return;
  }
  struct token token = {.id = instance->view.keys[signer].id, .expires_ms = world->now_ms + instance->rules.ttl_ms};
  world->signed_count++;
  // Some are kept for long: which one is replaced is left to chance.
  world->tokens[world->token_count < MAX_TOKENS ? world->token_count++ : draw(world, MAX_TOKENS)] = token;
  verify(world, &token);
}

static void turn(struct world *world)
{
  if (world->commit_ms != 0 && world->now_ms >= world->commit_ms) {
    world->table = world->committing;
    world->commit_ms = 0;
  }
  if (world->commit_ms == 0 && draw(world, 400000) == 0)
    rotate_by_command(world);
  for (size_t i = 0; i < INSTANCES; i++)
    turn_instance(world, &world->instances[i]);
  for (size_t i = 0; i < VERIFIERS; i++)
    if (world->now_ms >= world->verifiers[i].next_fetch_ms)
      (void)fetch(world, &world->verifiers[i]);
  sign(world);
  if (world->token_count > 0)
    verify(world, &world->tokens[draw(world, (uint32_t)world->token_count)]);
}

static void simulate(uint64_t seed, const struct key_rules *set, int64_t days)
{
  struct world world = {.seed = seed, .now_ms = DAY_MS};
  for (size_t i = 0; i < INSTANCES; i++)
    world.instances[i] = (struct instance){.rules = *set, .skew_ms = ((int64_t)i - 1) * HOUR_MS};
  for (int64_t end_ms = world.now_ms + days * DAY_MS; world.now_ms < end_ms;) {
    turn(&world);
    // Steps are short while something happens, and long in between.
    struct key_times times[MAX_STORED];
    size_t count = times_of(&world.table, times);
    bool busy = count != 1 || key_plan_step(set, times, count, world.now_ms + 10 * MINUTE_MS).kind != KEY_STEP_NONE;
    world.now_ms += busy ? 1 + draw(&world, 2000) : 1 + draw(&world, 20000);
  }
  cr_log_info("seed %llu: signed %lu, verified %lu, fetched again %lu, rotations %lu, removed %lu, crashes %lu",
              (unsigned long long)seed, world.signed_count, world.verified, world.refetched, world.rotated,
              world.removed, world.crashes);
  cr_expect_gt(world.rotated, 5);
  cr_expect_gt(world.removed, 5);
  cr_expect_gt(world.crashes, 5);
  cr_expect_gt(world.verified, 10000);
  cr_expect_eq(world.unsigned_count, 0, "there was no moment in which no key signed");
}

Test(auth_key_plan, no_token_is_refused_in_virtual_months)
{
  for (uint64_t seed = 1; seed <= 4; seed++)
    simulate(seed, &(struct key_rules){.rotation_ms = DAY_MS, .publish_ms = 10 * MINUTE_MS, .ttl_ms = 15 * MINUTE_MS},
             60);
}

Test(auth_key_plan, no_token_is_refused_where_keys_change_as_often_as_they_may)
{
  for (uint64_t seed = 11; seed <= 14; seed++)
    simulate(seed, &(struct key_rules){.rotation_ms = HOUR_MS, .publish_ms = 5 * SECOND_MS, .ttl_ms = 5 * MINUTE_MS},
             10);
}
