#include "tests/unit/rpc/harness.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/common/service_keys.h"

// Replies with the payload of the request: every other time in a buffer of its own.
static void echo(const struct rig *rig, struct rpc_request *request)
{
  struct slice payload = rpc_request_payload(request);
  if (rig->requests % 2 == 0) {
    rpc_request_reply(request, NULL, payload);
    return;
  }
  struct strbuf buffer;
  strbuf_init(&buffer, 0);
  strbuf_add(&buffer, payload);
  rpc_request_reply_buffer(request, &buffer);
  cr_assert_null(buffer.data, "the reply takes the memory");
}

static void on_request(void *arg, struct rpc_request *request)
{
  struct rig *rig = arg;
  rig->requests++;
  if (rig->answering == ANSWER_AT_ONCE) {
    echo(rig, request);
    return;
  }
  if (rig->kept_count == rig->kept_capacity) {
    rig->kept_capacity = rig->kept_capacity == 0 ? 64 : rig->kept_capacity * 2;
    rig->kept = realloc(rig->kept, rig->kept_capacity * sizeof(struct rpc_request *));
  }
  rig->kept[rig->kept_count++] = request;
}

static void on_cancel(void *arg, struct rpc_request *request)
{
  struct rig *rig = arg;
  (void)request;
  rig->cancels++;
}

static void on_message(void *arg, struct rpc_request *request, struct slice payload)
{
  struct rig *rig = arg;
  rig->streams->on_message(rig, request, payload);
}

static void on_half_close(void *arg, struct rpc_request *request)
{
  struct rig *rig = arg;
  rig->streams->on_half_close(rig, request);
}

static void on_writable(void *arg, struct rpc_request *request)
{
  struct rig *rig = arg;
  rig->streams->on_writable(rig, request);
}

struct rpc_server *rig_listen(struct rig *rig, const char *url, const struct rig_options *options)
{
  struct rpc_server_options server_options = {
      .listen_url = url,
      .tls = options->tls,
      .identity = rig->server_identity,
      .max_message_bytes = options->max_message_bytes,
      .max_calls_in_flight = options->max_calls_in_flight,
      .max_streams = options->max_streams,
      .on_request = on_request,
      .on_cancel = on_cancel,
      .on_message = options->streams == NULL ? NULL : on_message,
      .on_half_close = options->streams == NULL ? NULL : on_half_close,
      .on_writable = options->streams == NULL ? NULL : on_writable,
      .arg = rig,
  };
  struct rpc_server *server = NULL;
  struct error error;
  cr_assert_eq(rpc_server_create(&server_options, &server, &error), STATUS_OK, "%s", error.message);
  return server;
}

void rig_set_endpoints(struct rig *rig, const int *ports, size_t count)
{
  char urls[8][64];
  struct rpc_endpoint endpoints[8];
  cr_assert_leq(count, 8);
  for (size_t i = 0; i < count; i++) {
    snprintf(urls[i], sizeof(urls[i]), "tcp://127.0.0.1:%d", ports[i]);
    endpoints[i] = (struct rpc_endpoint){.id = slice_from_string(urls[i]), .url = slice_from_string(urls[i])};
  }
  rpc_client_set_endpoints(rig->client, "test", endpoints, count);
}

void rig_set_endpoint(struct rig *rig, int port)
{
  rig_set_endpoints(rig, &port, 1);
}

const char *rig_url(struct rig *rig)
{
  snprintf(rig->url, sizeof(rig->url), "tcp://127.0.0.1:%d", rpc_server_port(rig->server));
  return rig->url;
}

static void make_identities(struct rig *rig)
{
  rig->server_identity = service_keys_identity("test");
  rig->client_identity = service_keys_identity("tester");
}

void rig_start(struct rig *rig, const struct rig_options *options)
{
  *rig = (struct rig){.answering = options->answering, .streams = options->streams};
  if (options->with_hellos)
    make_identities(rig);
  rig->server = rig_listen(rig, "tcp://127.0.0.1:0", options);
  if (options->with_hellos)
    service_identity_set_address(rig->server_identity, rig_url(rig));
  if (options->without_client)
    return;
  struct rpc_client_options client_options = {
      .identity = rig->client_identity,
      .max_message_bytes = options->max_message_bytes,
      .max_calls_in_flight = options->max_calls_in_flight,
      .max_unsent_bytes = options->max_unsent_bytes,
  };
  rig->client = rpc_client_create(&client_options);
  rig_set_endpoint(rig, rpc_server_port(rig->server));
  rig_until_ready(rig, 1);
}

