// Nobody is believed for what he says inside: strangers at the services' RPC ports and in Consul, and services that go
// beyond their contracts. The strangers here have read everything that is no secret, the public keys too.
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/rpc/packet_internal.h"
#include "common/rpc/rpc_client.h"
#include "common/rpc/rpc_server.h"
#include "common/security/key.h"
#include "common/security/service_identity.h"
#include "common/security/token.h"
#include "tests/support/environment.h"
#include "tests/support/http.h"
#include "tests/support/stack.h"

#define PATIENCE_US (UINT64_C(30) * 1000000)
#define PASSWORD "correct horse battery"

static struct arena arena;

// ---- what the set-up holds ----

// Returns the URL at which an instance of a service takes calls.
static const char *rpc_url(const char *service)
{
  struct http_reply reply = consul_get(text("/v1/health/service/%s?passing", service));
  ASSERT_STATUS(reply, 200);
  const char *url = http_json(&reply, "[0].Service.Meta.url");
  cr_assert_not_null(url, "%s", reply.body);
  return url;
}

static const char *read_run_file(const char *path)
{
  return output_of((const char *const[]){"cat", text("%s/%s", need_variable("BULKHEAD_RUN_DIR"), path), NULL});
}

// Returns the identity of one of the suite's programs, whose key has been stolen.
static struct service_identity *steal_identity(const char *service)
{
  struct service_identity *identity = NULL;
  struct error error;
  const struct service_identity_options options = {.service = service,
                                                   .private_key =
                                                       read_run_file(text("secrets/service_%s.pem", service)),
                                                   .public_keys = read_run_file("keys/service_keys.json")};
  enum status status = service_identity_create(&options, &identity, &error);
  cr_assert_eq(status, STATUS_OK, "%s", error.message);
  return identity;
}

// Returns a stranger's identity as `service`: a key of its own beside the real public keys of all others, which it
// needs to understand what they send.
static struct service_identity *pretend_identity(const char *service)
{
  const char *pem;
  struct slice x, y, thumbprint;
  cr_assert_eq(key_generate(&arena, &pem), STATUS_OK);
  cr_assert_eq(key_public_parts(pem, &arena, &x, &y, &thumbprint), STATUS_OK);
  char *keys = text("%s", read_run_file("keys/service_keys.json"));
  char *own = strstr(keys, text("\"kid\":\"%s\"", service));
  cr_assert_not_null(own);
  // The coordinates in the file are as long as any.
  memcpy(strstr(own, "\"x\":\"") + 5, x.data, x.size);
  memcpy(strstr(own, "\"y\":\"") + 5, y.data, y.size);
  struct service_identity *identity = NULL;
  struct error error;
  const struct service_identity_options options = {.service = service, .private_key = pem, .public_keys = keys};
  enum status status = service_identity_create(&options, &identity, &error);
  cr_assert_eq(status, STATUS_OK, "%s", error.message);
  return identity;
}

// ---- a client ----

struct answer {
  bool done;
  enum status status;
  char reason[64];
};

static void take_answer(void *arg, const struct rpc_status *status, struct slice payload)
{
  (void)payload;
  struct answer *answer = arg;
  answer->done = true;
  answer->status = status->code;
  snprintf(answer->reason, sizeof(answer->reason), SLICE_FMT, SLICE_ARG(status->reason));
}

