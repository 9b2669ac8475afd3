// A raw nng socket that speaks frames by hand: a client or server that does what ours would not.
#ifndef BULKHEAD_TESTS_RPC_RAW_PEER_H
#define BULKHEAD_TESTS_RPC_RAW_PEER_H

#include <nng/nng.h>
#include <stddef.h>
#include <stdint.h>

#include "common/rpc/packet_internal.h"
#include "common/security/service_identity.h"

// Connects to a server on this port. Raw sockets are left open until the process ends: see CLOSE HANGS in
// nng_compat_internal.h.
nng_socket raw_dial(int port);
// Listens on a free port of the loopback.
nng_socket raw_listen(int *port);

// Sends bytes as the body of a message, from the client's side.
void raw_send(nng_socket socket, struct slice body);
// Sends frames and an ack of `acked` packets, from the client's side.
void raw_send_frames(nng_socket socket, const struct rpc_frame *frames, size_t count, uint64_t acked);

// Connects to a server on this port by a plain socket, and waits until the server has greeted. The caller closes it.
int raw_connect(int port);
// Sends a packet of fewer than 64 KiB over a connection of raw_connect.
void raw_send_packet(int fd, struct slice packet);
// Sends the hello of `identity` to the service "test" at `url` as a packet of its own.
void raw_send_hello(int fd, struct service_identity *identity, const char *url);

struct raw_packet {
  nng_msg *message;
  struct rpc_frame frames[8];  // the first ones
  size_t count;
  uint64_t acked;
  uint64_t sent_at_us;
  struct arena arena;
};

// Takes the next packet without waiting. False when there is none.
bool raw_receive(nng_socket socket, struct raw_packet *packet);
// Sends frames and an ack back to the connection that the packet came from; a server's side.
void raw_answer(nng_socket socket, const struct raw_packet *packet, const struct rpc_frame *frames, size_t count,
                uint64_t acked);
void raw_packet_free(struct raw_packet *packet);

#endif
