#include "services/auth/auth_keys.h"

#include <stdlib.h>
#include <string.h>

#include "auth/queries.bh.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/observe/log.h"
#include "common/runtime/task.h"
#include "common/security/key.h"
#include "services/auth/audit.h"
#include "services/auth/auth_seals.h"
#include "services/auth/settings.h"

// The context that every key is sealed with, so that no other sealed secret can pass for a key.
#define SEAL_CONTEXT "bulkhead auth signing key 1"
// The steps that one reading may take. More are due only where keys were stored by hand.
#define MAX_STEPS 64
#define SIGNER_POLL_MS 20

// What has to do with the keys in the database has this in common.
struct key_store {
  struct pg *pg;
  const struct auth_settings *settings;
  const struct key_rules *rules;
  struct arena *arena;
};

struct stored_keys {
  struct auth_db_list_keys_row *rows;
  struct key_times times[TOKEN_MAX_KEYS];
  size_t count;
  int64_t now_ms;
  uint64_t read_us;
};

enum status auth_keys_init(struct auth_keys *keys, const struct auth_settings *settings, struct error *error)
{
  *keys = (struct auth_keys){.rules = {.rotation_ms = settings->key_rotation_ms,
                                       .publish_ms = settings->key_publish_ms,
                                       .ttl_ms = settings->access_ttl_ms}};
  if (key_plan_rules_fit(&keys->rules))
    return STATUS_OK;
  return error_set(error, STATUS_INVALID_ARGUMENT,
                   "AUTH_KEY_ROTATION must be at least twice AUTH_KEY_PUBLISH, and so long that at most %d keys have "
                   "tokens at a time: each key is kept for AUTH_ACCESS_TTL and %d minutes more",
                   KEY_PLAN_MAX_KEYS, KEY_MARGIN_MS / 60000);
}

static void free_key(struct auth_key **key)
{
  if (*key == NULL)
    return;
  private_key_free(&(*key)->parsed);
  arena_free(&(*key)->memory);
  free(*key);
  *key = NULL;
}

void auth_keys_free(struct auth_keys *keys)
{
  for (size_t i = 0; i < keys->count; i++)
    free_key(&keys->keys[i]);
  keys->count = 0;
}

// ---- the table ----

static enum status list_keys(struct query_db db, struct arena *arena, struct stored_keys *stored)
{
  *stored = (struct stored_keys){0};
  enum status status = auth_db_list_keys(db, arena, &stored->rows, &stored->count);
  if (status != STATUS_OK)
    return status;
  // The answer was on its way meanwhile, so the database's clock is never behind what is computed from it.
  stored->read_us = clock_now_us();
  if (stored->count > TOKEN_MAX_KEYS)
    return STATUS_FAILED_PRECONDITION;
  for (size_t i = 0; i < stored->count; i++) {
    const struct auth_db_list_keys_row *row = &stored->rows[i];
    stored->times[i] = (struct key_times){.sign_ms = row->has_sign_ms ? row->sign_ms : KEY_UNDATED,
                                          .longest_ttl_ms = row->longest_ttl_ms};
    stored->now_ms = row->now_ms;
  }
  return STATUS_OK;
}

// Makes a key and stores it: one that signs at once, or an undated one. The id is in the arena.
static enum status add_key(const struct key_store *store, struct pg_tx *tx, bool signs_now, const char **id)
{
  const char *pem;
  struct slice x, y, kid;
  struct auth_sealed sealed;
  enum status status = key_generate(store->arena, &pem);
  if (status == STATUS_OK)
    status = key_public_parts(pem, store->arena, &x, &y, &kid);
  if (status == STATUS_OK)
    status = auth_seal(store->settings, SEAL_CONTEXT, slice_from_string(pem), store->arena, &sealed);
  if (status != STATUS_OK)
    return status;
  *id = arena_string(store->arena, kid);
  const struct auth_db_add_key_params params = {.kid = *id,
                                                .sealed = sealed.bytes,
                                                .sealed_before = sealed.before,
                                                .longest_ttl_ms = store->rules->ttl_ms,
                                                .signs_now = signs_now};
  return auth_db_add_key(query_in(tx), &params, store->arena);
}

