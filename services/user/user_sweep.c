#include "services/user/user_sweep.h"

#include "common/observe/log.h"
#include "common/runtime/task.h"
#include "common/service/service.h"
#include "services/user/settings.h"
#include "services/user/user_peers.h"
#include "user/queries.bh.h"

enum {
  SWEEP_ONE_MS = 10000,
  // How long deleting one credential may take: less than SWEEP_ONE_MS, so that time is left to note the outcome.
  DELETE_CREDENTIAL_MS = 5000,
  // For how many sweeps a note is put off whose credential could not be removed.
  PAUSE_IN_SWEEPS = 12,
};

static enum status delete_credential(struct service *service, const char *id, struct arena *arena)
{
  uint64_t before = task_tighten_deadline(deadline_after_ms(clock_now_us(), DELETE_CREDENTIAL_MS));
  enum status status = user_peers_delete_credential(service, NULL, id, arena);
  task_restore_deadline(before);
  return status;
}

// True for a failure of the auth service as a whole, where trying further credentials is useless.
static bool is_of_the_service(enum status status)
{
  return status == STATUS_UNAVAILABLE || status == STATUS_DEADLINE_EXCEEDED || status == STATUS_RESOURCE_EXHAUSTED;
}

static enum status put_off(struct service *service, struct pg_tx *tx, const char *id, enum status reason,
                           struct arena *arena)
{
  const struct user_settings *settings = service_settings(service);
  int64_t pause_ms = settings->sweep_interval_ms * PAUSE_IN_SWEEPS;
  const struct user_db_put_off_orphan_params params = {.pause_ms = pause_ms, .id = id};
  enum status status = user_db_put_off_orphan(query_in(tx), &params, arena);
  if (status == STATUS_OK)
    log_warn("sweep", "could not remove a credential that has no account; a later sweep tries again",
             LOG_STRING("userId", id), LOG_STATUS(reason), LOG_INT("retryMs", pause_ms));
  return status;
}

// Locks one note, removes its credential, then the note. Where the credential cannot be removed, the note is put off,
// so that it does not hold up the others. A failure in between leaves the note as it was. *more tells whether the next
// note may be tried now.
static enum status sweep_one(struct service *service, struct pg_tx *tx, struct arena *arena, bool *more)
{
  struct user_db_take_due_orphan_row note;
  enum status status = user_db_take_due_orphan(query_in(tx), arena, &note);
  *more = status == STATUS_OK;
  if (status != STATUS_OK)
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
  const char *id = note.user_id;
  enum status removed = delete_credential(service, id, arena);
  if (removed != STATUS_OK) {
    *more = !is_of_the_service(removed);
    return put_off(service, tx, id, removed, arena);
  }
  status = user_db_forget_orphan(query_in(tx), id, arena);
  if (status == STATUS_OK)
    log_info("sweep", "removed a credential that had no account", LOG_STRING("userId", id));
  return status;
}

static enum status sweep_in_transaction(struct service *service, struct arena *arena, bool *more)
{
  struct pg_tx *tx = NULL;
  *more = false;
  enum status status = pg_begin(service_pg(service), &tx);
  if (status == STATUS_OK)
    status = sweep_one(service, tx, arena, more);
  if (status == STATUS_OK)
    status = pg_commit(&tx);
  pg_rollback(&tx);
  return status;
}

static void sweep_all(struct service *service)
{
  bool more = true;
  while (more && task_check() == STATUS_OK) {
    struct arena arena;
    arena_init(&arena);
    uint64_t before = task_tighten_deadline(deadline_after_ms(clock_now_us(), SWEEP_ONE_MS));
    enum status status = sweep_in_transaction(service, &arena, &more);
    task_restore_deadline(before);
    arena_free(&arena);
    if (status != STATUS_OK) {
      if (task_check() == STATUS_OK)
        log_warn("sweep", "stopped early; the next sweep continues", LOG_STATUS(status));
      return;
    }
  }
}

static void run_sweeps(void *arg)
{
  struct service *service = arg;
  const struct user_settings *settings = service_settings(service);
  do
    sweep_all(service);
  while (task_sleep_ms((uint64_t)settings->sweep_interval_ms) == STATUS_OK);
}

void user_sweep_start(struct service *service)
{
  service_background(service, run_sweeps, service);
}
