#include "tests/support/common/yield_task.h"
#include "tests/unit/runtime/in_task.h"

struct line {
  struct semaphore semaphore;
  char order[32];
  size_t order_size;
  int inside;
  int most_inside;
};

struct customer {
  struct line *line;
  char name;
  enum status status;
  struct completion may_leave;
};

static void visit(void *arg)
{
  struct customer *customer = arg;
  struct line *line = customer->line;
  customer->status = semaphore_acquire(&line->semaphore);
  if (customer->status != STATUS_OK)
    return;
  line->order[line->order_size++] = customer->name;
  if (++line->inside > line->most_inside)
    line->most_inside = line->inside;
  // Who is cancelled inside leaves at once.
  (void)!completion_wait(&customer->may_leave);
  line->inside--;
  semaphore_release(&line->semaphore);
}

static struct task *enter(struct customer *customer, struct line *line, char name, uint64_t deadline_us)
{
  *customer = (struct customer){.line = line, .name = name, .status = STATUS_UNKNOWN};
  return task_start(task_loop(), visit, customer, deadline_us, NULL);
}

TASK_TEST(semaphore, lets_so_many_in_and_the_others_in_their_order)
{
  struct line line = {0};
  struct customer customers[6];
  semaphore_init(&line.semaphore, 2);
  for (int i = 0; i < 6; i++)
    enter(&customers[i], &line, (char)('a' + i), DEADLINE_NONE);
  yield_task();
  cr_assert_str_eq(line.order, "ab");
  // Out of order: who waits longest comes in all the same.
  static const int leave[] = {1, 0, 3, 2, 5, 4};
  for (int i = 0; i < 6; i++) {
    completion_finish(&customers[leave[i]].may_leave, STATUS_OK);
    yield_task();
    yield_task();
  }
  cr_assert_str_eq(line.order, "abcdef");
  cr_assert_eq(line.most_inside, 2);
  cr_assert_eq(line.semaphore.available, 2);
}

TASK_TEST(semaphore, nobody_overtakes_who_was_let_in_but_has_not_run_yet)
{
  struct line line = {0};
  struct customer first, second, third;
  semaphore_init(&line.semaphore, 1);
  enter(&first, &line, '1', DEADLINE_NONE);
  enter(&second, &line, '2', DEADLINE_NONE);
  yield_task();
  enter(&third, &line, '3', DEADLINE_NONE);
  completion_finish(&first.may_leave, STATUS_OK);
  for (int i = 0; i < 3; i++)
    yield_task();
  completion_finish(&second.may_leave, STATUS_OK);
  completion_finish(&third.may_leave, STATUS_OK);
  for (int i = 0; i < 3; i++)
    yield_task();
  cr_assert_str_eq(line.order, "123");
}

TASK_TEST(semaphore, who_gives_up_leaves_the_line)
{
  struct line line = {0};
  struct customer customers[4];
  semaphore_init(&line.semaphore, 1);
  enter(&customers[0], &line, 'a', DEADLINE_NONE);
  struct task *cancelled = enter(&customers[1], &line, 'b', DEADLINE_NONE);
  enter(&customers[2], &line, 'c', clock_now_us() + 1000);
  enter(&customers[3], &line, 'd', DEADLINE_NONE);
  yield_task();
  task_cancel(cancelled);
  while (customers[1].status == STATUS_UNKNOWN || customers[2].status == STATUS_UNKNOWN)
    cr_assert_eq(task_sleep_ms(1), STATUS_OK);
  cr_assert_eq(customers[1].status, STATUS_CANCELLED);
  cr_assert_eq(customers[2].status, STATUS_DEADLINE_EXCEEDED);
  completion_finish(&customers[0].may_leave, STATUS_OK);
  completion_finish(&customers[3].may_leave, STATUS_OK);
  for (int i = 0; i < 3; i++)
    yield_task();
  cr_assert_str_eq(line.order, "ad");
  cr_assert_eq(line.semaphore.available, 1);
}

TASK_TEST(semaphore, a_permit_for_one_who_is_cancelled_in_the_same_turn_is_not_lost)
{
  struct line line = {0};
  struct customer first, second;
  semaphore_init(&line.semaphore, 1);
  enter(&first, &line, '1', DEADLINE_NONE);
  struct task *task = enter(&second, &line, '2', DEADLINE_NONE);
  yield_task();
  task_cancel(task);
  // The waiter is woken but still in line when the permit comes.
  completion_finish(&first.may_leave, STATUS_OK);
  semaphore_release(&line.semaphore);
  yield_task();
  yield_task();
  cr_assert_eq(second.status, STATUS_OK);
  cr_assert_str_eq(line.order, "12");
  cr_assert_eq(line.semaphore.available, 2, "the one of the start and the one given here");
}
