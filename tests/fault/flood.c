#include "tests/fault/flood.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/compiler.h"
#include "common/base/random.h"
#include "tests/support/attacker.h"
#include "tests/support/environment.h"
#include "tests/support/stack.h"

#define SECOND_US UINT64_C(1000000)
#define OPENED_AT_ONCE 40

struct stream {
  int fd;  // -1: closed
  uint32_t address;
  size_t sent;         // bytes of `first`
  uint64_t opened_us;  // 0: never
  uint64_t due_us;     // when it drips, or is opened again
};

struct flood {
  const struct flood_kind *kind;
  struct stream *streams;
  size_t stream_count;
  struct sockaddr_in gateway;
  int epoll;  // in the attacker
  pid_t attacker;
  atomic_bool stop;
  atomic_size_t attempts, open, closed, longest_ms;
  const char *failed_call;  // the first of the system's that failed in the attacker; NULL: none
  int error;                // its errno
};

static struct sockaddr_in find_gateway(void)
{
  const char *url = need_variable("BULKHEAD_URL");
  const char *port = strrchr(url, ':');
  cr_assert_not_null(port, "no port in %s", url);
  return (struct sockaddr_in){.sin_family = AF_INET,
                              .sin_port = htons((uint16_t)strtoul(port + 1, NULL, 10)),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void close_stream(struct flood *flood, struct stream *stream, uint64_t now_us)
{
  close(stream->fd);
  stream->fd = -1;
  // The connections come back one by one and not all at once.
  stream->due_us = now_us + SECOND_US / 2 + random_below(SECOND_US);
  atomic_fetch_sub(&flood->open, 1);
}

// Notes that the gateway has closed a connection.
static void end_stream(struct flood *flood, struct stream *stream, uint64_t now_us)
{
  size_t life_ms = (size_t)((now_us - stream->opened_us) / 1000);
  if (life_ms > atomic_load(&flood->longest_ms))
    atomic_store(&flood->longest_ms, life_ms);
  atomic_fetch_add(&flood->closed, 1);
  close_stream(flood, stream, now_us);
}

// Notes that the flood itself cannot go on as it should; flood_stop fails the test by that.
static void note_failure(struct flood *flood, const char *call)
{
  if (flood->failed_call != NULL)
    return;
  flood->error = errno;
  flood->failed_call = call;
}

// Returns a socket that is bound to an address; -1 where the system gives none.
static int make_socket(struct flood *flood, uint32_t address)
{
  struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(address)};
  int on = 1;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) {
    note_failure(flood, "socket");
    return -1;
  }
  // The port is chosen by connect(), so that all addresses together are not limited to 28,000.
  setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
  // A small window, so that a connection that reads slowly holds the gateway up soon.
  int window = 4096;
  if (!flood->kind->reads_all)
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &window, sizeof(window));
  if (bind(fd, (struct sockaddr *)&own, sizeof(own)) == 0)
    return fd;
  note_failure(flood, "bind");
  close(fd);
  return -1;
}

static void open_stream(struct flood *flood, struct stream *stream, uint64_t now_us)
{
  stream->sent = 0;
  stream->opened_us = now_us;
  stream->due_us = now_us + SECOND_US;
  atomic_fetch_add(&flood->attempts, 1);
  stream->fd = make_socket(flood, stream->address);
  if (stream->fd < 0)
    return;
  atomic_fetch_add(&flood->open, 1);
  if (connect(stream->fd, (struct sockaddr *)&flood->gateway, sizeof(flood->gateway)) != 0 && errno != EINPROGRESS) {
    end_stream(flood, stream, now_us);
    return;
  }
  struct epoll_event event = {.events = EPOLLOUT | EPOLLRDHUP, .data.ptr = stream};
  if (epoll_ctl(flood->epoll, EPOLL_CTL_ADD, stream->fd, &event) != 0)
    note_failure(flood, "epoll_ctl");
}

static void send_text(struct flood *flood, struct stream *stream, const char *text, uint64_t now_us)
{
  if (text == NULL)
    return;
  ssize_t sent = send(stream->fd, text, strlen(text), MSG_NOSIGNAL);
  if (sent < 0 && errno != EAGAIN && errno != EINTR)
    end_stream(flood, stream, now_us);
}

static void send_first(struct flood *flood, struct stream *stream, uint64_t now_us)
{
  const char *first = flood->kind->first;
  size_t size = first == NULL ? 0 : strlen(first);
  if (stream->sent < size) {
    ssize_t sent = send(stream->fd, first + stream->sent, size - stream->sent, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) {
      end_stream(flood, stream, now_us);
      return;
    }
    stream->sent += sent > 0 ? (size_t)sent : 0;
  }
  if (stream->sent < size)
    return;
  uint32_t reads = flood->kind->reads_all ? EPOLLIN : 0;
  struct epoll_event event = {.events = EPOLLRDHUP | reads, .data.ptr = stream};
  (void)epoll_ctl(flood->epoll, EPOLL_CTL_MOD, stream->fd, &event);
}

