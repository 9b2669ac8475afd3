// Who hashes next: sources take turns, and the wait is bounded.
#include <string.h>

#include "services/auth/hash_queue.h"
#include "tests/support/common/yield_task.h"
#include "tests/unit/runtime/in_task.h"

struct rig {
  struct hash_queue queue;
  char order[64];
  size_t order_size;
};

struct login {
  struct rig *rig;
  const char *source;
  enum status status;
  struct completion may_leave;
};

static void hash(void *arg)
{
  struct login *login = arg;
  login->status = hash_queue_acquire(&login->rig->queue, slice_from_string(login->source));
  if (login->status != STATUS_OK)
    return;
  login->rig->order[login->rig->order_size++] = login->source[0];
  (void)!completion_wait(&login->may_leave);
  hash_queue_release(&login->rig->queue);
}

static void start_login(struct login *login, struct rig *rig, const char *source)
{
  *login = (struct login){.rig = rig, .source = source, .status = STATUS_UNKNOWN};
  task_start(task_loop(), hash, login, DEADLINE_NONE, NULL);
}

// Lets every login leave that gets its turn, until all have.
static void finish_logins(struct login *logins, size_t count)
{
  for (size_t round = 0; round < count; round++) {
    for (size_t i = 0; i < count; i++)
      if (!logins[i].may_leave.done)
        completion_finish(&logins[i].may_leave, STATUS_OK);
    yield_task();
  }
  yield_task();
}

TASK_TEST(hash_queue, sources_take_turns_however_many_wait_of_one)
{
  struct rig rig = {0};
  struct login logins[10];
  hash_queue_init(&rig.queue, 1);
  for (int i = 0; i < 7; i++)
    start_login(&logins[i], &rig, "attacker");
  start_login(&logins[7], &rig, "bob");
  start_login(&logins[8], &rig, "carol");
  start_login(&logins[9], &rig, "bob");
  yield_task();
  cr_assert_str_eq(rig.order, "a");
  finish_logins(logins, 10);
  cr_assert_str_eq(rig.order, "aabcabaaaa");
  cr_assert_eq(rig.queue.waiting, 0);
  cr_assert_eq(rig.queue.free_slots, 1);
}

TASK_TEST(hash_queue, one_source_has_so_many_places_and_the_others_theirs)
{
  struct rig rig = {0};
  struct login logins[HASH_QUEUE_PER_SOURCE + 3];
  hash_queue_init(&rig.queue, 1);
  size_t last = HASH_QUEUE_PER_SOURCE + 2;
  for (size_t i = 0; i < last; i++)
    start_login(&logins[i], &rig, "attacker");
  start_login(&logins[last], &rig, "bob");
  yield_task();
  cr_assert_eq(logins[last - 1].status, STATUS_RESOURCE_EXHAUSTED);
  cr_assert_eq(logins[last - 2].status, STATUS_UNKNOWN, "it waits");
  cr_assert_eq(logins[last].status, STATUS_UNKNOWN, "it waits");
  finish_logins(logins, last + 1);
  cr_assert_eq(logins[last].status, STATUS_OK);
}

TASK_TEST(hash_queue, who_is_cancelled_leaves_the_queue)
{
  struct rig rig = {0};
  struct login first, second;
  hash_queue_init(&rig.queue, 1);
  start_login(&first, &rig, "ada");
  yield_task();
  second = (struct login){.rig = &rig, .source = "bob", .status = STATUS_UNKNOWN};
  struct task *task = task_start(task_loop(), hash, &second, DEADLINE_NONE, NULL);
  yield_task();
  cr_assert_eq(rig.queue.waiting, 1);
  task_cancel(task);
  yield_task();
  cr_assert_eq(second.status, STATUS_CANCELLED);
  cr_assert_eq(rig.queue.waiting, 0);
  finish_logins(&first, 1);
  cr_assert_eq(rig.queue.free_slots, 1);
}
