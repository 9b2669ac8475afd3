// What becomes of received frames, connections that break, and time. Everything runs on the host's thread; nng's
// threads only push connection events.
#include "common/rpc/rpc_client.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/arena.h"
#include "common/base/check.h"
#include "common/base/memory.h"
#include "common/observe/log.h"
#include "common/observe/metrics.h"
#include "common/rpc/client_internal.h"
#include "common/rpc/packet_internal.h"
#include "common/security/tls.h"

#define DEFAULT_CALLS_IN_FLIGHT 4096
#define DEFAULT_UNSENT_BYTES ((size_t)64 * 1024 * 1024)
// How often ejected endpoints are counted while there are some.
#define RECOUNT_MS 100

// ---- received packets ----

static void count_malformed(const struct endpoint *endpoint)
{
  metric_add(metrics_single(METRIC_RPC_MALFORMED), 1);
  log_debug("rpc", "dropped a packet or frame that could not be read", LOG_STRING("endpoint", endpoint->id));
}

static void handle_response(struct endpoint *endpoint, const struct rpc_frame *frame)
{
  struct rpc_call *call = call_table_find(&endpoint->channel->client->calls, frame->call_id);
  struct rpc_attempt *attempt = client_find_attempt(call, endpoint);
  // A reply that came too late, or to a call that went to another endpoint, finds none.
  if (attempt == NULL)
    return;
  client_judge_attempt(attempt, &frame->status);
  if (call->hedge != NULL && !client_settle_hedge(attempt, &frame->status))
    return;
  if (frame->status.code == STATUS_OK || !client_retry_refused(call, &frame->status))
    client_end_call(call, &frame->status, frame->payload);
}

static void handle_frame(struct endpoint *endpoint, const struct rpc_frame *frame)
{
  if (frame->kind == RPC_FRAME_RESPONSE)
    handle_response(endpoint, frame);
  else if (frame->kind == RPC_FRAME_GOAWAY && slice_equal_string(frame->status.reason, RPC_RECONNECT))
    channel_reconnect_endpoint(endpoint);
  else if (frame->kind == RPC_FRAME_GOAWAY)
    channel_drain_endpoint(endpoint);
  else if (!client_handle_stream_frame(endpoint, frame))
    // Kinds of a later version are not an error here, but the counter shows that they come.
    count_malformed(endpoint);
}

// Handles a packet. False when its hello does not prove that the server is the service that was dialled; then `error`
// says why, and nothing of the packet was handled.
static bool handle_packet(struct endpoint *endpoint, struct slice body, struct error *error)
{
  // Taken before the callbacks of the packet's calls run, because they are no part of its way.
  uint64_t received_us = clock_now_us();
  endpoint->load.heard_us = received_us;
  struct arena *scratch = &endpoint->channel->client->scratch;
  struct rpc_packet_reader reader = rpc_packet_reader_make(body);
  struct slice bytes;
  enum wire_result result = rpc_packet_next(&reader, &bytes);
  if (endpoint_check_hello(endpoint, reader.hello, error) != STATUS_OK)
    return false;
  for (; result == WIRE_FIELD; result = rpc_packet_next(&reader, &bytes)) {
    struct rpc_frame frame;
    if (rpc_frame_decode(bytes, scratch, &frame))
      handle_frame(endpoint, &frame);
    else
      count_malformed(endpoint);
  }
  if (result == WIRE_MALFORMED)
    count_malformed(endpoint);
  (void)sender_end_packet(&endpoint->sender, reader.acked);
  if (reader.sent_at_us != 0)
    peer_clock_note(&endpoint->clock, reader.sent_at_us, received_us);
  arena_reset(scratch);
  return true;
}

// ---- connections ----

// Withdraws the requests of an endpoint that have not left, while its sender still knows which these are.
static void withdraw_requests(struct endpoint *endpoint)
{
  for (struct list *node = endpoint->attempts.next; node != &endpoint->attempts; node = node->next) {
    struct rpc_attempt *attempt = CONTAINER_OF(node, struct rpc_attempt, node);
    attempt->has_left = !client_withdraw_attempt(attempt);
  }
}

