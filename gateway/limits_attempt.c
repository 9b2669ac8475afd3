// Attempts at credentials: each is counted exactly, by a call to the auth service before it is tried.
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/hash.h"
#include "common/base/source.h"
#include "gateway/limits_internal.h"

static const struct gcra_limit *get_limit(const struct limits *limits)
{
  return &limits->limits[LIMIT_CREDENTIAL];
}

// ---- by this worker alone ----

static struct attempt_bucket *find_local_bucket(struct limits *limits, uint64_t key)
{
  struct attempt_bucket *bucket = bounded_table_find(&limits->attempts, key);
  // None is pinned, so there is always a place.
  return bucket != NULL ? bucket : bounded_table_add(&limits->attempts, key);
}

static void judge_locally(struct limit_attempt *attempt)
{
  const struct gcra_limit *limit = get_limit(attempt->limits);
  uint64_t now_ns = attempt->limits->now_us() * 1000;
  struct bounded_entry *entry = &find_local_bucket(attempt->limits, attempt->key)->entry;
  attempt->state = gcra_take(limit, &entry->worth, now_ns) ? ATTEMPT_LOCAL : ATTEMPT_REFUSED;
  attempt->answer.remaining = gcra_room(limit, entry->worth, now_ns);
  attempt->answer.reset_us = gcra_reset_ns(entry->worth, now_ns) / 1000;
  attempt->answer.retry_after_us = gcra_wait_ns(limit, entry->worth, now_ns) / 1000;
}

// ---- by the auth service ----

static void use_answer(struct limit_attempt *attempt, const struct limit_state *state)
{
  attempt->state = state->granted > 0 ? ATTEMPT_SHARED : ATTEMPT_REFUSED;
  attempt->answer.remaining = state->remaining;
  attempt->answer.reset_us = state->reset_us;
  attempt->answer.retry_after_us = state->retry_after_us;
  memcpy(attempt->source, state->source, sizeof(attempt->source));
  // Further attempts of the address, unless they name a device, need not be asked about until then.
  if (attempt->state == ATTEMPT_REFUSED && !attempt->names_device) {
    struct attempt_bucket *bucket = find_local_bucket(attempt->limits, attempt->key);
    bucket->refused_until_us = attempt->limits->now_us() + state->retry_after_us;
  }
}

static void finish_judgement(struct limit_attempt *attempt)
{
  if (attempt->state == ATTEMPT_REFUSED) {
    attempt->answer.remaining = 0;
    attempt->answer.reset_us = attempt->answer.retry_after_us;
    metric_add(attempt->limits->metrics->limited[LIMIT_CREDENTIAL], 1);
  }
}

static void on_begun(void *arg, const struct rpc_status *status, struct slice payload)
{
  struct limit_attempt *attempt = arg;
  attempt->call = NULL;
  struct limit_state state;
  bool ok = limits_peers_read_state(status, payload, &state);
  limits_note_call(attempt->limits, ok);
  if (ok)
    use_answer(attempt, &state);
  else
    judge_locally(attempt);
  finish_judgement(attempt);
  attempt->wake(attempt->arg);
}

static struct limit_call make_call(struct limit_attempt *attempt)
{
  const struct limits *limits = attempt->limits;
  return (struct limit_call){.backend = limits->backend,
                             .limit = get_limit(limits),
                             .now_us = limits->now_us(),
                             .done = on_begun,
                             .arg = attempt};
}

static char *to_text(struct slice slice, char *out, size_t size)
{
  snprintf(out, size, SLICE_FMT, SLICE_ARG(slice));
  return out;
}

// Refuses an attempt of an address that the auth service has just refused. Floods of them end here.
static bool refuse_again(struct limit_attempt *attempt)
{
  const struct attempt_bucket *bucket = bounded_table_find(&attempt->limits->attempts, attempt->key);
  uint64_t now_us = attempt->limits->now_us();
  if (attempt->names_device || bucket == NULL || now_us >= bucket->refused_until_us)
    return false;
  attempt->state = ATTEMPT_REFUSED;
  attempt->answer.retry_after_us = bucket->refused_until_us - now_us;
  finish_judgement(attempt);
  return true;
}

enum attempt_start limits_begin_attempt(struct limits *limits, struct slice address, struct slice login,
                                        const struct rpc_context *context, struct limit_attempt *attempt)
{
  if (limits == NULL || !gcra_is_on(get_limit(limits)))
    return ATTEMPT_UNLIMITED;
  char source[SOURCE_TEXT_SIZE], address_text[SOURCE_TEXT_SIZE];
  source_of_address(address, source);
  attempt->limits = limits;
  attempt->state = ATTEMPT_ASKED;
  attempt->key = hash_bytes(slice_from_string(source));
  attempt->answer = (struct limit_answer){.kind = LIMIT_CREDENTIAL, .limit = get_limit(limits)};
  attempt->names_device = limits_peers_names_device(login);
  if (refuse_again(attempt))
    return ATTEMPT_JUDGED;
  struct limit_call call = make_call(attempt);
  attempt->call =
      limits_peers_begin_attempt(&call, to_text(address, address_text, sizeof(address_text)), login, context);
  return ATTEMPT_WAITS;
}

// ---- the end ----

static void forgive_shared(struct limit_attempt *attempt, bool succeeded)
{
  struct limit_call call = make_call(attempt);
  limits_peers_forgive_attempt(&call, attempt->source, succeeded);
}

// Tells whether the outcome says that a guess was wrong, at a password, at a token that a mail carries
// (FAILED_PRECONDITION) or at which accounts there are, or that it was one too many for its account.
static bool has_failed(const struct rpc_status *outcome)
{
  switch (outcome->code) {
  case STATUS_UNAUTHENTICATED:
  case STATUS_PERMISSION_DENIED:
  case STATUS_NOT_FOUND:
  case STATUS_ALREADY_EXISTS:
  case STATUS_FAILED_PRECONDITION:
    return true;
  case STATUS_RESOURCE_EXHAUSTED:
    return slice_equal_string(outcome->reason, GCRA_FAILURES_REASON);
  default:
    return false;
  }
}

void limits_end_attempt(struct limit_attempt *attempt, const struct rpc_status *outcome)
{
  enum attempt_state state = attempt->state;
  attempt->state = ATTEMPT_NONE;
  if (has_failed(outcome))
    return;
  if (state == ATTEMPT_SHARED)
    forgive_shared(attempt, outcome->code == STATUS_OK);
  if (state == ATTEMPT_LOCAL)
    gcra_give_back(get_limit(attempt->limits), &find_local_bucket(attempt->limits, attempt->key)->entry.worth,
                   attempt->limits->now_us() * 1000);
}

void limits_abandon_attempt(struct limit_attempt *attempt)
{
  if (attempt->call != NULL)
    (void)attempt->limits->backend->cancel(attempt->limits->backend->arg, attempt->call);
  attempt->call = NULL;
  attempt->state = ATTEMPT_NONE;
}
