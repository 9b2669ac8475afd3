#include "tests/support/open_loop.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "tests/support/environment.h"
#include "tests/support/stack.h"

enum {
  FRESH_EVERY = 4,  // one client in so many makes a connection for each request
  WRITE_EVERY = 5,
  ANSWER_BYTES = 8192,
  MOST_ANSWERS = 200000,
  POLL_MS = 1,
  TIMEOUT_US = 10000000,
};

enum client_state {
  CLIENT_IDLE,        // the next request is not due; there may be a connection
  CLIENT_CONNECTING,  // the request waits for the connection
  CLIENT_AWAITING,    // the request was sent
};

struct client {
  enum client_state state;
  int fd;  // -1 without a connection
  uint64_t due_us;
  size_t number;  // of the request
  char answer[ANSWER_BYTES];
  size_t answer_bytes;
};

struct open_loop {
  struct sockaddr_in address;
  char *read, *write;  // whole requests
  struct background *background;
  atomic_bool stopped;
  atomic_size_t sent;
  struct client clients[OPEN_LOOP_CLIENTS];
  // What follows belongs to the thread until it has ended.
  struct open_loop_seen seen;
  uint64_t last_answer_us;
  uint64_t *times_us;
  const char *first_failure;
};

// ---- outcomes ----

static bool is_fresh(const struct open_loop *loop, const struct client *client)
{
  return (client - loop->clients) % FRESH_EVERY == 0;
}

static void close_connection(struct client *client)
{
  if (client->fd >= 0)
    close(client->fd);
  client->fd = -1;
}

static void await_next(struct client *client)
{
  client->state = CLIENT_IDLE;
  client->number++;
  client->due_us += UINT64_C(1000000) * OPEN_LOOP_CLIENTS / OPEN_LOOP_PER_SECOND;
}

static void fail_request(struct open_loop *loop, struct client *client, const char *why)
{
  loop->seen.failed++;
  if (loop->first_failure == NULL)
    loop->first_failure = text("%s of a %s connection: %s", client->number % WRITE_EVERY == 0 ? "a write" : "a read",
                               is_fresh(loop, client) ? "new" : "kept", why);
  close_connection(client);
  await_next(client);
}

static void note_answer(struct open_loop *loop, struct client *client)
{
  uint64_t now_us = clock_now_us();
  if (loop->last_answer_us > 0 && now_us - loop->last_answer_us > loop->seen.longest_gap_us)
    loop->seen.longest_gap_us = now_us - loop->last_answer_us;
  loop->last_answer_us = now_us;
  if (loop->seen.answered < MOST_ANSWERS)
    loop->times_us[loop->seen.answered] = now_us - client->due_us;
  loop->seen.answered++;
}

// ---- one client ----

static void send_request(struct open_loop *loop, struct client *client)
{
  const char *request = client->number % WRITE_EVERY == 0 ? loop->write : loop->read;
  size_t size = strlen(request);
  client->state = CLIENT_AWAITING;
  client->answer_bytes = 0;
  if (send(client->fd, request, size, MSG_NOSIGNAL) != (ssize_t)size)
    fail_request(loop, client, text("send: %s", strerror(errno)));
}

static void begin_request(struct open_loop *loop, struct client *client)
{
  atomic_fetch_add(&loop->sent, 1);
  if (client->fd >= 0) {
    send_request(loop, client);
    return;
  }
  const int on = 1;
  client->state = CLIENT_CONNECTING;
  client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  loop->seen.connections++;
  if (connect(client->fd, (struct sockaddr *)&loop->address, sizeof(loop->address)) != 0 && errno != EINPROGRESS)
    fail_request(loop, client, text("connect: %s", strerror(errno)));
}

static void finish_connecting(struct open_loop *loop, struct client *client)
{
  int error = 0;
  socklen_t size = sizeof(error);
  getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0)
    fail_request(loop, client, text("connect: %s", strerror(error)));
  else
    send_request(loop, client);
}

// Returns where the value of a header begins; NULL where there is none.
static const char *find_value(const char *head, const char *header)
{
  const char *found = strcasestr(head, header);
  return found == NULL ? NULL : found + strlen(header);
}

static bool is_complete(const char *answer, size_t size)
{
  const char *end = strstr(answer, "\r\n\r\n");
  const char *length = end == NULL ? NULL : find_value(answer, "\r\ncontent-length: ");
  return length != NULL && size >= (size_t)(end - answer) + 4 + strtoul(length, NULL, 10);
}

static void take_answer(struct open_loop *loop, struct client *client)
{
  if (strncmp(client->answer, "HTTP/1.1 200 ", 13) != 0) {
    fail_request(loop, client, text("%s", client->answer));
    return;
  }
  note_answer(loop, client);
  const char *connection = find_value(client->answer, "\r\nconnection: ");
  if (is_fresh(loop, client) || (connection != NULL && strncasecmp(connection, "close", 5) == 0))
    close_connection(client);
  await_next(client);
}

static void read_answer(struct open_loop *loop, struct client *client)
{
  char *place = client->answer + client->answer_bytes;
  ssize_t got = recv(client->fd, place, ANSWER_BYTES - 1 - client->answer_bytes, 0);
  if (got < 0 && errno == EAGAIN)
    return;
  if (got <= 0) {
    fail_request(loop, client, got == 0 ? "closed without an answer" : strerror(errno));
    return;
  }
  client->answer_bytes += (size_t)got;
  client->answer[client->answer_bytes] = '\0';
  if (is_complete(client->answer, client->answer_bytes))
    take_answer(loop, client);
}

