// tls+tcp: who has no certificate of our CA, or one of another service, gets nowhere; who does harm ends only the own
// connection.
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/rpc/client_internal.h"
#include "common/rpc/connection_internal.h"
#include "tests/support/common/certificates.h"
#include "tests/support/common/read_metric.h"
#include "tests/unit/rpc/harness.h"

// A rig whose sides have certificates of one authority, until the test says otherwise.
struct tls_rig {
  struct rig rig;
  struct authority *authority;
  struct rpc_tls server;
  struct rpc_tls client;
};

static void prepare(struct tls_rig *tls)
{
  *tls = (struct tls_rig){.authority = authority_create()};
  tls->server.ca_file = tls->client.ca_file = authority_file(tls->authority);
  tls->server.cert_key_file = tls->client.cert_key_file = authority_issue_test(tls->authority);
}

static void start(struct tls_rig *tls)
{
  tls->rig.server = rig_listen(&tls->rig, "tls+tcp://127.0.0.1:0", &(struct rig_options){.tls = tls->server});
  tls->rig.client = rpc_client_create(&(struct rpc_client_options){.tls = tls->client});
  char url[64];
  snprintf(url, sizeof(url), "tls+tcp://127.0.0.1:%d", rpc_server_port(tls->rig.server));
  struct rpc_endpoint endpoint = {.id = SLICE("x"), .url = slice_from_string(url)};
  rpc_client_set_endpoints(tls->rig.client, "test", &endpoint, 1);
}

static void stop(struct tls_rig *tls)
{
  rig_stop(&tls->rig);
  authority_free(&tls->authority);
}

static void call(struct tls_rig *tls, enum status expected)
{
  struct outcome outcome = {0};
  rig_call(&tls->rig, SLICE("secret"), &outcome);
  rig_until_done(&tls->rig, &outcome, 1);
  cr_assert_eq(outcome.code, expected, "%s: %s", status_name(outcome.code), outcome.message);
}

static void expect_service(struct tls_rig *tls)
{
  start(tls);
  rig_until_ready(&tls->rig, 1);
  call(tls, STATUS_OK);
  stop(tls);
}

// A call that does not get through waits for an endpoint a second, and then no longer.
static void expect_refusal(struct tls_rig *tls)
{
  start(tls);
  call(tls, STATUS_UNAVAILABLE);
  cr_assert_eq(tls->rig.requests, 0);
  stop(tls);
}

// ---- who is let in ----

Test(tls, both_sides_show_certificates_and_are_let_in)
{
  struct tls_rig tls;
  prepare(&tls);
  expect_service(&tls);
}

Test(tls, each_side_knows_the_name_that_the_other_has_proven)
{
  struct tls_rig tls;
  prepare(&tls);
  tls.client.cert_key_file = authority_issue(tls.authority, "gateway.pem", "bulkhead://service/gateway", 1);
  start(&tls);
  rig_until_ready(&tls.rig, 1);
  const struct endpoint *endpoint = endpoint_of(tls.rig.client->channels->candidates[0]);
  cr_assert(slice_equal(packet_stream_peer(endpoint->stream), SLICE("test")));
  stop(&tls);
}

Test(tls, a_client_without_a_certificate_is_refused)
{
  struct tls_rig tls;
  prepare(&tls);
  tls.client.cert_key_file = NULL;
  expect_refusal(&tls);
}

Test(tls, a_client_with_a_certificate_of_another_authority_is_refused)
{
  struct tls_rig tls;
  prepare(&tls);
  struct authority *stranger = authority_create();
  tls.client.cert_key_file = authority_issue_test(stranger);
  expect_refusal(&tls);
  authority_free(&stranger);
}

Test(tls, a_server_with_a_certificate_of_another_authority_is_not_talked_to)
{
  struct tls_rig tls;
  prepare(&tls);
  struct authority *stranger = authority_create();
  tls.server.cert_key_file = authority_issue_test(stranger);
  expect_refusal(&tls);
  authority_free(&stranger);
}

