#include "common/runtime/loop.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/common/yield_task.h"
#include "tests/unit/runtime/in_task.h"

static void stop(void *arg)
{
  loop_stop(arg);
}

// The names of what happened, in order.
static char events[64];

static void add_event(char event)
{
  size_t size = strlen(events);
  cr_assert_lt(size, sizeof events - 1);
  events[size] = event;
}

static void post_event(void *arg)
{
  add_event(*(const char *)arg);
}

// ---- posts ----

Test(loop, posts_run_in_their_order)
{
  struct loop *loop = loop_create();
  static char letters[] = "abc";
  for (int i = 0; i < 3; i++)
    loop_post(loop, post_event, &letters[i]);
  loop_post(loop, stop, loop);
  loop_run(loop);
  cr_assert_str_eq(events, "abc");
  loop_free(&loop);
}

enum { POSTERS = 4, POSTS = 500 };

struct poster {
  struct loop *loop;
  int *sum;
};

static void add_one(void *arg)
{
  struct poster *poster = arg;
  if (++*poster->sum == POSTERS * POSTS)
    loop_stop(poster->loop);
}

static void *post_many(void *arg)
{
  for (int i = 0; i < POSTS; i++)
    loop_post(((struct poster *)arg)->loop, add_one, arg);
  return NULL;
}

Test(loop, posts_of_many_threads_all_arrive)
{
  int sum = 0;
  struct loop *loop = loop_create();
  struct poster poster = {.loop = loop, .sum = &sum};
  pthread_t threads[POSTERS];
  for (int i = 0; i < POSTERS; i++)
    cr_assert_eq(pthread_create(&threads[i], NULL, post_many, &poster), 0);
  loop_run(loop);
  for (int i = 0; i < POSTERS; i++)
    pthread_join(threads[i], NULL);
  cr_assert_eq(sum, POSTERS * POSTS);
  loop_free(&loop);
}

struct reposter {
  struct loop *loop;
  int left;
};

static void post_again(void *arg)
{
  struct reposter *reposter = arg;
  if (reposter->left-- > 0)
    loop_post(reposter->loop, post_again, reposter);
}

// A post that posts itself again and again must not keep the loop from its timers.
Test(loop, a_post_that_posts_again_lets_timers_fire)
{
  struct loop *loop = loop_create();
  struct reposter reposter = {.loop = loop, .left = INT32_MAX};
  struct loop_timer *timer = loop_timer_create(loop, stop, loop);
  loop_timer_start(timer, 1);
  loop_post(loop, post_again, &reposter);
  loop_run(loop);
  cr_assert_gt(reposter.left, 0);
  loop_timer_free(&timer);
  loop_free(&loop);
}

Test(loop, posts_that_never_ran_are_dropped)
{
  struct loop *loop = loop_create();
  loop_post(loop, stop, loop);
  loop_free(&loop);
  cr_assert_null(loop);
}

// ---- timers ----

static struct loop_timer *event_timer(struct loop *loop, const char *event)
{
  return loop_timer_create(loop, post_event, (void *)event);
}

Test(loop, timers_fire_once_in_the_order_of_their_time)
{
  struct loop *loop = loop_create();
  struct loop_timer *timers[] = {event_timer(loop, "c"), event_timer(loop, "a"), event_timer(loop, "b"),
                                 event_timer(loop, "x"), loop_timer_create(loop, stop, loop)};
  static const uint64_t after_ms[] = {9, 1, 5, 3, 12};
  uint64_t start_us;
  // Tries again if this thread was stopped in between, because the times would differ then.
  do {
    start_us = clock_now_us();
    for (size_t i = 0; i < ARRAY_LEN(timers); i++)
      loop_timer_start(timers[i], after_ms[i]);
    loop_timer_stop(timers[3]);
    loop_timer_start(timers[1], 7);  // moved behind b
  } while (clock_now_us() - start_us > 1000);
  loop_run(loop);
  cr_assert_str_eq(events, "bac");
  for (size_t i = 0; i < ARRAY_LEN(timers); i++)
    loop_timer_free(&timers[i]);
  loop_free(&loop);
}

struct repeater {
  struct loop *loop;
  struct loop_timer *timer;
  int left;
  uint64_t due_us;
};

static void repeat(void *arg)
{
  struct repeater *repeater = arg;
  cr_assert_geq(clock_now_us(), repeater->due_us, "never early");
  if (repeater->left-- == 0) {
    loop_timer_free(&repeater->timer);
    loop_stop(repeater->loop);
    return;
  }
  uint64_t after_ms = (uint64_t)repeater->left % 3;
  repeater->due_us = clock_now_us() + after_ms * 1000;
  loop_timer_start(repeater->timer, after_ms);
}

Test(loop, a_timer_may_start_itself_again_and_free_itself)
{
  struct loop *loop = loop_create();
  struct repeater repeater = {.loop = loop, .left = 10};
  repeater.timer = loop_timer_create(loop, repeat, &repeater);
  loop_timer_start(repeater.timer, 0);
  loop_run(loop);
  cr_assert_null(repeater.timer);
  loop_free(&loop);
}

Test(loop, a_timer_that_is_due_never_does_not_fire)
{
  struct loop *loop = loop_create();
  struct loop_timer *never = event_timer(loop, "x"), *end = loop_timer_create(loop, stop, loop);
  loop_timer_start(never, UINT64_MAX);
  loop_timer_start(end, 1);
  loop_run(loop);
  cr_assert_str_empty(events);
  loop_timer_free(&never);
  loop_timer_free(&end);
  loop_free(&loop);
}