static void lose_endpoint(struct rpc_client *client, struct endpoint *endpoint, const char *reason)
{
  struct rpc_channel *channel = endpoint->channel;
  withdraw_requests(endpoint);
  channel_note_lost(endpoint);
  endpoint_set_lost(endpoint, client->now_us, reason);
  client_move_calls(endpoint);
  channel_end_hopeless_calls(channel);
}

// Gives up a connection whose server is not the service that was dialled. It is dialled again with back-off.
static void refuse_server(struct endpoint *endpoint, const char *reason)
{
  metric_add_from_any_thread(metrics_series(METRIC_RPC_REFUSED, (struct slice[]){SLICE("hello")}, 1), 1);
  lose_endpoint(endpoint->channel->client, endpoint, reason);
}

static void handle_opened(struct endpoint *endpoint, struct rpc_opened *opened)
{
  struct error error;
  if (endpoint_set_connected(endpoint, opened, endpoint->channel->client->now_us, &error) != STATUS_OK)
    refuse_server(endpoint, error.message);
}

static void handle_events(void *arg)
{
  struct rpc_client *client = arg;
  size_t count;
  struct pipe_event *events = transport_take_events(&client->transport, &count);
  for (size_t i = 0; i < count; i++) {
    struct endpoint *endpoint = endpoint_find(&client->endpoints, events[i].link_id);
    if (endpoint != NULL && events[i].kind == PIPE_FAILED)
      lose_endpoint(client, endpoint, events[i].reason);
    else if (endpoint != NULL)
      handle_opened(endpoint, &events[i].opened);
    // A connection of a dial that was given up meanwhile belongs to no endpoint.
    rpc_opened_discard(&events[i].opened);
  }
  free(events);
}

// Handles the packets that have come over an endpoint's connection. Replies that came before its end still count.
static void receive_packets(void *arg)
{
  struct endpoint *endpoint = arg;
  struct slice packet;
  enum packet_stream_result result;
  struct error error;
  while ((result = endpoint_receive(endpoint, &packet)) == PACKET_STREAM_READ) {
    if (handle_packet(endpoint, packet, &error))
      continue;
    refuse_server(endpoint, error.message);
    return;
  }
  if (result == PACKET_STREAM_OVER)
    lose_endpoint(endpoint->channel->client, endpoint, "the connection broke");
}

// ---- time ----

static void expire_calls(struct rpc_client *client)
{
  struct heap_node *first;
  while ((first = heap_first(&client->timers)) != NULL && first->key <= client->now_us)
    client_expire_call(client, CONTAINER_OF(first, struct rpc_call, timer));
}

static void run_endpoint_timers(struct rpc_client *client)
{
  struct heap_node *first;
  while ((first = heap_first(&client->endpoints.timers)) != NULL && first->key <= client->now_us) {
    struct endpoint *endpoint = CONTAINER_OF(first, struct endpoint, timer);
    if (!endpoint_run_timer(endpoint, client->now_us))
      lose_endpoint(client, endpoint, "its server does not answer");
    else if (endpoint->load.silent)
      client_leave_silent(endpoint);
  }
}

static void look_at_channel(struct rpc_channel *channel)
{
  channel_dispatch_waiting(channel);
  channel_eject_slow(channel);
}

// An ejection ends by time, or with its connection. While there is one, they are counted again and again.
static void count_ejected(struct rpc_client *client)
{
  size_t count = 0;
  for (struct rpc_channel *channel = client->channels; channel != NULL; channel = channel->next) {
    channel_count_ejected(channel);
    count += channel->ejected_count;
  }
  client->recount_us = count == 0 ? DEADLINE_NONE : deadline_after_ms(client->now_us, RECOUNT_MS);
}

void rpc_client_process(struct rpc_client *client, uint64_t now_us)
{
  client->now_us = now_us;
  (void)transport_poll(&client->transport);
  expire_calls(client);
  run_endpoint_timers(client);
  client_end_refused(client);
  if (now_us >= client->recheck_us)
    client_recheck_servers(client);
  // An endpoint may have become ready, or have room again.
  for (struct rpc_channel *channel = client->channels; channel != NULL; channel = channel->next)
    look_at_channel(channel);
  if (now_us >= client->recount_us)
    count_ejected(client);
  client_free_finished_endpoints(client);
}

