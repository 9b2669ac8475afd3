#include "services/user/user_sweep.h"

#include "common/observe/log.h"
#include "common/runtime/task.h"
#include "common/service/service.h"
#include "services/user/settings.h"
#include "services/user/user_peers.h"
#include "services/user/user_repo.h"

#define SWEEP_ONE_MS 10000

// One note: locked, its credential removed, the note removed. A failure in between leaves the note for the next sweep.
static enum status sweep_one(struct service *service, struct pg_tx *tx, struct arena *arena, bool *found)
{
  const char *id;
  enum status status = user_repo_take_due_orphan(tx, arena, &id);
  *found = status == STATUS_OK && id != NULL;
  if (!*found)
    return status;
  status = user_peers_delete_credential(service, NULL, id, arena);
  if (status == STATUS_OK)
    status = user_repo_remove_orphan(tx, id, arena);
  if (status == STATUS_OK)
    log_info("sweep", "removed a credential that had no account", LOG_STRING("userId", id));
  return status;
}

static enum status sweep_in_transaction(struct service *service, struct arena *arena, bool *found)
{
  struct pg_tx *tx = NULL;
  *found = false;
  enum status status = pg_begin(service_pg(service), &tx);
  if (status == STATUS_OK)
    status = sweep_one(service, tx, arena, found);
  if (status == STATUS_OK)
    status = pg_commit(&tx);
  pg_rollback(&tx);
  return status;
}

static void sweep_all(struct service *service)
{
  bool found = true;
  while (found && task_check() == STATUS_OK) {
    struct arena arena;
    arena_init(&arena);
    uint64_t before = task_tighten_deadline(deadline_after_ms(clock_now_us(), SWEEP_ONE_MS));
    enum status status = sweep_in_transaction(service, &arena, &found);
    task_restore_deadline(before);
    arena_free(&arena);
    if (status != STATUS_OK) {
      if (task_check() == STATUS_OK)
        log_warn("sweep", "could not remove a credential without account; the next sweep tries again",
                 LOG_STATUS(status));
      return;
    }
  }
}

static void sweep(void *arg)
{
  struct service *service = arg;
  const struct user_settings *settings = service_settings(service);
  do
    sweep_all(service);
  while (task_sleep_ms((uint64_t)settings->sweep_interval_ms) == STATUS_OK);
}

void user_sweep_start(struct service *service)
{
  service_background(service, sweep, service);
}
