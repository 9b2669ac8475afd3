#include "tests/fault/crowd.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "tests/support/environment.h"

enum {
  PER_ADDRESS = 400,  // the gateway holds 1,024 connections of one
  SPARE_FILES = 200,
  PATIENCE_MS = 60000,
  EVENTS = 256,
};

// Addresses of the clients, from here on.
static const uint32_t first_address = (127 << 24) + (79 << 16) + 1;

// ---- connections ----

static void allow_files(size_t count)
{
  struct rlimit limit;
  cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
  cr_assert_geq(limit.rlim_max, count, "the crowd needs %zu files; raise the hard limit (ulimit -Hn)", count);
  if (limit.rlim_cur < count)
    limit.rlim_cur = count;
  cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static struct sockaddr_in find_gateway(void)
{
  const char *port = strrchr(need_variable("BULKHEAD_URL"), ':');
  cr_assert_not_null(port);
  return (struct sockaddr_in){.sin_family = AF_INET,
                              .sin_port = htons((uint16_t)strtoul(port + 1, NULL, 10)),
                              .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
}

static int connect_from(size_t i)
{
  struct sockaddr_in from = {.sin_family = AF_INET,
                             .sin_addr = {.s_addr = htonl(first_address + (uint32_t)(i / PER_ADDRESS))}};
  struct sockaddr_in to = find_gateway();
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  cr_assert_geq(fd, 0);
  cr_assert_eq(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
  cr_assert_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0, "client %zu cannot connect: %s", i, strerror(errno));
  return fd;
}

// ---- answers ----

static void end_answer(struct crowd *crowd, struct crowd_client *client)
{
  client->ended_us = clock_now_us();
  client->answer[client->answer_bytes] = '\0';
  if (strncmp(client->answer, "HTTP/1.1 ", 9) == 0)
    client->status = (int)strtol(client->answer + 9, NULL, 10);
  client->retry_after = strcasestr(client->answer, "\r\nRetry-After: ") != NULL;
  client->unapplied = client->status == 429 || strstr(client->answer, "\"NOT_APPLIED\"") != NULL;
  close(client->fd);
  client->fd = -1;
  crowd->answered++;
  crowd->refused += client->status == 429 ? 1 : 0;
}

static void read_answer(struct crowd *crowd, struct crowd_client *client)
{
  size_t room = sizeof(client->answer) - 1 - client->answer_bytes;
  ssize_t got = recv(client->fd, client->answer + client->answer_bytes, room, MSG_DONTWAIT);
  if (got > 0)
    client->answer_bytes += (size_t)got;
  else if (got == 0 || (errno != EAGAIN && errno != EINTR))
    end_answer(crowd, client);
}

static void read_answers(struct crowd *crowd, int wait_ms)
{
  struct epoll_event events[EVENTS];
  int count = epoll_wait(crowd->epoll, events, EVENTS, wait_ms);
  for (int i = 0; i < count; i++)
    read_answer(crowd, &crowd->clients[events[i].data.u64]);
}

// ---- the crowd ----

static void send_request(struct crowd *crowd, size_t i, const char *bytes)
{
  struct crowd_client *client = &crowd->clients[i];
  client->fd = connect_from(i);
  client->sent_us = clock_now_us();
  cr_assert_eq(send(client->fd, bytes, strlen(bytes), MSG_NOSIGNAL), (ssize_t)strlen(bytes));
  struct epoll_event event = {.events = EPOLLIN, .data.u64 = i};
  cr_assert_eq(epoll_ctl(crowd->epoll, EPOLL_CTL_ADD, client->fd, &event), 0);
}

static struct crowd *make_crowd(size_t most)
{
  allow_files(most + SPARE_FILES);
  struct crowd *crowd = calloc(1, sizeof(*crowd));
  cr_assert_not_null(crowd);
  crowd->most = most;
  crowd->clients = calloc(most, sizeof(*crowd->clients));
  cr_assert_not_null(crowd->clients);
  crowd->epoll = epoll_create1(EPOLL_CLOEXEC);
  cr_assert_geq(crowd->epoll, 0);
  return crowd;
}

void crowd_add(struct crowd *crowd, const struct crowd_requests *requests, size_t count)
{
  cr_assert_leq(count, crowd->most - crowd->count, "all %zu clients have sent their request", crowd->count);
  for (; count > 0; count--) {
    send_request(crowd, crowd->count, requests->write(requests->arg, crowd->count));
    crowd->count++;
    read_answers(crowd, 0);
  }
}

struct crowd *crowd_until_refused(const struct crowd_requests *requests, size_t refused, size_t most)
{
  struct crowd *crowd = make_crowd(most);
  while (crowd->refused < refused && crowd->count < most)
    crowd_add(crowd, requests, 1);
  uint64_t end_us = deadline_after_ms(clock_now_us(), PATIENCE_MS);
  while (crowd->refused < refused && crowd->answered < crowd->count && clock_now_us() < end_us)
    read_answers(crowd, 100);
  cr_assert_geq(crowd->refused, refused, "of %zu clients %zu were answered, %zu of them refused; wanted %zu",
                crowd->count, crowd->answered, crowd->refused, refused);
  return crowd;
}

void crowd_await_all(struct crowd *crowd)
{
  uint64_t end_us = deadline_after_ms(clock_now_us(), PATIENCE_MS);
  while (crowd->answered < crowd->count && clock_now_us() < end_us)
    read_answers(crowd, 100);
  cr_assert_eq(crowd->answered, crowd->count, "of %zu clients %zu have no answer", crowd->count,
               crowd->count - crowd->answered);
}

static int compare_times(const void *a, const void *b)
{
  uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
  return (left > right) - (left < right);
}

void crowd_print(const struct crowd *crowd, const char *what)
{
  uint64_t *times_us = calloc(crowd->count + 1, sizeof(*times_us));
  cr_assert_not_null(times_us);
  size_t ok = 0, refused = 0;
  for (size_t i = 0; i < crowd->count; i++) {
    const struct crowd_client *client = &crowd->clients[i];
    ok += client->status / 100 == 2 ? 1 : 0;
    if (client->status == 429)
      times_us[refused++] = client->ended_us - client->sent_us;
  }
  qsort(times_us, refused, sizeof(*times_us), compare_times);
  size_t middle = refused / 2, late = refused * 99 / 100;
  printf("%s: %zu sent, %zu succeeded, %zu refused (p50 %.1f ms, p99 %.1f ms), %zu others\n", what, crowd->count, ok,
         refused, (double)times_us[middle] / 1e3, (double)times_us[late] / 1e3, crowd->count - ok - refused);
  free(times_us);
}

void crowd_free(struct crowd **crowd)
{
  struct crowd *gone = *crowd;
  *crowd = NULL;
  for (size_t i = 0; i < gone->count; i++)
    if (gone->clients[i].fd >= 0)
      close(gone->clients[i].fd);
  close(gone->epoll);
  free(gone->clients);
  free(gone);
}
