// One endpoint without its client: what it makes of the events and packets of its connection.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/observe/metrics.h"
#include "common/rpc/endpoint_internal.h"
#include "tests/unit/rpc/harness.h"

struct lone_endpoint {
  struct transport transport;
  struct endpoint_group group;
  struct endpoint_metrics metrics;
  struct endpoint *endpoint;
};

static void ignore_packets(void *endpoint)
{
  (void)endpoint;
}

// Dials the port of the loopback. Nothing handles the events of the dial: the test says what has happened.
static void start_endpoint(struct lone_endpoint *lone, int port)
{
  static const struct slice label = SLICE_INIT("test");
  *lone = (struct lone_endpoint){
      .group = {.transport = &lone->transport,
                .max_message_bytes = RPC_MAX_MESSAGE_BYTES,
                .on_readable = ignore_packets},
      .metrics = {.connected = metrics_series(METRIC_RPC_ENDPOINTS, &label, 1),
                  .lost = metrics_series(METRIC_RPC_ENDPOINT_LOST, &label, 1),
                  .packets = metrics_series(METRIC_RPC_CLIENT_PACKETS, &label, 1),
                  .frames = metrics_series(METRIC_RPC_CLIENT_FRAMES, &label, 1)},
  };
  transport_init(&lone->transport);
  list_init(&lone->group.members);
  char url[64];
  int length = snprintf(url, sizeof(url), "tcp://127.0.0.1:%d", port);
  const struct rpc_endpoint address = {.id = SLICE_INIT("test-1"), .url = slice_make(url, (size_t)length)};
  lone->endpoint = endpoint_create(&lone->group, &address, NULL, &lone->metrics, clock_now_us());
}

static void stop_endpoint(struct lone_endpoint *lone)
{
  endpoint_free(&lone->endpoint);
  transport_free(&lone->transport);
  heap_free(&lone->group.timers);
}

static bool take_event(struct rig *rig, void *arg)
{
  (void)rig;
  struct lone_endpoint *lone = arg;
  struct error error;
  size_t count;
  struct pipe_event *events = transport_take_events(&lone->transport, &count);
  for (size_t i = 0; i < count; i++) {
    if (events[i].link_id == lone->endpoint->link_id && events[i].kind == PIPE_OPENED)
      cr_assert_eq(endpoint_set_connected(lone->endpoint, &events[i].opened, clock_now_us(), &error), STATUS_OK);
    rpc_opened_discard(&events[i].opened);
  }
  free(events);
  return lone->endpoint->state != ENDPOINT_CONNECTING;
}

// Turns the server until the endpoint has connected.
static void connect_endpoint(struct rig *rig, struct lone_endpoint *lone)
{
  rig_until(rig, take_event, lone);
}

// Dials again, and says that this has failed.
static void fail_dial(struct endpoint *endpoint)
{
  cr_assert(endpoint_run_timer(endpoint, clock_now_us()));
  cr_assert_eq(endpoint->state, ENDPOINT_CONNECTING);
  endpoint_set_lost(endpoint, clock_now_us(), "test");
  cr_assert_eq(endpoint->state, ENDPOINT_BACKING_OFF);
}

static bool has_packet(struct rig *rig, void *arg)
{
  (void)rig;
  struct lone_endpoint *lone = arg;
  struct slice packet;
  send_queue_flush(&lone->transport.sends);
  (void)transport_poll(&lone->transport);
  return endpoint_receive(lone->endpoint, &packet) == PACKET_STREAM_READ;
}

// Turns the server until it has sent a packet, and takes it.
static void take_packet(struct rig *rig, struct lone_endpoint *lone)
{
  struct error error;
  rig_until(rig, has_packet, lone);
  cr_assert_eq(endpoint_check_hello(lone->endpoint, (struct slice){0}, &error), STATUS_OK);
}

Test(endpoint, takes_calls_once_the_server_has_answered)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.without_client = true});
  struct lone_endpoint lone;
  start_endpoint(&lone, rpc_server_port(rig.server));
  connect_endpoint(&rig, &lone);
  cr_assert_eq(lone.endpoint->state, ENDPOINT_PROBING);
  cr_assert_not(lone.endpoint->load.ready);
  take_packet(&rig, &lone);
  cr_assert_eq(lone.endpoint->state, ENDPOINT_READY);
  cr_assert(lone.endpoint->load.ready);
  cr_assert_eq(rig.requests, 0, "no handler sees the probe");
  stop_endpoint(&lone);
  rig_stop(&rig);
}

Test(endpoint, one_that_is_unlisted_before_it_was_heard_of_is_closed_later)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.without_client = true});
  struct lone_endpoint lone;
  start_endpoint(&lone, rpc_server_port(rig.server));
  connect_endpoint(&rig, &lone);
  endpoint_set_unlisted(lone.endpoint, clock_now_us());
  cr_assert_eq(lone.endpoint->state, ENDPOINT_LINGERING);
  take_packet(&rig, &lone);
  cr_assert_eq(lone.endpoint->state, ENDPOINT_LINGERING, "it takes no calls after all");
  stop_endpoint(&lone);
  rig_stop(&rig);
}

Test(endpoint, the_backoff_grows_although_an_earlier_connection_carried_answers)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.without_client = true});
  struct lone_endpoint lone;
  start_endpoint(&lone, rpc_server_port(rig.server));
  connect_endpoint(&rig, &lone);
  take_packet(&rig, &lone);
  endpoint_set_lost(lone.endpoint, clock_now_us(), "test");
  uint32_t first_ms = lone.endpoint->backoff_ms;
  fail_dial(lone.endpoint);
  cr_assert_eq(lone.endpoint->backoff_ms, 2 * first_ms);
  fail_dial(lone.endpoint);
  cr_assert_eq(lone.endpoint->backoff_ms, 4 * first_ms);

  cr_assert(endpoint_run_timer(lone.endpoint, clock_now_us()));
  connect_endpoint(&rig, &lone);
  take_packet(&rig, &lone);
  endpoint_set_lost(lone.endpoint, clock_now_us(), "test");
  cr_assert_eq(lone.endpoint->backoff_ms, first_ms, "a connection that carried a packet starts it again");
  stop_endpoint(&lone);
  rig_stop(&rig);
}

// Reads and acks what the server sends, until it is idle.
static bool is_server_idle(struct rig *rig, void *arg)
{
  struct lone_endpoint *lone = arg;
  struct slice packet;
  (void)transport_poll(&lone->transport);
  while (endpoint_receive(lone->endpoint, &packet) == PACKET_STREAM_READ)
    continue;
  send_queue_flush(&lone->transport.sends);
  return rpc_server_idle(rig->server);
}

Test(endpoint, one_whose_server_shuts_down_acks_the_last_packet_at_once)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.without_client = true});
  rpc_server_drain(rig.server);
  struct lone_endpoint lone;
  start_endpoint(&lone, rpc_server_port(rig.server));
  connect_endpoint(&rig, &lone);
  take_packet(&rig, &lone);
  cr_assert_eq(lone.endpoint->state, ENDPOINT_READY);
  endpoint_set_draining(lone.endpoint);
  rig_until(&rig, is_server_idle, &lone);
  stop_endpoint(&lone);
  rig_stop(&rig);
}