void rig_turn(struct rig *rig)
{
  struct pollfd fds[3];
  nfds_t count = 0;
  bool with_server = rig->server != NULL && !rig->server_stopped;
  bool with_client = rig->client != NULL && !rig->client_stopped;
  if (with_server)
    fds[count++] = (struct pollfd){.fd = rpc_server_fd(rig->server), .events = POLLIN};
  if (rig->other != NULL)
    fds[count++] = (struct pollfd){.fd = rpc_server_fd(rig->other), .events = POLLIN};
  if (with_client)
    fds[count++] = (struct pollfd){.fd = rpc_client_fd(rig->client), .events = POLLIN};
  poll(fds, count, 5);
  if (with_server) {
    rpc_server_process(rig->server, clock_now_us());
    rpc_server_flush(rig->server);
  }
  if (rig->other != NULL) {
    rpc_server_process(rig->other, clock_now_us());
    rpc_server_flush(rig->other);
  }
  if (with_client) {
    rpc_client_process(rig->client, clock_now_us());
    rpc_client_flush(rig->client);
  }
}

// Lets everything that is in flight arrive before the connections close: the server drains until all is acked. A test
// whose other side never acks goes on after 100 turns.
static void drain_server(struct rig *rig)
{
  rig->server_stopped = rig->client_stopped = false;
  rpc_server_drain(rig->server);
  for (size_t turns = 0; turns < 100 && !rpc_server_idle(rig->server); turns++)
    rig_turn(rig);
}

void rig_stop(struct rig *rig)
{
  while (rig->kept_count != 0)
    rig_reply(rig, 0);
  free(rig->kept);
  rig->kept = NULL;
  rig->kept_capacity = 0;
  if (rig->client != NULL && rig->server != NULL)
    drain_server(rig);
  rpc_client_free(&rig->client);
  while (rig->kept_count != 0)
    rig_reply(rig, 0);
  free(rig->kept);
  rpc_server_free(&rig->server);
  rpc_server_free(&rig->other);
  service_identity_free(&rig->client_identity);
  service_identity_free(&rig->server_identity);
}

void rig_until(struct rig *rig, bool (*done)(struct rig *rig, void *arg), void *arg)
{
  uint64_t end_us = clock_now_us() + 60 * UINT64_C(1000000);
  while (!done(rig, arg)) {
    rig_turn(rig);
    cr_assert_lt(clock_now_us(), end_us, "nothing happened for a minute");
  }
}

static bool has_endpoints(struct rig *rig, void *arg)
{
  return rpc_client_ready_endpoints(rig->client, "test") == *(size_t *)arg;
}

void rig_until_ready(struct rig *rig, size_t endpoints)
{
  rig_until(rig, has_endpoints, &endpoints);
}

void rig_start_two(struct rig *rig)
{
  rig_start(rig, &(struct rig_options){.answering = ANSWER_LATER});
  rig->other = rig_listen(rig, "tcp://127.0.0.1:0", &(struct rig_options){0});
  int ports[] = {rpc_server_port(rig->server), rpc_server_port(rig->other)};
  rig_set_endpoints(rig, ports, 2);
  rig_until_ready(rig, 2);
}

struct outcome_row {
  struct outcome *outcomes;
  size_t count;
};

static bool all_done(struct rig *rig, void *arg)
{
  struct outcome_row *row = arg;
  (void)rig;
  while (row->count != 0 && row->outcomes[row->count - 1].done)
    row->count--;
  return row->count == 0;
}

void rig_until_done(struct rig *rig, struct outcome *outcomes, size_t count)
{
  struct outcome_row row = {.outcomes = outcomes, .count = count};
  rig_until(rig, all_done, &row);
}

static bool has_kept(struct rig *rig, void *arg)
{
  return rig->kept_count >= *(size_t *)arg;
}

