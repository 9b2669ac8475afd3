// The event loop on libuv. Right before libuv polls, our end of turn runs the runnable tasks, calls the hooks, which
// send what the turn has collected, and passes changed timers and watches to libuv. Everything here belongs to the
// loop's thread; only loop_post may be called from other threads.
#include "common/runtime/loop.h"

#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/runtime/loop_internal.h"

enum {
  // Limits the tasks run in a turn, because tasks that keep waking each other must not starve the descriptors.
  TURN_BUDGET = 256,
  // A timer that fires later than this was held up; an idle loop is late by less.
  LATE_MS = 10,
  // Limits how often a turn repeats, because hooks make tasks runnable and tasks give hooks something to send.
  TURN_ROUNDS = 8,
};

struct loop_signal {
  uv_signal_t signal;
  struct loop_signal *next;
  void (*caught)(void *arg, int number);
  void *arg;
};

struct loop_post {
  struct list node;
  void (*run)(void *arg);
  void *arg;
};

struct loop_timer {
  struct loop_alarm alarm;
  struct loop *loop;
  void (*fired)(void *arg);
  void *arg;
};

static void *allocate_zeroed(size_t size)
{
  void *memory = calloc(1, size);
  CHECK(memory != NULL);
  return memory;
}

// Moves all nodes from `from` to `to`, which need not be initialised. Callers walk `to` while `from` may grow again.
static void take_all(struct list *from, struct list *to)
{
  list_append(from, to);
  list_remove(from);
}

// ---- time and alarms ----

uint64_t loop_now_us(const struct loop *loop)
{
  if (loop->now_us != 0)
    return loop->now_us;
  uint64_t now_us = clock_now_us();
  // Caches the clock for this turn; logically const.
  if (loop->running)
    ((struct loop *)loop)->now_us = now_us;
  return now_us;
}

void alarm_set(struct loop *loop, struct loop_alarm *alarm, uint64_t due_us)
{
  heap_remove(&loop->alarms, &alarm->node);
  heap_insert(&loop->alarms, &alarm->node, due_us);
}

void alarm_clear(struct loop *loop, struct loop_alarm *alarm)
{
  heap_remove(&loop->alarms, &alarm->node);
}

static void fire_alarms(uv_timer_t *timer)
{
  struct loop *loop = CONTAINER_OF(timer, struct loop, timer);
  loop->armed_us = DEADLINE_NONE;
  uint64_t now_us = loop->now_us = clock_now_us();
  struct heap_node *first;
  while ((first = heap_first(&loop->alarms)) != NULL && first->key <= now_us) {
    struct loop_alarm *alarm = CONTAINER_OF(first, struct loop_alarm, node);
    heap_remove(&loop->alarms, first);
    alarm->fire(alarm);
  }
}

// Arms libuv's timer for the first alarm, unless it fires earlier anyway. A timer that fires too early, because its
// alarm was cleared, is armed again then: cheaper than moving it at each change, as most deadlines are never reached.
static void arm_timer(struct loop *loop)
{
  struct heap_node *first = heap_first(&loop->alarms);
  if (first == NULL || first->key >= loop->armed_us)
    return;
  uint64_t now_us = clock_now_us();
  uint64_t wait_ms = first->key <= now_us ? 0 : (first->key - now_us) / 1000 + 1;
  // libuv counts from its cached time, which is as old as the turn.
  uv_update_time(&loop->uv);
  CHECK(uv_timer_start(&loop->timer, fire_alarms, wait_ms, 0) == 0);
  loop->armed_us = first->key;
}

// ---- the end of a turn ----

// Runs every hook once. Each hook is moved to the end of the list before it runs, so that hooks may add and remove
// hooks, themselves included.
static void run_hooks(struct loop *loop)
{
  struct list todo;
  loop->hook_added = false;
  take_all(&loop->hooks, &todo);
  while (!list_empty(&todo)) {
    struct loop_hook *hook = CONTAINER_OF(todo.next, struct loop_hook, node);
    list_remove(&hook->node);
    list_append(&loop->hooks, &hook->node);
    hook->run(hook->arg);
  }
}

static void update_metrics(const struct loop *loop)
{
  metric_set(loop->tasks, (int64_t)loop->scheduler.task_count);
  metric_set(loop->stacks, (int64_t)(loop->scheduler.task_count + loop->scheduler.idle_count));
}

