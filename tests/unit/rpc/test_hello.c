// Connections without TLS: which calls pass before and after both sides have proven their names, and what becomes of a
// server that lies.
#include <criterion/criterion.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/observe/metrics.h"
#include "common/rpc/greeting_internal.h"
#include "common/rpc/packet_internal.h"
#include "tests/support/common/read_metric.h"
#include "tests/support/common/service_keys.h"
#include "tests/unit/rpc/harness.h"
#include "tests/unit/rpc/raw_peer.h"

static void expect_never_ready(struct rig *rig)
{
  struct outcome outcome = {0};
  rig_call(rig, SLICE("secret"), &outcome);
  rig_until_done(rig, &outcome, 1);
  cr_expect_eq(outcome.code, STATUS_UNAVAILABLE);
  cr_expect_str_eq(outcome.reason, RPC_NOT_APPLIED);
  cr_expect_eq(rpc_client_ready_endpoints(rig->client, "test"), 0);
  cr_expect_eq(rig->requests, 0);
}

// Starts a rig whose client expects the service "test", and whose server is `server`; NULL for one that proves nothing.
static void start_lying_rig(struct rig *rig, struct service_identity *server)
{
  *rig = (struct rig){.server_identity = server, .client_identity = service_keys_identity("tester")};
  rig->server = rig_listen(rig, "tcp://127.0.0.1:0", &(struct rig_options){0});
  if (server != NULL)
    service_identity_set_address(server, rig_url(rig));
  rig->client = rpc_client_create(&(struct rpc_client_options){.identity = rig->client_identity});
  rig_set_endpoint(rig, rpc_server_port(rig->server));
}

Test(hello, both_prove_their_names_and_calls_pass)
{
  struct rig rig;
  struct outcome outcome = {0};
  rig_start(&rig, &(struct rig_options){.with_hellos = true});
  rig_call(&rig, SLICE("hello"), &outcome);
  rig_until_done(&rig, &outcome, 1);
  cr_expect_eq(outcome.code, STATUS_OK);
  rig_stop(&rig);
}

Test(hello, a_server_of_another_name_gets_no_call)
{
  struct rig rig;
  start_lying_rig(&rig, service_keys_identity("probe"));
  expect_never_ready(&rig);
  rig_stop(&rig);
}

Test(hello, a_server_that_proves_nothing_gets_no_call)
{
  struct rig rig;
  start_lying_rig(&rig, NULL);
  expect_never_ready(&rig);
  rig_stop(&rig);
}

Test(hello, a_client_without_name_is_refused)
{
  struct rig rig;
  struct outcome outcome = {0};
  rig_start(&rig, &(struct rig_options){.with_hellos = true});
  struct rpc_client *proven = rig.client;
  rig.client = rpc_client_create(&(struct rpc_client_options){0});
  rig_set_endpoint(&rig, rpc_server_port(rig.server));
  rig_until_ready(&rig, 1);
  rig_call(&rig, SLICE("hello"), &outcome);
  rig_until_done(&rig, &outcome, 1);
  cr_expect_eq(outcome.code, STATUS_UNAUTHENTICATED);
  cr_expect_str_eq(outcome.reason, "UNPROVEN_CALLER");
  cr_expect_eq(rig.requests, 0);
  rpc_client_free(&rig.client);
  rig.client = proven;
  rig_stop(&rig);
}

static bool is_lost(struct rig *rig, void *arg)
{
  (void)arg;
  return rpc_client_ready_endpoints(rig->client, "test") == 0;
}

Test(hello, a_client_that_asks_on_without_name_loses_its_connection)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.with_hellos = true});
  struct rpc_client *proven = rig.client;
  struct outcome outcomes[40] = {0};
  rig.client = rpc_client_create(&(struct rpc_client_options){0});
  rig_set_endpoint(&rig, rpc_server_port(rig.server));
  rig_until_ready(&rig, 1);
  for (size_t i = 0; i < 40; i++)
    rig_call(&rig, SLICE("hello"), &outcomes[i]);
  rig_until(&rig, is_lost, NULL);
  rig_until_done(&rig, outcomes, 40);
  cr_expect_eq(rig.requests, 0);
  rpc_client_free(&rig.client);
  rig.client = proven;
  rig_stop(&rig);
}

// A client that connects while the server drains learns it with the server's proof, and sends it no call.
Test(hello, a_server_that_drains_says_so_after_its_proof)
{
  struct rig rig;
  struct outcome outcome = {0};
  rig_start(&rig, &(struct rig_options){.with_hellos = true});
  rpc_server_drain(rig.server);
  rpc_client_free(&rig.client);
  rig.client = rpc_client_create(&(struct rpc_client_options){.identity = rig.client_identity});
  rig_set_endpoint(&rig, rpc_server_port(rig.server));
  rig_call(&rig, SLICE("hello"), &outcome);
  rig_until_done(&rig, &outcome, 1);
  cr_expect_eq(outcome.code, STATUS_UNAVAILABLE);
  cr_expect_eq(rig.requests, 0);
  rig_stop(&rig);
}