void rpc_client_flush(struct rpc_client *client)
{
  for (struct rpc_channel *channel = client->channels; channel != NULL; channel = channel->next)
    balancer_end_batch(&channel->balancer);
  send_queue_flush(&client->transport.sends);
  // What the woken ones write leaves, too.
  client_wake_writers(client);
  send_queue_flush(&client->transport.sends);
  client_free_finished_endpoints(client);
}

int rpc_client_fd(const struct rpc_client *client)
{
  return client->transport.epoll_fd;
}

static uint64_t find_first_due_us(const struct heap *timers)
{
  const struct heap_node *first = heap_first(timers);
  return first == NULL ? DEADLINE_NONE : first->key;
}

uint64_t rpc_client_next_timeout_us(const struct rpc_client *client)
{
  if (!list_empty(&client->refused) || !list_empty(&client->given_up))
    return 0;
  uint64_t due_us = deadline_min(find_first_due_us(&client->timers), find_first_due_us(&client->endpoints.timers));
  return deadline_min(due_us, deadline_min(client->recheck_us, client->recount_us));
}

// ---- life ----

struct rpc_client *rpc_client_create(const struct rpc_client_options *options)
{
  struct rpc_client *client = calloc(1, sizeof(*client));
  CHECK(client != NULL);
  client->max_calls_in_flight =
      options->max_calls_in_flight == 0 ? DEFAULT_CALLS_IN_FLIGHT : options->max_calls_in_flight;
  client->max_unsent_bytes = options->max_unsent_bytes == 0 ? DEFAULT_UNSENT_BYTES : options->max_unsent_bytes;
  client->zone = memory_copy_string(options->zone);
  transport_init(&client->transport);
  transport_watch_events(&client->transport, handle_events, client);
  client->endpoints = (struct endpoint_group){
      .transport = &client->transport,
      .max_message_bytes = options->max_message_bytes == 0 ? RPC_MAX_MESSAGE_BYTES : options->max_message_bytes,
      .trust = {.tls = rpc_tls_open(&options->tls), .identity = options->identity},
      .on_readable = receive_packets,
  };
  list_init(&client->endpoints.members);
  list_init(&client->refused);
  list_init(&client->given_up);
  list_init(&client->blocked);
  method_metrics_init(&client->methods, METRIC_RPC_CLIENT_CALLS, METRIC_RPC_CLIENT_DURATION);
  client->now_us = clock_now_us();
  client->recount_us = DEADLINE_NONE;
  bool proves_names = client->endpoints.trust.tls != NULL || options->identity != NULL;
  client->recheck_us = proves_names ? deadline_after_ms(client->now_us, RPC_RECHECK_MS) : DEADLINE_NONE;
  return client;
}

// Ends all calls, also those that a callback starts meanwhile. No CANCEL frames are sent, because a server cancels the
// requests of a connection that closes.
static void end_all_calls(struct rpc_client *client)
{
  struct rpc_call *call;
  while ((call = call_table_any(&client->calls)) != NULL)
    client_fail_call(call, STATUS_CANCELLED, !client_withdraw_request(call), "the client is closing");
}

void rpc_client_free(struct rpc_client **client_pointer)
{
  struct rpc_client *client = *client_pointer;
  if (client == NULL)
    return;
  *client_pointer = NULL;
  end_all_calls(client);
  while (!list_empty(&client->endpoints.members)) {
    struct endpoint *endpoint = CONTAINER_OF(client->endpoints.members.next, struct endpoint, node);
    endpoint_free(&endpoint);
  }
  tls_context_free(&client->endpoints.trust.tls);
  transport_free(&client->transport);
  client_free_channels(client);
  call_table_free(&client->calls);
  heap_free(&client->timers);
  heap_free(&client->endpoints.timers);
  method_metrics_free(&client->methods);
  arena_free(&client->scratch);
  free(client->zone);
  free(client);
}
