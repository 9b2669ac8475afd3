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
#include "services/auth/settings.h"

// More hashes at a time than there are cores would only make each of them slower.
#define MAX_HASHES 4
#define MIN_KEY_SECRET_BYTES 32
#define HOUSEKEEPING_MS 60000
#define HOUSEKEEPING_LIMIT_MS 30000

// Reads the signing keys, and verifies the tokens of this service's own callers with the newest of them.
static enum status load_keys(struct auth_state *state, struct error *error)
{
  struct token_public_key keys[TOKEN_MAX_KEYS];
  enum status status = auth_keys_load(&state->keys, state->pg, state->settings->key_secret, error);
  if (status != STATUS_OK)
    return status;
  size_t count = 0;
  for (; count < state->keys.count && count < TOKEN_MAX_KEYS; count++) {
    const struct auth_key *key = &state->keys.keys[count];
    keys[count] = (struct token_public_key){.kid = slice_from_string(key->signing.kid), .x = key->x, .y = key->y};
  }
  return service_set_token_keys(state->service, keys, count, error);
}

// Loads the keys again, because another instance may have made one, and removes expired sessions.
static void keep_house(struct auth_state *state)
{
  struct error error;
  enum status status = load_keys(state, &error);
  if (status != STATUS_OK)
    log_warn(
        "keys",
        "could not read the signing keys again; the keys read before stay in use, and the next attempt is in a minute",
        LOG_STRING("reason", error.message));
  struct arena arena;
  arena_init(&arena);
  int64_t removed = 0;
  status = auth_db_remove_expired_sessions(query_on(state->pg), &arena, &removed);
  int64_t forgotten = 0;
  if (auth_db_remove_expired_endings(query_on(state->pg), &arena, &forgotten) != STATUS_OK)
    log_info("sessions", "could not remove what has ended long ago; the next attempt is in a minute");
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

static size_t choose_hash_slots(void)
{
  long cores = sysconf(_SC_NPROCESSORS_ONLN);
  return cores < 1 ? 1 : cores > MAX_HASHES ? MAX_HASHES : (size_t)cores;
}

static void create_login_series(struct auth_state *state)
{
  static const char *const names[LOGIN_OUTCOME_COUNT] = {
      [LOGIN_OK] = "ok", [LOGIN_WRONG] = "wrong", [LOGIN_LIMITED] = "limited", [LOGIN_BUSY] = "busy"};
  for (size_t i = 0; i < LOGIN_OUTCOME_COUNT; i++) {
    struct slice name = slice_from_string(names[i]);
    state->logins[i] = metrics_series(METRIC_LOGINS, &name, 1);
  }
}

enum status auth_start(struct service *service, void **state_out, struct error *error)
{
  const struct auth_settings *settings = service_settings(service);
  if (strlen(settings->key_secret) < MIN_KEY_SECRET_BYTES)
    return error_set(error, STATUS_INVALID_ARGUMENT, "AUTH_KEY_SECRET must have at least %d characters",
                     MIN_KEY_SECRET_BYTES);
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
  enum status status = load_keys(state, error);
  if (status != STATUS_OK) {
    auth_keys_free(&state->keys);
    free(state);
    return status;
  }
  auth_limits_init(&state->limits, service_redis(service));
  hash_queue_init(&state->hashes, choose_hash_slots());
  create_login_series(state);
  *state_out = state;
  service_background(service, run_housekeeping, state);
  return STATUS_OK;
}

void auth_stop(struct service *service, void *state_opaque)
{
  (void)service;
  struct auth_state *state = state_opaque;
  if (state == NULL)
    return;
  auth_limits_free(&state->limits);
  auth_keys_free(&state->keys);
  free(state);
}
