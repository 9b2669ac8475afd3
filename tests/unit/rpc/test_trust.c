// Connections whose other side is accepted no longer: its key was taken out of SERVICE_KEYS, its authority out of the
// file of authorities, or its certificate has expired. The time of one side is set ahead, so that it looks at once.
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/observe/metrics.h"
#include "common/rpc/client_internal.h"
#include "common/rpc/trust_internal.h"
#include "tests/support/common/certificates.h"
#include "tests/support/common/read_metric.h"
#include "tests/support/common/service_keys.h"
#include "tests/unit/rpc/harness.h"
#include "tests/unit/rpc/raw_peer.h"

// A server with two clients: the rig's own, which is dropped, and one that is not.
struct trust_rig {
  struct rig rig;
  struct rpc_client *other;
  char keys[32];                // the server's file of keys, without TLS
  struct authority *authority;  // of the server and of the other client, with TLS
  struct authority *second;     // of the rig's client
  uint64_t server_ahead_us;
};

static int64_t count_revoked(void)
{
  return read_single_metric(METRIC_RPC_REVOKED);
}

static void connect_client(struct trust_rig *trust, struct rpc_client *client, const char *url)
{
  struct rpc_client *kept = trust->rig.client;
  const struct rpc_endpoint endpoint = {.id = slice_from_string(url), .url = slice_from_string(url)};
  trust->rig.client = client;
  rpc_client_set_endpoints(client, "test", &endpoint, 1);
  rig_until_ready(&trust->rig, 1);
  trust->rig.client = kept;
}

static void start_with_keys(struct trust_rig *trust)
{
  *trust = (struct trust_rig){.keys = "/tmp/bulkhead-keys-XXXXXX"};
  close(mkstemp(trust->keys));
  service_keys_write(trust->keys, (const char *const[]){"test", "tester", "gateway", NULL});
  struct rig *rig = &trust->rig;
  rig->server_identity = service_keys_identity_by("test", trust->keys);
  rig->client_identity = service_keys_identity("tester");
  rig->server = rig_listen(rig, "tcp://127.0.0.1:0", &(struct rig_options){0});
  service_identity_set_address(rig->server_identity, rig_url(rig));
}

static void open_clients_with_keys(struct trust_rig *trust, struct service_identity *other)
{
  struct rig *rig = &trust->rig;
  rig->client = rpc_client_create(&(struct rpc_client_options){.identity = rig->client_identity});
  connect_client(trust, rig->client, rig_url(rig));
  trust->other = rpc_client_create(&(struct rpc_client_options){.identity = other});
  connect_client(trust, trust->other, rig_url(rig));
}

static void start_with_tls(struct trust_rig *trust)
{
  *trust = (struct trust_rig){.authority = authority_create(), .second = authority_create()};
  const char *both = authority_trust(trust->authority, "both.pem", trust->second);
  const struct rpc_tls tls = {both, authority_issue_test(trust->authority)};
  trust->rig.server = rig_listen(&trust->rig, "tls+tcp://127.0.0.1:0", &(struct rig_options){.tls = tls});
}

static const char *tls_url(const struct rpc_server *server, char out[64])
{
  snprintf(out, 64, "tls+tcp://127.0.0.1:%d", rpc_server_port(server));
  return out;
}

static struct rpc_client *open_client(struct trust_rig *trust, const char *ca_file, const char *cert_key_file)
{
  char url[64];
  struct rpc_client *client = rpc_client_create(&(struct rpc_client_options){.tls = {ca_file, cert_key_file}});
  connect_client(trust, client, tls_url(trust->rig.server, url));
  return client;
}

static const char *issue_second(struct trust_rig *trust)
{
  return authority_issue(trust->second, "client.pem", "bulkhead://service/tester", 1);
}

static void open_clients_with_tls(struct trust_rig *trust)
{
  const char *ca_file = authority_file(trust->authority);
  trust->rig.client = open_client(trust, ca_file, issue_second(trust));
  trust->other = open_client(trust, ca_file, authority_issue_test(trust->authority));
}

static void stop(struct trust_rig *trust)
{
  rpc_client_free(&trust->other);
  rig_stop(&trust->rig);
  if (trust->authority != NULL) {
    authority_free(&trust->authority);
    authority_free(&trust->second);
  } else {
    unlink(trust->keys);
  }
}

