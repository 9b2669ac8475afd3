// Endpoints that come, go, break, drain and return.
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/rpc/client_internal.h"
#include "tests/support/common/read_metric.h"
#include "tests/unit/rpc/harness.h"

// A process that takes a connection as an nng REP socket would, answers the first message with an ack, and then reads
// without ever replying. It speaks by hand (https://nanomsg.org/rfcs/sp-tcp-v1.html), because nng does not run in a
// forked child: a greeting of 8 bytes, then messages of a length, nng's header of 4 bytes and a packet.
static void serve_in_silence(int listener)
{
  static const char greeting[8] = {0, 'S', 'P', 0, 0, 0x31, 0, 0};
  static const char ack[] = "\0\0\0\0\0\0\0\x06\x80\0\0\x01\x10\x01";
  char buffer[4096];
  int connection = accept(listener, NULL, NULL);
  if (connection < 0 || write(connection, greeting, sizeof(greeting)) != sizeof(greeting))
    _exit(1);
  if (recv(connection, buffer, sizeof(greeting), MSG_WAITALL) <= 0 || read(connection, buffer, sizeof(buffer)) <= 0 ||
      write(connection, ack, sizeof(ack) - 1) <= 0)
    _exit(1);
  while (read(connection, buffer, sizeof(buffer)) > 0)
    continue;
  _exit(0);
}

static pid_t fork_silent_server(int *port)
{
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof(address);
  cr_assert_eq(bind(listener, (struct sockaddr *)&address, size), 0);
  cr_assert_eq(listen(listener, 1), 0);
  cr_assert_eq(getsockname(listener, (struct sockaddr *)&address, &size), 0);
  *port = ntohs(address.sin_port);
  pid_t child = fork();
  cr_assert_geq(child, 0);
  if (child == 0)
    serve_in_silence(listener);
  close(listener);
  return child;
}

static bool sent_frames(struct rig *rig, void *arg)
{
  (void)rig;
  struct slice label = SLICE("test");
  return read_metric(METRIC_RPC_CLIENT_FRAMES, &label, 1) >= *(int64_t *)arg;
}

Test(endpoints, a_killed_process_fails_its_calls_with_unavailable)
{
  enum { CALLS = 50 };  // two packets, of which the silent server acknowledges none
  int port;
  pid_t child = fork_silent_server(&port);
  struct rig rig = {0};
  rig.client = rpc_client_create(&(struct rpc_client_options){0});
  rig_set_endpoint(&rig, port);
  rig_until_ready(&rig, 1);
  static struct outcome outcomes[CALLS];
  for (size_t i = 0; i < CALLS; i++)
    rig_call(&rig, SLICE("x"), &outcomes[i]);
  int64_t all = 1 + CALLS;
  rig_until(&rig, sent_frames, &all);
  kill(child, SIGKILL);
  cr_assert_eq(waitpid(child, NULL, 0), child);
  // The deadlines are two minutes away; rig_until_done gives up after one.
  rig_until_done(&rig, outcomes, CALLS);
  for (size_t i = 0; i < CALLS; i++)
    cr_assert_eq(outcomes[i].code, STATUS_UNAVAILABLE);
  cr_assert_eq(rpc_client_ready_endpoints(rig.client, "test"), 0);
  struct slice label = SLICE("test");
  cr_assert_eq(read_metric(METRIC_RPC_ENDPOINT_LOST, &label, 1), 1);
  cr_assert_eq(read_metric(METRIC_RPC_CLIENT_IN_FLIGHT, &label, 1), 0);
  rig_stop(&rig);
}

