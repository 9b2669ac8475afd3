#include "gateway/limits.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/bounded_table.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/compiler.h"
#include "common/base/hash.h"
#include "common/base/source.h"
#include "common/observe/log.h"
#include "gateway/limits_internal.h"

#define MAX_BUCKETS 65536

// A bucket of one caller and class. All of its limit passes through `full_ns`, too, so that a worker alone never lets
// more pass than the limit, whatever it is granted.
struct bucket {
  struct bounded_entry entry;
  uint64_t full_ns;           // state of the local GCRA
  uint64_t lease_ends_us;     // 0 in a new bucket
  uint64_t refused_until_us;  // no unit is left anywhere until then
  int32_t units;              // shares that may be spent
  int32_t owed;               // units to charge with the next fetch
  uint32_t remaining;         // units left for others, as of the last answer
  bool has_answer;
  uint32_t demand;  // requests that waited for the last answer and have not passed since
  struct limits *limits;
  const struct gcra_limit *limit;
  struct rpc_call *fetch;  // NULL without one in flight
  struct list waiting;
};

struct limits *limits_create(const struct limits_options *options)
{
  bool is_on = false;
  for (size_t i = 0; i < LIMIT_CLASS_COUNT; i++)
    is_on = is_on || gcra_is_on(&options->limits[i]);
  if (!is_on)
    return NULL;
  struct limits *limits = calloc(1, sizeof(*limits));
  CHECK(limits != NULL);
  memcpy(limits->limits, options->limits, sizeof(limits->limits));
  limits->backend = options->backend;
  limits->metrics = options->metrics;
  limits->now_us = options->now_us;
  limits->outage = (struct log_outage){
      .subject = "limits",
      .failure = "the auth service or its Redis does not answer; each worker limits by itself until it does",
      .recovery = "rate limits are shared with the other gateways again"};
  bounded_table_init(&limits->buckets, MAX_BUCKETS, sizeof(struct bucket));
  bounded_table_init(&limits->attempts, MAX_BUCKETS, sizeof(struct attempt_bucket));
  return limits;
}

void limits_free(struct limits **limits)
{
  struct limits *gone = *limits;
  *limits = NULL;
  if (gone == NULL)
    return;
  bounded_table_free(&gone->buckets);
  bounded_table_free(&gone->attempts);
  free(gone);
}

const char *limit_class_name(enum limit_class kind)
{
  static const char *const names[LIMIT_CLASS_COUNT] = {[LIMIT_READ] = "read",
                                                       [LIMIT_WRITE] = "write",
                                                       [LIMIT_EXPENSIVE] = "expensive",
                                                       [LIMIT_CREDENTIAL] = "credential",
                                                       [LIMIT_KEY] = "key"};
  return names[kind];
}

enum limit_class limit_class_of(const struct contract_method *method)
{
  switch (method->rate_class) {
  case CONTRACT_RATE_READ:
    return LIMIT_READ;
  case CONTRACT_RATE_WRITE:
    return LIMIT_WRITE;
  case CONTRACT_RATE_EXPENSIVE:
    return LIMIT_EXPENSIVE;
  case CONTRACT_RATE_CREDENTIAL:
    return LIMIT_CREDENTIAL;
  case CONTRACT_RATE_NONE:
    break;
  }
  return method->no_side_effects ? LIMIT_READ : LIMIT_WRITE;
}

bool limits_are_away(const struct limits *limits, uint64_t now_us)
{
  return now_us < limits->away_until_us;
}

void limits_note_call(struct limits *limits, bool ok)
{
  metric_add(ok ? limits->metrics->leases_ok : limits->metrics->leases_failed, 1);
  if (!ok)
    limits->away_until_us = limits->now_us() + LIMITS_AWAY_US;
  log_outage_note(&limits->outage, !ok, NULL, 0);
}

// ---- leases ----