TASK_TEST(loop, the_time_is_the_same_within_a_turn_and_moves_with_the_next)
{
  uint64_t now_us = loop_now_us(task_loop());
  spin_until(now_us + 2000);
  cr_assert_eq(loop_now_us(task_loop()), now_us);
  cr_assert_eq(task_sleep_ms(1), STATUS_OK);
  cr_assert_geq(loop_now_us(task_loop()), now_us + 1000);
}

// ---- the end of a turn ----

struct event_hook {
  struct loop_hook hook;
  struct loop *loop;
  struct event_hook *other;
  struct completion *to_finish;
  char event;
};

static void run_event_hook(void *arg)
{
  struct event_hook *hook = arg;
  add_event(hook->event);
  if (hook->to_finish != NULL && !hook->to_finish->done)
    completion_finish(hook->to_finish, STATUS_OK);
}

static void event_hook_add(struct event_hook *hook, struct loop *loop, char event)
{
  *hook = (struct event_hook){.hook = {.run = run_event_hook, .arg = hook}, .loop = loop, .event = event};
  loop_hook_add(loop, &hook->hook);
}

static void event_task(void *arg)
{
  add_event(*(const char *)arg);
}

static void stop_task(void *arg)
{
  add_event('s');
  loop_stop(arg);
}

Test(loop, hooks_run_after_the_tasks_of_the_turn)
{
  struct loop *loop = loop_create();
  struct event_hook hook;
  event_hook_add(&hook, loop, 'h');
  task_start(loop, event_task, (void *)"a", DEADLINE_NONE, NULL);
  task_start(loop, stop_task, loop, DEADLINE_NONE, NULL);
  loop_run(loop);
  cr_assert(slice_starts_with(slice_from_string(events), SLICE("ash")), "%s", events);
  loop_hook_remove(&hook.hook);
  loop_free(&loop);
}

// What a hook wakes runs in the same turn, and the hooks see what it leaves for them: the loop would wait otherwise.
TASK_TEST(loop, hooks_run_again_when_they_have_woken_a_task)
{
  struct completion woken = COMPLETION_INIT;
  struct event_hook hook;
  event_hook_add(&hook, task_loop(), 'h');
  hook.to_finish = &woken;
  cr_assert_eq(completion_wait(&woken), STATUS_OK);
  add_event('t');
  yield_task();
  loop_hook_remove(&hook.hook);
  cr_assert_str_eq(events, "ht");
}

static void remove_other(void *arg)
{
  struct event_hook *hook = arg;
  add_event(hook->event);
  loop_hook_remove(&hook->other->hook);
  loop_hook_remove(&hook->hook);
  loop_stop(hook->loop);
}

Test(loop, a_hook_may_remove_itself_and_the_next)
{
  struct loop *loop = loop_create();
  struct event_hook first, second, third;
  event_hook_add(&first, loop, '1');
  event_hook_add(&second, loop, '2');
  event_hook_add(&third, loop, '3');
  first.hook.run = remove_other;
  first.other = &second;
  loop_run(loop);
  cr_assert_eq(strchr(events, '2'), NULL, "%s", events);
  cr_assert(slice_starts_with(slice_from_string(events), SLICE("13")), "%s", events);
  loop_hook_remove(&third.hook);
  loop_free(&loop);
}

static void add_other(void *arg)
{
  struct event_hook *hook = arg;
  add_event(hook->event);
  loop_hook_remove(&hook->hook);
  event_hook_add(hook->other, hook->loop, 'o');
  hook->other->hook.run = remove_other;
  hook->other->other = hook;
}

// Nothing else happens in this loop: it would sleep for ever if the new hook had to wait for the next turn.
Test(loop, a_hook_that_a_hook_adds_runs_before_the_loop_waits)
{
  struct loop *loop = loop_create();
  struct event_hook first, second;
  event_hook_add(&first, loop, '1');
  first.hook.run = add_other;
  first.other = &second;
  loop_run(loop);
  cr_assert_str_eq(events, "1o");
  loop_free(&loop);
}

static void start_and_stop(void *arg)
{
  task_start(arg, event_task, (void *)"t", DEADLINE_NONE, NULL);
  loop_stop(arg);
}

Test(loop, what_the_last_callback_woke_still_runs)
{
  struct loop *loop = loop_create();
  loop_post(loop, start_and_stop, loop);
  loop_run(loop);
  cr_assert_str_eq(events, "t");
  loop_free(&loop);
}

static void wait_for_ever(void *arg)
{
  (void)arg;
  (void)!task_sleep_ms(UINT64_MAX);
}

Test(loop, freeing_it_with_a_task_left_is_our_bug, .signal = SIGABRT)
{
  struct loop *loop = loop_create();
  task_start(loop, wait_for_ever, NULL, DEADLINE_NONE, NULL);
  task_start(loop, stop_task, loop, DEADLINE_NONE, NULL);
  loop_run(loop);
  loop_free(&loop);
}

// ---- signals ----

static void caught(void *arg, int number)
{
  add_event(number == SIGUSR1 ? '1' : number == SIGTERM ? 'T' : '?');
  if (number == SIGTERM)
    loop_stop(arg);
}

Test(loop, signals_arrive_on_the_loop)
{
  struct loop *loop = loop_create();
  loop_on_signal(loop, SIGUSR1, caught, loop);
  loop_on_signal(loop, SIGTERM, caught, loop);
  raise(SIGUSR1);
  raise(SIGTERM);
  loop_run(loop);
  cr_assert_str_eq(events, "1T");
  loop_free(&loop);
}

Test(loop, it_can_be_run_again_after_a_stop)
{
  struct loop *loop = loop_create();
  for (int i = 0; i < 3; i++) {
    task_start(loop, stop_task, loop, DEADLINE_NONE, NULL);
    loop_run(loop);
  }
  cr_assert_str_eq(events, "sss");
  loop_free(&loop);
}