static void log_step(const struct key_step *step, const char *kid)
{
  static const char *const texts[] = {
      [KEY_STEP_FIRST] = "made the first signing key",
      [KEY_STEP_PUBLISH] = "published a further signing key, which will sign once all verifiers have fetched it",
      [KEY_STEP_DATE] = "set the time from which a signing key signs",
      [KEY_STEP_REMOVE] = "removed a signing key whose last token has expired",
  };
  log_info("keys", texts[step->kind], LOG_STRING("kid", kid));
}

static enum status carry_out(const struct key_store *store, struct pg_tx *tx, const struct key_step *step,
                             const char **kid)
{
  switch (step->kind) {
  case KEY_STEP_NONE:
    return STATUS_OK;
  case KEY_STEP_FIRST:
  case KEY_STEP_PUBLISH:
    return add_key(store, tx, step->kind == KEY_STEP_FIRST, kid);
  case KEY_STEP_DATE: {
    const struct auth_db_date_key_params params = {.kid = *kid, .sign_ms = step->sign_ms};
    return auth_db_date_key(query_in(tx), &params, store->arena);
  }
  case KEY_STEP_REMOVE:
    return auth_db_remove_key(query_in(tx), *kid, store->arena);
  }
  return STATUS_INTERNAL;
}

// Takes the next step in a transaction of its own, under a lock: of several instances one does it, and the others find
// that nothing is left to do.
static enum status take_step(const struct key_store *store, struct key_step *step)
{
  struct pg_tx *tx = NULL;
  struct stored_keys stored;
  *step = (struct key_step){.kind = KEY_STEP_NONE};
  enum status status = pg_begin(store->pg, &tx);
  if (status == STATUS_OK)
    status = auth_db_lock_keys(query_in(tx), store->arena);
  if (status == STATUS_OK)
    status = list_keys(query_in(tx), store->arena, &stored);
  const char *kid = "";
  if (status == STATUS_OK) {
    *step = key_plan_step(store->rules, stored.times, stored.count, stored.now_ms);
    if (step->key < stored.count)
      kid = stored.rows[step->key].kid;
    status = carry_out(store, tx, step, &kid);
  }
  if (status == STATUS_OK && step->kind != KEY_STEP_NONE)
    status = pg_commit(&tx);
  if (status == STATUS_OK && step->kind != KEY_STEP_NONE)
    log_step(step, kid);
  pg_rollback(&tx);
  return status;
}

// Lists the keys, and takes the steps that are due before.
static enum status list_after_steps(const struct key_store *store, struct stored_keys *stored)
{
  for (int i = 0; i < MAX_STEPS; i++) {
    enum status status = list_keys(query_on(store->pg), store->arena, stored);
    if (status != STATUS_OK)
      return status;
    struct key_step step = key_plan_step(store->rules, stored->times, stored->count, stored->now_ms);
    if (step.kind == KEY_STEP_NONE)
      return STATUS_OK;
    status = take_step(store, &step);
    // Another instance that has the lock takes the step; what was read is right as it is, if there are keys.
    if (status == STATUS_ABORTED && stored->count > 0)
      return STATUS_OK;
    if (status != STATUS_OK)
      return status;
  }
  return STATUS_OK;
}

// Makes sure that the keys are kept for as long as the tokens of this instance live, before it signs with them.
static enum status raise_ttl(const struct key_store *store, struct stored_keys *stored)
{
  bool is_low = false;
  for (size_t i = 0; i < stored->count; i++)
    is_low = is_low || stored->times[i].longest_ttl_ms < store->rules->ttl_ms;
  if (!is_low)
    return STATUS_OK;
  enum status status = auth_db_raise_key_ttl(query_on(store->pg), store->rules->ttl_ms, store->arena);
  return status == STATUS_OK ? list_keys(query_on(store->pg), store->arena, stored) : status;
}

// ---- the keys in memory ----

struct secret_text {
  char *text;
  size_t size;
};

static void erase_text(void *arg)
{
  struct secret_text *secret = arg;
  key_erase(secret->text, secret->size);
}

