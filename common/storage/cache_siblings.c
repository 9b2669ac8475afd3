#include "common/storage/cache_siblings_internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/observe/log.h"
#include "common/observe/log_limit.h"
#include "common/runtime/task.h"
#include "common/storage/cache_coherence_internal.h"
#include "common/storage/cache_host_internal.h"

enum {
  STATEMENT_MS = 2000,
  // Shorter than half of what is left of a lease when a round begins, so that a second round may follow.
  QUESTION_MS = 150,
  LEAVE_MS = 500,
};

static const struct pg_statement STORE = {
    .name = "store the cache's instance",
    .sql = "INSERT INTO cache_instances (cache, name, address, host, generation) VALUES ($1, $2, $3, $4, $5::bigint) "
           "ON CONFLICT (cache, name) DO UPDATE SET address = EXCLUDED.address, host = EXCLUDED.host, "
           "generation = EXCLUDED.generation, update_time = now() "
           "WHERE cache_instances.generation <= EXCLUDED.generation",
    .lane = PG_LANE_WRITE,
};
static const struct pg_statement READ = {
    .name = "read the cache's instances",
    .sql = "SELECT name, address, host, generation FROM cache_instances WHERE cache = $1",
    .lane = PG_LANE_POINT,
};
static const struct pg_statement LEAVE = {
    .name = "take the cache's instance away",
    .sql = "DELETE FROM cache_instances WHERE cache = $1 AND name = $2",
    .lane = PG_LANE_WRITE,
};
static const struct pg_statement DELETE = {
    .name = "delete an instance of the cache",
    .sql = "DELETE FROM cache_instances WHERE cache = $1 AND name = $2 AND generation = $3::bigint",
    .lane = PG_LANE_WRITE,
};

struct cache_siblings {
  struct cache_coherence *coherence;
  struct pg *pg;
  char *cache;
  char *address;
  cache_ask_fn *ask;
  void *ask_arg;
  struct loop_timer *timer;
  struct list errands;
  bool is_without_lease;    // what is cached is served by promises, and the log says so
  struct completion *left;  // finished once all others know that this instance has left; NULL while nobody waits
  bool is_ending;
  struct completion all_done;  // of the last errand, when it is ending
};

// A step under way, in a task.
struct errand {
  struct list node;
  struct cache_siblings *siblings;
  struct task *task;
  enum outage_step_kind kind;
  uint64_t began_us;
  uint64_t generation;
  char member[CACHE_INSTANCE_SIZE];
  char address[OUTAGE_MAX_ADDRESS_BYTES];
};

// ---- errands ----

static void warn_of_row(const struct cache_siblings *siblings, enum status status)
{
  static struct log_limit limit;
  uint64_t suppressed;
  if (log_limit_pass(&limit, clock_now_us(), &suppressed))
    log_warn("cache",
             "the row of this instance in cache_instances could not be stored, and what is cached cannot be changed "
             "here until it is; see what PostgreSQL says, and whether the migrations were applied",
             LOG_STRING("cache", siblings->cache), LOG_STATUS(status), LOG_INT("failedSinceLastLine", suppressed + 1));
}

static void store_row(struct errand *errand, struct arena *arena)
{
  struct cache_siblings *siblings = errand->siblings;
  struct outage *outage = &siblings->coherence->outage;
  struct pg_params params;
  pg_params_init(&params, arena);
  pg_add_text(&params, siblings->cache);
  pg_add_text(&params, outage->name);
  pg_add_text(&params, siblings->address);
  pg_add_text(&params, outage->host);
  pg_add_int(&params, (int64_t)errand->generation);
  struct pg_result result;
  enum status status = pg_query(siblings->pg, &STORE, &params, arena, &result);
  if (status != STATUS_OK)
    warn_of_row(siblings, status);
  outage_stored(outage, errand->generation, status == STATUS_OK);
}

static void read_rows(struct errand *errand, struct arena *arena)
{
  struct cache_siblings *siblings = errand->siblings;
  struct outage *outage = &siblings->coherence->outage;
  struct pg_params params;
  pg_params_init(&params, arena);
  pg_add_text(&params, siblings->cache);
  struct pg_result result;
  if (pg_query(siblings->pg, &READ, &params, arena, &result) != STATUS_OK) {
    outage_rows(outage, NULL, 0, errand->began_us);
    return;
  }
  struct outage_row *rows = arena_array(arena, result.rows + 1, sizeof(*rows));
  for (size_t i = 0; i < result.rows; i++)
    rows[i] = (struct outage_row){.name = pg_slice(&result, i, 0),
                                  .address = pg_slice(&result, i, 1),
                                  .host = pg_slice(&result, i, 2),
                                  .generation = (uint64_t)pg_int(&result, i, 3)};
  outage_rows(outage, rows, result.rows, errand->began_us);
}

