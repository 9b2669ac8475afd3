// The thin wrapper around nng's calls: prepares sockets, moves messages without blocking, translates nng's errors. What
// is known about nng's behaviour is in nng_compat_internal.h.
#ifndef BULKHEAD_RPC_SOCKET_INTERNAL_H
#define BULKHEAD_RPC_SOCKET_INTERNAL_H

#include <nng/nng.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/slice.h"
#include "common/base/status.h"
#include "common/rpc/rpc.h"

// Packets that a socket of nng's holds on their way out or in, before it reports no room or stops reading from the
// network.
#define RPC_SOCKET_QUEUE 64
// The request id in the header of every packet. Raw REQ and REP end the header at the first word with its high bit set;
// call ids are in the frames, so the word itself has no meaning.
#define RPC_HEADER_WORD 0x80000001u

// Sends and receives over one nng_aio that is used again and again, because nng_recvmsg would make one for each
// message.
struct rpc_io {
  nng_aio *aio;
};

void rpc_io_init(struct rpc_io *io);
// Frees the aio; accepts a zeroed rpc_io.
void rpc_io_free(struct rpc_io *io);

// Receives a message without waiting; NULL when there is none or the socket is closed.
nng_msg *rpc_io_receive(struct rpc_io *io, nng_socket socket);
// Sends a message without waiting. False when the socket has no room: the message is still the caller's. After true it
// is nng's, or was freed because the socket is closed.
bool rpc_io_send(struct rpc_io *io, nng_socket socket, nng_msg *message);

// Makes a message of these frames, which are copied, and an ack of `received` packets. `pipe` is the connection that a
// raw REP socket sends it to; 0 for a raw REQ socket. A server's message also carries the present time.
nng_msg *rpc_message_make(uint32_t pipe, struct slice frames, uint64_t received);
static inline struct slice rpc_message_body(nng_msg *message)
{
  return slice_make(nng_msg_body(message), nng_msg_len(message));
}

// Sets the queue lengths and the cap of a received message. It fails (CHECK) only without memory.
void rpc_socket_prepare(nng_socket socket, size_t max_message_bytes);
// Returns the fd for NNG_OPT_RECVFD or NNG_OPT_SENDFD; it belongs to the socket.
int rpc_socket_fd(nng_socket socket, const char *option);

// Starts a dialer, which tries until it has connected. On failure `error` names the URL and the reason.
enum status rpc_socket_dial(nng_socket socket, const char *url, const struct rpc_tls *tls,
                            struct error *error) MUST_CHECK;
// Starts listening. `port` becomes the bound port of a TCP listener, 0 for others. On failure `error` names the URL and
// the reason.
enum status rpc_socket_listen(nng_socket socket, const char *url, const struct rpc_tls *tls, int *port,
                              struct error *error) MUST_CHECK;

#endif
