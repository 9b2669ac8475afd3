#include "services/item/item_sweep.h"

#include "common/base/clock.h"
#include "common/observe/log.h"
#include "common/runtime/task.h"
#include "common/service/service.h"
#include "item/queries.bh.h"
#include "services/item/settings.h"

// How long changes are kept at least, as the contract says it of resume tokens.
#define KEEP_MS 3600000
#define SWEEP_ROWS 2000
#define SWEEP_LIMIT_MS 10000

// Removes a few changes. *more tells whether there may be others.
static enum status sweep_some(struct service *service, bool *more)
{
  const struct item_db_sweep_changes_params params = {.keep_ms = KEEP_MS, .most = SWEEP_ROWS};
  struct item_db_sweep_changes_row row = {0};
  struct arena arena;
  arena_init(&arena);
  uint64_t before_us = task_tighten_deadline(deadline_after_ms(clock_now_us(), SWEEP_LIMIT_MS));
  enum status status = item_db_sweep_changes(query_on(service_pg(service)), &params, &arena, &row);
  task_restore_deadline(before_us);
  arena_free(&arena);
  *more = status == STATUS_OK && row.removed == SWEEP_ROWS;
  return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

static void run_sweeps(void *arg)
{
  struct service *service = arg;
  const struct item_settings *settings = service_settings(service);
  while (task_sleep_ms((uint64_t)settings->sweep_interval_ms) == STATUS_OK) {
    bool more = true;
    enum status status = STATUS_OK;
    while (more && status == STATUS_OK)
      status = sweep_some(service, &more);
    if (status != STATUS_OK && task_check() == STATUS_OK)
      log_warn("item", "could not remove old changes of items; the next sweep tries again", LOG_STATUS(status));
  }
}

void item_sweep_start(struct service *service)
{
  service_background(service, run_sweeps, service);
}