// Lets the server look at its clients as it does `ms` from now, and later than before.
static void look_as_server(struct trust_rig *trust, uint64_t ms)
{
  trust->server_ahead_us += ms * 1000;
  rpc_server_process(trust->rig.server, clock_now_us() + trust->server_ahead_us);
  rpc_server_flush(trust->rig.server);
}

// Lets a client look at its servers as it does after `looks` times RPC_RECHECK_MS from now.
static void look_as_client(struct rpc_client *client, unsigned looks)
{
  rpc_client_process(client, clock_now_us() + looks * (RPC_RECHECK_MS + 1) * UINT64_C(1000));
  rpc_client_flush(client);
}

static void expect_call(struct trust_rig *trust, struct rpc_client *client, enum status expected)
{
  struct rpc_client *kept = trust->rig.client;
  struct outcome outcome = {0};
  trust->rig.client = client;
  rig_call(&trust->rig, SLICE("x"), &outcome);
  rig_until_done(&trust->rig, &outcome, 1);
  trust->rig.client = kept;
  cr_expect_eq(outcome.code, expected, "%s: %s", status_name(outcome.code), outcome.message);
}

// Expects that the server has ended the one connection of the rig's client and takes none of its calls any more, while
// those in flight still end well and the other client notices nothing.
static void expect_dropped(struct trust_rig *trust, struct outcome *in_flight)
{
  struct rig *rig = &trust->rig;
  int64_t revoked = count_revoked();
  look_as_server(trust, RPC_RECHECK_MS + 1);
  cr_expect_eq(count_revoked(), revoked + 1);
  rig_until_ready(rig, 0);
  size_t requests = rig->requests;
  expect_call(trust, rig->client, STATUS_UNAVAILABLE);
  cr_expect_eq(rig->requests, requests);
  look_as_server(trust, RPC_REVOKED_RECHECK_MS + 1);
  rig->answering = ANSWER_AT_ONCE;
  rig_reply_all(rig);
  rig_until_done(rig, in_flight, 1);
  cr_expect_eq(in_flight->code, STATUS_OK, "%s", in_flight->message);
  expect_call(trust, trust->other, STATUS_OK);
  cr_expect_eq(count_revoked(), revoked + 1);
}

static void keep_call(struct trust_rig *trust, struct outcome *outcome)
{
  trust->rig.answering = ANSWER_LATER;
  rig_call(&trust->rig, SLICE("in flight"), outcome);
  rig_until_kept(&trust->rig, 1);
}

// ---- what a server no longer accepts ----

Test(trust, a_client_whose_key_is_taken_out_is_dropped)
{
  struct trust_rig trust;
  struct outcome outcome;
  start_with_keys(&trust);
  struct service_identity *gateway = service_keys_identity("gateway");
  open_clients_with_keys(&trust, gateway);
  keep_call(&trust, &outcome);
  service_keys_write(trust.keys, (const char *const[]){"test", "gateway", NULL});
  expect_dropped(&trust, &outcome);
  stop(&trust);
  service_identity_free(&gateway);
}

Test(trust, a_client_whose_authority_is_taken_out_is_dropped)
{
  struct trust_rig trust;
  struct outcome outcome;
  start_with_tls(&trust);
  open_clients_with_tls(&trust);
  keep_call(&trust, &outcome);
  authority_trust(trust.authority, "both.pem", NULL);
  expect_dropped(&trust, &outcome);
  stop(&trust);
}

// The client dials again once its connection has ended, and is refused.
static bool is_refused(struct rig *rig, void *arg)
{
  (void)rig;
  look_as_server(arg, RPC_RECHECK_MS + 1);
  return read_metric(METRIC_RPC_REFUSED, (struct slice[]){SLICE("tls")}, 1) != 0;
}

Test(trust, a_client_whose_certificate_expires_is_dropped)
{
  struct trust_rig trust;
  start_with_tls(&trust);
  const char *brief = authority_issue_briefly(trust.second, "client.pem", "bulkhead://service/tester", 10);
  trust.rig.client = open_client(&trust, authority_file(trust.authority), brief);
  expect_call(&trust, trust.rig.client, STATUS_OK);
  rig_until(&trust.rig, is_refused, &trust);
  cr_expect_neq(count_revoked(), 0);
  expect_call(&trust, trust.rig.client, STATUS_UNAVAILABLE);
  stop(&trust);
}

