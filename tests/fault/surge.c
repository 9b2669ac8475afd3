#include "tests/fault/surge.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/thread.h"
#include "tests/support/environment.h"
#include "tests/support/http.h"
#include "tests/support/stack.h"

enum {
  CLIENTS = 16000,  // more than what can be in flight
  ADDRESSES = 16,   // the gateway holds 1,024 requests of one
  PHASES = 32,      //
  HEAD_BYTES = 2048,
  READ_BYTES = 256 * 1024,
  MOST_OUTCOMES = 6000000,
  UNSENT = -1,  // the status of a request for which no client was left
  EVENTS = 256,
  PATIENCE_US = 15000000,  // longer than the gateway takes for any answer
};

// Addresses of the clients, from here on.
static const uint32_t first_address = (127 << 24) + (79 << 16) + 1;
static const char last_chunk[] = "0\r\n\r\n";

struct outcome {
  int status;  // 0 without an answer
  uint64_t due_us, sent_us, ended_us;
};

enum client_state {
  CLIENT_UNUSED,      // without a connection
  CLIENT_KEPT,        // with one, which no request uses
  CLIENT_CONNECTING,  // the request waits for the connection
  CLIENT_AWAITING,    // the head of the answer
  CLIENT_READING,     // its body
};

struct client {
  enum client_state state;
  int fd;
  size_t outcome;
  size_t head_bytes;
  size_t left;  // of the body; SIZE_MAX where it comes in chunks
  char tail[sizeof(last_chunk)];
  char head[HEAD_BYTES];
};

struct span {
  uint64_t begin_us, end_us;
  uint64_t cpu_us, waited_us;  // of the generator
};

struct surge {
  const char *const *requests;
  size_t request_count;
  struct sockaddr_in address;
  int epoll;
  struct client *clients;
  uint32_t unused[CLIENTS], kept[CLIENTS];  // stacks of indices
  size_t unused_count, kept_count, busy_count;
  struct outcome *outcomes;
  size_t count;
  struct span phases[PHASES];
  size_t phase_count;
  const char *first_failure;
  char bytes[READ_BYTES];
};

// ---- connections ----

static uint32_t index_of(const struct surge *surge, const struct client *client)
{
  return (uint32_t)(client - surge->clients);
}

static bool is_busy(const struct client *client)
{
  return client->state >= CLIENT_CONNECTING;
}

static void close_connection(struct surge *surge, struct client *client)
{
  close(client->fd);
  client->state = CLIENT_UNUSED;
  surge->unused[surge->unused_count++] = index_of(surge, client);
}

static void watch(struct surge *surge, const struct client *client, int operation, uint32_t events)
{
  struct epoll_event event = {.events = events, .data.u32 = index_of(surge, client)};
  cr_assert_eq(epoll_ctl(surge->epoll, operation, client->fd, &event), 0, "%s", strerror(errno));
}

static void end_request(struct surge *surge, struct client *client, int status)
{
  struct outcome *outcome = &surge->outcomes[client->outcome];
  outcome->ended_us = clock_now_us();
  outcome->status = status;
  surge->busy_count--;
}

static void lose_request(struct surge *surge, struct client *client, const char *why)
{
  end_request(surge, client, 0);
  if (surge->first_failure == NULL)
    surge->first_failure = why;
  close_connection(surge, client);
}

// ---- answers ----

static void end_answer(struct surge *surge, struct client *client)
{
  int status = (int)strtol(client->head + strlen("HTTP/1.1 "), NULL, 10);
  end_request(surge, client, status);
  if (status / 100 != 2 && status != 429 && status != 308 && surge->first_failure == NULL)
    surge->first_failure = text("%s", client->head);
  if (strcasestr(client->head, "\r\nconnection: close") != NULL) {
    close_connection(surge, client);
    return;
  }
  client->state = CLIENT_KEPT;
  surge->kept[surge->kept_count++] = index_of(surge, client);
}

// Keeps the last bytes of a body in chunks, which tell whether it has ended.
static void keep_tail(struct client *client, const char *bytes, size_t size)
{
  size_t whole = strlen(last_chunk);
  if (size >= whole) {
    memcpy(client->tail, bytes + size - whole, whole);
    return;
  }
  memmove(client->tail, client->tail + size, whole - size);
  memcpy(client->tail + whole - size, bytes, size);
}

