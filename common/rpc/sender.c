#include "common/rpc/sender_internal.h"

#include "common/base/compiler.h"
#include "common/observe/metrics.h"

// The number of a frame that a closed sender did not take.
#define NO_FRAME UINT64_MAX

// ---- state ----

// Changes the state: moves the sender between the lists of the states. Nothing else writes the state.
static void set_state(struct sender *sender, enum sender_state state)
{
  sender->state = state;
  list_remove(&sender->node);
  if (state == SENDER_QUEUED)
    list_append(&sender->options.queue->queued, &sender->node);
  else if (state == SENDER_BLOCKED)
    list_append(&sender->port->blocked, &sender->node);
}

// Queues an idle sender for the flush. A blocked one is flushed when the port has room, and a closed one never.
static void queue_sender(struct sender *sender)
{
  if (sender->state == SENDER_IDLE)
    set_state(sender, SENDER_QUEUED);
}

void sender_init(struct sender *sender, const struct sender_options *options)
{
  *sender = (struct sender){.options = *options, .state = SENDER_CLOSED};
  size_t max_bytes = options->max_message_bytes;
  if (max_bytes != 0 && max_bytes < RPC_PACKET_BYTES + RPC_TAIL_MAX_BYTES)
    sender->outbox.max_packet_bytes = max_bytes - RPC_TAIL_MAX_BYTES;
  list_init(&sender->node);
}

void sender_open(struct sender *sender, struct send_port *port)
{
  sender->port = port;
  sender->window = (struct packet_window){0};
  sender->held_until = 0;
  set_state(sender, SENDER_IDLE);
}

void sender_close(struct sender *sender)
{
  set_state(sender, SENDER_CLOSED);
  outbox_clear(&sender->outbox);
}

void sender_free(struct sender *sender)
{
  sender_close(sender);
  outbox_free(&sender->outbox);
}

// ---- sending ----

static bool window_is_open(const struct sender *sender)
{
  return window_in_flight(&sender->window) < sender->options.max_in_flight;
}

// Returns how many packets of the other side may be acked now.
static uint64_t find_ack(const struct sender *sender)
{
  return sender->outbox.first < sender->held_until ? sender->held_ack : sender->window.received;
}

// Sends one packet, which is an ack alone when it has no frames. False when the port has no room; the sender then
// waits for it.
static bool send_packet(struct sender *sender, const struct outbox_packet *packet)
{
  struct send_port *port = sender->port;
  uint64_t ack = find_ack(sender);
  if (!port->full)
    port->full = !port->transmit(port, packet, ack);
  if (port->full) {
    set_state(sender, SENDER_BLOCKED);
    return false;
  }
  window_count_sent(&sender->window, ack);
  metric_add(sender->options.packets, 1);
  return true;
}

static bool send_frames(struct sender *sender)
{
  struct outbox_packet packet = outbox_peek(&sender->outbox);
  if (!send_packet(sender, &packet))
    return false;
  outbox_remove(&sender->outbox, packet);
  if (sender->options.frames != NULL)
    metric_add(sender->options.frames, (int64_t)packet.frame_count);
  return true;
}

void sender_flush(struct sender *sender)
{
  if (sender->state == SENDER_CLOSED || sender->state == SENDER_BLOCKED)
    return;
  set_state(sender, SENDER_IDLE);
  while (!sender_is_empty(sender) && window_is_open(sender))
    if (!send_frames(sender))
      return;
  if (sender->held_until != 0 && sender->outbox.first >= sender->held_until) {
    sender->held_until = 0;
    window_hurry_ack(&sender->window);
  }
  // While the window is closed, the ack that opens it queues the sender again.
  if (window_is_open(sender) && sender->window.ack_due)
    (void)send_packet(sender, &(struct outbox_packet){0});
}

uint64_t sender_add(struct sender *sender, const struct rpc_frame *frame)
{
  return sender_add_owned(sender, frame, 0);
}

uint64_t sender_add_owned(struct sender *sender, const struct rpc_frame *frame, uint8_t owner)
{
  if (sender->state == SENDER_CLOSED)
    return NO_FRAME;
  uint64_t number = outbox_add(&sender->outbox, frame, owner);
  queue_sender(sender);
  if (outbox_is_full(&sender->outbox))
    sender_flush(sender);
  return number;
}

uint64_t sender_add_with_timeout(struct sender *sender, struct slice body, uint32_t timeout_ms, uint64_t expires_at_us)
{
  if (sender->state == SENDER_CLOSED)
    return NO_FRAME;
  uint64_t number = outbox_add_with_timeout(&sender->outbox, body, timeout_ms, expires_at_us);
  queue_sender(sender);
  return number;
}

void sender_add_hello(struct sender *sender, struct slice hello)
{
  if (sender->state == SENDER_CLOSED)
    return;
  outbox_add_hello(&sender->outbox, hello);
  queue_sender(sender);
}

bool sender_drop(struct sender *sender, uint64_t number)
{
  bool dropped = outbox_drop(&sender->outbox, number);
  // The frame may have been the last one that an ack waited for.
  if (sender->held_until != 0)
    queue_sender(sender);
  return dropped;
}

// ---- receiving ----

void sender_begin_packet(struct sender *sender)
{
  window_count_received(&sender->window);
}

bool sender_end_packet(struct sender *sender, uint64_t acked)
{
  bool advanced = window_apply_ack(&sender->window, acked);
  if (advanced && !sender_is_empty(sender))
    queue_sender(sender);
  return advanced;
}

void sender_queue_due_ack(struct sender *sender)
{
  if (sender->window.ack_due)
    queue_sender(sender);
}

void sender_hold_ack(struct sender *sender)
{
  sender->held_until = sender->outbox.next;
  sender->held_ack = sender->window.received - 1;
}

void sender_hurry_ack(struct sender *sender)
{
  window_hurry_ack(&sender->window);
  sender_queue_due_ack(sender);
}

// ---- queue and port ----

void send_queue_init(struct send_queue *queue)
{
  list_init(&queue->queued);
}

void send_queue_flush(struct send_queue *queue)
{
  while (!list_empty(&queue->queued))
    sender_flush(CONTAINER_OF(queue->queued.next, struct sender, node));
}

void send_port_init(struct send_port *port,
                    bool (*transmit)(struct send_port *port, const struct outbox_packet *packet, uint64_t received))
{
  *port = (struct send_port){.transmit = transmit};
  list_init(&port->blocked);
}

void send_port_unblock(struct send_port *port)
{
  port->full = false;
  while (!list_empty(&port->blocked))
    set_state(CONTAINER_OF(port->blocked.next, struct sender, node), SENDER_QUEUED);
}
