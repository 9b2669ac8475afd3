#include "tests/support/open_loop.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
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
#include "tests/support/item_value.h"
#include "tests/support/stack.h"

enum {
  CLIENTS = 6000,     // more than what can be in flight
  KEPT = 100,         // connections that wait for a request
  ADDRESSES = 12,     // the gateway holds 1,024 requests of one
  FRESH_EVERY = 4,    // of so many rounds of the mix one makes connections
  MIX = 20,           // requests that follow each other; of these so many are:
  MIX_CHANGES = 3,    //
  MIX_CREATES = 2,    // one with a key and one without; one reads the account, the others read an item,
  LOGIN_EVERY = 200,  // but for one in so many
  ANSWER_BYTES = 4096,
  REQUEST_BYTES = 2048,
  MOST_OUTCOMES = 2000000,
  EVENTS = 256,
  PATIENCE_US = 15000000,   // longer than the gateway takes for any answer
  TOKEN_AGE_US = 30000000,  // after which the owner logs in again
};

// Addresses of the clients, from here on.
static const uint32_t first_address = (127 << 24) + (78 << 16) + 1;

enum client_state {
  CLIENT_UNUSED,      // without a connection
  CLIENT_KEPT,        // with one, which no request uses
  CLIENT_CONNECTING,  // the request waits for the connection
  CLIENT_AWAITING,    // the request was sent
};

struct client {
  enum client_state state;
  int fd;
  size_t outcome;
  size_t answer_bytes;
  char answer[ANSWER_BYTES];
};

struct open_loop {
  struct sockaddr_in address;
  const struct account *owner;
  struct account visitor;  // logs in again and again, which ends its oldest sessions
  const char *token;       // of the owner's latest login
  uint64_t token_us;       // when it came
  size_t renewal;          // the owner's login that is in flight, by its index in the outcomes; 0: none
  const char *ids[OPEN_LOOP_ITEMS + OPEN_LOOP_STEADY_ITEMS];
  struct background *background;
  atomic_bool stopped;
  atomic_size_t sent;
  // What follows belongs to the thread until it has ended.
  struct client clients[CLIENTS];
  uint32_t unused[CLIENTS], kept[KEPT];  // stack and ring of indices
  size_t unused_count, kept_count, kept_first;
  int epoll;
  uint64_t started_us;
  struct open_loop_result result;
};

static struct open_loop_outcome *outcome_of(const struct open_loop *loop, const struct client *client)
{
  return &loop->result.outcomes[client->outcome];
}

static bool is_busy(const struct client *client)
{
  return client->state == CLIENT_CONNECTING || client->state == CLIENT_AWAITING;
}

// ---- connections ----

static uint32_t index_of(const struct open_loop *loop, const struct client *client)
{
  return (uint32_t)(client - loop->clients);
}

static void close_connection(struct open_loop *loop, struct client *client)
{
  close(client->fd);
  client->state = CLIENT_UNUSED;
  loop->unused[loop->unused_count++] = index_of(loop, client);
}

static void keep_connection(struct open_loop *loop, struct client *client)
{
  if (loop->kept_count == KEPT) {
    close_connection(loop, client);
    return;
  }
  client->state = CLIENT_KEPT;
  loop->kept[(loop->kept_first + loop->kept_count++) % KEPT] = index_of(loop, client);
}