// What changes for others alone ends no connection.
Test(trust, a_file_that_changes_or_breaks_drops_nobody_who_is_in_it)
{
  struct trust_rig trust;
  int64_t revoked = count_revoked();
  start_with_keys(&trust);
  struct service_identity *gateway = service_keys_identity("gateway");
  open_clients_with_keys(&trust, gateway);
  service_keys_write(trust.keys, (const char *const[]){"item", "gateway", "tester", "test", NULL});
  look_as_server(&trust, RPC_RECHECK_MS + 1);
  unlink(trust.keys);
  look_as_server(&trust, RPC_RECHECK_MS + 1);
  expect_call(&trust, trust.rig.client, STATUS_OK);
  expect_call(&trust, trust.other, STATUS_OK);
  cr_expect_eq(count_revoked(), revoked);
  stop(&trust);
  service_identity_free(&gateway);
}

// ---- what a client no longer believes ----

// Returns how many connections the client has, or dials.
static size_t count_endpoints(const struct rpc_client *client)
{
  size_t count = 0;
  const struct list *members = &client->endpoints.members;
  for (const struct list *node = members->next; node != members; node = node->next)
    count++;
  return count;
}

Test(trust, a_server_whose_authority_is_taken_out_gets_no_call)
{
  struct trust_rig trust;
  struct outcome outcome;
  start_with_tls(&trust);
  const char *ca_file = authority_trust(trust.second, "client-ca.pem", trust.authority);
  trust.rig.client = open_client(&trust, ca_file, issue_second(&trust));
  trust.other = open_client(&trust, authority_file(trust.authority), authority_issue_test(trust.authority));
  keep_call(&trust, &outcome);
  authority_trust(trust.second, "client-ca.pem", NULL);
  look_as_client(trust.rig.client, 1);
  cr_expect_eq(rpc_client_ready_endpoints(trust.rig.client, "test"), 0);
  size_t requests = trust.rig.requests;
  expect_call(&trust, trust.rig.client, STATUS_UNAVAILABLE);
  cr_expect_eq(trust.rig.requests, requests);
  trust.rig.answering = ANSWER_AT_ONCE;
  rig_reply_all(&trust.rig);
  look_as_client(trust.rig.client, 1);
  cr_expect_eq(count_endpoints(trust.rig.client), 2, "a call is in flight over the old connection");
  rig_until_done(&trust.rig, &outcome, 1);
  cr_expect_eq(outcome.code, STATUS_OK);
  look_as_client(trust.rig.client, 2);
  cr_expect_eq(count_endpoints(trust.rig.client), 1, "the old connection is closed");
  look_as_client(trust.other, 1);
  expect_call(&trust, trust.other, STATUS_OK);
  stop(&trust);
}

Test(trust, a_server_whose_key_is_taken_out_gets_no_call)
{
  struct trust_rig trust;
  char keys[] = "/tmp/bulkhead-keys-XXXXXX";
  start_with_keys(&trust);
  close(mkstemp(keys));
  service_keys_write(keys, (const char *const[]){"test", "tester", NULL});
  service_identity_free(&trust.rig.client_identity);
  trust.rig.client_identity = service_keys_identity_by("tester", keys);
  open_clients_with_keys(&trust, trust.rig.client_identity);
  service_keys_write(keys, (const char *const[]){"tester", NULL});
  look_as_client(trust.rig.client, 1);
  size_t requests = trust.rig.requests;
  expect_call(&trust, trust.rig.client, STATUS_UNAVAILABLE);
  cr_expect_eq(trust.rig.requests, requests);
  unlink(keys);
  stop(&trust);
}

static bool are_both_ready(struct rig *rig, void *arg)
{
  struct rpc_server *later = arg;
  rpc_server_process(later, clock_now_us());
  rpc_server_flush(later);
  return rpc_client_ready_endpoints(rig->client, "test") == 2;
}

