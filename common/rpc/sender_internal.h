// The way of frames out of a client or a server: outbox, window, flush. One sender for each connection.
//
// Frames of one turn of the host's loop leave together when the turn ends, and a full packet leaves at once. No timer
// holds frames back: the busier a host is, the longer its turns, and the more frames share a packet.
#ifndef BULKHEAD_RPC_SENDER_INTERNAL_H
#define BULKHEAD_RPC_SENDER_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/list.h"
#include "common/base/slice.h"
#include "common/rpc/outbox_internal.h"
#include "common/rpc/window_internal.h"

struct metric_series;
struct sender;

// The senders of one client or server that have something to do.
struct send_queue {
  struct list queued;  // sender.node of SENDER_QUEUED, flushed at the end of the turn
};

// The connection that packets leave through.
struct send_port {
  // Sends one packet, which is an ack alone without frames, with an ack of `received` packets. Its payload belongs to
  // the port then. False when the connection has no room; then send_port_unblock must be called once it has. Not called
  // while `full`.
  bool (*transmit)(struct send_port *port, const struct outbox_packet *packet, uint64_t received);
  bool full;
  struct list blocked;  // sender.node of SENDER_BLOCKED
};

enum sender_state {
  SENDER_CLOSED,   // has no connection, or the other side is given up: frames are dropped
  SENDER_IDLE,     // has nothing to send, or waits for an ack that opens its window
  SENDER_QUEUED,   // will be flushed at the end of the turn
  SENDER_BLOCKED,  // waits for room in the port
};

struct sender_options {
  struct send_queue *queue;
  uint64_t max_in_flight;         // unacked packets beyond which nothing is sent
  size_t max_message_bytes;       // of a packet that the other side takes; 0: no less than RPC_PACKET_BYTES
  struct metric_series *packets;  // counts packets sent
  struct metric_series *frames;   // counts frames sent; NULL to count none
};

struct sender {
  struct sender_options options;
  struct send_port *port;  // NULL before the first sender_open
  enum sender_state state;
  struct list node;
  struct outbox outbox;
  struct packet_window window;
  // While frames with a lower number than `held_until` wait, no packet acks more than `held_ack` packets.
  uint64_t held_until;
  uint64_t held_ack;
};

void send_queue_init(struct send_queue *queue);
// Flushes all queued senders.
void send_queue_flush(struct send_queue *queue);

void send_port_init(struct send_port *port,
                    bool (*transmit)(struct send_port *port, const struct outbox_packet *packet, uint64_t received));
// Notes that the port has room again, and queues the senders that waited for it.
void send_port_unblock(struct send_port *port);

// Initialises a sender, which is closed until sender_open. `options` is copied.
void sender_init(struct sender *sender, const struct sender_options *options);
// Opens the sender for a new connection, whose packets are counted from 0. `port` must live until sender_close.
void sender_open(struct sender *sender, struct send_port *port);
// Closes the sender and drops the frames that have not been sent. The window's counts stay readable until the next
// sender_open.
void sender_close(struct sender *sender);
// Closes the sender and frees its memory.
void sender_free(struct sender *sender);

// Queues a frame and returns its number; a packet that is full with it leaves at once.
uint64_t sender_add(struct sender *sender, const struct rpc_frame *frame);
// Queues a frame of an owner, see outbox_internal.h.
uint64_t sender_add_owned(struct sender *sender, const struct rpc_frame *frame, uint8_t owner);
// Queues a frame that lacks only its time limits, and returns its number; see rpc_frame_append_with_timeout. Never
// sends at once.
uint64_t sender_add_with_timeout(struct sender *sender, struct slice body, uint32_t timeout_ms, uint64_t expires_at_us);
// Queues a hello, which leaves before all frames that are queued later.
void sender_add_hello(struct sender *sender, struct slice hello);
// Drops a queued frame. False when it has left, or went with the connection.
bool sender_drop(struct sender *sender, uint64_t number);
// Sends the packets that may leave now: as far as window and port allow.
void sender_flush(struct sender *sender);

// Counts a packet of the other side, before its frames are handled.
void sender_begin_packet(struct sender *sender);
// Applies the other side's cumulative ack, after the packet's frames were handled. True when the ack was neither stale
// nor impossible.
bool sender_end_packet(struct sender *sender, uint64_t acked);
// Holds the ack of the packet that is being handled back until all frames that wait now have left: the other side takes
// no new frames once it has the ack.
void sender_hold_ack(struct sender *sender);
// Queues an ack of everything received, because the other side waits for it.
void sender_hurry_ack(struct sender *sender);
// Queues an ack if one is due.
void sender_queue_due_ack(struct sender *sender);

// Returns the bytes of the frames that wait in the outbox.
static inline size_t sender_unsent_bytes(const struct sender *sender)
{
  return outbox_bytes(&sender->outbox);
}

// Returns whether no frame waits in the outbox.
static inline bool sender_is_empty(const struct sender *sender)
{
  return sender_unsent_bytes(sender) == 0;
}

// Returns whether everything has been sent and acked.
static inline bool sender_is_acked(const struct sender *sender)
{
  return sender_is_empty(sender) && window_in_flight(&sender->window) == 0;
}

#endif