static void take_body(struct surge *surge, struct client *client, const char *bytes, size_t size)
{
  bool has_ended;
  if (client->left == SIZE_MAX) {
    keep_tail(client, bytes, size);
    has_ended = memcmp(client->tail, last_chunk, strlen(last_chunk)) == 0;
  } else {
    client->left -= size < client->left ? size : client->left;
    has_ended = client->left == 0;
  }
  if (has_ended)
    end_answer(surge, client);
}

static void take_head(struct surge *surge, struct client *client, const char *bytes, size_t size)
{
  size_t room = HEAD_BYTES - 1 - client->head_bytes;
  size_t before = client->head_bytes;
  size_t taken = size < room ? size : room;
  memcpy(client->head + before, bytes, taken);
  client->head_bytes += taken;
  client->head[client->head_bytes] = '\0';
  char *end = strstr(client->head, "\r\n\r\n");
  cr_assert(end != NULL || taken == size, "a head of more than %d bytes", HEAD_BYTES);
  if (end == NULL)
    return;
  end[2] = '\0';
  size_t head_bytes = (size_t)(end - client->head) + 4;
  const char *length = strcasestr(client->head, "\r\ncontent-length: ");
  client->left = length == NULL ? SIZE_MAX : strtoul(length + strlen("\r\ncontent-length: "), NULL, 10);
  memset(client->tail, 0, sizeof(client->tail));
  client->state = CLIENT_READING;
  take_body(surge, client, bytes + (head_bytes - before), size - (head_bytes - before));
}

static void receive(struct surge *surge, struct client *client)
{
  ssize_t got = recv(client->fd, surge->bytes, READ_BYTES, 0);
  if (got < 0 && errno == EAGAIN)
    return;
  if (got <= 0)
    lose_request(surge, client, got == 0 ? "closed without an answer" : strerror(errno));
  else if (client->state == CLIENT_AWAITING)
    take_head(surge, client, surge->bytes, (size_t)got);
  else
    take_body(surge, client, surge->bytes, (size_t)got);
}

// ---- requests ----

static void send_request(struct surge *surge, struct client *client)
{
  const char *request = surge->requests[client->outcome % surge->request_count];
  size_t size = strlen(request);
  client->state = CLIENT_AWAITING;
  client->head_bytes = 0;
  surge->outcomes[client->outcome].sent_us = clock_now_us();
  if (send(client->fd, request, size, MSG_NOSIGNAL) != (ssize_t)size)
    lose_request(surge, client, strerror(errno));
}

static void open_connection(struct surge *surge, struct client *client)
{
  const int on = 1;
  const struct sockaddr_in own = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(first_address + index_of(surge, client) % ADDRESSES)};
  client->state = CLIENT_CONNECTING;
  client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  cr_assert_geq(client->fd, 0, "%s", strerror(errno));
  setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  setsockopt(client->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
  cr_assert_eq(bind(client->fd, (const struct sockaddr *)&own, sizeof(own)), 0, "%s", strerror(errno));
  watch(surge, client, EPOLL_CTL_ADD, EPOLLOUT);
  if (connect(client->fd, (const struct sockaddr *)&surge->address, sizeof(surge->address)) != 0 &&
      errno != EINPROGRESS)
    lose_request(surge, client, strerror(errno));
}

// Returns a client that has a connection; NULL without one. Those that the gateway has closed meanwhile are left out.
static struct client *take_kept(struct surge *surge)
{
  while (surge->kept_count > 0) {
    struct client *client = &surge->clients[surge->kept[--surge->kept_count]];
    char byte;
    if (recv(client->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN)
      return client;
    close_connection(surge, client);
  }
  return NULL;
}

static void begin_request(struct surge *surge, uint64_t due_us)
{
  cr_assert_lt(surge->count, MOST_OUTCOMES);
  struct client *kept = take_kept(surge);
  if (kept == NULL && surge->unused_count == 0) {
    surge->outcomes[surge->count++] = (struct outcome){.due_us = due_us, .ended_us = due_us, .status = UNSENT};
    return;
  }
  struct client *client = kept != NULL ? kept : &surge->clients[surge->unused[--surge->unused_count]];
  client->outcome = surge->count++;
  surge->outcomes[client->outcome] = (struct outcome){.due_us = due_us};
  surge->busy_count++;
  if (kept != NULL)
    send_request(surge, client);
  else
    open_connection(surge, client);
}

// ---- events ----

static void finish_connecting(struct surge *surge, struct client *client)
{
  int error = 0;
  socklen_t size = sizeof(error);
  getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &error, &size);
  watch(surge, client, EPOLL_CTL_MOD, EPOLLIN);
  if (error != 0)
    lose_request(surge, client, strerror(error));
  else
    send_request(surge, client);
}