// Connects to a service as `identity`, NULL for nobody, and makes one call.
static struct answer call_as(struct service_identity *identity, const char *service, const char *method,
                             struct slice payload, struct slice token)
{
  struct answer answer = {.status = STATUS_UNKNOWN};
  struct rpc_client *client = rpc_client_create(&(struct rpc_client_options){.identity = identity});
  const struct rpc_endpoint endpoint = {.id = SLICE("only"), .url = slice_from_string(rpc_url(service))};
  const struct rpc_context context = {.request_id = SLICE("r-trust"), .access_token = token};
  const struct rpc_call_options options = {.service = service,
                                           .method = slice_from_string(method),
                                           .payload = payload,
                                           .deadline_us = clock_now_us() + 5 * UINT64_C(1000000),
                                           .context = &context};
  uint64_t end_us = clock_now_us() + PATIENCE_US;
  rpc_client_set_endpoints(client, service, &endpoint, 1);
  while (identity != NULL && rpc_client_ready_endpoints(client, service) == 0) {
    cr_assert_lt(clock_now_us(), end_us, "no connection to %s", service);
    poll(&(struct pollfd){.fd = rpc_client_fd(client), .events = POLLIN}, 1, 10);
    rpc_client_process(client, clock_now_us());
    rpc_client_flush(client);
  }
  rpc_client_call(client, &options, take_answer, &answer);
  while (!answer.done) {
    cr_assert_lt(clock_now_us(), end_us, "no answer from %s", service);
    rpc_client_flush(client);
    poll(&(struct pollfd){.fd = rpc_client_fd(client), .events = POLLIN}, 1, 10);
    rpc_client_process(client, clock_now_us());
  }
  rpc_client_free(&client);
  return answer;
}

static void expect_status(struct answer answer, enum status status)
{
  cr_expect_eq(answer.status, status, "%s instead of %s: %s", status_name(answer.status), status_name(status),
               answer.reason);
}

static struct slice field_one(const char *value)
{
  struct strbuf out;
  strbuf_init(&out, 0);
  wire_write_bytes(&out, 1, slice_from_string(value));
  struct slice copy = arena_copy(&arena, strbuf_slice(&out));
  strbuf_free(&out);
  return copy;
}

Test(e2e_14_trust, a_program_without_key_may_call_nothing)
{
  struct answer answer = call_as(NULL, "user", "user.v1.UserService/ListUsers", SLICE(""), (struct slice){0});
  expect_status(answer, STATUS_UNAUTHENTICATED);
  cr_expect_str_eq(answer.reason, "UNPROVEN_CALLER");
  expect_status(call_as(NULL, "auth", "auth.v1.AuthService/GetJwks", SLICE(""), (struct slice){0}),
                STATUS_UNAUTHENTICATED);
}

Test(e2e_14_trust, a_service_can_do_no_more_than_contracts_let_it)
{
  struct service_identity *item = steal_identity("item");
  struct slice user = field_one("01936b5e-7c1a-7d3e-9f00-1c2d3e4f5a6b");
  expect_status(call_as(item, "auth", "auth.v1.AuthService/GetJwks", SLICE(""), (struct slice){0}), STATUS_OK);
  expect_status(call_as(item, "auth", "auth.v1.AuthService/DeleteCredential", user, (struct slice){0}),
                STATUS_PERMISSION_DENIED);
  expect_status(call_as(item, "auth", "auth.v1.AuthService/Login", SLICE(""), (struct slice){0}),
                STATUS_PERMISSION_DENIED);
  expect_status(
      call_as(item, "user", "user.v1.UserService/FindUserByEmail", field_one("ada@example.com"), (struct slice){0}),
      STATUS_PERMISSION_DENIED);
  service_identity_free(&item);
}

// Also who holds the gateway's key can only act for users whose token it has.
Test(e2e_14_trust, no_program_can_make_up_a_user)
{
  struct service_identity *gateway = steal_identity("gateway");
  const char *pem;
  struct slice x, y, thumbprint, token;
  cr_assert_eq(key_generate(&arena, &pem), STATUS_OK);
  cr_assert_eq(key_public_parts(pem, &arena, &x, &y, &thumbprint), STATUS_OK);
  struct http_reply jwks = HTTP(.path = "/.well-known/jwks.json");
  const char *kid = http_json(&jwks, "keys[0].kid");
  const struct slice admin = SLICE("admin");
  int64_t now = clock_wall_us() / 1000000;
  const struct token_claims claims = {.subject = SLICE("01936b5e-7c1a-7d3e-9f00-1c2d3e4f5a6b"),
                                      .roles = &admin,
                                      .role_count = 1,
                                      .id = SLICE("forged"),
                                      .issued_at = now,
                                      .expires_at = now + 600};
  const struct token_signing_key key = {.kid = kid, .private_pem = pem};
  cr_assert_eq(token_sign(&key, "bulkhead", "bulkhead", &claims, &arena, &token), STATUS_OK);
  static const char list[] = "user.v1.UserService/ListUsers";
  expect_status(call_as(gateway, "user", list, SLICE(""), token), STATUS_UNAUTHENTICATED);
  expect_status(call_as(gateway, "user", list, SLICE(""), SLICE("not.a.token")), STATUS_UNAUTHENTICATED);
  expect_status(call_as(gateway, "user", list, SLICE(""), (struct slice){0}), STATUS_UNAUTHENTICATED);
  struct account ada = account_create();
  expect_status(call_as(gateway, "user", list, SLICE(""), slice_from_string(ada.token)), STATUS_PERMISSION_DENIED);
  expect_status(call_as(gateway, "user", "user.v1.UserService/GetCurrentUser", SLICE(""), slice_from_string(ada.token)),
                STATUS_OK);
  service_identity_free(&gateway);
}