// Does nothing: an active idle handle keeps libuv from blocking in its poll.
static void keep_polling(uv_idle_t *idle)
{
  (void)idle;
}

static void end_turn(uv_prepare_t *prepare)
{
  struct loop *loop = CONTAINER_OF(prepare, struct loop, turn_end);
  struct list *runnable = &loop->scheduler.runnable;
  size_t budget = TURN_BUDGET;
  for (int round = 0; round < TURN_ROUNDS; round++) {
    budget = scheduler_run(loop, budget);
    run_hooks(loop);
    if (!loop->hook_added && (budget == 0 || list_empty(runnable)))
      break;
  }
  scheduler_end_turn(loop);
  bool more = loop->hook_added || !list_empty(runnable);
  CHECK((more ? uv_idle_start(&loop->keep_turning, keep_polling) : uv_idle_stop(&loop->keep_turning)) == 0);
  watches_apply(loop);
  arm_timer(loop);
  update_metrics(loop);
  loop->now_us = 0;
}

void loop_hook_add(struct loop *loop, struct loop_hook *hook)
{
  list_append(&loop->hooks, &hook->node);
  loop->hook_added = true;
}

void loop_hook_remove(struct loop_hook *hook)
{
  list_remove(&hook->node);
}

// ---- timers ----

static void fire_timer(struct loop_alarm *alarm)
{
  struct loop_timer *timer = CONTAINER_OF(alarm, struct loop_timer, alarm);
  timer->fired(timer->arg);
}

struct loop_timer *loop_timer_create(struct loop *loop, void (*fired)(void *arg), void *arg)
{
  struct loop_timer *timer = allocate_zeroed(sizeof *timer);
  timer->alarm.fire = fire_timer;
  timer->loop = loop;
  timer->fired = fired;
  timer->arg = arg;
  loop->timer_count++;
  return timer;
}

void loop_timer_start(struct loop_timer *timer, uint64_t after_ms)
{
  uint64_t due_us = deadline_after_ms(clock_now_us(), after_ms);
  if (due_us >= DEADLINE_NONE - 1) {
    loop_timer_stop(timer);
    return;
  }
  // Plus one: a timer that restarts itself with 0 ms must not fire forever within one round.
  alarm_set(timer->loop, &timer->alarm, due_us + 1);
}

void loop_timer_stop(struct loop_timer *timer)
{
  alarm_clear(timer->loop, &timer->alarm);
}

bool loop_timer_is_late(const struct loop_timer *timer)
{
  return loop_now_us(timer->loop) > deadline_after_ms(timer->alarm.node.key, LATE_MS);
}

void loop_timer_free(struct loop_timer **timer)
{
  if (*timer == NULL)
    return;
  loop_timer_stop(*timer);
  (*timer)->loop->timer_count--;
  free(*timer);
  *timer = NULL;
}

// ---- signals ----

static void report_signal(uv_signal_t *signal, int number)
{
  struct loop_signal *watch = CONTAINER_OF(signal, struct loop_signal, signal);
  watch->caught(watch->arg, number);
}

void loop_on_signal(struct loop *loop, int number, void (*caught)(void *arg, int number), void *arg)
{
  struct loop_signal *watch = allocate_zeroed(sizeof *watch);
  watch->caught = caught;
  watch->arg = arg;
  watch->next = loop->signals;
  loop->signals = watch;
  CHECK(uv_signal_init(&loop->uv, &watch->signal) == 0);
  CHECK(uv_signal_start(&watch->signal, report_signal, number) == 0);
}

// ---- posts from other threads ----

static void take_posts(struct loop *loop, struct list *out)
{
  pthread_mutex_lock(&loop->post_lock);
  take_all(&loop->posts, out);
  pthread_mutex_unlock(&loop->post_lock);
}

static struct loop_post *pop_post(struct list *posts)
{
  struct loop_post *post = CONTAINER_OF(posts->next, struct loop_post, node);
  list_remove(&post->node);
  return post;
}

static void run_posts(uv_async_t *wake_up)
{
  struct list posts;
  take_posts(CONTAINER_OF(wake_up, struct loop, wake_up), &posts);
  while (!list_empty(&posts)) {
    struct loop_post *post = pop_post(&posts);
    post->run(post->arg);
    free(post);
  }
}

