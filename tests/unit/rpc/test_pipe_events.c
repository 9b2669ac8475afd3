// The queue between nng's threads and the host's.
#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/rpc/pipe_events_internal.h"

static bool is_readable(int fd)
{
  struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
  return poll(&poll_fd, 1, 0) == 1;
}

Test(pipe_events, all_are_taken_at_once_in_their_order)
{
  enum { EVENTS = 100 };
  struct pipe_events queue;
  size_t count;
  pipe_events_init(&queue);
  cr_assert_not(is_readable(queue.fd));
  for (int round = 0; round < 2; round++) {
    for (uint32_t i = 0; i < EVENTS; i++)
      pipe_events_push(&queue, (struct pipe_event){.kind = PIPE_FAILED, .link_id = i});
    cr_assert(is_readable(queue.fd));
    struct pipe_event *events = pipe_events_take(&queue, &count);
    cr_assert_eq(count, EVENTS);
    for (uint32_t i = 0; i < EVENTS; i++)
      cr_assert_eq(events[i].link_id, i);
    free(events);
    cr_assert_not(is_readable(queue.fd));
    cr_assert_null(pipe_events_take(&queue, &count), "nothing is handed out twice");
    cr_assert_eq(count, 0);
  }
  pipe_events_free(&queue);
}

Test(pipe_events, a_wake_without_an_event_makes_the_fd_readable_once)
{
  struct pipe_events queue;
  size_t count = 1;
  pipe_events_init(&queue);
  pipe_events_wake(&queue);
  cr_assert(is_readable(queue.fd));
  cr_assert_null(pipe_events_take(&queue, &count));
  cr_assert_eq(count, 0);
  cr_assert_not(is_readable(queue.fd));
  pipe_events_free(&queue);
  cr_assert_eq(fcntl(queue.fd, F_GETFD), -1, "it is closed");
}

enum { PUSHERS = 4, PUSHED_BY_EACH = 100000 };

static void *push_many(void *queue)
{
  for (uint32_t i = 0; i < PUSHED_BY_EACH; i++)
    pipe_events_push(queue, (struct pipe_event){.kind = PIPE_FAILED, .link_id = i});
  return NULL;
}

// nng reports connections on several threads, while the host takes events on another.
Test(pipe_events, none_is_lost_when_threads_push_at_the_same_time)
{
  struct pipe_events queue;
  pthread_t threads[PUSHERS];
  size_t taken = 0;
  pipe_events_init(&queue);
  for (size_t i = 0; i < PUSHERS; i++)
    cr_assert_eq(pthread_create(&threads[i], NULL, push_many, &queue), 0);
  uint64_t end_us = clock_now_us() + 60 * UINT64_C(1000000);
  while (taken < PUSHERS * PUSHED_BY_EACH) {
    size_t count;
    struct pollfd fd = {.fd = queue.fd, .events = POLLIN};
    poll(&fd, 1, 1000);
    free(pipe_events_take(&queue, &count));
    taken += count;
    cr_assert_lt(clock_now_us(), end_us, "%zu events within a minute", taken);
  }
  for (size_t i = 0; i < PUSHERS; i++)
    pthread_join(threads[i], NULL);
  cr_assert_eq(taken, PUSHERS * PUSHED_BY_EACH);
  pipe_events_free(&queue);
}