// Whoever can register in Consul can say that it is "test", but it has no certificate that says so.
Test(tls, a_server_that_is_another_service_is_not_talked_to)
{
  struct tls_rig tls;
  prepare(&tls);
  tls.server.cert_key_file = authority_issue(tls.authority, "other.pem", "bulkhead://service/other", 1);
  expect_refusal(&tls);
}

Test(tls, a_certificate_that_names_no_service_is_refused)
{
  struct tls_rig tls;
  prepare(&tls);
  tls.client.cert_key_file = authority_issue(tls.authority, "nobody.pem", "https://example.com/test", 1);
  expect_refusal(&tls);
}

Test(tls, a_client_whose_certificate_has_expired_is_refused)
{
  struct tls_rig tls;
  prepare(&tls);
  tls.client.cert_key_file = authority_issue(tls.authority, "old.pem", "bulkhead://service/test", 0);
  expect_refusal(&tls);
}

Test(tls, a_server_whose_certificate_has_expired_is_not_talked_to)
{
  struct tls_rig tls;
  prepare(&tls);
  tls.server.cert_key_file = authority_issue(tls.authority, "old.pem", "bulkhead://service/test", 0);
  expect_refusal(&tls);
}

// ---- settings ----

static void expect_no_listener(const char *url, const struct rpc_tls *tls, const char *reason)
{
  const struct rpc_server_options options = {.listen_url = url, .tls = *tls};
  struct rpc_server *server;
  struct error error;
  cr_assert_eq(rpc_server_create(&options, &server, &error), STATUS_INVALID_ARGUMENT);
  cr_assert_not_null(strstr(error.message, reason), "%s", error.message);
}

Test(tls, a_listener_refuses_settings_that_would_not_protect_it)
{
  struct tls_rig tls;
  prepare(&tls);
  const char *url = "tls+tcp://127.0.0.1:0";
  expect_no_listener(url, &(struct rpc_tls){0}, "RPC_TLS_CA");
  expect_no_listener(url, &(struct rpc_tls){.ca_file = tls.server.ca_file}, "RPC_TLS_CERT_KEY");
  expect_no_listener(url, &(struct rpc_tls){"/nonexistent", tls.server.cert_key_file}, "/nonexistent");
  expect_no_listener(url, &(struct rpc_tls){tls.server.ca_file, tls.server.ca_file}, "certificate and its key");
  expect_no_listener("tcp://127.0.0.1:0", &tls.server, "RPC_TLS_CA");
  authority_free(&tls.authority);
}

Test(tls, a_client_with_certificates_dials_nobody_without_encryption)
{
  struct tls_rig tls;
  prepare(&tls);
  rig_start(&tls.rig, &(struct rig_options){.without_client = true});
  tls.rig.client = rpc_client_create(&(struct rpc_client_options){.tls = tls.client});
  rig_set_endpoint(&tls.rig, rpc_server_port(tls.rig.server));
  call(&tls, STATUS_UNAVAILABLE);
  cr_assert_eq(tls.rig.requests, 0);
  stop(&tls);
}

// ---- files that change ----

// Ends all connections of the server, so that the client dials again, and waits until it is ready.
static void restart_server(struct tls_rig *tls)
{
  char url[64];
  snprintf(url, sizeof(url), "tls+tcp://127.0.0.1:%d", rpc_server_port(tls->rig.server));
  rpc_server_free(&tls->rig.server);
  rig_until_ready(&tls->rig, 0);
  tls->rig.server = rig_listen(&tls->rig, url, &(struct rig_options){.tls = tls->server});
  rig_until_ready(&tls->rig, 1);
}