// Returns the connection that was kept longest; NULL without one. Those that the gateway has closed meanwhile are left
// out: nothing is lost with them.
static struct client *take_kept(struct open_loop *loop)
{
  while (loop->kept_count > 0) {
    struct client *client = &loop->clients[loop->kept[loop->kept_first]];
    loop->kept_first = (loop->kept_first + 1) % KEPT;
    loop->kept_count--;
    char byte;
    if (recv(client->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN)
      return client;
    close_connection(loop, client);
  }
  return NULL;
}

static void watch(struct open_loop *loop, struct client *client, int operation, uint32_t events)
{
  struct epoll_event event = {.events = events, .data.u32 = index_of(loop, client)};
  cr_assert_eq(epoll_ctl(loop->epoll, operation, client->fd, &event), 0, "%s", strerror(errno));
}

// ---- outcomes ----

// Takes the token of the owner's login, where this is the answer to one.
static void renew_token(struct open_loop *loop, const struct client *client)
{
  static const char member[] = "\"accessToken\":\"";
  if (client->outcome != loop->renewal)
    return;
  loop->renewal = 0;
  const char *begin = strstr(client->answer, member);
  if (!open_loop_succeeded(outcome_of(loop, client)) || begin == NULL)
    return;
  begin += strlen(member);
  loop->token = text("%.*s", (int)strcspn(begin, "\""), begin);
  loop->token_us = clock_now_us();
}

static void end_request(struct open_loop *loop, struct client *client, int status)
{
  struct open_loop_outcome *outcome = outcome_of(loop, client);
  outcome->ended_us = clock_now_us();
  outcome->status = status;
  renew_token(loop, client);
}

static void note_first_failure(struct open_loop *loop, const struct open_loop_outcome *outcome, const char *why)
{
  static const char *const names[] = {"a read",
                                      "a change",
                                      "a create",
                                      "a create with a key",
                                      "a read of an account",
                                      "a login",
                                      "a read of an item that nobody changes"};
  if (loop->result.first_failure == NULL)
    loop->result.first_failure =
        text("%s after %.1f s: %s", names[outcome->kind], (double)(outcome->due_us - loop->started_us) / 1e6, why);
}

static void lose_request(struct open_loop *loop, struct client *client, const char *why)
{
  outcome_of(loop, client)->unapplied = client->state == CLIENT_CONNECTING;
  end_request(loop, client, 0);
  note_first_failure(loop, outcome_of(loop, client), why);
  close_connection(loop, client);
}

// Returns where the value of a header begins; NULL where there is none.
static const char *find_value(const char *head, const char *header)
{
  const char *found = strcasestr(head, header);
  return found == NULL ? NULL : found + strlen(header);
}

static void read_answer(struct open_loop *loop, struct client *client)
{
  const char *answer = client->answer;
  struct open_loop_outcome *outcome = outcome_of(loop, client);
  end_request(loop, client, (int)strtol(answer + strlen("HTTP/1.1 "), NULL, 10));
  if (open_loop_succeeded(outcome)) {
    uint64_t *value = outcome->kind == OPEN_LOOP_CHANGE ? &outcome->seen : &outcome->value;
    *value = item_value_in(answer);
    return;
  }
  outcome->retry_after = find_value(answer, "\r\nretry-after: ") != NULL;
  outcome->unapplied = strstr(answer, "\"reason\":\"NOT_APPLIED\"") != NULL;
  note_first_failure(loop, outcome, text("%s", answer));
}

static bool is_complete(const char *answer, size_t size)
{
  const char *end = strstr(answer, "\r\n\r\n");
  const char *length = end == NULL ? NULL : find_value(answer, "\r\ncontent-length: ");
  return length != NULL && size >= (size_t)(end - answer) + 4 + strtoul(length, NULL, 10);
}

// ---- requests ----

static enum open_loop_kind choose_kind(size_t number)
{
  size_t place = number % MIX;
  if (number % LOGIN_EVERY == MIX - 1)
    return OPEN_LOOP_LOGIN;
  if (place == MIX - 2)
    return OPEN_LOOP_ACCOUNT;
  if (place < MIX_CREATES)
    return place == 0 ? OPEN_LOOP_CREATE : OPEN_LOOP_KEYED_CREATE;
  if (place < MIX_CREATES + MIX_CHANGES)
    return OPEN_LOOP_CHANGE;
  return place % 2 == 0 ? OPEN_LOOP_READ : OPEN_LOOP_STEADY_READ;
}

static bool is_fresh(size_t number)
{
  return number / MIX % FRESH_EVERY == 0;
}

static const char *format_body(const struct open_loop *loop, const struct client *client, char body[256])
{
  const struct open_loop_outcome *outcome = &loop->result.outcomes[client->outcome];
  body[0] = '\0';
  switch (outcome->kind) {
  case OPEN_LOOP_CHANGE:
    return item_value_body(outcome->value, body);
  case OPEN_LOOP_CREATE:
  case OPEN_LOOP_KEYED_CREATE:
    snprintf(body, 256, "{\"sku\":\"%s-%zu\",\"name\":\"Thing\",\"category\":\"%s\"}", loop->result.word,
             client->outcome, loop->result.word);
    break;
  case OPEN_LOOP_LOGIN: {
    const struct account *account = client->outcome == loop->renewal ? loop->owner : &loop->visitor;
    snprintf(body, 256, "{\"email\":\"%s\",\"password\":\"%s\"}", account->email, account->password);
    break;
  }
  case OPEN_LOOP_READ:
  case OPEN_LOOP_STEADY_READ:
  case OPEN_LOOP_ACCOUNT:
  case OPEN_LOOP_KINDS:
    break;
  }
  return body;
}

static size_t format_request(const struct open_loop *loop, const struct client *client, char request[REQUEST_BYTES])
{
  static const char *const methods[] = {"GET", "PATCH", "POST", "POST", "GET", "POST", "GET"};
  static const char *const paths[] = {"/v1/items",    "/v1/items",      "/v1/items", "/v1/items",
                                      "/v1/users/me", "/v1/auth/login", "/v1/items"};
  const struct open_loop_outcome *outcome = &loop->result.outcomes[client->outcome];
  bool of_item =
      outcome->kind == OPEN_LOOP_READ || outcome->kind == OPEN_LOOP_CHANGE || outcome->kind == OPEN_LOOP_STEADY_READ;
  char body[256], path[64] = "", key[64] = "";
  (void)format_body(loop, client, body);
  if (of_item)
    snprintf(path, sizeof(path), "/%s", loop->ids[outcome->item]);
  if (outcome->kind == OPEN_LOOP_KEYED_CREATE)
    snprintf(key, sizeof(key), "Idempotency-Key: %s-%zu\r\n", loop->result.word, client->outcome);
  int size =
      snprintf(request, REQUEST_BYTES,
               "%s %s%s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n"
               "%sContent-Length: %zu\r\n\r\n%s",
               methods[outcome->kind], paths[outcome->kind], path, loop->token, key, strlen(body), body);
  cr_assert_lt(size, REQUEST_BYTES);
  return (size_t)size;
}

static void send_request(struct open_loop *loop, struct client *client)
{
  char request[REQUEST_BYTES];
  size_t size = format_request(loop, client, request);
  client->state = CLIENT_AWAITING;
  client->answer_bytes = 0;
  outcome_of(loop, client)->sent_us = clock_now_us();
  if (send(client->fd, request, size, MSG_NOSIGNAL) != (ssize_t)size)
    lose_request(loop, client, text("send: %s", strerror(errno)));
}

static void open_connection(struct open_loop *loop, struct client *client)
{
  const int on = 1;
  const struct sockaddr_in own = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(first_address + index_of(loop, client) % ADDRESSES)};
  client->state = CLIENT_CONNECTING;
  client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  cr_assert_geq(client->fd, 0, "%s", strerror(errno));
  setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  setsockopt(client->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
  cr_assert_eq(bind(client->fd, (const struct sockaddr *)&own, sizeof(own)), 0, "%s", strerror(errno));
  loop->result.connections++;
  watch(loop, client, EPOLL_CTL_ADD, EPOLLOUT);
  if (connect(client->fd, (const struct sockaddr *)&loop->address, sizeof(loop->address)) != 0 && errno != EINPROGRESS)
    lose_request(loop, client, text("connect: %s", strerror(errno)));
}

static void begin_request(struct open_loop *loop, uint64_t due_us)
{
  size_t number = loop->result.count++;
  struct open_loop_outcome *outcome = &loop->result.outcomes[number];
  *outcome = (struct open_loop_outcome){.kind = choose_kind(number),
                                        .item = (uint32_t)(number / 3 % OPEN_LOOP_ITEMS),
                                        .value = OPEN_LOOP_ITEMS + 1 + number,
                                        .due_us = due_us};
  if (outcome->kind == OPEN_LOOP_STEADY_READ)
    outcome->item = (uint32_t)(OPEN_LOOP_ITEMS + number / 3 % OPEN_LOOP_STEADY_ITEMS);
  if (outcome->kind == OPEN_LOOP_LOGIN && loop->renewal == 0 && due_us > loop->token_us + TOKEN_AGE_US)
    loop->renewal = number;
  struct client *kept = is_fresh(number) ? NULL : take_kept(loop);
  cr_assert(kept != NULL || loop->unused_count > 0, "more than %d requests are in flight", CLIENTS);
  struct client *client = kept != NULL ? kept : &loop->clients[loop->unused[--loop->unused_count]];
  client->outcome = number;
  if (kept == NULL)
    open_connection(loop, client);
  else
    send_request(loop, client);
  atomic_fetch_add(&loop->sent, 1);
}

// ---- events ----

static void finish_connecting(struct open_loop *loop, struct client *client)
{
  int error = 0;
  socklen_t size = sizeof(error);
  getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &error, &size);
  watch(loop, client, EPOLL_CTL_MOD, EPOLLIN);
  if (error != 0)
    lose_request(loop, client, text("connect: %s", strerror(error)));
  else
    send_request(loop, client);
}

