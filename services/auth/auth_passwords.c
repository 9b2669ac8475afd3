#include "services/auth/auth_passwords.h"

#include "auth/queries.bh.h"
#include "common/base/clock.h"
#include "common/base/source.h"
#include "common/observe/log.h"
#include "common/runtime/task.h"
#include "common/service/call.h"
#include "common/service/resource.h"
#include "services/auth/account_tokens.h"
#include "services/auth/audit.h"
#include "services/auth/auth_mail.h"
#include "services/auth/auth_sessions.h"
#include "services/auth/auth_state.h"
#include "services/auth/auth_transaction.h"

// The retry hint where too many hashes wait.
#define BUSY_RETRY_MS 1000

// What the thread pool works on. The task waits for it, and nobody else uses it meanwhile.
struct password_job {
  struct slice given;
  const char *hash;                      // to compare; NULL for an unknown account
  const struct chosen_password *chosen;  // to judge before it is hashed; NULL for one that was accepted once
  const struct password_rules *rules;
  const struct password_cost *cost;
  struct password_verdict verdict;
  enum password_match match;
  enum status status;
  char new_hash[PASSWORD_HASH_SIZE];
};

static void hash_password(void *arg)
{
  struct password_job *job = arg;
  if (job->chosen != NULL)
    job->verdict = password_judge(job->given, job->rules, &job->chosen->owner);
  if (job->verdict.fault == PASSWORD_GOOD)
    job->status = password_hash(job->given, job->cost, job->new_hash);
}

static void compare_password(void *arg)
{
  struct password_job *job = arg;
  if (job->hash == NULL)
    password_verify_dummy(job->given, job->cost);
  else
    job->match = password_verify(job->given, job->hash);
}

static struct password_job make_job(struct call *call, const char *given)
{
  const struct auth_state *state = call_state(call);
  return (struct password_job){
      .given = slice_from_string(given), .rules = &state->password_rules, .cost = &state->cost};
}

// ---- turns ----

// Names who takes turns: the client's address and never its device, because anybody gets as many devices as he likes by
// logging in to an account of his own.
static struct slice name_turn(struct call *call)
{
  char site[SOURCE_TEXT_SIZE];
  source_site(call_client_address(call), site);
  return slice_from_string(arena_string(call_arena(call), slice_from_string(site)));
}

bool auth_passwords_have_room(struct call *call)
{
  const struct auth_state *state = call_state(call);
  return hash_queue_has_room(&state->hashes, name_turn(call), clock_now_us());
}

enum status auth_passwords_fail_busy(struct call *call)
{
  call_retry_after(call, BUSY_RETRY_MS);
  return call_fail(call, STATUS_RESOURCE_EXHAUSTED, "TOO_MANY_REQUESTS",
                   "too many logins and sign-ups wait; try again in a moment");
}

// Runs the job when it is the client's turn.
static enum status run_in_turn(struct call *call, void (*work)(void *arg), struct password_job *job)
{
  struct auth_state *state = call_state(call);
  enum status status = hash_queue_acquire(&state->hashes, name_turn(call));
  if (status != STATUS_OK)
    return status;
  uint64_t before_us = clock_now_us();
  status = task_offload(work, job);
  hash_queue_release(&state->hashes, clock_now_us() - before_us);
  return status;
}

// ---- hashes ----

// Says which rule refused a password, and how to choose another one.
static enum status refuse(struct call *call, const struct chosen_password *chosen,
                          const struct password_verdict *verdict)
{
  const char *reason = password_fault_reason(verdict->fault);
  if (reason == NULL)
    return STATUS_RESOURCE_EXHAUSTED;
  char explanation[PASSWORD_EXPLANATION_SIZE];
  password_explain(verdict, explanation);
  call_violation(call, chosen->field, explanation);
  return call_fail(call, STATUS_INVALID_ARGUMENT, reason, "%s %s", chosen->field, explanation);
}

enum status auth_passwords_hash(struct call *call, const struct chosen_password *chosen, char hash[PASSWORD_HASH_SIZE])
{
  struct password_job job = make_job(call, chosen->text);
  job.chosen = chosen;
  enum status status = run_in_turn(call, hash_password, &job);
  if (status == STATUS_RESOURCE_EXHAUSTED)
    return auth_passwords_fail_busy(call);
  if (status != STATUS_OK)
    return status;
  if (job.verdict.fault != PASSWORD_GOOD)
    return refuse(call, chosen, &job.verdict);
  memcpy(hash, job.new_hash, sizeof(job.new_hash));
  const struct auth_state *state = call_state(call);
  if (chosen->needs_factor != NULL)
    *chosen->needs_factor = job.verdict.found < state->password_rules.min_code_points;
  return job.status;
}

