// How a worker reaches services of a static list: a real client and a real server in one process, turned by the test.
#include <criterion/criterion.h>
#include <poll.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/rpc/rpc_server.h"
#include "gateway/upstreams.h"
#include "tests/support/common/fake_consul.h"
#include "tests/support/common/service_keys.h"
#include "tests/unit/gateway/fixture.h"

#define PATIENCE_US (60 * UINT64_C(1000000))

static struct fixture *fixture;
static struct rpc_server *server;
static struct service_identity *identity;  // of the server
static struct upstreams *upstreams;
static struct rpc_request *request;  // the last that came, until it is answered
static char peer_service[32];        // of that request

static void keep_request(void *arg, struct rpc_request *came)
{
  (void)arg;
  request = came;
  struct slice peer = rpc_request_context(came)->peer_service;
  cr_assert_lt(peer.size, sizeof(peer_service));
  memcpy(peer_service, peer.data, peer.size);
  peer_service[peer.size] = '\0';
}

static void ignore_cancel(void *arg, struct rpc_request *gone)
{
  (void)arg;
  (void)gone;
}

static void create_upstreams(const char *static_list)
{
  struct error error;
  struct upstreams_options options = {.api = fixture->api,
                                      .static_list = static_list,
                                      .service_key = service_keys_private(),
                                      .service_keys = service_keys_public("gateway")};
  cr_assert_eq(upstreams_create(&options, &upstreams, &error), STATUS_OK, "%s", error.message);
  cr_assert_not_null(upstreams);
}

static void open_upstreams(void)
{
  struct error error;
  struct rpc_server_options options = {
      .listen_url = "tcp://127.0.0.1:0", .on_request = keep_request, .on_cancel = ignore_cancel};
  fixture = fixture_open();
  identity = service_keys_identity("item");
  options.identity = identity;
  cr_assert_eq(rpc_server_create(&options, &server, &error), STATUS_OK, "%s", error.message);
  const char *url = arena_printf(&fixture->arena, "tcp://127.0.0.1:%d", rpc_server_port(server));
  service_identity_set_address(identity, url);
  create_upstreams(arena_printf(&fixture->arena, "item=%s", url));
}

static void answer(struct slice payload)
{
  cr_assert_not_null(request);
  rpc_request_reply(request, &(struct rpc_status){.code = STATUS_OK}, payload);
  request = NULL;
}

static void close_upstreams(void)
{
  upstreams_free(&upstreams);
  cr_expect_null(upstreams);
  if (request != NULL)
    answer(SLICE(""));
  rpc_server_free(&server);
  service_identity_free(&identity);
  fixture_close(fixture);
}

TestSuite(upstreams, .init = open_upstreams, .fini = close_upstreams);

// Runs one turn of both loops, as nginx and a service do; waits up to 5 ms for something to happen.
static void turn(void)
{
  struct pollfd fds[] = {{.fd = upstreams_discovery_fd(upstreams), .events = POLLIN},
                         {.fd = upstreams_rpc_fd(upstreams, UPSTREAMS_USUAL), .events = POLLIN},
                         {.fd = upstreams_rpc_fd(upstreams, UPSTREAMS_EXPENSIVE), .events = POLLIN},
                         {.fd = rpc_server_fd(server), .events = POLLIN}};
  (void)poll(fds, ARRAY_LEN(fds), 5);
  if ((fds[0].revents & POLLIN) != 0)
    upstreams_process_lists(upstreams);
  upstreams_process_calls(upstreams, UPSTREAMS_USUAL, clock_now_us());
  upstreams_process_calls(upstreams, UPSTREAMS_EXPENSIVE, clock_now_us());
  rpc_server_process(server, clock_now_us());
  upstreams_flush(upstreams);
  rpc_server_flush(server);
}

static const char *health(void)
{
  static struct strbuf out;
  strbuf_free(&out);
  strbuf_init(&out, 0);
  upstreams_write_health(upstreams, false, &out);
  return strbuf_cstring(&out);
}

static void wait_until_connected(void)
{
  uint64_t end = clock_now_us() + PATIENCE_US;
  while (strstr(health(), "\"item\":1") == NULL) {
    cr_assert_lt(clock_now_us(), end, "%s", health());
    turn();
  }
}

struct ended {
  bool is_done;
  enum status code;
  char payload[16];
  char instance[64];
};

static void note_end(void *arg, const struct rpc_status *status, struct slice payload)
{
  struct ended *ended = arg;
  *ended = (struct ended){.is_done = true, .code = status->code};
  cr_assert_lt(status->instance.size, sizeof(ended->instance));
  if (status->instance.size > 0)
    memcpy(ended->instance, status->instance.data, status->instance.size);
  cr_assert_lt(payload.size, sizeof(ended->payload));
  if (payload.size > 0)
    memcpy(ended->payload, payload.data, payload.size);
}