Test(endpoints, the_client_comes_back_to_a_server_that_came_back)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.answering = ANSWER_LATER});
  int port = rpc_server_port(rig.server);
  struct outcome lost, later;
  rig_call(&rig, SLICE("lost"), &lost);
  rig_until_kept(&rig, 1);
  rig_reply_all(&rig);
  // The reply is not flushed: it is gone with the server.
  rpc_server_free(&rig.server);
  rig_until_done(&rig, &lost, 1);
  cr_assert_eq(lost.code, STATUS_UNAVAILABLE);
  rig_until_ready(&rig, 0);
  char url[64];
  snprintf(url, sizeof(url), "tcp://127.0.0.1:%d", port);
  rig.server = rig_listen(&rig, url, &(struct rig_options){0});
  rig.answering = ANSWER_AT_ONCE;
  size_t requests_before = rig.requests;
  rig_until_ready(&rig, 1);
  rig_call(&rig, SLICE("later"), &later);
  rig_until_done(&rig, &later, 1);
  cr_assert_eq(later.code, STATUS_OK);
  // Nothing of the old connection was delivered to the new server.
  cr_assert_eq(rig.requests - requests_before, 1);
  rig_stop(&rig);
}

static bool has_reply(struct rig *rig, void *arg)
{
  struct pollfd fd = {.fd = rpc_client_fd(rig->client), .events = POLLIN};
  (void)arg;
  return poll(&fd, 1, 0) == 1;
}

Test(endpoints, a_reply_that_came_before_the_end_of_its_connection_counts)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.answering = ANSWER_LATER});
  struct outcome outcome;
  rig_call(&rig, SLICE("x"), &outcome);
  rig_until_kept(&rig, 1);
  rig.client_stopped = true;
  cr_assert_not(has_reply(&rig, NULL));
  rig_reply_all(&rig);
  rig_until(&rig, has_reply, NULL);
  rpc_server_free(&rig.server);
  rig.client_stopped = false;
  rig_until_done(&rig, &outcome, 1);
  cr_assert_eq(outcome.code, STATUS_OK);
  rig_until_ready(&rig, 0);
  rig_stop(&rig);
}

// The file of a certificate may come later than the process.
Test(endpoints, one_whose_dial_cannot_even_start_is_tried_again_later)
{
  struct rig rig = {.client = rpc_client_create(&(struct rpc_client_options){.tls.ca_file = "/nonexistent"})};
  struct rpc_endpoint endpoint = {.id = SLICE("x"), .url = SLICE("tls+tcp://127.0.0.1:1")};
  rpc_client_set_endpoints(rig.client, "test", &endpoint, 1);
  uint64_t last_us = 0;
  for (int i = 0; i < 3; i++) {
    uint64_t next_us = rpc_client_next_timeout_us(rig.client);
    cr_assert_neq(next_us, DEADLINE_NONE);
    cr_assert_gt(next_us, last_us);
    rpc_client_process(rig.client, next_us);
    last_us = next_us;
  }
  rig_stop(&rig);
}

Test(endpoints, a_call_waits_for_the_first_connection)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.without_client = true});
  rig.client = rpc_client_create(&(struct rpc_client_options){0});
  static struct outcome outcomes[3];
  for (size_t i = 0; i < 3; i++)
    rig_call(&rig, SLICE("x"), &outcomes[i]);
  rig_set_endpoint(&rig, rpc_server_port(rig.server));
  rig_until_done(&rig, outcomes, 3);
  for (size_t i = 0; i < 3; i++) {
    cr_assert_eq(outcomes[i].code, STATUS_OK);
    cr_assert_eq(outcomes[i].order, i + 1);
  }
  rig_stop(&rig);
}

Test(endpoints, without_any_a_call_ends_with_unavailable_after_a_second)
{
  struct rig rig = {.client = rpc_client_create(&(struct rpc_client_options){0})};
  struct outcome outcome;
  uint64_t before_us = clock_now_us();
  rig_call(&rig, SLICE("x"), &outcome);
  uint64_t after_us = clock_now_us();
  rpc_client_process(rig.client, before_us + 999999);
  cr_assert(!outcome.done);
  rpc_client_process(rig.client, after_us + 1000000);
  cr_assert(outcome.done);
  cr_assert_eq(outcome.code, STATUS_UNAVAILABLE);
  rig_stop(&rig);
}

Test(endpoints, a_waiting_call_can_be_cancelled)
{
  struct rig rig = {.client = rpc_client_create(&(struct rpc_client_options){0})};
  struct outcome outcome;
  rpc_call_cancel(rig_call(&rig, SLICE("x"), &outcome));
  rpc_client_process(rig.client, clock_now_us() + 10 * UINT64_C(1000000));
  cr_assert(!outcome.done);
  cr_assert_eq(rpc_client_next_timeout_us(rig.client), DEADLINE_NONE);
  rig_stop(&rig);
}