static void take_answer(struct open_loop *loop, struct client *client)
{
  read_answer(loop, client);
  const char *connection = find_value(client->answer, "\r\nconnection: ");
  if (is_fresh(client->outcome) || (connection != NULL && strncasecmp(connection, "close", 5) == 0))
    close_connection(loop, client);
  else
    keep_connection(loop, client);
}

static void receive(struct open_loop *loop, struct client *client)
{
  char *place = client->answer + client->answer_bytes;
  ssize_t got = recv(client->fd, place, ANSWER_BYTES - 1 - client->answer_bytes, 0);
  if (got < 0 && errno == EAGAIN)
    return;
  if (got <= 0) {
    lose_request(loop, client, got == 0 ? "closed without an answer" : strerror(errno));
    return;
  }
  client->answer_bytes += (size_t)got;
  client->answer[client->answer_bytes] = '\0';
  if (is_complete(client->answer, client->answer_bytes))
    take_answer(loop, client);
}

static void handle_event(struct open_loop *loop, struct client *client)
{
  if (client->state == CLIENT_CONNECTING)
    finish_connecting(loop, client);
  else if (client->state == CLIENT_AWAITING)
    receive(loop, client);
  else if (client->state == CLIENT_KEPT)
    // The gateway has closed it, which take_kept finds; it is not reported again and again.
    watch(loop, client, EPOLL_CTL_DEL, 0);
}

