// Descriptors on the loop: readiness, changes within a turn, broken connections.
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/runtime/loop.h"
#include "tests/unit/runtime/in_task.h"

struct seen {
  struct loop_watch *watch;
  int events;
  int count;
  struct completion completion;
};

static void see(void *arg, int ready)
{
  struct seen *seen = arg;
  seen->events |= ready;
  seen->count++;
  if (!seen->completion.done)
    completion_finish(&seen->completion, STATUS_OK);
}

static struct seen see_fd(int fd, int wanted, struct seen *seen)
{
  *seen = (struct seen){0};
  seen->watch = loop_watch_fd(task_loop(), fd, wanted, see, seen);
  return *seen;
}

static void open_pair(int pair[2])
{
  cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
}

static void close_pair(const int pair[2])
{
  close(pair[0]);
  close(pair[1]);
}

TASK_TEST(loop, a_watch_reports_what_is_wanted_and_ready)
{
  int pair[2];
  struct seen seen;
  open_pair(pair);
  see_fd(pair[0], LOOP_READABLE, &seen);
  cr_assert_eq(task_sleep_ms(2), STATUS_OK);
  cr_assert_eq(seen.count, 0);
  cr_assert_eq(write(pair[1], "x", 1), 1);
  cr_assert_eq(completion_wait(&seen.completion), STATUS_OK);
  cr_assert_eq(seen.events, LOOP_READABLE);
  seen = (struct seen){.watch = seen.watch};
  loop_watch_change(seen.watch, LOOP_READABLE | LOOP_WRITABLE);
  cr_assert_eq(completion_wait(&seen.completion), STATUS_OK);
  cr_assert_eq(seen.events, LOOP_READABLE | LOOP_WRITABLE);
  loop_watch_end(&seen.watch);
  cr_assert_null(seen.watch);
  close_pair(pair);
}

TASK_TEST(loop, a_watch_for_nothing_is_silent_until_it_is_changed)
{
  int pair[2];
  struct seen seen;
  open_pair(pair);
  cr_assert_eq(write(pair[1], "x", 1), 1);
  see_fd(pair[0], 0, &seen);
  cr_assert_eq(task_sleep_ms(2), STATUS_OK);
  cr_assert_eq(seen.count, 0);
  // On and off within a turn: nothing has happened.
  loop_watch_change(seen.watch, LOOP_WRITABLE);
  loop_watch_change(seen.watch, 0);
  cr_assert_eq(task_sleep_ms(2), STATUS_OK);
  cr_assert_eq(seen.count, 0);
  loop_watch_change(seen.watch, LOOP_READABLE);
  cr_assert_eq(completion_wait(&seen.completion), STATUS_OK);
  // Level-triggered: not read, so it comes again, until it is not wanted any more.
  int count = seen.count;
  while (seen.count == count)
    cr_assert_eq(task_sleep_ms(1), STATUS_OK);
  loop_watch_change(seen.watch, 0);
  count = seen.count;
  cr_assert_eq(task_sleep_ms(2), STATUS_OK);
  cr_assert_eq(seen.count, count);
  loop_watch_end(&seen.watch);
  close_pair(pair);
}

TASK_TEST(loop, a_broken_connection_is_reported_as_what_is_wanted)
{
  int ends[2];
  struct seen seen;
  cr_assert_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
  char full[4096] = {0};
  while (write(ends[1], full, sizeof full) > 0)
    ;
  see_fd(ends[1], LOOP_WRITABLE, &seen);
  cr_assert_eq(task_sleep_ms(1), STATUS_OK);
  cr_assert_eq(seen.count, 0);
  close(ends[0]);
  cr_assert_eq(completion_wait(&seen.completion), STATUS_OK);
  cr_assert_eq(seen.events, LOOP_WRITABLE);
  // libuv lets go of a broken descriptor; for us it stays level-triggered.
  int count = seen.count;
  while (seen.count == count)
    cr_assert_eq(task_sleep_ms(1), STATUS_OK);
  loop_watch_end(&seen.watch);
  close(ends[1]);
}

struct ender {
  struct seen *seen;
  struct loop_watch **other;
  int count;
};

static void end_both(void *arg, int ready)
{
  struct ender *ender = arg;
  (void)ready;
  ender->count++;
  loop_watch_end(&ender->seen->watch);
  loop_watch_end(ender->other);
  completion_finish(&ender->seen->completion, STATUS_OK);
}

// Both are ready in the same round of events; whichever comes first ends the other.
TASK_TEST(loop, no_callback_follows_the_end_of_a_watch)
{
  int pairs[2][2];
  struct seen seen = {0};
  struct loop_watch *other;
  open_pair(pairs[0]);
  open_pair(pairs[1]);
  struct ender ender = {.seen = &seen, .other = &other};
  seen.watch = loop_watch_fd(task_loop(), pairs[0][0], LOOP_WRITABLE, end_both, &ender);
  other = loop_watch_fd(task_loop(), pairs[1][0], LOOP_WRITABLE, end_both, &ender);
  cr_assert_eq(completion_wait(&seen.completion), STATUS_OK);
  cr_assert_eq(task_sleep_ms(2), STATUS_OK);
  cr_assert_eq(ender.count, 1);
  close_pair(pairs[0]);
  close_pair(pairs[1]);
}

TASK_TEST(loop, a_descriptor_number_can_be_used_again_in_the_same_turn)
{
  int first[2], second[2];
  struct seen seen;
  open_pair(first);
  see_fd(first[0], LOOP_WRITABLE, &seen);
  cr_assert_eq(completion_wait(&seen.completion), STATUS_OK);
  loop_watch_end(&seen.watch);
  close_pair(first);
  open_pair(second);
  cr_assert_eq(second[0], first[0]);
  see_fd(second[0], LOOP_READABLE, &seen);
  cr_assert_eq(write(second[1], "x", 1), 1);
  cr_assert_eq(completion_wait(&seen.completion), STATUS_OK);
  cr_assert_eq(seen.events, LOOP_READABLE);
  loop_watch_end(&seen.watch);
  close_pair(second);
}

// The RPC client shows an epoll descriptor to its loop.
TASK_TEST(loop, a_nested_epoll_descriptor_can_be_watched)
{
  int pair[2], inner = epoll_create1(EPOLL_CLOEXEC);
  struct seen seen;
  open_pair(pair);
  struct epoll_event event = {.events = EPOLLIN};
  cr_assert_eq(epoll_ctl(inner, EPOLL_CTL_ADD, pair[0], &event), 0);
  see_fd(inner, LOOP_READABLE, &seen);
  cr_assert_eq(task_sleep_ms(1), STATUS_OK);
  cr_assert_eq(seen.count, 0);
  cr_assert_eq(write(pair[1], "x", 1), 1);
  cr_assert_eq(completion_wait(&seen.completion), STATUS_OK);
  loop_watch_end(&seen.watch);
  close(inner);
  close_pair(pair);
}
