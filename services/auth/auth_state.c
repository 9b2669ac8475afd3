#include "services/auth/auth_state.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auth/queries.bh.h"
#include "common/base/check.h"
#include "common/observe/log.h"
#include "common/observe/metrics.h"
#include "common/runtime/task.h"
#include "common/service/service.h"
#include "services/auth/api_keys.h"
#include "services/auth/auth_factors.h"
#include "services/auth/auth_mail.h"
#include "services/auth/auth_seals.h"
#include "services/auth/passkeys.h"
#include "services/auth/settings.h"

// More hashes at a time than there are cores would only make each of them slower.
#define MAX_HASHES 4
#define HOUSEKEEPING_MS 60000
// How often what has ended is read. The gateways ask as often, and revocation takes a second at most.
#define ENDINGS_EVERY_MS 150
#define ENDINGS_LIMIT_MS 2000
#define HOUSEKEEPING_LIMIT_MS 30000

// Reads the signing keys, and verifies the tokens of this service's own callers with them.
static enum status read_keys(struct auth_state *state, struct error *error)
{
  bool changed;
  enum status status = auth_keys_read(&state->keys, state->pg, state->settings, &changed, error);
  if (status != STATUS_OK || !changed)
    return status;
  struct token_public_key keys[TOKEN_MAX_KEYS];
  for (size_t i = 0; i < state->keys.count; i++) {
    const struct auth_key *key = state->keys.keys[i];
    keys[i] = (struct token_public_key){.kid = slice_from_string(key->signing.kid), .x = key->x, .y = key->y};
  }
  return service_set_token_keys(state->service, keys, state->keys.count, error);
}

// Follows the keys, which other instances and commands change, too, and does what is due. Only the first failure and
// the end of failures are logged.
static void run_keys(void *arg)
{
  struct auth_state *state = arg;
  bool failing = false;
  while (task_sleep_ms(AUTH_KEYS_READ_EVERY_MS) == STATUS_OK) {
    struct error error;
    uint64_t before = task_tighten_deadline(deadline_after_ms(clock_now_us(), HOUSEKEEPING_LIMIT_MS));
    bool failed = read_keys(state, &error) != STATUS_OK;
    task_restore_deadline(before);
    if (failed && !failing)
      log_warn("keys",
               "could not read the signing keys; those that are known are used for a minute at most, then logins and "
               "refreshes get 503; retrying",
               LOG_STRING("reason", error.message));
    else if (!failed && failing)
      log_info("keys", "the signing keys can be read again", LOG_INT("keys", state->keys.count));
    failing = failed;
  }
}

// Removes expired sessions.
static void keep_house(struct auth_state *state)
{
  struct arena arena;
  arena_init(&arena);
  int64_t removed = 0;
  enum status status = auth_db_remove_expired_sessions(query_on(state->pg), &arena, &removed);
  int64_t forgotten = 0;
  if (auth_db_remove_expired_endings(query_on(state->pg), &arena, &forgotten) != STATUS_OK)
    log_info("sessions", "could not remove what has ended long ago; the next attempt is in a minute");
  int64_t old = 0;
  if (auth_db_remove_old_account_tokens(query_on(state->pg), &arena, &old) != STATUS_OK)
    log_info("recovery", "could not remove tokens that have ended; the next attempt is in a minute");
  int64_t spent = 0;
  if (auth_db_remove_spent_challenges(query_on(state->pg), &arena, &spent) != STATUS_OK)
    log_info("passkeys", "could not remove challenges that were used; the next attempt is in a minute");
  int64_t expired = 0;
  if (auth_db_remove_expired_api_keys(query_on(state->pg), &arena, &expired) != STATUS_OK)
    log_info("keys", "could not remove expired API keys; the next attempt is in a minute");
  if (auth_db_remove_old_challenges(query_on(state->pg), FACTOR_CONFIRM_MS, &arena, &old) != STATUS_OK)
    log_info("factors", "could not remove challenges that have ended; the next attempt is in a minute");
  arena_free(&arena);
  if (status == STATUS_OK && removed > 0)
    log_info("sessions", "removed expired sessions", LOG_INT("count", removed));
}

static void run_housekeeping(void *arg)
{
  struct auth_state *state = arg;
  while (task_sleep_ms(HOUSEKEEPING_MS) == STATUS_OK) {
    uint64_t before = task_tighten_deadline(deadline_after_ms(clock_now_us(), HOUSEKEEPING_LIMIT_MS));
    keep_house(state);
    task_restore_deadline(before);
  }
}