Test(endpoints, one_that_is_no_longer_listed_finishes_its_calls_and_gets_no_new_ones)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.answering = ANSWER_LATER});
  struct outcome old, new;
  rig_call(&rig, SLICE("old"), &old);
  rig_until_kept(&rig, 1);
  rpc_client_set_endpoints(rig.client, "test", NULL, 0);
  cr_assert_eq(rpc_client_ready_endpoints(rig.client, "test"), 0);
  rig_call(&rig, SLICE("new"), &new);
  rig_reply_all(&rig);
  rig_until_done(&rig, &old, 1);
  cr_assert_eq(old.code, STATUS_OK);
  rig_until_done(&rig, &new, 1);
  cr_assert_eq(new.code, STATUS_UNAVAILABLE);
  cr_assert_eq(rig.requests, 1);
  rig_stop(&rig);
}

Test(endpoints, setting_the_same_list_again_leaves_the_connection_alone)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.answering = ANSWER_LATER});
  struct outcome outcome;
  rig_call(&rig, SLICE("x"), &outcome);
  rig_until_kept(&rig, 1);
  rig_set_endpoint(&rig, rpc_server_port(rig.server));
  cr_assert_eq(rpc_client_ready_endpoints(rig.client, "test"), 1);
  rig_reply_all(&rig);
  rig_until_done(&rig, &outcome, 1);
  cr_assert_eq(outcome.code, STATUS_OK);
  rig_stop(&rig);
}

static bool server_idle(struct rig *rig, void *arg)
{
  (void)arg;
  return rpc_server_idle(rig->server) && rpc_server_calls_in_flight(rig->server) == 0;
}

Test(endpoints, draining_finishes_what_runs_and_what_was_on_its_way)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.answering = ANSWER_LATER});
  static struct outcome running[10];
  struct outcome late;
  for (size_t i = 0; i < 10; i++)
    rig_call(&rig, SLICE("x"), &running[i]);
  rig_until_kept(&rig, 10);
  // The late call leaves before the client can have heard of the drain.
  rpc_server_drain(rig.server);
  rig_call(&rig, SLICE("late"), &late);
  rpc_client_flush(rig.client);
  rig_until_kept(&rig, 11);
  rig_until_ready(&rig, 0);
  rig_reply_all(&rig);
  rig_until(&rig, server_idle, NULL);
  // Idle while draining says that the client has everything: it may be killed now.
  rpc_server_free(&rig.server);
  rig_until_done(&rig, running, 10);
  rig_until_done(&rig, &late, 1);
  cr_assert_eq(late.code, STATUS_OK);
  for (size_t i = 0; i < 10; i++)
    cr_assert_eq(running[i].code, STATUS_OK);
  rig_stop(&rig);
}

// A second server beside the rig's own, turned with it.
struct pair {
  struct rig *second;
  size_t ready;
  size_t outcomes;
};

static bool are_ready(struct rig *rig, void *arg)
{
  struct pair *pair = arg;
  rig_turn(pair->second);
  return rpc_client_ready_endpoints(rig->client, "test") == pair->ready;
}

static bool are_done(struct rig *rig, void *arg)
{
  struct pair *pair = arg;
  rig_turn(pair->second);
  return rig->outcomes == pair->outcomes;
}

// Starts a server in each rig, and a client of both in the first one.
static void start_pair(struct rig *a, struct rig *b, struct pair *pair)
{
  rig_start(a, &(struct rig_options){.without_client = true});
  rig_start(b, &(struct rig_options){.without_client = true});
  a->client = rpc_client_create(&(struct rpc_client_options){0});
  char urls[2][64];
  snprintf(urls[0], sizeof(urls[0]), "tcp://127.0.0.1:%d", rpc_server_port(a->server));
  snprintf(urls[1], sizeof(urls[1]), "tcp://127.0.0.1:%d", rpc_server_port(b->server));
  struct rpc_endpoint endpoints[] = {
      {.id = SLICE("a"), .url = slice_from_string(urls[0])},
      {.id = SLICE("b"), .url = slice_from_string(urls[1])},
  };
  rpc_client_set_endpoints(a->client, "test", endpoints, 2);
  *pair = (struct pair){.second = b, .ready = 2};
  rig_until(a, are_ready, pair);
}