// ---- raw connections ----

static int connect_to(const char *url)
{
  uint64_t port = 0;
  cr_assert(slice_to_uint64(slice_from_string(strrchr(url, ':') + 1), 1, 65535, &port), "%s", url);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
  // SP's greeting of a client: its protocol is REQ.
  cr_assert_eq(send(fd, "\0SP\0\0\x30\0\0", 8, MSG_NOSIGNAL), 8);
  return fd;
}

static void send_packet(int fd, struct slice packet)
{
  unsigned char head[12] = {0};
  uint32_t size = htonl((uint32_t)packet.size + 4);
  memcpy(head + 4, &size, 4);
  memcpy(head + 8, "\x80\0\0\1", 4);
  cr_assert_eq(send(fd, head, sizeof(head), MSG_NOSIGNAL), sizeof(head));
  cr_assert_eq(send(fd, packet.data, packet.size, MSG_NOSIGNAL), (ssize_t)packet.size);
}

// Reads until the other side has sent more than its greeting (true) or has closed the connection (false).
static bool is_answered(int fd)
{
  size_t received = 0;
  char buffer[4096];
  while (received <= 8) {
    cr_assert_eq(poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 30000), 1, "neither answered nor closed");
    ssize_t count = recv(fd, buffer, sizeof(buffer), 0);
    if (count <= 0)
      return false;
    received += (size_t)count;
  }
  return true;
}

static bool takes_hello(const char *url, struct slice hello)
{
  struct strbuf packet;
  strbuf_init(&packet, 0);
  rpc_hello_append(&packet, hello);
  int fd = connect_to(url);
  send_packet(fd, strbuf_slice(&packet));
  bool answered = is_answered(fd);
  close(fd);
  strbuf_free(&packet);
  return answered;
}

Test(e2e_14_trust, a_hello_is_good_once_and_where_it_was_meant_for)
{
  struct service_identity *user = steal_identity("user");
  struct service_greeting greeting;
  const char *auth = rpc_url("auth");
  const char *item = rpc_url("item");
  cr_assert_eq(service_identity_greet(user, "auth", auth, &arena, &greeting), STATUS_OK);
  cr_expect_not(takes_hello(item, greeting.hello), "for another service");
  cr_expect(takes_hello(auth, greeting.hello));
  cr_expect_not(takes_hello(auth, greeting.hello), "replayed");
  // A client that a stranger has lured to its own address says so in its hello.
  cr_assert_eq(service_identity_greet(user, "auth", "tcp://127.0.0.1:1", &arena, &greeting), STATUS_OK);
  cr_expect_not(takes_hello(auth, greeting.hello), "passed on");
  struct service_identity *pretended = pretend_identity("user");
  cr_assert_eq(service_identity_greet(pretended, "auth", auth, &arena, &greeting), STATUS_OK);
  cr_expect_not(takes_hello(auth, greeting.hello), "signed with another key");
  service_identity_free(&pretended);
  service_identity_free(&user);
}