static void read_bytes(struct flood *flood, struct stream *stream, size_t left, uint64_t now_us)
{
  static char bytes[65536];
  while (left > 0) {
    ssize_t got = recv(stream->fd, bytes, left < sizeof(bytes) ? left : sizeof(bytes), 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
      return;
    if (got <= 0) {
      end_stream(flood, stream, now_us);
      return;
    }
    left -= (size_t)got;
  }
}

// Opens what is closed and lets what is open drip. Few at once, so that what happens to the others is seen soon.
static void tend_streams(struct flood *flood)
{
  uint64_t now_us = clock_now_us();
  size_t opened = 0;
  for (size_t i = 0; i < flood->stream_count && opened < OPENED_AT_ONCE; i++) {
    struct stream *stream = &flood->streams[i];
    if (stream->due_us > now_us)
      continue;
    if (stream->fd < 0) {
      open_stream(flood, stream, now_us);
      opened++;
      continue;
    }
    stream->due_us = now_us + SECOND_US;
    send_text(flood, stream, flood->kind->drip, now_us);
    if (stream->fd >= 0)
      read_bytes(flood, stream, flood->kind->read_bytes, now_us);
  }
}

static void handle_event(struct flood *flood, const struct epoll_event *event)
{
  struct stream *stream = event->data.ptr;
  uint64_t now_us = clock_now_us();
  if (stream->fd < 0)
    return;
  if ((event->events & EPOLLIN) != 0)
    read_bytes(flood, stream, SIZE_MAX, now_us);
  else if ((event->events & (EPOLLHUP | EPOLLRDHUP | EPOLLERR)) != 0)
    end_stream(flood, stream, now_us);
  else if ((event->events & EPOLLOUT) != 0)
    send_first(flood, stream, now_us);
}

static void run_flood(void *arg)
{
  struct flood *flood = arg;
  struct epoll_event events[256];
  flood->epoll = epoll_create1(EPOLL_CLOEXEC);
  if (flood->epoll < 0)
    note_failure(flood, "epoll_create1");
  while (!atomic_load(&flood->stop) && attacker_is_wanted()) {
    tend_streams(flood);
    int count = epoll_wait(flood->epoll, events, ARRAY_LEN(events), 10);
    for (int i = 0; i < count; i++)
      handle_event(flood, &events[i]);
  }
}

static void allow_files(size_t count)
{
  struct rlimit limit;
  cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
  cr_assert_geq(limit.rlim_max, count + 100, "ulimit -Hn is %zu; %zu are needed", (size_t)limit.rlim_max, count + 100);
  limit.rlim_cur = limit.rlim_max;
  cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

struct flood *flood_start(const struct flood_kind *kind, size_t connections, size_t addresses)
{
  allow_files(connections);
  struct flood *flood = attacker_memory(sizeof(*flood));
  uint32_t from = ntohl(inet_addr(kind->from == NULL ? "127.0.0.2" : kind->from));
  flood->kind = kind;
  flood->gateway = find_gateway();
  flood->streams = calloc(connections, sizeof(*flood->streams));
  flood->stream_count = connections;
  cr_assert_not_null(flood->streams);
  for (size_t i = 0; i < connections; i++)
    flood->streams[i] = (struct stream){.fd = -1, .address = from + (uint32_t)(i % addresses)};
  flood->attacker = attacker_start(run_flood, flood);
  return flood;
}

struct flood_counts flood_count(struct flood *flood)
{
  return (struct flood_counts){.attempts = atomic_load(&flood->attempts),
                               .open = atomic_load(&flood->open),
                               .closed = atomic_load(&flood->closed),
                               .longest_ms = atomic_load(&flood->longest_ms)};
}

struct goal {
  const atomic_size_t *counter;
  size_t value;
};

static bool is_reached(const void *arg)
{
  const struct goal *goal = arg;
  return atomic_load(goal->counter) >= goal->value;
}

void flood_await_attempts(struct flood *flood, size_t attempts)
{
  struct goal goal = {.counter = &flood->attempts, .value = attempts};
  wait_until(is_reached, &goal, "the attempts of the flood");
}

void flood_await_closed(struct flood *flood, size_t closed)
{
  struct goal goal = {.counter = &flood->closed, .value = closed};
  wait_until(is_reached, &goal, "the closing of the flood's connections");
}

void flood_stop(struct flood **flood)
{
  struct flood *done = *flood;
  *flood = NULL;
  atomic_store(&done->stop, true);
  attacker_join(done->attacker);
  cr_assert_null(done->failed_call, "the flood itself failed: %s: %s", done->failed_call, strerror(done->error));
  free(done->streams);
}
