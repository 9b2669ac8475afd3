// How long two processes take at least to exchange a message: 128 bytes each way over TCP on the loopback, one at a
// time, each side waiting in epoll as a server does. Every call from the gateway to a service takes one round trip.
// Prints what wrk prints, so that tests/bench/run can read it.
//
//   bench_round_trip [seconds, default 1]
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/clock.h"

enum { MESSAGE_BYTES = 128, MAX_TRIPS = 1 << 20 };

struct side {
  int fd;
  int epoll_fd;
  char message[MESSAGE_BYTES];
};

static struct side make_side(int fd)
{
  int on = 1;
  struct side side = {.fd = fd, .epoll_fd = epoll_create1(0)};
  struct epoll_event event = {.events = EPOLLIN};
  CHECK(side.epoll_fd >= 0 && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0);
  CHECK(epoll_ctl(side.epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0);
  return side;
}

static void send_message(struct side *side)
{
  CHECK(write(side->fd, side->message, MESSAGE_BYTES) == MESSAGE_BYTES);
}

static void await_message(struct side *side)
{
  struct epoll_event event;
  CHECK(epoll_wait(side->epoll_fd, &event, 1, -1) == 1);
  CHECK(read(side->fd, side->message, MESSAGE_BYTES) == MESSAGE_BYTES);
}

static pid_t start_echo(int listener)
{
  pid_t pid = fork();
  CHECK(pid >= 0);
  if (pid != 0)
    return pid;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  struct side side = make_side(accept(listener, NULL, NULL));
  for (;;) {
    await_message(&side);
    send_message(&side);
  }
}

static int compare_numbers(const void *a, const void *b)
{
  uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
  return (left > right) - (left < right);
}

static void print_result(uint64_t *trips, size_t count, double seconds)
{
  qsort(trips, count, sizeof(*trips), compare_numbers);
  printf("50%% %lluus\n", (unsigned long long)trips[count / 2]);
  printf("99%% %lluus\n", (unsigned long long)trips[count * 99 / 100]);
  printf("%zu requests in %.1fs\n", count, seconds);
  printf("Requests/sec: %.0f\n", (double)count / seconds);
}

static void measure_trips(struct side *side, double seconds)
{
  uint64_t *trips = calloc(MAX_TRIPS, sizeof(*trips));
  CHECK(trips != NULL);
  size_t count = 0;
  uint64_t begin_us = clock_now_us(), end_us = begin_us + (uint64_t)(seconds * 1e6), now_us = begin_us;
  while (now_us < end_us && count < MAX_TRIPS) {
    send_message(side);
    await_message(side);
    trips[count] = clock_now_us() - now_us;
    now_us += trips[count++];
  }
  print_result(trips, count, (double)(now_us - begin_us) / 1e6);
  free(trips);
}

int main(int argc, char **argv)
{
  double seconds = argc > 1 ? strtod(argv[1], NULL) : 1;
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof(address);
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  CHECK(bind(listener, (struct sockaddr *)&address, size) == 0 && listen(listener, 1) == 0);
  CHECK(getsockname(listener, (struct sockaddr *)&address, &size) == 0);
  pid_t child = start_echo(listener);
  CHECK(connect(fd, (struct sockaddr *)&address, size) == 0);
  struct side side = make_side(fd);
  measure_trips(&side, seconds);
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
  return 0;
}