Test(e2e_14_trust, connections_without_hello_hold_nothing)
{
  char huge[16 * 1024];
  memset(huge, 'a', sizeof(huge));
  const char *auth = rpc_url("auth");
  int fd = connect_to(auth);
  send_packet(fd, slice_make(huge, sizeof(huge)));
  cr_expect_not(is_answered(fd), "a packet larger than any hello");
  close(fd);
  // However many strangers connect, those who can prove themselves are served.
  int crowd[600];
  for (size_t i = 0; i < ARRAY_LEN(crowd); i++)
    crowd[i] = connect_to(auth);
  struct service_identity *user = steal_identity("user");
  expect_status(call_as(user, "auth", "auth.v1.AuthService/GetJwks", SLICE(""), (struct slice){0}), STATUS_OK);
  service_identity_free(&user);
  for (size_t i = 0; i < ARRAY_LEN(crowd); i++)
    close(crowd[i]);
}

// ---- a stranger in Consul ----

static size_t stolen_requests;

static void steal_request(void *arg, struct rpc_request *request)
{
  (void)arg;
  stolen_requests++;
  rpc_request_reply(request, &(struct rpc_status){.code = STATUS_OK}, (struct slice){0});
}

static struct http_reply put_in_consul(const char *path, const char *body)
{
  return HTTP(.method = "PUT", .path = path, .base_url = need_variable("BULKHEAD_CONSUL_URL"), .body = body,
              .headers = {text("X-Consul-Token: %s", secret_of_stack("consul_management"))});
}

// Returns how often the gateway has refused a server that did not prove its name.
static double refused_servers(void)
{
  static const char series[] = "bulkhead_rpc_connections_refused_total{reason=\"hello\"} ";
  struct http_reply reply = HTTP(.path = "/metrics", .base_url = need_variable("BULKHEAD_ADMIN_URL"));
  const char *line = strstr(reply.body, series);
  return line == NULL ? 0 : strtod(line + strlen(series), NULL);
}

struct stranger {
  struct rpc_server *server;
  double refused_before;
};

static bool was_dialled(const void *arg)
{
  const struct stranger *stranger = arg;
  for (int i = 0; i < 20; i++) {
    poll(&(struct pollfd){.fd = rpc_server_fd(stranger->server), .events = POLLIN}, 1, 5);
    rpc_server_process(stranger->server, clock_now_us());
    rpc_server_flush(stranger->server);
  }
  return refused_servers() >= stranger->refused_before + 3;
}

static void serve_stranger(void *arg)
{
  (void)was_dialled(arg);
}

// Consul's ACLs keep strangers out; this one has got in nevertheless, as Consul's administrator.
Test(e2e_14_trust, a_stranger_in_consul_as_auth_gets_no_call)
{
  struct account ada = account_create();
  struct service_identity *identity = pretend_identity("auth");
  struct stranger stranger = {.refused_before = refused_servers()};
  struct error error;
  const struct rpc_server_options options = {
      .listen_url = "tcp://127.0.0.1:0", .identity = identity, .on_request = steal_request};
  cr_assert_eq(rpc_server_create(&options, &stranger.server, &error), STATUS_OK, "%s", error.message);
  int port = rpc_server_port(stranger.server);
  service_identity_set_address(identity, text("tcp://127.0.0.1:%d", port));
  struct http_reply reply = put_in_consul(
      "/v1/agent/service/register",
      text("{\"ID\":\"auth-stranger\",\"Name\":\"auth\",\"Address\":\"127.0.0.1\",\"Port\":%d,"
           "\"Meta\":{\"url\":\"tcp://127.0.0.1:%d\"},\"Check\":{\"TTL\":\"60s\",\"Status\":\"passing\"}}",
           port, port));
  ASSERT_STATUS(reply, 200);
  wait_until(was_dialled, &stranger, "that the gateway dials the stranger, and refuses it");
  for (int i = 0; i < 5; i++) {
    reply = account_login(ada.email, ada.password);
    ASSERT_STATUS(reply, 200);
    reply = account_sign_up(fresh_email(), PASSWORD);
    ASSERT_STATUS(reply, 201);
    serve_stranger(&stranger);
  }
  cr_expect_eq(stolen_requests, 0);
  reply = put_in_consul("/v1/agent/service/deregister/auth-stranger", NULL);
  ASSERT_STATUS(reply, 200);
  rpc_server_free(&stranger.server);
  service_identity_free(&identity);
}