// The later one of two instances has a certificate of another authority. It is not turned any more, so a call that it
// gets does not end.
Test(trust, an_instance_whose_authority_is_taken_out_leaves_the_calls_to_the_other)
{
  enum { CALLS = 20 };
  struct trust_rig trust;
  struct outcome outcomes[CALLS];
  char urls[2][64];
  start_with_tls(&trust);
  struct rig *rig = &trust.rig;
  const char *ca_file = authority_trust(trust.second, "client-ca.pem", trust.authority);
  const struct rpc_tls tls = {ca_file, authority_issue_test(trust.second)};
  struct rpc_server *later = rig_listen(rig, "tls+tcp://127.0.0.1:0", &(struct rig_options){.tls = tls});
  const struct rpc_endpoint endpoints[] = {
      {.id = SLICE("first"), .url = slice_from_string(tls_url(rig->server, urls[0]))},
      {.id = SLICE("later"), .url = slice_from_string(tls_url(later, urls[1]))},
  };
  rig->client =
      rpc_client_create(&(struct rpc_client_options){.tls = {ca_file, authority_issue_test(trust.authority)}});
  rpc_client_set_endpoints(rig->client, "test", endpoints, 2);
  rig_until(rig, are_both_ready, later);
  cr_assert_eq(rename(authority_trust(trust.authority, "only.pem", NULL), ca_file), 0);
  look_as_client(rig->client, 1);
  cr_expect_eq(rpc_client_ready_endpoints(rig->client, "test"), 1);
  for (size_t i = 0; i < CALLS; i++)
    rig_call(rig, SLICE("x"), &outcomes[i]);
  rig_until_done(rig, outcomes, CALLS);
  for (size_t i = 0; i < CALLS; i++)
    cr_expect_eq(outcomes[i].code, STATUS_OK, "%s", outcomes[i].message);
  rpc_server_free(&later);
  stop(&trust);
}

// ---- rotations ----

// The client has a new certificate by the time at which its first one is accepted no longer.
Test(trust, a_client_with_a_new_certificate_loses_no_call)
{
  struct trust_rig trust;
  struct outcome in_flight, more[50];
  start_with_tls(&trust);
  open_clients_with_tls(&trust);
  keep_call(&trust, &in_flight);
  trust.rig.answering = ANSWER_AT_ONCE;
  const char *own = issue_second(&trust);
  cr_assert_eq(rename(authority_issue(trust.authority, "new.pem", "bulkhead://service/tester", 1), own), 0);
  authority_trust(trust.authority, "both.pem", NULL);
  look_as_server(&trust, RPC_RECHECK_MS + 1);
  for (size_t i = 0; i < 50; i++) {
    rig_call(&trust.rig, SLICE("more"), &more[i]);
    rig_turn(&trust.rig);
  }
  rig_until_done(&trust.rig, more, 50);
  look_as_server(&trust, RPC_REVOKED_RECHECK_MS + 1);
  look_as_server(&trust, RPC_REVOKED_RECHECK_MS + 1);
  rig_reply_all(&trust.rig);
  rig_until_done(&trust.rig, &in_flight, 1);
  cr_expect_eq(in_flight.code, STATUS_OK, "%s", in_flight.message);
  for (size_t i = 0; i < 50; i++)
    cr_expect_eq(more[i].code, STATUS_OK, "call %zu: %s", i, more[i].message);
  stop(&trust);
}

// ---- a thief ----

static void send_request(int fd)
{
  struct strbuf packet;
  strbuf_init(&packet, 0);
  rpc_frame_append(&packet,
                   &(struct rpc_frame){.call_id = 1, .kind = RPC_FRAME_REQUEST, .method = SLICE("test.v1.Test/Echo")});
  raw_send_packet(fd, strbuf_slice(&packet));
  strbuf_free(&packet);
}

static bool has_requests(struct rig *rig, void *arg)
{
  return rig->requests >= *(const size_t *)arg;
}

static bool is_answered(struct rig *rig, void *arg)
{
  char byte;
  (void)rig;
  return recv(*(const int *)arg, &byte, 1, MSG_DONTWAIT) == 1;
}

