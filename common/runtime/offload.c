// CPU-bound work in libuv's thread pool. A job lies on the stack of its task, which therefore waits until libuv has
// given it back, whatever happens.
#include "common/base/check.h"
#include "common/runtime/task_internal.h"

// A job behind more than this many others would wait longer than its caller does.
#define MAX_WAITING_PER_SLOT 32

struct job {
  uv_work_t request;
  void (*work)(void *arg);
  void *arg;
  const struct log_context *log_context;
  struct completion returned;
};

static void run_on_pool_thread(uv_work_t *request)
{
  struct job *job = CONTAINER_OF(request, struct job, request);
  log_set_context(job->log_context);
  job->work(job->arg);
  log_set_context(NULL);
}

static void finish_job(uv_work_t *request, int result)
{
  struct job *job = CONTAINER_OF(request, struct job, request);
  completion_finish(&job->returned, result == UV_ECANCELED ? STATUS_CANCELLED : STATUS_OK);
}

// Runs one job in the pool. Returns OK when the work was done, else why it was dropped.
static enum status run_job(struct loop *loop, struct job *job)
{
  CHECK(uv_queue_work(&loop->uv, &job->request, run_on_pool_thread, finish_job) == 0);
  enum status reason = completion_wait(&job->returned);
  if (job->returned.done)
    return STATUS_OK;
  // uv_cancel works only while no thread has taken the job; finish_job is called in either case.
  (void)uv_cancel((uv_req_t *)&job->request);
  completion_wait_uninterrupted(&job->returned);
  return job->returned.status == STATUS_OK ? STATUS_OK : reason;
}

static enum status take_slot(struct scheduler *scheduler)
{
  if (scheduler->offload_waiting >= OFFLOAD_LIMIT * MAX_WAITING_PER_SLOT) {
    task_note_full();
    return STATUS_RESOURCE_EXHAUSTED;
  }
  scheduler->offload_waiting++;
  enum status status = semaphore_acquire(&scheduler->offload_slots);
  scheduler->offload_waiting--;
  return status;
}

enum status task_offload(void (*work)(void *arg), void *arg)
{
  struct loop *loop = task_loop();
  CHECK(loop != NULL);
  enum status status = task_check();
  if (status == STATUS_OK)
    status = take_slot(&loop->scheduler);
  if (status != STATUS_OK)
    return status;
  struct job job = {
      .work = work, .arg = arg, .log_context = log_get_context(), .returned = {.what = "work in the thread pool"}};
  status = run_job(loop, &job);
  semaphore_release(&loop->scheduler.offload_slots);
  if (status == STATUS_OK)
    metric_add(loop->scheduler.offloaded, 1);
  return status;
}