// A failure leaves the row to the next who finds it.
static void delete_row(struct errand *errand, struct arena *arena)
{
  struct cache_siblings *siblings = errand->siblings;
  struct pg_params params;
  pg_params_init(&params, arena);
  pg_add_text(&params, siblings->cache);
  pg_add_text(&params, errand->member);
  pg_add_int(&params, (int64_t)errand->generation);
  struct pg_result result;
  if (pg_query(siblings->pg, &DELETE, &params, arena, &result) == STATUS_OK && result.affected > 0)
    log_info("cache", "removed the row of an instance that has ended and could not remove it itself",
             LOG_STRING("address", errand->address));
}

static void put_question(struct errand *errand)
{
  struct cache_siblings *siblings = errand->siblings;
  struct outage *outage = &siblings->coherence->outage;
  const struct cache_question question = {.cache = siblings->cache,
                                          .address = errand->address,
                                          .asker = siblings->coherence->name,
                                          .generation = outage_asking_generation(outage),
                                          .is_telling = errand->kind == OUTAGE_TELL,
                                          .has_left = errand->kind == OUTAGE_LEAVE,
                                          .timeout_ms = QUESTION_MS};
  struct cache_reply reply = {.agreed = false};
  bool answered = siblings->ask(siblings->ask_arg, &question, &reply) == STATUS_OK;
  const struct outage_reply said = {
      .answered = answered, .agreed = answered && reply.agreed, .name = slice_from_string(reply.instance)};
  outage_answered(outage, slice_from_string(errand->member), &said, clock_now_us());
}

static void run_errand(void *arg)
{
  struct errand *errand = arg;
  struct cache_siblings *siblings = errand->siblings;
  struct arena arena = {0};
  switch (errand->kind) {
  case OUTAGE_STORE:
    store_row(errand, &arena);
    break;
  case OUTAGE_READ:
    read_rows(errand, &arena);
    break;
  case OUTAGE_DELETE:
    delete_row(errand, &arena);
    break;
  case OUTAGE_ASK:
  case OUTAGE_TELL:
  case OUTAGE_LEAVE:
    put_question(errand);
    break;
  case OUTAGE_FENCE:
    cache_fence_run(siblings->coherence, siblings->pg, siblings->cache, &arena);
    break;
  case OUTAGE_NOTHING:
    CHECK(false);
  }
  arena_free(&arena);
  list_remove(&errand->node);
  free(errand);
  if (!siblings->is_ending)
    cache_siblings_wake(siblings);
  else if (list_empty(&siblings->errands))
    completion_finish(&siblings->all_done, STATUS_OK);
}

static void start_errand(struct cache_siblings *siblings, const struct outage_step *step)
{
  struct errand *errand = calloc(1, sizeof(*errand));
  CHECK(errand != NULL);
  *errand = (struct errand){.siblings = siblings,
                            .kind = step->kind,
                            .began_us = clock_now_us(),
                            .generation = siblings->coherence->outage.generation};
  if (step->member != NULL) {
    errand->generation = step->member->generation;
    memcpy(errand->member, step->member->name, sizeof(errand->member));
    memcpy(errand->address, step->member->address, sizeof(errand->address));
  }
  list_append(&siblings->errands, &errand->node);
  bool asks = step->kind == OUTAGE_ASK || step->kind == OUTAGE_TELL || step->kind == OUTAGE_LEAVE;
  uint64_t deadline_us = deadline_after_ms(errand->began_us, asks ? QUESTION_MS : STATEMENT_MS);
  errand->task = task_start(siblings->coherence->loop, run_errand, errand, deadline_us, NULL);
}

// ---- time ----

static void log_right(struct cache_siblings *siblings, uint64_t now_us)
{
  const struct outage *outage = &siblings->coherence->outage;
  bool has_lease = now_us < outage->right_began_us + cache_ms_as_us(CACHE_LEASE_MS);
  bool is_without_lease = outage_may_serve(outage, now_us) && !has_lease;
  if (is_without_lease == siblings->is_without_lease)
    return;
  siblings->is_without_lease = is_without_lease;
  if (is_without_lease)
    log_warn("cache",
             "PostgreSQL does not answer the cache; what is cached is served on for 30 s at most, because the other "
             "instances that have lost it promise to change nothing",
             LOG_STRING("cache", siblings->cache));
  else if (has_lease)
    log_info("cache", "PostgreSQL answers the cache again", LOG_STRING("cache", siblings->cache));
  else
    log_warn("cache",
             "nothing cached is served for now, so reads need PostgreSQL: it was away for too long or is just back, or "
             "another instance works with it or does not answer",
             LOG_STRING("cache", siblings->cache));
}