// Returns the units of one lease: what the limit lets pass in 100 ms, a quarter of its burst at most.
static int32_t choose_share(const struct gcra_limit *limit)
{
  uint64_t share = LIMITS_LEASE_US * 1000 / limit->interval_ns;
  uint64_t most = limit->burst / 4;
  share = share < most ? share : most;
  return share < 1 ? 1 : (int32_t)share;
}

static void wake_all(struct bucket *bucket)
{
  // Only requests that wait now are woken, because a woken request may wait again.
  struct list woken;
  list_init(&woken);
  bucket->demand = (uint32_t)list_move_all(&bucket->waiting, &woken);
  while (!list_empty(&woken)) {
    struct limit_wait *wait = CONTAINER_OF(woken.next, struct limit_wait, node);
    list_remove(&wait->node);
    wait->wake(wait->arg);
  }
}

static void use_grant(struct bucket *bucket, const struct limit_state *state, uint64_t now_us)
{
  bucket->units += (int32_t)state->granted;
  bucket->remaining = state->remaining;
  bucket->has_answer = true;
  // Units that were spent on credit beyond the limit: what is left of them goes back.
  int32_t back = (int32_t)state->overdrawn < bucket->units ? (int32_t)state->overdrawn : bucket->units;
  bucket->units -= back;
  bucket->owed -= back;
  if (state->retry_after_us > 0)
    bucket->refused_until_us = now_us + state->retry_after_us;
}

static void on_granted(void *arg, const struct rpc_status *status, struct slice payload)
{
  struct bucket *bucket = arg;
  struct limits *limits = bucket->limits;
  bucket->fetch = NULL;
  bucket->entry.worth = bucket->full_ns;
  struct limit_state state;
  bool ok = limits_peers_read_state(status, payload, &state);
  limits_note_call(limits, ok);
  if (ok)
    use_grant(bucket, &state, limits->now_us());
  wake_all(bucket);
}

// Asks for units, and charges what is owed. `name` is the caller's, as the buckets of all gateways are named.
static void start_fetch(struct bucket *bucket, const char *name, uint32_t wanted, uint64_t now_us)
{
  const struct limits *limits = bucket->limits;
  const struct limit_call call = {
      .backend = limits->backend, .limit = bucket->limit, .now_us = now_us, .done = on_granted, .arg = bucket};
  int32_t charge = bucket->owed;
  bucket->owed = 0;
  // A bucket with a call in flight stays where the answer will look for it.
  bucket->entry.worth = BOUNDED_PINNED;
  bucket->fetch = limits_peers_take_share(&call, name, charge, wanted);
}

// Begins a new lease, whose share is spent on credit: the charge is settled by the answer. What is left of the old
// lease counts, and goes back where it is more than a share.
static void begin_lease(struct bucket *bucket, const char *name, uint64_t now_us)
{
  int32_t share = choose_share(bucket->limit);
  bucket->owed += share - bucket->units;
  bucket->units = share;
  bucket->lease_ends_us = now_us + LIMITS_LEASE_US;
  start_fetch(bucket, name, 0, now_us);
}

// Tells whether a unit of the shares may be spent; `waits` where an answer must come first.
static bool has_share(struct bucket *bucket, const char *name, uint64_t now_us, bool *waits)
{
  *waits = false;
  if (limits_are_away(bucket->limits, now_us))
    return true;
  if (bucket->units <= 0 && now_us < bucket->refused_until_us)
    return false;
  if (bucket->fetch == NULL && now_us >= bucket->lease_ends_us)
    begin_lease(bucket, name, now_us);
  int32_t share = choose_share(bucket->limit);
  if (bucket->fetch == NULL && bucket->units <= share / 2)
    start_fetch(bucket, name, (uint32_t)share + bucket->demand, now_us);
  *waits = bucket->units <= 0;
  return bucket->units > 0;
}

// ---- requests ----