Test(tls, a_client_uses_the_files_as_they_are_when_it_dials)
{
  struct tls_rig tls;
  prepare(&tls);
  tls.client.cert_key_file = authority_issue(tls.authority, "client.pem", "https://example.com", 1);
  start(&tls);
  call(&tls, STATUS_UNAVAILABLE);
  authority_issue(tls.authority, "client.pem", "bulkhead://service/gateway", 1);
  rig_until_ready(&tls.rig, 1);
  call(&tls, STATUS_OK);
  stop(&tls);
}

static void break_file(const char *path)
{
  char temporary[128];
  snprintf(temporary, sizeof(temporary), "%s.new", path);
  FILE *out = fopen(temporary, "we");
  cr_assert(out != NULL && fputs("no certificate", out) >= 0 && fclose(out) == 0);
  cr_assert_eq(rename(temporary, path), 0);
}

static int64_t files_that_failed(void)
{
  return read_metric(METRIC_TLS_FILES_READ, (struct slice[]){SLICE("failed")}, 1);
}

Test(tls, a_broken_file_leaves_the_old_one_in_use)
{
  struct tls_rig tls;
  prepare(&tls);
  tls.client.cert_key_file = authority_issue(tls.authority, "client.pem", "bulkhead://service/gateway", 1);
  start(&tls);
  rig_until_ready(&tls.rig, 1);
  break_file(tls.client.cert_key_file);
  restart_server(&tls);
  call(&tls, STATUS_OK);
  cr_assert_eq(files_that_failed(), 1);
  stop(&tls);
}

Test(tls, a_server_takes_a_new_certificate_without_a_restart)
{
  struct tls_rig tls;
  prepare(&tls);
  tls.server.cert_key_file = authority_issue(tls.authority, "server.pem", "bulkhead://service/other", 1);
  start(&tls);
  call(&tls, STATUS_UNAVAILABLE);
  authority_issue(tls.authority, "server.pem", "bulkhead://service/test", 1);
  rig_until_ready(&tls.rig, 1);
  call(&tls, STATUS_OK);
  stop(&tls);
}

// ---- large messages ----

// Many records of TLS, each of which waits for room in the socket's buffers.
Test(tls, large_packets_go_both_ways)
{
  enum { CALLS = 4, PAYLOAD = 2 * 1024 * 1024 };
  struct tls_rig tls;
  prepare(&tls);
  start(&tls);
  rig_until_ready(&tls.rig, 1);
  static struct outcome outcomes[CALLS];
  char *bytes = malloc(PAYLOAD);
  memset(bytes, 'x', PAYLOAD);
  for (size_t i = 0; i < CALLS; i++)
    rig_call(&tls.rig, slice_make(bytes, PAYLOAD - i), &outcomes[i]);
  rig_until_done(&tls.rig, outcomes, CALLS);
  for (size_t i = 0; i < CALLS; i++) {
    cr_assert_eq(outcomes[i].code, STATUS_OK);
    cr_assert_eq(outcomes[i].payload_size, PAYLOAD - i);
    cr_assert_arr_eq(outcomes[i].payload, bytes, sizeof(outcomes[i].payload));
  }
  free(bytes);
  stop(&tls);
}

// The client goes on to send until the server, which does not read, has no room any more.
Test(tls, a_server_that_stands_still_gets_everything_once_it_goes_on)
{
  enum { CALLS = 32, PAYLOAD = 1024 * 1024 };
  struct tls_rig tls;
  prepare(&tls);
  start(&tls);
  rig_until_ready(&tls.rig, 1);
  static struct outcome outcomes[CALLS];
  char *bytes = malloc(PAYLOAD);
  memset(bytes, 'y', PAYLOAD);
  tls.rig.server_stopped = true;
  for (size_t i = 0; i < CALLS; i++) {
    rig_call(&tls.rig, slice_make(bytes, PAYLOAD), &outcomes[i]);
    rig_turn(&tls.rig);
  }
  cr_assert_eq(tls.rig.requests, 0);
  tls.rig.server_stopped = false;
  rig_until_done(&tls.rig, outcomes, CALLS);
  for (size_t i = 0; i < CALLS; i++)
    cr_assert_eq(outcomes[i].code, STATUS_OK);
  free(bytes);
  stop(&tls);
}