Test(endpoints, calls_spread_over_all_of_them)
{
  enum { CALLS = 100 };
  struct rig a, b;
  struct pair pair;
  start_pair(&a, &b, &pair);
  static struct outcome outcomes[CALLS];
  for (size_t i = 0; i < CALLS; i++) {
    rig_call(&a, SLICE("x"), &outcomes[i]);
    if (i % 10 == 9)
      rpc_client_flush(a.client);
  }
  pair.outcomes = CALLS;
  rig_until(&a, are_done, &pair);
  cr_assert_eq(a.requests, CALLS / 2);
  cr_assert_eq(b.requests, CALLS / 2);
  rig_stop(&a);
  rig_stop(&b);
}

Test(endpoints, the_calls_of_one_turn_go_to_one_of_them)
{
  enum { CALLS = 10 };
  struct rig a, b;
  struct pair pair;
  start_pair(&a, &b, &pair);
  static struct outcome outcomes[CALLS];
  for (size_t i = 0; i < CALLS; i++)
    rig_call(&a, SLICE("x"), &outcomes[i]);
  pair.outcomes = CALLS;
  rig_until(&a, are_done, &pair);
  cr_assert_eq(a.requests * b.requests, 0, "%zu and %zu", a.requests, b.requests);
  cr_assert_eq(a.requests + b.requests, CALLS);
  rig_stop(&a);
  rig_stop(&b);
}

static bool has_cancels(struct rig *rig, void *arg)
{
  return rig->cancels == *(size_t *)arg;
}

Test(endpoints, a_client_that_goes_cancels_its_requests)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.answering = ANSWER_LATER});
  static struct outcome outcomes[5];
  for (size_t i = 0; i < 5; i++)
    rig_call(&rig, SLICE("x"), &outcomes[i]);
  rig_until_kept(&rig, 5);
  rpc_client_free(&rig.client);
  size_t five = 5;
  rig_until(&rig, has_cancels, &five);
  cr_assert_eq(rpc_server_calls_in_flight(rig.server), 5, "a reply is still due");
  rig_reply_all(&rig);
  cr_assert_eq(rpc_server_calls_in_flight(rig.server), 0);
  cr_assert(rpc_server_idle(rig.server));
  rig_stop(&rig);
}

Test(endpoints, a_port_that_is_taken_is_an_error_that_names_it)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.without_client = true});
  char url[64];
  snprintf(url, sizeof(url), "tcp://127.0.0.1:%d", rpc_server_port(rig.server));
  struct rpc_server_options options = {.listen_url = url};
  struct rpc_server *second = NULL;
  struct error error;
  cr_assert_eq(rpc_server_create(&options, &second, &error), STATUS_ALREADY_EXISTS);
  cr_assert_not_null(strstr(error.message, url));
  options.listen_url = "nonsense://x";
  cr_assert_eq(rpc_server_create(&options, &second, &error), STATUS_INVALID_ARGUMENT);
  rig_stop(&rig);
}

Test(endpoints, unix_sockets_work_too)
{
  char url[64];
  snprintf(url, sizeof(url), "ipc:///tmp/bulkhead-test-%d.sock", (int)getpid());
  struct rig rig = {0};
  rig.server = rig_listen(&rig, url, &(struct rig_options){0});
  cr_assert_eq(rpc_server_port(rig.server), 0);
  rig.client = rpc_client_create(&(struct rpc_client_options){0});
  struct rpc_endpoint endpoint = {.id = SLICE("x"), .url = slice_from_string(url)};
  rpc_client_set_endpoints(rig.client, "test", &endpoint, 1);
  rig_until_ready(&rig, 1);
  struct outcome outcome;
  rig_call(&rig, SLICE("x"), &outcome);
  rig_until_done(&rig, &outcome, 1);
  cr_assert_eq(outcome.code, STATUS_OK);
  rig_stop(&rig);
}
