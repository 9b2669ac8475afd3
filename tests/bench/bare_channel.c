#include "tests/bench/bare_channel.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/observe/metrics.h"
#include "common/rpc/link_internal.h"
#include "common/rpc/packet_internal.h"
#include "common/rpc/packet_stream_internal.h"
#include "common/rpc/sender_internal.h"
#include "common/rpc/transport_internal.h"

#define WINDOW_PACKETS 32

struct channel {
  struct transport transport;
  struct rpc_link *link;
  struct packet_stream *stream;
  struct sender sender;
  struct arena arena;  // arrays of the packet that is being read
  void (*on_frame)(struct channel *channel, const struct rpc_frame *frame);
  bool is_server;
  struct slice payload;  // of the client's requests
  uint64_t answers;
};

static void handle_packet(struct channel *channel, struct slice bytes)
{
  struct rpc_packet_reader reader = rpc_packet_reader_make(bytes);
  struct slice body;
  struct rpc_frame frame;
  sender_begin_packet(&channel->sender);
  while (rpc_packet_next(&reader, &body) == WIRE_FIELD) {
    CHECK(rpc_frame_decode(body, &channel->arena, &frame));
    channel->on_frame(channel, &frame);
  }
  (void)sender_end_packet(&channel->sender, reader.acked);
  sender_queue_due_ack(&channel->sender);
  arena_reset(&channel->arena);
}

static void on_readable(void *arg)
{
  struct channel *channel = arg;
  struct slice packet;
  enum packet_stream_result result;
  while ((result = packet_stream_next(channel->stream, &packet)) == PACKET_STREAM_READ)
    handle_packet(channel, packet);
  if (result == PACKET_STREAM_OVER) {
    sender_close(&channel->sender);
    packet_stream_close(&channel->stream);
  }
}

static void on_events(void *arg)
{
  struct channel *channel = arg;
  size_t count;
  struct pipe_event *events = transport_take_events(&channel->transport, &count);
  for (size_t i = 0; i < count; i++) {
    CHECK(events[i].kind == PIPE_OPENED && channel->stream == NULL);
    const struct packet_stream_options options = {.transport = &channel->transport,
                                                  .max_message_bytes = RPC_MAX_MESSAGE_BYTES,
                                                  .with_clock = channel->is_server,
                                                  .on_readable = on_readable,
                                                  .arg = channel};
    channel->stream = packet_stream_open(&events[i].opened, &options);
    sender_open(&channel->sender, &channel->stream->port);
  }
  free(events);
}

static void init_channel(struct channel *channel)
{
  transport_init(&channel->transport);
  transport_watch_events(&channel->transport, on_events, channel);
  const struct sender_options options = {.queue = &channel->transport.sends,
                                         .max_in_flight = channel->is_server ? WINDOW_PACKETS : UINT64_MAX,
                                         .packets = metrics_single(METRIC_RPC_SERVER_PACKETS)};
  sender_init(&channel->sender, &options);
}

static void turn(struct channel *channel)
{
  struct pollfd poll_fd = {.fd = channel->transport.epoll_fd, .events = POLLIN};
  poll(&poll_fd, 1, 10);
  (void)transport_poll(&channel->transport);
  send_queue_flush(&channel->transport.sends);
}

static void echo(struct channel *channel, const struct rpc_frame *request)
{
  const struct rpc_frame reply = {.call_id = request->call_id, .kind = RPC_FRAME_RESPONSE, .payload = request->payload};
  (void)sender_add(&channel->sender, &reply);
}

static void send_request(struct channel *channel, uint64_t call_id)
{
  const struct rpc_frame request = {.call_id = call_id,
                                    .kind = RPC_FRAME_REQUEST,
                                    .method = SLICE("bench.v1.Bench/Echo"),
                                    .timeout_ms = 60000,
                                    .payload = channel->payload};
  (void)sender_add(&channel->sender, &request);
}

static void call_again(struct channel *channel, const struct rpc_frame *reply)
{
  CHECK(reply->payload.size == channel->payload.size);
  channel->answers++;
  send_request(channel, reply->call_id);
}

void bare_serve(void (*tell_port)(int arg, int port), int arg)
{
  static struct channel channel = {.on_frame = echo, .is_server = true};
  struct error error;
  int port;
  init_channel(&channel);
  const struct rpc_link_options options = {.url = "tcp://127.0.0.1:0", .events = &channel.transport.events};
  CHECK(rpc_link_listen(&options, &channel.link, &port, &error) == STATUS_OK);
  tell_port(arg, port);
  for (;;)
    turn(&channel);
}

uint64_t bare_call(int port, struct slice payload, size_t in_flight, uint64_t from_us, uint64_t end_us)
{
  struct channel channel = {.on_frame = call_again, .payload = payload};
  struct error error;
  char url[64];
  uint64_t before = 0;
  snprintf(url, sizeof(url), "tcp://127.0.0.1:%d", port);
  init_channel(&channel);
  const struct rpc_link_options options = {.url = url, .events = &channel.transport.events};
  CHECK(rpc_link_dial(&options, &channel.link, &error) == STATUS_OK);
  while (channel.stream == NULL)
    turn(&channel);
  for (size_t i = 1; i <= in_flight; i++)
    send_request(&channel, i);
  send_queue_flush(&channel.transport.sends);
  for (uint64_t now_us = 0; now_us < end_us; now_us = clock_now_us()) {
    turn(&channel);
    before = now_us < from_us ? channel.answers : before;
  }
  sender_free(&channel.sender);
  packet_stream_close(&channel.stream);
  rpc_link_close(&channel.link);
  transport_free(&channel.transport);
  arena_free(&channel.arena);
  return channel.answers - before;
}