// ---- strangers ----

static uint64_t count_refused(void)
{
  return (uint64_t)read_metric(METRIC_RPC_REFUSED, (struct slice[]){SLICE("hello")}, 1);
}

static bool is_refused(struct rig *rig, void *arg)
{
  (void)rig;
  return count_refused() == *(const uint64_t *)arg;
}

// Whatever a stranger sends, a connection takes little of it.
static void expect_refused_after(struct slice packet)
{
  struct rig rig;
  uint64_t expected = count_refused() + 1;
  rig_start(&rig, &(struct rig_options){.with_hellos = true, .without_client = true});
  nng_socket stranger = raw_dial(rpc_server_port(rig.server));
  for (size_t i = 0; i < 40; i++)
    raw_send(stranger, packet);
  rig_until(&rig, is_refused, &expected);
  cr_expect_eq(rig.requests, 0);
  rig_stop(&rig);
}

Test(hello, empty_packets_without_name_are_bounded)
{
  expect_refused_after((struct slice){0});
}

Test(hello, malformed_packets_without_name_are_bounded)
{
  expect_refused_after(SLICE("\x0a\xff"));
}

Test(hello, cancels_without_name_are_bounded)
{
  struct strbuf packet;
  strbuf_init(&packet, 0);
  rpc_frame_append(&packet, &(struct rpc_frame){.call_id = 7, .kind = RPC_FRAME_CANCEL});
  expect_refused_after(strbuf_slice(&packet));
  strbuf_free(&packet);
}

static bool is_watched(struct rig *rig, void *arg)
{
  (void)arg;
  return rpc_server_next_timeout_us(rig->server) != DEADLINE_NONE;
}

Test(hello, a_connection_must_be_proven_in_time)
{
  struct rig rig;
  uint64_t refused = count_refused();
  rig_start(&rig, &(struct rig_options){.with_hellos = true, .without_client = true});
  (void)raw_dial(rpc_server_port(rig.server));
  rig_until(&rig, is_watched, NULL);
  uint64_t begin_us = clock_now_us(), due_us;
  while ((due_us = rpc_server_next_timeout_us(rig.server)) != DEADLINE_NONE) {
    rpc_server_process(rig.server, due_us - 1);
    cr_expect_eq(count_refused(), refused);
    rpc_server_process(rig.server, due_us);
    if (due_us < begin_us + 9900 * UINT64_C(1000))
      cr_assert_eq(count_refused(), refused, "it has ten seconds");
    if (count_refused() != refused)
      break;
  }
  cr_expect_eq(count_refused(), refused + 1);
  rpc_server_process(rig.server, rpc_server_next_timeout_us(rig.server));
  cr_expect_eq(rpc_server_next_timeout_us(rig.server), DEADLINE_NONE);
  rig_stop(&rig);
}

Test(hello, a_proven_connection_outlives_the_time_for_hellos)
{
  struct rig rig;
  struct outcome outcome = {0};
  rig_start(&rig, &(struct rig_options){.with_hellos = true});
  rpc_server_process(rig.server, clock_now_us() + 2 * RPC_GREETING_TIMEOUT_MS * UINT64_C(1000));
  rig_call(&rig, SLICE("hello"), &outcome);
  rig_until_done(&rig, &outcome, 1);
  cr_expect_eq(outcome.code, STATUS_OK);
  rig_stop(&rig);
}

static bool is_readable(struct rig *rig, void *arg)
{
  (void)rig;
  return poll(&(struct pollfd){.fd = *(const int *)arg, .events = POLLIN}, 1, 0) == 1;
}

// The crowd comes in one turn of the server, after a client whose hello lies in the socket.
Test(hello, a_crowd_of_strangers_does_not_push_out_a_client_whose_hello_has_come)
{
  struct rig rig;
  int strangers[300];
  char byte;
  rig_start(&rig, &(struct rig_options){.with_hellos = true, .without_client = true});
  int port = rpc_server_port(rig.server);
  int client = raw_connect(port);
  raw_send_hello(client, rig.client_identity, rig_url(&rig));
  int server_fd = rpc_server_fd(rig.server);
  cr_assert_eq(poll(&(struct pollfd){.fd = server_fd, .events = POLLIN}, 1, 60000), 1);
  for (size_t i = 0; i < 300; i++)
    strangers[i] = raw_connect(port);
  rig_until(&rig, is_readable, &client);
  cr_expect_eq(recv(client, &byte, 1, 0), 1, "the server has closed the connection instead of answering the hello");
  close(client);
  for (size_t i = 0; i < 300; i++)
    close(strangers[i]);
  rig_stop(&rig);
}