enum status auth_passwords_hash_unknown(struct call *call, char hash[PASSWORD_HASH_SIZE])
{
  struct password_job job = make_job(call, account_token_new(call_arena(call)).text);
  enum status status = run_in_turn(call, hash_password, &job);
  if (status == STATUS_RESOURCE_EXHAUSTED)
    return auth_passwords_fail_busy(call);
  if (status != STATUS_OK)
    return status;
  memcpy(hash, job.new_hash, sizeof(job.new_hash));
  return job.status;
}

enum status auth_passwords_compare(struct call *call, const char *given, const char *hash, enum password_match *match)
{
  struct password_job job = make_job(call, given);
  job.hash = hash;
  enum status status = run_in_turn(call, compare_password, &job);
  *match = job.match;
  return status == STATUS_RESOURCE_EXHAUSTED ? auth_passwords_fail_busy(call) : status;
}

void auth_passwords_renew(struct call *call, const char *user_id, const char *given, const char *hash,
                          enum password_match match)
{
  struct auth_state *state = call_state(call);
  if (match != PASSWORD_RIGHT_AS_GIVEN && !password_needs_rehash(hash, &state->cost))
    return;
  struct password_job job = make_job(call, given);
  enum status status = run_in_turn(call, hash_password, &job);
  if (status == STATUS_OK)
    status = job.status;
  const struct auth_db_replace_password_hash_params params = {
      .new_hash = job.new_hash, .user_id = user_id, .old_hash = hash};
  if (status == STATUS_OK)
    status = auth_db_replace_password_hash(query_on(state->pg), &params, call_arena(call));
  if (status != STATUS_OK)
    log_info("login", "a password keeps its old hash until the next login", LOG_STATUS(status));
}

// ---- changes ----

enum status auth_passwords_follow_change(struct call *call, struct query_db db, const struct changed_password *changed)
{
  struct auth_state *state = call_state(call);
  struct arena *arena = call_arena(call);
  const struct auth_mail_notice notice = {
      .user_id = changed->user_id, .to = changed->email, .address = call_client_address(call)};
  // Somebody else may have asked for them.
  const struct auth_db_spend_account_tokens_params spend = {.user_id = changed->user_id, .purpose = AUTH_RESET_PURPOSE};
  const struct auth_db_spend_account_tokens_params spend_changes = {.user_id = changed->user_id,
                                                                    .purpose = AUTH_CHANGE_PURPOSE};
  enum status status = auth_db_spend_account_tokens(db, &spend, arena);
  if (status == STATUS_OK)
    status = auth_db_spend_account_tokens(db, &spend_changes, arena);
  if (status == STATUS_OK)
    status = auth_sessions_end_others(db, changed->user_id, changed->kept_session, arena);
  if (status == STATUS_OK)
    status = auth_mail_tell(state, db, AUTH_MAIL_PASSWORD_CHANGED, &notice, arena);
  const struct audit_entry entry = {
      .action = changed->action, .actor_id = changed->user_id, .user_id = changed->user_id};
  return status == STATUS_OK ? audit_add(call, db, &entry) : status;
}

// Changes the hash before it looks for sessions, so that a session which was stored before the change is seen.
static enum status replace_in(struct call *call, struct query_db db, const void *arg)
{
  const struct password_change *change = arg;
  const struct auth_db_change_password_params params = {.new_hash = change->new_hash,
                                                        .needs_factor = change->needs_factor,
                                                        .user_id = resource_caller(call),
                                                        .old_hash = change->old_hash};
  int64_t replaced = 0;
  enum status status = auth_db_change_password(db, &params, call_arena(call), &replaced);
  if (status == STATUS_OK && replaced > 0)
    status = auth_sessions_require_live(call, db);
  if (status != STATUS_OK)
    return status;
  if (replaced == 0)
    return call_fail(call, STATUS_ABORTED, "PASSWORD_CHANGED",
                     "password or factors have been changed meanwhile; try again");
  const struct changed_password changed = {
      .action = "password.change",
      .user_id = params.user_id,
      .email = change->email,
      .kept_session = arena_string(call_arena(call), call_caller_session(call)),
  };
  return auth_passwords_follow_change(call, db, &changed);
}

enum status auth_passwords_replace(struct call *call, const struct password_change *change)
{
  return auth_transact(call, replace_in, change);
}