static struct rpc_call *call_item(struct backend backend, struct ended *ended)
{
  struct rpc_call_options options = {.service = "item",
                                     .method = SLICE("item.v1.ItemService/GetItem"),
                                     .payload = SLICE("question"),
                                     .deadline_us = clock_now_us() + 2 * PATIENCE_US};
  return backend.call(backend.arg, &options, note_end, ended);
}

static void wait_for_request(void)
{
  uint64_t end = clock_now_us() + PATIENCE_US;
  while (request == NULL) {
    cr_assert_lt(clock_now_us(), end);
    turn();
  }
}

Test(upstreams, health_names_every_service_with_its_connected_endpoints)
{
  cr_expect_not_null(strstr(health(), "\"item\":0"), "%s", health());
  wait_until_connected();
  cr_expect_not_null(strstr(health(), "{\"ready\":false,\"consul\":true,\"services\":{"), "%s", health());
  cr_expect_not_null(strstr(health(), "\"auth\":0"), "%s", health());
  cr_expect_not_null(strstr(health(), "\"user\":0"), "%s", health());
}

Test(upstreams, a_call_goes_to_the_service_as_the_gateways)
{
  struct ended ended = {0};
  wait_until_connected();
  const struct backend backend = upstreams_backend(upstreams, UPSTREAMS_USUAL);
  const struct rpc_call *call = call_item(backend, &ended);
  struct slice instance = arena_copy(&fixture->arena, backend.instance(backend.arg, call));
  cr_expect_gt(instance.size, 0, "one is connected");
  cr_expect_leq(upstreams_next_timeout_us(upstreams), clock_now_us() + 2 * PATIENCE_US);
  wait_for_request();
  cr_expect(slice_equal_string(rpc_request_method(request), "item.v1.ItemService/GetItem"));
  cr_expect(slice_equal_string(rpc_request_payload(request), "question"));
  cr_expect_str_eq(peer_service, "gateway");
  answer(SLICE("answer"));
  uint64_t end = clock_now_us() + PATIENCE_US;
  while (!ended.is_done) {
    cr_assert_lt(clock_now_us(), end);
    turn();
  }
  cr_expect_eq(ended.code, STATUS_OK);
  cr_expect_str_eq(ended.payload, "answer");
  cr_expect(slice_equal_string(instance, ended.instance), "%s", ended.instance);
}

static void note_large_end(void *arg, const struct rpc_status *status, struct slice payload)
{
  cr_assert_eq(status->code, STATUS_OK);
  *(size_t *)arg = payload.size;
}

// Asks for a list, whose reply is `size` bytes, and returns once the server has it.
static void begin_large_call(size_t size, size_t *got)
{
  struct backend backend = upstreams_backend(upstreams, UPSTREAMS_EXPENSIVE);
  struct rpc_call_options options = {.service = "item",
                                     .method = SLICE("item.v1.ItemService/ListItems"),
                                     .deadline_us = clock_now_us() + 2 * PATIENCE_US};
  backend.call(backend.arg, &options, note_large_end, got);
  wait_for_request();
  char *bytes = calloc(1, size);
  answer(slice_make(bytes, size));
  free(bytes);
}

// Runs a turn in which nothing is read of expensive calls.
static void turn_without_expensive_calls(void)
{
  upstreams_process_calls(upstreams, UPSTREAMS_USUAL, clock_now_us());
  rpc_server_process(server, clock_now_us());
  upstreams_flush(upstreams);
  rpc_server_flush(server);
}

Test(upstreams, a_large_reply_does_not_hold_up_the_replies_to_usual_calls)
{
  enum { LARGE_BYTES = 7 * 1024 * 1024 };
  struct ended usual = {0};
  size_t large = 0;
  wait_until_connected();
  begin_large_call(LARGE_BYTES, &large);
  call_item(upstreams_backend(upstreams, UPSTREAMS_USUAL), &usual);
  uint64_t end = clock_now_us() + PATIENCE_US;
  for (; !usual.is_done; turn_without_expensive_calls()) {
    cr_assert_lt(clock_now_us(), end);
    if (request != NULL)
      answer(SLICE("answer"));
  }
  cr_expect_str_eq(usual.payload, "answer");
  cr_expect_eq(large, 0);
  for (; large == 0; turn())
    cr_assert_lt(clock_now_us(), end);
  cr_expect_eq(large, LARGE_BYTES);
}

Test(upstreams, a_cancelled_call_does_not_end)
{
  struct ended first = {0}, second = {0};
  wait_until_connected();
  struct backend backend = upstreams_backend(upstreams, UPSTREAMS_USUAL);
  struct rpc_call *call = call_item(backend, &first);
  wait_for_request();
  backend.cancel(backend.arg, call);
  answer(SLICE("late"));
  // The answer to a second call comes behind that to the first.
  call_item(backend, &second);
  wait_for_request();
  answer(SLICE("answer"));
  uint64_t end = clock_now_us() + PATIENCE_US;
  while (!second.is_done) {
    cr_assert_lt(clock_now_us(), end);
    turn();
  }
  cr_expect_not(first.is_done);
}