static void handle_event(struct surge *surge, struct client *client)
{
  if (client->state == CLIENT_CONNECTING)
    finish_connecting(surge, client);
  else if (is_busy(client))
    receive(surge, client);
  else if (client->state == CLIENT_KEPT)
    // The gateway has closed it, which take_kept finds; it is not reported again and again.
    watch(surge, client, EPOLL_CTL_DEL, 0);
}

static void handle_events(struct surge *surge)
{
  struct epoll_event events[EVENTS];
  int count = epoll_wait(surge->epoll, events, EVENTS, 1);
  for (int i = 0; i < count; i++)
    handle_event(surge, &surge->clients[events[i].data.u32]);
}

static void give_up_what_is_late(struct surge *surge, uint64_t now_us)
{
  for (size_t i = 0; i < CLIENTS; i++)
    if (is_busy(&surge->clients[i]) && now_us > surge->outcomes[surge->clients[i].outcome].due_us + PATIENCE_US)
      lose_request(surge, &surge->clients[i], "no answer");
}

// ---- phases ----

// Adds what this thread has run and waited for a processor so far, times `sign`.
static void add_own_times(struct span *span, int sign)
{
  char line[128] = "";
  char *end;
  FILE *times = fopen("/proc/thread-self/schedstat", "r");
  cr_assert_not_null(times);
  cr_assert_not_null(fgets(line, sizeof(line), times));
  fclose(times);
  span->cpu_us += (uint64_t)sign * (strtoul(line, &end, 10) / 1000);
  span->waited_us += (uint64_t)sign * (strtoul(end, NULL, 10) / 1000);
}

static void begin_due(struct surge *surge, const struct surge_phase *phase, uint64_t begin_us, size_t *begun)
{
  uint64_t now_us = clock_now_us();
  if (phase->per_second == 0) {
    while (surge->busy_count < phase->clients)
      begin_request(surge, now_us);
    return;
  }
  uint64_t due_us;
  while ((due_us = begin_us + *begun * UINT64_C(1000000) / phase->per_second) <= now_us) {
    begin_request(surge, due_us);
    (*begun)++;
  }
}

void surge_run(struct surge *surge, const struct surge_phase *phase)
{
  cr_assert_lt(surge->phase_count, PHASES);
  struct span *span = &surge->phases[surge->phase_count++];
  add_own_times(span, -1);
  size_t begun = 0;
  span->begin_us = clock_now_us();
  uint64_t end_us = span->begin_us + (uint64_t)phase->ms * 1000, looked_us = span->begin_us;
  while (clock_now_us() < end_us) {
    begin_due(surge, phase, span->begin_us, &begun);
    handle_events(surge);
    if (clock_now_us() - looked_us > 100000)
      give_up_what_is_late(surge, looked_us = clock_now_us());
  }
  span->end_us = clock_now_us();
  add_own_times(span, 1);
}

void surge_settle(struct surge *surge)
{
  while (surge->busy_count > 0) {
    handle_events(surge);
    give_up_what_is_late(surge, clock_now_us());
  }
}

// ---- figures ----

static int compare_times(const void *a, const void *b)
{
  const uint64_t *left = a, *right = b;
  return (*left > *right) - (*left < *right);
}

static uint64_t find_quantile(uint64_t *times_us, size_t count, unsigned percent)
{
  if (count == 0)
    return 0;
  qsort(times_us, count, sizeof(*times_us), compare_times);
  return times_us[(count - 1) * percent / 100];
}

struct times {
  uint64_t *good_us, *refused_us, *aside_us, *late_us;
};

static void count_outcome(const struct outcome *outcome, struct surge_seen *seen, const struct times *times)
{
  uint64_t took_us = outcome->ended_us - outcome->due_us;
  if (outcome->sent_us != 0)
    times->late_us[seen->sent] = outcome->sent_us - outcome->due_us;
  seen->sent++;
  if (outcome->status / 100 == 2)
    times->good_us[seen->good++] = took_us;
  else if (outcome->status == 429)
    times->refused_us[seen->refused++] = took_us;
  else if (outcome->status == 308)
    times->aside_us[seen->aside++] = took_us;
  else if (outcome->status == UNSENT)
    seen->unsent++;
  else
    seen->failed++;
}