// ---- the clock ----

static void give_up_what_is_late(struct open_loop *loop, uint64_t now_us)
{
  for (size_t i = 0; i < CLIENTS; i++)
    if (is_busy(&loop->clients[i]) && now_us > outcome_of(loop, &loop->clients[i])->due_us + PATIENCE_US)
      lose_request(loop, &loop->clients[i], "no answer");
}

static uint64_t due_at(const struct open_loop *loop)
{
  return loop->started_us + loop->result.count * UINT64_C(1000000) / OPEN_LOOP_PER_SECOND;
}

static void run_clients(void *arg)
{
  struct open_loop *loop = arg;
  struct epoll_event events[EVENTS];
  uint64_t looked_us = loop->started_us = clock_now_us();
  while (!atomic_load(&loop->stopped) || CLIENTS - loop->unused_count > loop->kept_count) {
    int count = epoll_wait(loop->epoll, events, EVENTS, 1);
    for (int i = 0; i < count; i++)
      handle_event(loop, &loop->clients[events[i].data.u32]);
    uint64_t now_us = clock_now_us();
    while (!atomic_load(&loop->stopped) && due_at(loop) <= now_us && loop->result.count < MOST_OUTCOMES)
      begin_request(loop, due_at(loop));
    if (now_us - looked_us > 100000)
      give_up_what_is_late(loop, looked_us = now_us);
  }
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

static void create_items(struct open_loop *loop)
{
  for (size_t i = 0; i < ARRAY_LEN(loop->ids); i++)
    loop->ids[i] =
        item_create(loop->owner, text("{\"sku\":\"%s\",\"name\":\"Lamp\",\"category\":\"v%zu\",\"quantity\":%zu}",
                                      fresh_word(), i + 1, i + 1));
}

struct open_loop *open_loop_start(const struct account *owner, const char *url)
{
  struct open_loop *loop = calloc(1, sizeof(*loop));
  cr_assert_not_null(loop);
  const char *port = strrchr(url == NULL ? need_variable("BULKHEAD_URL") : url, ':');
  loop->address = (struct sockaddr_in){.sin_family = AF_INET,
                                       .sin_port = htons((uint16_t)strtoul(port + 1, NULL, 10)),
                                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  loop->owner = owner;
  loop->token = owner->token;
  loop->token_us = clock_now_us();
  loop->visitor = account_create();
  loop->result.word = fresh_word();
  loop->result.outcomes = calloc(MOST_OUTCOMES, sizeof(*loop->result.outcomes));
  cr_assert_not_null(loop->result.outcomes);
  loop->epoll = epoll_create1(EPOLL_CLOEXEC);
  cr_assert_geq(loop->epoll, 0);
  allow_many_files();
  create_items(loop);
  while (loop->unused_count < CLIENTS) {
    loop->unused[loop->unused_count] = (uint32_t)loop->unused_count;
    loop->unused_count++;
  }
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

struct open_loop_result open_loop_stop(struct open_loop **loop_pointer)
{
  struct open_loop *loop = *loop_pointer;
  *loop_pointer = NULL;
  atomic_store(&loop->stopped, true);
  background_join(loop->background);
  for (size_t i = 0; i < CLIENTS; i++)
    if (loop->clients[i].state == CLIENT_KEPT)
      close(loop->clients[i].fd);
  close(loop->epoll);
  struct open_loop_result result = loop->result;
  free(loop);
  return result;
}