Test(upstreams, calls_in_flight_are_cancelled_at_the_end)
{
  struct ended ended = {0};
  wait_until_connected();
  call_item(upstreams_backend(upstreams, UPSTREAMS_USUAL), &ended);
  upstreams_free(&upstreams);
  cr_expect(ended.is_done);
  cr_expect_eq(ended.code, STATUS_CANCELLED);
}

Test(upstreams, a_static_list_that_cannot_be_read_is_refused)
{
  struct upstreams *refused = NULL;
  struct error error;
  struct upstreams_options options = {.api = fixture->api, .static_list = "item"};
  cr_expect_eq(upstreams_create(&options, &refused, &error), STATUS_INVALID_ARGUMENT);
  cr_expect_null(refused);
}

// ---- what is registered ----

#define REGISTER "PUT /v1/agent/service/register"
#define DEREGISTER "PUT /v1/agent/service/deregister/"
#define ID_SIZE 64

static struct fake_answer answer_ok(const char *line, size_t count)
{
  (void)line;
  (void)count;
  return (struct fake_answer){200, NULL, "[]"};
}

// Registers a gateway of its own in Consul and copies the registration's id to `id`. Returns the gateway.
static struct upstreams *register_gateway(struct fake_consul *consul, size_t number, char id[ID_SIZE])
{
  struct upstreams *registered;
  struct error error;
  struct upstreams_options options = {.api = fixture->api, .consul_url = fake_consul_url(consul)};
  cr_assert_eq(upstreams_create(&options, &registered, &error), STATUS_OK, "%s", error.message);
  cr_assert_eq(upstreams_register(registered, "10.0.0.5:8080", "http://10.0.0.5:9090/readyz", &error), STATUS_OK);
  fake_consul_wait(consul, REGISTER, number, NULL);
  char text[4096];
  cr_assert(fake_consul_last(consul, REGISTER, text));
  cr_expect_not_null(strstr(text, "\"Name\":\"gateway\",\"Address\":\"10.0.0.5\",\"Port\":8080"), "%s", text);
  cr_expect_not_null(strstr(text, "\"HTTP\":\"http://10.0.0.5:9090/readyz\""), "%s", text);
  const char *found = strstr(text, "{\"ID\":\"");
  cr_assert_not_null(found, "%s", text);
  found += strlen("{\"ID\":\"");
  snprintf(id, ID_SIZE, "%.*s", (int)strcspn(found, "\""), found);
  return registered;
}

// After a reload the old process and the new one are registered at the same time, and the old one leaves.
Test(upstreams, each_process_registers_an_id_of_its_own_and_takes_back_that_one)
{
  char first_id[ID_SIZE], second_id[ID_SIZE], line[256];
  struct fake_consul *consul = fake_consul_start(answer_ok);
  struct upstreams *first = register_gateway(consul, 1, first_id);
  struct upstreams *second = register_gateway(consul, 2, second_id);
  cr_expect(slice_starts_with(slice_from_string(first_id), SLICE("gateway-")), "%s", first_id);
  cr_expect_str_neq(first_id, second_id);
  upstreams_deregister(first);
  fake_consul_wait(consul, DEREGISTER, 1, line);
  cr_expect_not_null(strstr(line, first_id), "%s", line);
  upstreams_free(&first);
  upstreams_free(&second);
  fake_consul_wait(consul, DEREGISTER, 2, line);
  cr_expect_not_null(strstr(line, second_id), "%s", line);
  fake_consul_stop(&consul);
}

static enum status register_at(const char *address)
{
  struct error error;
  return upstreams_register(upstreams, address, "http://127.0.0.1:1/healthz", &error);
}

Test(upstreams, an_address_is_host_and_port)
{
  static const char *const GOOD[] = {"10.0.0.5:8080", "gateway:1", "h:65535", "[::1]:80", "::1:80"};
  static const char *const BAD[] = {
      "", ":", "host", ":80", "host:", "host:0", "host:-1", "host:80x", "host:65536", "host: 80"};
  for (size_t i = 0; i < ARRAY_LEN(GOOD); i++)
    cr_expect_eq(register_at(GOOD[i]), STATUS_OK, "%s", GOOD[i]);
  for (size_t i = 0; i < ARRAY_LEN(BAD); i++)
    cr_expect_eq(register_at(BAD[i]), STATUS_INVALID_ARGUMENT, "%s", BAD[i]);
}

Test(upstreams, the_host_of_an_address_is_bounded)
{
  for (int size = 255; size <= 256; size++) {
    const char *address = arena_printf(&fixture->arena, "%0*d:80", size, 0);
    cr_expect_eq(register_at(address), size == 255 ? STATUS_OK : STATUS_INVALID_ARGUMENT);
  }
}

Test(upstreams, deregistering_is_allowed_at_any_time)
{
  upstreams_deregister(upstreams);
  cr_assert_eq(register_at("10.0.0.5:8080"), STATUS_OK);
  upstreams_deregister(upstreams);
  upstreams_deregister(upstreams);
}