static const char *copy_secret(struct arena *arena, struct slice plain)
{
  struct secret_text *secret = arena_alloc(arena, sizeof(*secret));
  *secret = (struct secret_text){.text = arena_string(arena, plain), .size = plain.size};
  arena_on_free(arena, erase_text, secret);
  return secret->text;
}

static enum status reseal(const struct key_store *store, const struct auth_db_list_keys_row *row,
                          const struct auth_opened *opened)
{
  if (!opened->outdated)
    return STATUS_OK;
  const struct auth_db_reseal_key_params params = {.kid = row->kid,
                                                   .sealed = opened->renewed.bytes,
                                                   .sealed_before = opened->renewed.before,
                                                   .old_sealed = row->sealed};
  enum status status = auth_db_reseal_key(query_on(store->pg), &params, store->arena);
  if (status == STATUS_OK)
    log_info("keys", "sealed a signing key as AUTH_KEY_SECRET is set now", LOG_STRING("kid", row->kid));
  return status;
}

static enum status open_key(const struct key_store *store, const struct auth_db_list_keys_row *row,
                            struct auth_key **key)
{
  struct auth_opened opened;
  const struct auth_sealed sealed = {.bytes = row->sealed, .before = row->sealed_before};
  enum status status = auth_unseal(store->settings, SEAL_CONTEXT, &sealed, store->arena, &opened);
  if (status == STATUS_OK)
    status = reseal(store, row, &opened);
  if (status != STATUS_OK)
    return status;
  *key = calloc(1, sizeof(**key));
  CHECK(*key != NULL);
  struct arena *memory = &(*key)->memory;
  arena_init(memory);
  struct slice kid;
  (*key)->signing.kid = arena_string(memory, slice_from_string(row->kid));
  (*key)->signing.private_pem = copy_secret(memory, opened.plain);
  status = key_public_parts((*key)->signing.private_pem, memory, &(*key)->x, &(*key)->y, &kid);
  if (status == STATUS_OK)
    status = private_key_parse((*key)->signing.private_pem, &(*key)->parsed);
  (*key)->signing.parsed = (*key)->parsed;
  if (status != STATUS_OK)
    free_key(key);
  return status;
}

static struct auth_key *find_key(const struct auth_keys *keys, const char *kid)
{
  for (size_t i = 0; i < keys->count; i++)
    if (strcmp(keys->keys[i]->signing.kid, kid) == 0)
      return keys->keys[i];
  return NULL;
}

// Takes what was listed in the place of `keys`. Keys that are known already stay as they are.
static enum status take_keys(struct auth_keys *keys, const struct key_store *store, const struct stored_keys *stored,
                             bool *changed, struct error *error)
{
  struct auth_keys next = {
      .rules = keys->rules, .count = stored->count, .now_ms = stored->now_ms, .read_us = stored->read_us};
  memcpy(next.times, stored->times, sizeof(next.times));
  struct auth_key *fresh[TOKEN_MAX_KEYS] = {0};
  enum status status = STATUS_OK;
  for (size_t i = 0; i < stored->count && status == STATUS_OK; i++) {
    next.keys[i] = find_key(keys, stored->rows[i].kid);
    if (next.keys[i] == NULL) {
      status = open_key(store, &stored->rows[i], &fresh[i]);
      next.keys[i] = fresh[i];
      *changed = true;
    }
    if (status == STATUS_FAILED_PRECONDITION)
      (void)error_set(error, status,
                      "AUTH_KEY_SECRET does not open the stored signing key %s; start with the secret that it was "
                      "sealed with, or give that one as AUTH_KEY_SECRET_PREVIOUS",
                      stored->rows[i].kid);
  }
  for (size_t i = 0; i < TOKEN_MAX_KEYS && status != STATUS_OK; i++)
    free_key(&fresh[i]);
  if (status != STATUS_OK)
    return status;
  for (size_t i = 0; i < keys->count; i++) {
    if (find_key(&next, keys->keys[i]->signing.kid) != NULL)
      continue;
    free_key(&keys->keys[i]);
    *changed = true;
  }
  *keys = next;
  return STATUS_OK;
}