void loop_post(struct loop *loop, void (*run)(void *arg), void *arg)
{
  struct loop_post *post = allocate_zeroed(sizeof *post);
  post->run = run;
  post->arg = arg;
  pthread_mutex_lock(&loop->post_lock);
  list_append(&loop->posts, &post->node);
  pthread_mutex_unlock(&loop->post_lock);
  CHECK(uv_async_send(&loop->wake_up) == 0);
}

// ---- the loop ----

struct loop *loop_first;
static pthread_mutex_t loop_list_lock = PTHREAD_MUTEX_INITIALIZER;

static void list_for_debuggers(struct loop *loop)
{
  pthread_mutex_lock(&loop_list_lock);
  loop->next_loop = loop_first;
  loop_first = loop;
  pthread_mutex_unlock(&loop_list_lock);
}

static void unlist_for_debuggers(const struct loop *loop)
{
  pthread_mutex_lock(&loop_list_lock);
  struct loop **link = &loop_first;
  while (*link != loop)
    link = &(*link)->next_loop;
  *link = loop->next_loop;
  pthread_mutex_unlock(&loop_list_lock);
}

struct loop *loop_create(void)
{
  struct loop *loop = allocate_zeroed(sizeof *loop);
  list_for_debuggers(loop);
  loop->armed_us = DEADLINE_NONE;
  list_init(&loop->hooks);
  list_init(&loop->changed_watches);
  list_init(&loop->posts);
  CHECK(pthread_mutex_init(&loop->post_lock, NULL) == 0);
  CHECK(uv_loop_init(&loop->uv) == 0);
  CHECK(uv_prepare_init(&loop->uv, &loop->turn_end) == 0);
  CHECK(uv_prepare_start(&loop->turn_end, end_turn) == 0);
  CHECK(uv_idle_init(&loop->uv, &loop->keep_turning) == 0);
  CHECK(uv_timer_init(&loop->uv, &loop->timer) == 0);
  CHECK(uv_async_init(&loop->uv, &loop->wake_up, run_posts) == 0);
  loop->tasks = metrics_single(METRIC_TASKS);
  loop->stacks = metrics_single(METRIC_STACKS);
  scheduler_init(loop);
  return loop;
}

void loop_run(struct loop *loop)
{
  CHECK(!loop->running && task_current() == NULL);
  loop->running = true;
  context_init_thread(&loop->scheduler.home);
  uv_run(&loop->uv, UV_RUN_DEFAULT);
  // libuv stops right after its callbacks; the tasks that they woke and what hooks have collected still get their turn.
  end_turn(&loop->turn_end);
  loop->running = false;
  loop->now_us = 0;
}

void loop_stop(struct loop *loop)
{
  uv_stop(&loop->uv);
}

static void close_handles(struct loop *loop)
{
  uv_close((uv_handle_t *)&loop->turn_end, NULL);
  uv_close((uv_handle_t *)&loop->keep_turning, NULL);
  uv_close((uv_handle_t *)&loop->timer, NULL);
  uv_close((uv_handle_t *)&loop->wake_up, NULL);
  for (struct loop_signal *signal = loop->signals; signal != NULL; signal = signal->next)
    uv_close((uv_handle_t *)&signal->signal, NULL);
  // Repeats because a pending loop_stop ends the first run early.
  while (uv_run(&loop->uv, UV_RUN_DEFAULT) != 0)
    ;
  CHECK(uv_loop_close(&loop->uv) == 0);
}

static void free_lists(struct loop *loop)
{
  while (loop->signals != NULL) {
    struct loop_signal *signal = loop->signals;
    loop->signals = signal->next;
    free(signal);
  }
  struct list posts;
  take_posts(loop, &posts);
  while (!list_empty(&posts))
    free(pop_post(&posts));
}

void loop_free(struct loop **loop)
{
  struct loop *ended = *loop;
  if (ended == NULL)
    return;
  *loop = NULL;
  unlist_for_debuggers(ended);
  CHECK(!ended->running && ended->watch_count == 0 && ended->timer_count == 0 && ended->resolve_count == 0);
  scheduler_free(ended);
  update_metrics(ended);
  close_handles(ended);
  free_lists(ended);
  pthread_mutex_destroy(&ended->post_lock);
  heap_free(&ended->alarms);
  free(ended);
}