Test(tls, when_one_side_closes_the_calls_of_the_other_end)
{
  struct tls_rig tls;
  struct outcome outcome = {0};
  prepare(&tls);
  tls.rig.answering = ANSWER_LATER;
  start(&tls);
  rig_until_ready(&tls.rig, 1);
  rig_call(&tls.rig, SLICE("x"), &outcome);
  rig_until_kept(&tls.rig, 1);
  rpc_client_free(&tls.rig.client);
  cr_assert_eq(outcome.code, STATUS_CANCELLED);
  while (tls.rig.cancels == 0)
    rig_turn(&tls.rig);
  rig_reply_all(&tls.rig);
  stop(&tls);
}

// ---- strangers ----

static int dial_by_hand(struct tls_rig *tls)
{
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in address = {.sin_family = AF_INET,
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                .sin_port = htons((uint16_t)rpc_server_port(tls->rig.server))};
  cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
  return fd;
}

static bool has_ended(struct rig *rig, void *arg)
{
  (void)rig;
  char bytes[4096];
  int fd = *(int *)arg;
  ssize_t got;
  while ((got = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
    continue;
  return got == 0 || errno != EAGAIN;
}

static int64_t refusals(void)
{
  return read_metric(METRIC_RPC_REFUSED, (struct slice[]){SLICE("tls")}, 1);
}

// Sends the bytes over a connection of its own, and expects that it ends and that nothing else does.
static void expect_hang_up(struct tls_rig *tls, struct slice bytes)
{
  int64_t before = refusals();
  int fd = dial_by_hand(tls);
  cr_assert_eq(send(fd, bytes.data, bytes.size, MSG_NOSIGNAL), (ssize_t)bytes.size);
  rig_until(&tls->rig, has_ended, &fd);
  close(fd);
  cr_assert_eq(refusals(), before + 1);
  cr_assert_eq(rpc_client_ready_endpoints(tls->rig.client, "test"), 1);
  call(tls, STATUS_OK);
}

Test(tls, a_stranger_who_speaks_no_tls_ends_only_his_own_connection)
{
  struct tls_rig tls;
  prepare(&tls);
  start(&tls);
  rig_until_ready(&tls.rig, 1);
  expect_hang_up(&tls, SLICE("\0SP\0\0\x30\0\0"));
  expect_hang_up(&tls, SLICE("GET / HTTP/1.1\r\n\r\n"));
  // A record that says it has 65,535 bytes, and one of a handshake that holds none.
  expect_hang_up(&tls, SLICE("\x16\x03\x01\xff\xff"));
  expect_hang_up(&tls, SLICE("\x16\x03\x01\x00\x04\xff\xff\xff\xff"));
  stop(&tls);
}

// What a stranger has begun does not keep others out, however many there are.
Test(tls, handshakes_that_stand_still_make_room_for_others)
{
  enum { STRANGERS = 600 };
  static int fds[STRANGERS];
  struct tls_rig tls;
  prepare(&tls);
  start(&tls);
  for (size_t i = 0; i < STRANGERS; i++) {
    fds[i] = dial_by_hand(&tls);
    cr_assert_eq(send(fds[i], "\x16\x03\x01", 3, MSG_NOSIGNAL), 3);
  }
  rig_until(&tls.rig, has_ended, &fds[0]);
  rig_until_ready(&tls.rig, 1);
  call(&tls, STATUS_OK);
  for (size_t i = 0; i < STRANGERS; i++)
    close(fds[i]);
  stop(&tls);
}

Test(tls, a_listener_closes_although_a_handshake_stands_still)
{
  struct tls_rig tls;
  prepare(&tls);
  start(&tls);
  int fd = dial_by_hand(&tls);
  rig_until_ready(&tls.rig, 1);
  stop(&tls);
  close(fd);
}