enum status auth_keys_read(struct auth_keys *keys, struct pg *pg, const struct auth_settings *settings, bool *changed,
                           struct error *error)
{
  struct arena arena;
  arena_init(&arena);
  const struct key_store store = {.pg = pg, .settings = settings, .rules = &keys->rules, .arena = &arena};
  struct stored_keys stored;
  *changed = false;
  error->message[0] = '\0';
  enum status status = list_after_steps(&store, &stored);
  if (status == STATUS_OK)
    status = raise_ttl(&store, &stored);
  if (status == STATUS_OK)
    status = take_keys(keys, &store, &stored, changed, error);
  if (status != STATUS_OK && error->message[0] == '\0')
    (void)error_set(error, status, "the signing keys could not be read from the database");
  arena_free(&arena);
  return status;
}

// ---- rotation by command ----

static enum status check_room(size_t count, struct error *error)
{
  if (count < TOKEN_MAX_KEYS)
    return STATUS_OK;
  return error_set(error, STATUS_FAILED_PRECONDITION,
                   "%zu keys are published, and verifiers take %d at most. A key is removed once its last token has "
                   "expired; wait for that, or replace all keys with --now, which voids every access token",
                   count, TOKEN_MAX_KEYS);
}

static enum status store_rotation(const struct key_store *store, struct pg_tx *tx, bool at_once, struct error *error)
{
  struct stored_keys stored;
  int64_t removed = 0;
  enum status status = auth_db_lock_keys(query_in(tx), store->arena);
  if (status == STATUS_OK)
    status = list_keys(query_in(tx), store->arena, &stored);
  if (status == STATUS_OK && at_once)
    status = auth_db_remove_all_keys(query_in(tx), store->arena, &removed);
  else if (status == STATUS_OK)
    status = check_room(stored.count, error);
  const char *kid = NULL;
  if (status == STATUS_OK)
    status = add_key(store, tx, false, &kid);
  const struct audit_entry entry = {
      .action = "signing_key.rotate", .by_command = true, .reason = at_once ? "at once" : "", .target_id = kid};
  return status == STATUS_OK ? audit_add(NULL, query_in(tx), &entry) : status;
}

enum status auth_keys_rotate(struct auth_keys *keys, struct pg *pg, const struct auth_settings *settings, bool at_once,
                             struct error *error)
{
  struct arena arena;
  arena_init(&arena);
  const struct key_store store = {.pg = pg, .settings = settings, .rules = &keys->rules, .arena = &arena};
  struct pg_tx *tx = NULL;
  bool changed;
  error->message[0] = '\0';
  enum status status = pg_begin(pg, &tx);
  if (status == STATUS_OK)
    status = store_rotation(&store, tx, at_once, error);
  if (status == STATUS_OK)
    status = pg_commit(&tx);
  pg_rollback(&tx);
  arena_free(&arena);
  if (status != STATUS_OK)
    return error->message[0] != '\0' ? status
                                     : error_set(error, status, "the database refused: %s", status_name(status));
  // This sets the time from which the key signs.
  return auth_keys_read(keys, pg, settings, &changed, error);
}

// ---- signing ----

int64_t auth_keys_now_ms(const struct auth_keys *keys)
{
  return keys->now_ms + (int64_t)((clock_now_us() - keys->read_us) / 1000);
}

bool auth_keys_are_fresh(const struct auth_keys *keys)
{
  return keys->count > 0 && auth_keys_now_ms(keys) - keys->now_ms <= key_plan_view_ms(&keys->rules);
}

enum status auth_keys_wait(const struct auth_keys *keys)
{
  while (auth_keys_are_fresh(keys) &&
         key_plan_signer(keys->times, keys->count, auth_keys_now_ms(keys)) == keys->count) {
    enum status status = task_sleep_ms(SIGNER_POLL_MS);
    if (status != STATUS_OK)
      return status;
  }
  return auth_keys_are_fresh(keys) ? STATUS_OK : STATUS_UNAVAILABLE;
}

const struct token_signing_key *auth_keys_signer(const struct auth_keys *keys)
{
  size_t signer = key_plan_signer(keys->times, keys->count, auth_keys_now_ms(keys));
  return &keys->keys[signer < keys->count ? signer : keys->count - 1]->signing;
}