void rig_until_kept(struct rig *rig, size_t count)
{
  rig_until(rig, has_kept, &count);
}

static void copy_text(char *out, size_t size, struct slice text)
{
  snprintf(out, size, SLICE_FMT, SLICE_ARG(text));
}

static void on_done(void *arg, const struct rpc_status *status, struct slice payload)
{
  struct outcome *outcome = arg;
  cr_assert(!outcome->done, "done came twice");
  outcome->done = true;
  outcome->order = ++outcome->rig->outcomes;
  outcome->code = status->code;
  copy_text(outcome->message, sizeof(outcome->message), status->message);
  copy_text(outcome->reason, sizeof(outcome->reason), status->reason);
  copy_text(outcome->instance, sizeof(outcome->instance), status->instance);
  if (status->violation_count != 0)
    copy_text(outcome->field, sizeof(outcome->field), status->violations[0].field);
  outcome->retry_after_ms = status->retry_after_ms;
  outcome->payload_size = payload.size;
  memcpy(outcome->payload, payload.data == NULL ? "" : payload.data,
         payload.size < sizeof(outcome->payload) ? payload.size : sizeof(outcome->payload));
}

static struct rpc_call *start_call(struct rig *rig, struct rpc_call_options options, struct outcome *outcome)
{
  *outcome = (struct outcome){.rig = rig};
  options.service = "test";
  if (options.method.size == 0)
    options.method = SLICE("test.v1.Test/Echo");
  return rpc_client_call(rig->client, &options, on_done, outcome);
}

struct rpc_call *rig_call_until(struct rig *rig, struct slice payload, uint64_t deadline_us, struct outcome *outcome)
{
  return start_call(rig, (struct rpc_call_options){.payload = payload, .deadline_us = deadline_us}, outcome);
}

struct rpc_call *rig_call_method(struct rig *rig, struct slice method, struct outcome *outcome)
{
  return start_call(rig, (struct rpc_call_options){.method = method, .deadline_us = TEST_DEADLINE_US}, outcome);
}

struct rpc_call *rig_call_as(struct rig *rig, struct slice token, struct slice payload, struct outcome *outcome)
{
  const struct rpc_context context = {.access_token = token};
  return start_call(rig,
                    (struct rpc_call_options){.payload = payload, .deadline_us = TEST_DEADLINE_US, .context = &context},
                    outcome);
}

struct rpc_call *rig_call_patiently(struct rig *rig, uint64_t deadline_us, uint32_t reply_wait_ms,
                                    struct outcome *outcome)
{
  return start_call(rig, (struct rpc_call_options){.deadline_us = deadline_us, .reply_wait_ms = reply_wait_ms},
                    outcome);
}

struct rpc_call *rig_call_repeatable(struct rig *rig, struct slice payload, struct outcome *outcome)
{
  return start_call(
      rig, (struct rpc_call_options){.payload = payload, .deadline_us = TEST_DEADLINE_US, .is_repeatable = true},
      outcome);
}

struct rpc_call *rig_call_hedged(struct rig *rig, uint32_t hedge_after_ms, uint64_t deadline_us,
                                 struct outcome *outcome)
{
  return start_call(
      rig,
      (struct rpc_call_options){
          .payload = SLICE("x"), .deadline_us = deadline_us, .is_repeatable = true, .hedge_after_ms = hedge_after_ms},
      outcome);
}

struct rpc_call *rig_open_stream(struct rig *rig, struct rpc_call_options options, struct outcome *outcome)
{
  options.deadline_us = options.deadline_us == 0 ? TEST_DEADLINE_US : options.deadline_us;
  return start_call(rig, options, outcome);
}

struct rpc_call *rig_call(struct rig *rig, struct slice payload, struct outcome *outcome)
{
  return rig_call_until(rig, payload, TEST_DEADLINE_US, outcome);
}

void rig_reply(struct rig *rig, size_t index)
{
  struct rpc_request *request = rig->kept[index];
  rig->kept[index] = rig->kept[--rig->kept_count];
  rpc_request_reply(request, NULL, rpc_request_payload(request));
}

void rig_reply_all(struct rig *rig)
{
  while (rig->kept_count != 0)
    rig_reply(rig, 0);
}