struct surge_seen surge_see(const struct surge *surge, size_t phase, unsigned skip_ms)
{
  const struct span *span = &surge->phases[phase];
  uint64_t begin_us = span->begin_us + (uint64_t)skip_ms * 1000;
  struct surge_seen seen = {.seconds = (double)(span->end_us - begin_us) / 1e6,
                            .cpu = (double)span->cpu_us / (double)(span->end_us - span->begin_us),
                            .waited = (double)span->waited_us / (double)(span->end_us - span->begin_us)};
  uint64_t *room = calloc(4 * surge->count + 1, sizeof(*room));
  cr_assert_not_null(room);
  struct times times = {.good_us = room,
                        .refused_us = room + surge->count,
                        .aside_us = room + 2 * surge->count,
                        .late_us = room + 3 * surge->count};
  size_t came = 0;
  for (size_t i = 0; i < surge->count; i++) {
    const struct outcome *outcome = &surge->outcomes[i];
    came += outcome->status / 100 == 2 && outcome->ended_us >= begin_us && outcome->ended_us < span->end_us;
    if (outcome->due_us >= begin_us && outcome->due_us < span->end_us && outcome->ended_us != 0)
      count_outcome(outcome, &seen, &times);
  }
  seen.goodput = (double)came / seen.seconds;
  seen.good_p50_us = find_quantile(times.good_us, seen.good, 50);
  seen.good_p99_us = find_quantile(times.good_us, seen.good, 99);
  seen.refused_p50_us = find_quantile(times.refused_us, seen.refused, 50);
  seen.refused_p99_us = find_quantile(times.refused_us, seen.refused, 99);
  seen.aside_p50_us = find_quantile(times.aside_us, seen.aside, 50);
  seen.aside_p99_us = find_quantile(times.aside_us, seen.aside, 99);
  seen.late_p99_us = find_quantile(times.late_us, seen.sent, 99);
  free(room);
  return seen;
}

uint64_t surge_trouble_us(const struct surge *surge, size_t phase, uint64_t slow_us)
{
  const struct span *span = &surge->phases[phase];
  uint64_t last_us = span->begin_us;
  for (size_t i = 0; i < surge->count; i++) {
    const struct outcome *outcome = &surge->outcomes[i];
    bool is_trouble = outcome->status / 100 != 2 || outcome->ended_us - outcome->due_us > slow_us;
    if (is_trouble && outcome->due_us > last_us && outcome->due_us < span->end_us)
      last_us = outcome->due_us;
  }
  return last_us - span->begin_us;
}

const char *surge_first_failure(const struct surge *surge)
{
  return surge->first_failure;
}

// ---- start and stop ----

static void allow_many_files(void)
{
  struct rlimit files;
  cr_assert_eq(getrlimit(RLIMIT_NOFILE, &files), 0);
  files.rlim_cur = files.rlim_max;
  cr_assert_eq(setrlimit(RLIMIT_NOFILE, &files), 0, "%s", strerror(errno));
  cr_assert_geq(files.rlim_cur, CLIENTS + 100, "only %zu files may be open (ulimit -Hn)", (size_t)files.rlim_cur);
}

struct surge *surge_create(const char *const *requests, size_t count, const char *url)
{
  // Clients on machines of their own would not wait for a processor of the gateway's.
  thread_ask_for_short_turns();
  struct surge *surge = calloc(1, sizeof(*surge));
  cr_assert_not_null(surge);
  const char *port = strrchr(url == NULL ? need_variable("BULKHEAD_URL") : url, ':');
  *surge = (struct surge){.requests = requests, .request_count = count};
  surge->address = (struct sockaddr_in){.sin_family = AF_INET,
                                        .sin_port = htons((uint16_t)strtoul(port + 1, NULL, 10)),
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  surge->clients = calloc(CLIENTS, sizeof(*surge->clients));
  surge->outcomes = calloc(MOST_OUTCOMES, sizeof(*surge->outcomes));
  cr_assert(surge->clients != NULL && surge->outcomes != NULL);
  surge->epoll = epoll_create1(EPOLL_CLOEXEC);
  cr_assert_geq(surge->epoll, 0);
  allow_many_files();
  while (surge->unused_count < CLIENTS) {
    surge->unused[surge->unused_count] = (uint32_t)(CLIENTS - 1 - surge->unused_count);
    surge->unused_count++;
  }
  return surge;
}

void surge_free(struct surge **surge_pointer)
{
  struct surge *surge = *surge_pointer;
  *surge_pointer = NULL;
  for (size_t i = 0; i < CLIENTS; i++)
    if (surge->clients[i].state != CLIENT_UNUSED)
      close(surge->clients[i].fd);
  close(surge->epoll);
  free(surge->clients);
  free(surge->outcomes);
  free(surge);
}