// Writes the name of a caller's bucket: "r:u:0193…", "w:a:192.0.2.7".
static void write_name(enum limit_class kind, struct slice user, struct slice address, char out[LIMITS_NAME_SIZE])
{
  char source[SOURCE_TEXT_SIZE];
  if (user.size > 0) {
    snprintf(out, LIMITS_NAME_SIZE, "%c:u:" SLICE_FMT, limit_class_name(kind)[0], SLICE_ARG(user));
    return;
  }
  source_of_address(address, source);
  snprintf(out, LIMITS_NAME_SIZE, "%c:a:%s", limit_class_name(kind)[0], source);
}

static struct bucket *find_bucket(struct limits *limits, enum limit_class kind, const char *name)
{
  uint64_t key = hash_bytes(slice_from_string(name));
  struct bucket *bucket = bounded_table_find(&limits->buckets, key);
  if (bucket != NULL)
    return bucket;
  bucket = bounded_table_add(&limits->buckets, key);
  if (bucket == NULL)
    return NULL;
  bucket->limits = limits;
  bucket->limit = &limits->limits[kind];
  list_init(&bucket->waiting);
  return bucket;
}

static void fill_answer(const struct bucket *bucket, uint64_t now_us, struct limit_answer *answer)
{
  uint64_t now_ns = now_us * 1000;
  uint32_t room = gcra_room(bucket->limit, bucket->full_ns, now_ns);
  uint64_t shared = (uint64_t)bucket->remaining + (uint64_t)(bucket->units > 0 ? bucket->units : 0);
  answer->remaining = bucket->has_answer && shared < room ? (uint32_t)shared : room;
  answer->reset_us = gcra_reset_ns(bucket->full_ns, now_ns) / 1000;
}

static enum limit_verdict refuse(struct bucket *bucket, uint64_t now_us, struct limit_answer *answer)
{
  uint64_t here_us = gcra_wait_ns(bucket->limit, bucket->full_ns, now_us * 1000) / 1000;
  uint64_t shared_us = bucket->refused_until_us > now_us ? bucket->refused_until_us - now_us : 0;
  answer->remaining = 0;
  answer->retry_after_us = here_us > shared_us ? here_us : shared_us;
  answer->reset_us = answer->retry_after_us;
  metric_add(bucket->limits->metrics->limited[answer->kind], 1);
  return LIMIT_REFUSED;
}

enum limit_verdict limits_take(struct limits *limits, const struct limit_request *request, struct limit_wait *wait,
                               struct limit_answer *answer)
{
  enum limit_class kind = request->kind;
  if (limits == NULL || !gcra_is_on(&limits->limits[kind]))
    return LIMIT_OFF;
  *answer = (struct limit_answer){0};
  char name[LIMITS_NAME_SIZE];
  write_name(kind, request->user, request->address, name);
  struct bucket *bucket = find_bucket(limits, kind, name);
  // Eight callers whose answers are on their way have the only places: this one is not counted.
  if (bucket == NULL)
    return LIMIT_OFF;
  *answer = (struct limit_answer){.kind = kind, .limit = &limits->limits[kind]};
  uint64_t now_us = limits->now_us();
  bool waits = false;
  if (gcra_room(bucket->limit, bucket->full_ns, now_us * 1000) == 0)
    return refuse(bucket, now_us, answer);
  if (!has_share(bucket, name, now_us, &waits)) {
    if (!waits)
      return refuse(bucket, now_us, answer);
    list_append(&bucket->waiting, &wait->node);
    return LIMIT_WAITS;
  }
  bool taken = gcra_take(bucket->limit, &bucket->full_ns, now_us * 1000);
  CHECK(taken);
  if (bucket->units > 0)
    bucket->units--;
  if (bucket->demand > 0)
    bucket->demand--;
  if (bucket->fetch == NULL)
    bucket->entry.worth = bucket->full_ns;
  fill_answer(bucket, now_us, answer);
  return LIMIT_PASSED;
}
