// A released permit goes straight to the first waiter, so that no task overtakes another. Waiters lie on the stacks of
// their tasks.
#include "common/runtime/task.h"

struct semaphore_waiter {
  struct list node;
  struct completion granted;
};

void semaphore_init(struct semaphore *semaphore, size_t available)
{
  semaphore->available = available;
  list_init(&semaphore->waiters);
}

enum status semaphore_acquire(struct semaphore *semaphore)
{
  if (semaphore->available > 0) {
    semaphore->available--;
    return STATUS_OK;
  }
  struct semaphore_waiter waiter = {.granted = {.what = "a semaphore"}};
  list_append(&semaphore->waiters, &waiter.node);
  enum status status = completion_wait(&waiter.granted);
  list_remove(&waiter.node);
  return status;
}

void semaphore_release(struct semaphore *semaphore)
{
  if (list_empty(&semaphore->waiters)) {
    semaphore->available++;
    return;
  }
  struct semaphore_waiter *first = CONTAINER_OF(semaphore->waiters.next, struct semaphore_waiter, node);
  list_remove(&first->node);
  completion_finish(&first->granted, STATUS_OK);
}
