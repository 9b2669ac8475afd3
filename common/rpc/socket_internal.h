// The thin wrapper round nng's calls: sockets made ready, messages in and out without blocking, nng's errors
// translated.
#ifndef BULKHEAD_RPC_SOCKET_INTERNAL_H
#define BULKHEAD_RPC_SOCKET_INTERNAL_H

#include <nng/nng.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/slice.h"
#include "common/base/status.h"
#include "common/rpc/rpc.h"

// Packets that nng's socket holds on their way out or in, before it says EAGAIN or stops reading from the network.
#define RPC_SOCKET_QUEUE 64
// The request id of every packet. Raw REQ and REP end the header at the first word with its high bit set; call ids are
// in the frames, so the word itself says nothing.
#define RPC_HEADER_WORD 0x80000001u

enum status rpc_status_from_nng(int code);

// Sends and receives over one nng_aio that is used again and again: nng_recvmsg would make one for each message.
struct rpc_io {
  nng_aio *aio;
};

void rpc_io_init(struct rpc_io *io);
void rpc_io_free(struct rpc_io *io);

// NULL when there is nothing (or the socket is closed).
nng_msg *rpc_io_receive(struct rpc_io *io, nng_socket socket);
// False when nng's queue is full: the message is still the caller's. True: it is nng's, or, on a broken socket, freed.
bool rpc_io_send(struct rpc_io *io, nng_socket socket, nng_msg *message);

// A message with these frames and the count of received packets; its header is still empty.
nng_msg *rpc_message_make(struct slice frames, uint64_t received);
static inline struct slice rpc_message_body(nng_msg *message)
{
  return slice_make(nng_msg_body(message), nng_msg_len(message));
}

// Sets queue lengths and the cap of a message that comes in. CHECKs: it fails only for lack of memory.
void rpc_socket_prepare(nng_socket socket, size_t max_message_bytes);
// Gives the fd for NNG_OPT_RECVFD or NNG_OPT_SENDFD. CHECKs: without it nothing works.
int rpc_socket_fd(nng_socket socket, const char *option);

// Starts a dialer that goes on trying by itself until it has connected.
enum status rpc_socket_dial(nng_socket socket, const char *url, const struct rpc_tls *tls,
                            struct error *error) MUST_CHECK;
// `port` is the bound one for TCP, 0 otherwise.
enum status rpc_socket_listen(nng_socket socket, const char *url, const struct rpc_tls *tls, int *port,
                              struct error *error) MUST_CHECK;

#endif