static void handle_event(struct open_loop *loop, struct client *client)
{
  switch (client->state) {
  case CLIENT_IDLE:
    // The gateway has closed the connection; nothing is lost.
    close_connection(client);
    break;
  case CLIENT_CONNECTING:
    finish_connecting(loop, client);
    break;
  case CLIENT_AWAITING:
    read_answer(loop, client);
    break;
  }
}

// ---- all clients ----

static void poll_clients(struct open_loop *loop)
{
  struct pollfd fds[OPEN_LOOP_CLIENTS];
  for (size_t i = 0; i < OPEN_LOOP_CLIENTS; i++)
    fds[i] = (struct pollfd){.fd = loop->clients[i].fd,
                             .events = loop->clients[i].state == CLIENT_CONNECTING ? POLLOUT : POLLIN};
  if (poll(fds, OPEN_LOOP_CLIENTS, POLL_MS) <= 0)
    return;
  for (size_t i = 0; i < OPEN_LOOP_CLIENTS; i++)
    if (fds[i].revents != 0)
      handle_event(loop, &loop->clients[i]);
}

static void begin_what_is_due(struct open_loop *loop)
{
  uint64_t now_us = clock_now_us();
  for (size_t i = 0; i < OPEN_LOOP_CLIENTS; i++) {
    struct client *client = &loop->clients[i];
    if (client->state != CLIENT_IDLE && now_us > client->due_us + TIMEOUT_US)
      fail_request(loop, client, "no answer");
    else if (client->state == CLIENT_IDLE && now_us >= client->due_us && !atomic_load(&loop->stopped))
      begin_request(loop, client);
  }
}

static bool is_any_busy(const struct open_loop *loop)
{
  for (size_t i = 0; i < OPEN_LOOP_CLIENTS; i++)
    if (loop->clients[i].state != CLIENT_IDLE)
      return true;
  return false;
}

static void run_clients(void *arg)
{
  struct open_loop *loop = arg;
  while (!atomic_load(&loop->stopped) || is_any_busy(loop)) {
    poll_clients(loop);
    begin_what_is_due(loop);
  }
  for (size_t i = 0; i < OPEN_LOOP_CLIENTS; i++)
    close_connection(&loop->clients[i]);
}

static void prepare_requests(struct open_loop *loop, const struct account *owner)
{
  const char *id = item_create(owner, text("{\"sku\":\"%s\",\"name\":\"Lamp\",\"quantity\":1}", fresh_word()));
  const char *head = text("/v1/items/%s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n", id, owner->token);
  const char *body = "{\"quantity\":2}";
  loop->read = text("GET %s\r\n", head);
  loop->write =
      text("PATCH %sContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", head, strlen(body), body);
}

struct open_loop *open_loop_start(const struct account *owner, const char *url)
{
  struct open_loop *loop = calloc(1, sizeof(*loop));
  cr_assert_not_null(loop);
  const char *port = strrchr(url == NULL ? need_variable("BULKHEAD_URL") : url, ':');
  loop->address = (struct sockaddr_in){.sin_family = AF_INET,
                                       .sin_port = htons((uint16_t)strtoul(port + 1, NULL, 10)),
                                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  loop->times_us = calloc(MOST_ANSWERS, sizeof(*loop->times_us));
  cr_assert_not_null(loop->times_us);
  prepare_requests(loop, owner);
  uint64_t now_us = clock_now_us();
  for (size_t i = 0; i < OPEN_LOOP_CLIENTS; i++)
    loop->clients[i] =
        (struct client){.fd = -1, .number = i, .due_us = now_us + i * UINT64_C(1000000) / OPEN_LOOP_PER_SECOND};
  loop->background = background_start(run_clients, loop);
  return loop;
}

struct progress {
  const struct open_loop *loop;
  size_t requests;
};

static bool has_progressed(const void *arg)
{
  const struct progress *progress = arg;
  return atomic_load(&progress->loop->sent) >= progress->requests;
}

void open_loop_await(const struct open_loop *loop, size_t requests)
{
  const struct progress progress = {.loop = loop, .requests = atomic_load(&loop->sent) + requests};
  wait_until(has_progressed, &progress, text("%zu more requests of the clients", requests));
}

static int compare_times(const void *a, const void *b)
{
  const uint64_t *left = a, *right = b;
  return (*left > *right) - (*left < *right);
}

static uint64_t find_p99(const struct open_loop *loop)
{
  size_t count = loop->seen.answered;
  if (count == 0)
    return 0;
  if (count > MOST_ANSWERS)
    count = MOST_ANSWERS;
  qsort(loop->times_us, count, sizeof(*loop->times_us), compare_times);
  return loop->times_us[count - 1 - count / 100];
}

struct open_loop_seen open_loop_assert_unharmed(struct open_loop **loop_pointer, const char *event)
{
  struct open_loop *loop = *loop_pointer;
  *loop_pointer = NULL;
  atomic_store(&loop->stopped, true);
  background_join(loop->background);
  struct open_loop_seen seen = loop->seen;
  seen.sent = atomic_load(&loop->sent);
  seen.p99_us = find_p99(loop);
  fprintf(stderr,
          "bystander: %s: %zu sent, %zu answered, %zu failed, %zu connections, longest gap %.1f ms, p99 %.1f ms\n",
          event, seen.sent, seen.answered, seen.failed, seen.connections, (double)seen.longest_gap_us / 1e3,
          (double)seen.p99_us / 1e3);
  cr_assert_eq(seen.failed, 0, "%s: %zu of %zu requests failed, first: %s", event, seen.failed, seen.sent,
               loop->first_failure);
  cr_assert_eq(seen.answered, seen.sent);
  free(loop->times_us);
  free(loop);
  return seen;
}