static void handle_timer(void *arg)
{
  struct cache_siblings *siblings = arg;
  struct cache_coherence *coherence = siblings->coherence;
  struct outage *outage = &coherence->outage;
  struct outage_step step;
  outage_leave_if_cut_off(outage, !list_empty(&coherence->waiting), clock_now_us());
  while ((step = outage_next(outage, clock_now_us(), cache_host_is_free)).kind != OUTAGE_NOTHING)
    start_errand(siblings, &step);
  if (cache_fence_begin(coherence, clock_now_us()))
    start_errand(siblings, &(struct outage_step){.kind = OUTAGE_FENCE});
  if (siblings->left != NULL && !siblings->left->done && outage_is_left_known(outage))
    completion_finish(siblings->left, STATUS_OK);
  cache_coherence_join(coherence);
  cache_coherence_wake_confirmed(coherence);
  log_right(siblings, clock_now_us());
  loop_timer_start(siblings->timer, outage_is_calm(outage, clock_now_us()) ? 2 * OUTAGE_TICK_MS : OUTAGE_TICK_MS);
}

void cache_siblings_wake(struct cache_siblings *siblings)
{
  if (siblings != NULL && siblings->timer != NULL)
    loop_timer_start(siblings->timer, 0);
}

// ---- creating and freeing ----

struct cache_siblings *cache_siblings_create(struct cache_coherence *coherence, const struct cache_options *options)
{
  struct cache_siblings *siblings = calloc(1, sizeof(*siblings));
  CHECK(siblings != NULL);
  *siblings = (struct cache_siblings){.coherence = coherence,
                                      .pg = options->pg,
                                      .cache = memory_copy_string(options->name),
                                      .ask = options->ask,
                                      .ask_arg = options->ask_arg};
  list_init(&siblings->errands);
  siblings->timer = loop_timer_create(coherence->loop, handle_timer, siblings);
  cache_siblings_wake(siblings);
  return siblings;
}

void cache_siblings_set_address(struct cache_siblings *siblings, const char *address)
{
  CHECK(siblings->address == NULL);
  siblings->address = memory_copy_string(address);
  outage_set_address(&siblings->coherence->outage, siblings->address);
  cache_siblings_wake(siblings);
}

// Tells the others that this instance changes nothing any more, so that they need not ask one that is gone. Whoever
// does not answer in time goes on asking.
static void say_farewell(struct cache_siblings *siblings)
{
  struct completion left = {.what = "the other instances' caches, to which this one says that it ends"};
  outage_leave(&siblings->coherence->outage, clock_now_us());
  siblings->left = &left;
  cache_siblings_wake(siblings);
  uint64_t before = task_tighten_deadline(deadline_after_ms(clock_now_us(), LEAVE_MS));
  if (completion_wait(&left) != STATUS_OK)
    log_debug("cache", "not all other instances have heard that this one ends");
  task_restore_deadline(before);
  siblings->left = NULL;
}

static void end_errands(struct cache_siblings *siblings)
{
  siblings->is_ending = true;
  siblings->all_done.what = "what the cache has asked of other instances";
  if (list_empty(&siblings->errands))
    return;
  for (struct list *node = siblings->errands.next; node != &siblings->errands; node = node->next)
    task_cancel(CONTAINER_OF(node, struct errand, node)->task);
  task_shield(true);
  // Errands have deadlines of their own. This one's may be over.
  uint64_t before = task_tighten_deadline(DEADLINE_NONE);
  task_restore_deadline(DEADLINE_NONE);
  CHECK(completion_wait(&siblings->all_done) == STATUS_OK);
  task_restore_deadline(before);
  task_shield(false);
}

// Without its row the instances that start next need not ask this one.
static void delete_own_row(struct cache_siblings *siblings)
{
  const struct outage *outage = &siblings->coherence->outage;
  if (!outage->connected || outage->generation == 0)
    return;
  struct arena arena = {0};
  struct pg_params params;
  pg_params_init(&params, &arena);
  pg_add_text(&params, siblings->cache);
  pg_add_text(&params, outage->name);
  struct pg_result result;
  uint64_t before = task_tighten_deadline(deadline_after_ms(clock_now_us(), LEAVE_MS));
  if (pg_query(siblings->pg, &LEAVE, &params, &arena, &result) != STATUS_OK)
    log_debug("cache", "the row of this instance stays; the next instance that starts removes it");
  task_restore_deadline(before);
  arena_free(&arena);
}

void cache_siblings_free(struct cache_siblings **siblings)
{
  struct cache_siblings *ended = *siblings;
  if (ended == NULL)
    return;
  say_farewell(ended);
  loop_timer_free(&ended->timer);
  end_errands(ended);
  delete_own_row(ended);
  *siblings = NULL;
  free(ended->cache);
  free(ended->address);
  free(ended);
}
