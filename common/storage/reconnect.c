#include "common/base/backoff.h"
#include "common/storage/reconnect_internal.h"

enum { BACKOFF_FIRST_MS = 50, BACKOFF_MAX_MS = 1000 };

void reconnect_init(struct reconnect *reconnect, struct loop *loop, uint32_t timeout_ms, void (*fired)(void *arg),
                    void *arg)
{
  *reconnect = (struct reconnect){.timeout_ms = timeout_ms};
  reconnect->timer = loop_timer_create(loop, fired, arg);
}

void reconnect_clear(struct reconnect *reconnect)
{
  if (reconnect->timer != NULL)
    loop_timer_free(&reconnect->timer);
}

void reconnect_begin_attempt(struct reconnect *reconnect)
{
  reconnect->extended = false;
  loop_timer_start(reconnect->timer, reconnect->timeout_ms);
}

bool reconnect_extend_attempt(struct reconnect *reconnect)
{
  if (reconnect->extended || !loop_timer_is_late(reconnect->timer))
    return false;
  reconnect->extended = true;
  loop_timer_start(reconnect->timer, reconnect->timeout_ms);
  return true;
}

void reconnect_succeed(struct reconnect *reconnect)
{
  loop_timer_stop(reconnect->timer);
  reconnect->failures = 0;
  reconnect->backoff_ms = 0;
}

void reconnect_back_off(struct reconnect *reconnect)
{
  loop_timer_start(reconnect->timer, backoff_next_ms(&reconnect->backoff_ms, BACKOFF_FIRST_MS, BACKOFF_MAX_MS));
}

enum log_level reconnect_count_failure(struct reconnect *reconnect)
{
  return reconnect->failures++ == 0 ? LOG_WARN : LOG_DEBUG;
}
