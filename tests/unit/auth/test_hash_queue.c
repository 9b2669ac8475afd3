// Who hashes next: sources take turns, and the wait is bounded.
#include <stdio.h>
#include <string.h>

#include "services/auth/hash_queue.h"
#include "tests/support/common/yield_task.h"
#include "tests/unit/runtime/in_task.h"

struct rig {
  struct hash_queue queue;
  char order[HASH_QUEUE_TOTAL + 2];
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
  hash_queue_release(&login->rig->queue, login->rig->queue.hash_us);
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

// A network with many addresses fills the queue, but keeps out none that has no place yet.
TASK_TEST(hash_queue, a_full_queue_drops_the_newest_of_the_greediest)
{
  struct rig rig = {0};
  static struct login logins[HASH_QUEUE_TOTAL + 1];
  static char names[HASH_QUEUE_TOTAL + 1][16];
  hash_queue_init(&rig.queue, 1);
  size_t last_of_greediest = 1 + 31;
  for (size_t i = 0; i <= HASH_QUEUE_TOTAL; i++) {
    // The first runs. 31 wait of the greediest and 25 or fewer of each other.
    snprintf(names[i], sizeof(names[i]), "attacker-%zu", i <= last_of_greediest - 1 ? 0 : 1 + i % 9);
    start_login(&logins[i], &rig, names[i]);
  }
  struct login bob, again;
  yield_task();
  cr_assert_eq(rig.queue.waiting, HASH_QUEUE_TOTAL);
  start_login(&bob, &rig, "bob");
  yield_task();
  cr_assert_eq(rig.queue.waiting, HASH_QUEUE_TOTAL);
  cr_expect_eq(bob.status, STATUS_UNKNOWN, "it waits");
  cr_expect_eq(logins[last_of_greediest - 1].status, STATUS_RESOURCE_EXHAUSTED);
  for (size_t i = 0; i <= HASH_QUEUE_TOTAL; i++)
    cr_expect(i == 0 || i == last_of_greediest - 1 || logins[i].status == STATUS_UNKNOWN, "%zu still waits", i);
  // The greediest cannot take a place back.
  start_login(&again, &rig, names[0]);
  yield_task();
  cr_expect_eq(again.status, STATUS_RESOURCE_EXHAUSTED);
  completion_finish(&bob.may_leave, STATUS_OK);
  finish_logins(logins, HASH_QUEUE_TOTAL + 1);
  cr_expect_eq(bob.status, STATUS_OK);
  cr_expect_eq(rig.queue.waiting, 0);
  cr_expect_eq(rig.queue.free_slots, 1);
}

TASK_TEST(hash_queue, a_full_queue_of_one_place_each_takes_no_more)
{
  struct rig rig = {0};
  static struct login logins[HASH_QUEUE_TOTAL + 2];
  static char names[HASH_QUEUE_TOTAL + 2][16];
  hash_queue_init(&rig.queue, 1);
  for (size_t i = 0; i <= HASH_QUEUE_TOTAL + 1; i++) {
    snprintf(names[i], sizeof(names[i]), "source-%zu", i);
    start_login(&logins[i], &rig, names[i]);
  }
  yield_task();
  cr_expect_eq(logins[HASH_QUEUE_TOTAL].status, STATUS_UNKNOWN, "it waits");
  cr_expect_eq(logins[HASH_QUEUE_TOTAL + 1].status, STATUS_RESOURCE_EXHAUSTED);
  finish_logins(logins, HASH_QUEUE_TOTAL + 2);
}

TASK_TEST(hash_queue, who_would_wait_for_too_long_is_refused_at_once_and_another_source_is_not)
{
  struct rig rig = {0};
  struct login logins[10], bob;
  hash_queue_init(&rig.queue, 1);
  rig.queue.hash_us = HASH_QUEUE_WAIT_MS * 1000 / 5;
  for (size_t i = 0; i < 10; i++)
    start_login(&logins[i], &rig, "attacker");
  yield_task();
  // One runs, and the last one that waits has five before it.
  cr_expect_eq(logins[6].status, STATUS_UNKNOWN, "it waits");
  cr_expect_eq(logins[7].status, STATUS_RESOURCE_EXHAUSTED);
  start_login(&bob, &rig, "bob");
  yield_task();
  cr_expect_eq(bob.status, STATUS_UNKNOWN, "it waits");
  completion_finish(&bob.may_leave, STATUS_OK);
  finish_logins(logins, 7);
  cr_expect_eq(bob.status, STATUS_OK);
  cr_expect_eq(rig.queue.free_slots, 1);
}

TASK_TEST(hash_queue, a_source_whose_turn_would_not_come_in_time_is_refused_at_once)
{
  struct rig rig = {0};
  static char names[8][16];
  struct login logins[8];
  hash_queue_init(&rig.queue, 1);
  rig.queue.hash_us = HASH_QUEUE_WAIT_MS * 1000 / 5;
  for (size_t i = 0; i < 8; i++) {
    snprintf(names[i], sizeof(names[i]), "source-%zu", i);
    start_login(&logins[i], &rig, names[i]);
  }
  yield_task();
  cr_expect_eq(logins[6].status, STATUS_UNKNOWN, "it waits");
  cr_expect_eq(logins[7].status, STATUS_RESOURCE_EXHAUSTED);
  finish_logins(logins, 7);
}

// A burst may wait for seconds. In a queue that never empties nobody who has a waiter gets another one for long.
TASK_TEST(hash_queue, a_standing_queue_takes_the_first_of_a_source_and_no_more_than_are_served_soon)
{
  struct rig rig = {0};
  struct login logins[5], bob;
  hash_queue_init(&rig.queue, 1);
  rig.queue.hash_us = HASH_QUEUE_STEADY_MS * 1000 / 2;
  for (size_t i = 0; i < 4; i++)
    start_login(&logins[i], &rig, "ada");
  yield_task();
  cr_assert_eq(rig.queue.waiting, 3);
  rig.queue.waiting_since_us = 1;
  start_login(&logins[4], &rig, "ada");
  start_login(&bob, &rig, "bob");
  yield_task();
  cr_expect_eq(logins[4].status, STATUS_RESOURCE_EXHAUSTED);
  cr_expect_eq(bob.status, STATUS_UNKNOWN, "it waits");
  completion_finish(&bob.may_leave, STATUS_OK);
  finish_logins(logins, 4);
  cr_expect_eq(rig.queue.waiting_since_us, 0, "the next ones are a burst again");
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