// Follows what ends, at this instance and at others. A failure is not told here: without PostgreSQL nothing ends, and
// the service says elsewhere that it is away.
static void follow_endings(void *arg)
{
  struct auth_state *state = arg;
  while (task_sleep_ms(ENDINGS_EVERY_MS) == STATUS_OK) {
    uint64_t before = task_tighten_deadline(deadline_after_ms(clock_now_us(), ENDINGS_LIMIT_MS));
    enum status status = auth_endings_read(&state->endings, state->pg);
    if (status != STATUS_OK)
      log_debug("endings", "could not read what has ended; the next attempt follows", LOG_STATUS(status));
    task_restore_deadline(before);
  }
}

static size_t choose_hash_slots(void)
{
  long cores = sysconf(_SC_NPROCESSORS_ONLN);
  return cores < 1 ? 1 : cores > MAX_HASHES ? MAX_HASHES : (size_t)cores;
}

static void create_login_series(struct auth_state *state)
{
  static const char *const names[LOGIN_OUTCOME_COUNT] = {[LOGIN_OK] = "ok",
                                                         [LOGIN_WRONG] = "wrong",
                                                         [LOGIN_LIMITED] = "limited",
                                                         [LOGIN_BUSY] = "busy",
                                                         [LOGIN_WRONG_CODE] = "wrong_code"};
  for (size_t i = 0; i < LOGIN_OUTCOME_COUNT; i++) {
    struct slice name = slice_from_string(names[i]);
    state->logins[i] = metrics_series(METRIC_LOGINS, &name, 1);
  }
}

// Reads what AUTH_KEY_SECRET opens. The stored secret comes first, because it tells by the keys whether it is the first
// start.
static enum status open_secrets(struct auth_state *state, struct error *error)
{
  enum status status = auth_seals_check(state->settings, error);
  if (status == STATUS_OK)
    status = auth_keys_init(&state->keys, state->settings, error);
  if (status == STATUS_OK)
    status = auth_seals_load_secret(state->settings, state->pg, &state->memory, &state->stored_secret, error);
  if (status == STATUS_OK)
    status = audit_chain_init(&state->audit, state->service, error);
  return status == STATUS_OK ? read_keys(state, error) : status;
}

static void free_state(struct auth_state *state)
{
  auth_endings_free(&state->endings);
  audit_chain_free(&state->audit);
  auth_keys_free(&state->keys);
  arena_free(&state->memory);
  free(state);
}

enum status auth_start(struct service *service, void **state_out, struct error *error)
{
  const struct auth_settings *settings = service_settings(service);
  struct auth_state *state = calloc(1, sizeof(*state));
  CHECK(state != NULL);
  state->service = service;
  state->pg = service_pg(service);
  state->settings = settings;
  state->cost = (struct password_cost){.operations = (uint64_t)settings->argon2_passes,
                                       .memory_bytes = (size_t)settings->argon2_memory_bytes};
  state->password_rules =
      (struct password_rules){.min_code_points = (size_t)settings->password_min_length,
                              .min_code_points_with_factor = (size_t)settings->password_min_length_with_factor,
                              .product = settings->product_name};
  permissions_list(&state->memory, &state->permissions.list, &state->permissions.count);
  auth_endings_init(&state->endings);
  enum status status = open_secrets(state, error);
  if (status == STATUS_OK && (status = auth_endings_read(&state->endings, state->pg)) != STATUS_OK)
    (void)error_set(error, status, "what has ended could not be read from the database");
  if (status == STATUS_OK)
    status = passkeys_start(state, error);
  if (status == STATUS_OK)
    status = auth_mail_start(settings, service_loop(service), &state->mail, error);
  if (status != STATUS_OK) {
    free_state(state);
    return status;
  }
  auth_limits_init(&state->limits, service_redis(service));
  hash_queue_init(&state->hashes, choose_hash_slots());
  create_login_series(state);
  *state_out = state;
  service_background(service, run_housekeeping, state);
  service_background(service, run_keys, state);
  service_background(service, follow_endings, state);
  service_background(service, audit_chain_run, &state->audit);
  service_background(service, api_keys_run_uses, state);
  return STATUS_OK;
}

void auth_stop(struct service *service, void *state_opaque)
{
  (void)service;
  struct auth_state *state = state_opaque;
  if (state == NULL)
    return;
  auth_mail_stop(&state->mail);
  auth_limits_free(&state->limits);
  free_state(state);
}

struct device_scope auth_state_devices(const struct auth_state *state, const char *account)
{
  return (struct device_scope){
      .secret = state->stored_secret, .account = account, .now_ms = auth_keys_now_ms(&state->keys)};
}