static void drop_input(int fd)
{
  char bytes[4096];
  while (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
    continue;
}

static bool has_ended(struct rig *rig, void *arg)
{
  char bytes[4096];
  (void)rig;
  ssize_t got = recv(*(const int *)arg, bytes, sizeof(bytes), MSG_DONTWAIT);
  return got == 0 || (got < 0 && errno != EAGAIN);
}

// A thief of a key has a connection from before the key was taken out. He acks nothing and goes on sending requests.
Test(trust, a_client_that_ignores_its_end_is_refused_and_closed)
{
  struct trust_rig trust;
  size_t one = 1;
  start_with_keys(&trust);
  struct rig *rig = &trust.rig;
  int thief = raw_connect(rpc_server_port(rig->server));
  raw_send_hello(thief, rig->client_identity, rig_url(rig));
  send_request(thief);
  rig_until(rig, has_requests, &one);
  service_keys_write(trust.keys, (const char *const[]){"test", NULL});
  look_as_server(&trust, RPC_RECHECK_MS + 1);
  look_as_server(&trust, RPC_REVOKED_RECHECK_MS + 1);
  drop_input(thief);
  send_request(thief);
  rig_until(rig, is_answered, &thief);
  cr_expect_eq(rig->requests, one, "a request that comes after the time for those that crossed is refused");
  look_as_server(&trust, RPC_REVOKED_MAX_MS);
  rig_until(rig, has_ended, &thief);
  close(thief);
  stop(&trust);
}

// ---- the end of a connection ----

static struct slice read_all(int fd, char *bytes, size_t size)
{
  ssize_t got = recv(fd, bytes, size, MSG_DONTWAIT);
  return slice_make(bytes, got > 0 ? (size_t)got : 0);
}

// Counts the packets that have come whole; each has its size in front of it, in 8 bytes of which these fill the last.
static size_t count_packets(struct slice bytes)
{
  size_t count = 0;
  while (bytes.size > 8) {
    const unsigned char *size = (const unsigned char *)bytes.data + 6;
    bytes = slice_skip(bytes, 8 + ((size_t)size[0] << 8 | size[1]));
    count++;
  }
  return count;
}

static void send_ack(int fd, size_t packets)
{
  uint8_t tail[RPC_TAIL_MAX_BYTES];
  size_t size = rpc_tail_write(packets, 0, tail);
  raw_send_packet(fd, slice_make((char *)tail, size));
}

static bool is_readable(struct rig *rig, void *arg)
{
  (void)rig;
  return poll(&(struct pollfd){.fd = *(const int *)arg, .events = POLLIN}, 1, 0) == 1;
}

static void turn_often(struct rig *rig)
{
  for (size_t i = 0; i < 10; i++)
    rig_turn(rig);
}

// The server waits until its last packets have arrived, and once more for what may have crossed with them.
Test(trust, a_connection_is_closed_once_all_has_arrived_and_nothing_comes_any_more)
{
  struct trust_rig trust;
  char bytes[8192];
  start_with_keys(&trust);
  struct rig *rig = &trust.rig;
  int client = raw_connect(rpc_server_port(rig->server));
  raw_send_hello(client, rig->client_identity, rig_url(rig));
  rig_until(rig, is_readable, &client);
  size_t packets = count_packets(read_all(client, bytes, sizeof(bytes)));
  service_keys_write(trust.keys, (const char *const[]){"test", NULL});
  look_as_server(&trust, RPC_RECHECK_MS + 1);
  rig_until(rig, is_readable, &client);
  packets += count_packets(read_all(client, bytes, sizeof(bytes)));
  look_as_server(&trust, RPC_REVOKED_RECHECK_MS + 1);
  look_as_server(&trust, RPC_REVOKED_RECHECK_MS + 1);
  look_as_server(&trust, RPC_REVOKED_RECHECK_MS + 1);
  cr_expect_not(is_readable(rig, &client), "the GOAWAY has not been acked");
  send_ack(client, packets);
  turn_often(rig);
  look_as_server(&trust, RPC_REVOKED_RECHECK_MS + 1);
  cr_expect_not(is_readable(rig, &client), "something has come since the last look");
  look_as_server(&trust, RPC_REVOKED_RECHECK_MS + 1);
  rig_until(rig, has_ended, &client);
  close(client);
  stop(&trust);
}
