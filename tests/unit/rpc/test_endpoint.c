// One endpoint without its client: what it makes of the events and packets of its connection.
#include <criterion/criterion.h>
#include <stdio.h>

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

// Dials the port of the loopback. Nothing reads the events of the connection: the test says what has happened.
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

// Dials again and loses the connection before nng has reported it as open.
static void fail_dial(struct endpoint *endpoint)
{
  endpoint_run_timer(endpoint, clock_now_us());
  cr_assert_eq(endpoint->state, ENDPOINT_CONNECTING);
  endpoint_set_lost(endpoint, clock_now_us());
  cr_assert_eq(endpoint->state, ENDPOINT_BACKING_OFF);
}

Test(endpoint, the_backoff_grows_although_an_earlier_connection_carried_answers)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.without_client = true});
  struct lone_endpoint lone;
  start_endpoint(&lone, rpc_server_port(rig.server));
  endpoint_set_connected(lone.endpoint);
  sender_begin_packet(&lone.endpoint->sender);
  endpoint_set_lost(lone.endpoint, clock_now_us());
  uint32_t first_ms = lone.endpoint->backoff_ms;
  fail_dial(lone.endpoint);
  cr_assert_eq(lone.endpoint->backoff_ms, 2 * first_ms);
  fail_dial(lone.endpoint);
  cr_assert_eq(lone.endpoint->backoff_ms, 4 * first_ms);

  endpoint_run_timer(lone.endpoint, clock_now_us());
  endpoint_set_connected(lone.endpoint);
  sender_begin_packet(&lone.endpoint->sender);
  endpoint_set_lost(lone.endpoint, clock_now_us());
  cr_assert_eq(lone.endpoint->backoff_ms, first_ms, "a connection that carried a packet starts it again");
  stop_endpoint(&lone);
  rig_stop(&rig);
}

struct packet_wait {
  struct endpoint *endpoint;
  nng_msg *message;
};

static bool has_packet(struct rig *rig, void *arg)
{
  (void)rig;
  struct packet_wait *wait = arg;
  wait->message = endpoint_receive(wait->endpoint);
  return wait->message != NULL;
}

static bool is_server_idle(struct rig *rig, void *arg)
{
  send_queue_flush(arg);
  return rpc_server_idle(rig->server);
}

Test(endpoint, a_packet_that_overtakes_the_event_of_its_connection_is_counted_and_acked)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.without_client = true});
  rpc_server_drain(rig.server);
  struct lone_endpoint lone;
  start_endpoint(&lone, rpc_server_port(rig.server));
  struct packet_wait wait = {.endpoint = lone.endpoint};
  rig_until(&rig, has_packet, &wait);
  nng_msg_free(wait.message);
  cr_assert_eq(lone.endpoint->state, ENDPOINT_READY, "a packet proves that it is connected");
  endpoint_set_draining(lone.endpoint);
  endpoint_set_connected(lone.endpoint);
  cr_assert_eq(lone.endpoint->state, ENDPOINT_DRAINING, "the late event changes nothing");
  cr_assert_null(endpoint_receive(lone.endpoint));
  rig_until(&rig, is_server_idle, &lone.transport.sends);
  stop_endpoint(&lone);
  rig_stop(&rig);
}
