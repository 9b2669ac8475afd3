// Background tasks. The loop starts them, not the task that asks for one: a task that is started by another inherits
// its deadline and its cancellation, but a background task must outlive the call or the start that asked for it.
#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/uuid.h"
#include "common/observe/trace.h"
#include "common/runtime/task.h"
#include "common/service/service_internal.h"

struct background {
  struct list node;  // service.backgrounds
  struct service *service;
  struct task *task;  // NULL before it has begun
  struct log_context log_context;
  char request_id[UUID_TEXT_SIZE];
  char traceparent[TRACEPARENT_SIZE];
  void (*body)(void *arg);
  void *arg;
  bool cancelled;
};

static void run(void *arg)
{
  struct background *background = arg;
  background->body(background->arg);
  list_remove(&background->node);
  free(background);
}

static void begin(void *arg)
{
  struct background *background = arg;
  background->task = task_start(background->service->loop, run, background, DEADLINE_NONE, &background->log_context);
  if (background->cancelled)
    task_cancel(background->task);
}

// Gives the task a request id and a trace of its own, so that its log lines can be found together.
static void make_log_context(struct background *background, struct slice method)
{
  struct trace_context trace;
  trace_start(&trace);
  trace_format(&trace, background->traceparent);
  uuid_v7(background->request_id);
  background->log_context = (struct log_context){
      .request_id = slice_from_string(background->request_id),
      .trace_id = trace_id_of(slice_from_string(background->traceparent)),
      .method = method,
  };
}

void background_start(struct service *service, struct slice method, void (*body)(void *arg), void *arg)
{
  struct background *background = calloc(1, sizeof(*background));
  CHECK(background != NULL);
  *background = (struct background){.service = service, .body = body, .arg = arg};
  make_log_context(background, method);
  list_append(&service->backgrounds, &background->node);
  loop_post(service->loop, begin, background);
}

void service_background(struct service *service, void (*body)(void *arg), void *arg)
{
  background_start(service, SLICE("background"), body, arg);
}

static void cancel_all(struct service *service)
{
  for (struct list *node = service->backgrounds.next; node != &service->backgrounds; node = node->next) {
    struct background *background = CONTAINER_OF(node, struct background, node);
    background->cancelled = true;
    if (background->task != NULL)
      task_cancel(background->task);
  }
}

static bool all_have_ended(const struct service *service)
{
  return list_empty(&service->backgrounds);
}

bool background_end_all(struct service *service, uint64_t grace_ms)
{
  cancel_all(service);
  return service_wait_until(service, all_have_ended, grace_ms);
}

// Polls with pauses; good enough for the end of the process, where a few milliseconds do not matter.
bool service_wait_until(const struct service *service, bool (*reached)(const struct service *service), uint64_t ms)
{
  enum { POLL_MS = 5 };
  uint64_t deadline_us = deadline_after_ms(clock_now_us(), ms);
  while (!reached(service)) {
    if (clock_now_us() >= deadline_us || task_sleep_ms(POLL_MS) != STATUS_OK)
      return false;
  }
  return true;
}
