// Connections without TLS: which calls pass before and after both sides have proven their names, and what becomes of a
// server that lies.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/common/service_keys.h"
#include "tests/unit/rpc/harness.h"

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
