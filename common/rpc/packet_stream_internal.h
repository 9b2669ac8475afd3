// One open connection as packets: SP's messages on a byte stream of nng's. Over TCP, with TLS or without, the host's
// thread reads and writes it.
//
// A message on the wire is its length in 8 bytes, a word of 4 bytes that ends SP's header, and the packet; over IPC a
// byte 1 stands before the length. nng's own sockets do the same, but pass each message through two of nng's threads on
// its way in and through one on its way out. A stream reads when the host's loop sees that its socket is readable,
// and writes at once, so that no other thread has to wake up. nng's own TLS would bring the threads back, and tells no
// name of the other side: so a session of common/security stands between the stream and nng's plain TCP.
#ifndef BULKHEAD_RPC_PACKET_STREAM_INTERNAL_H
#define BULKHEAD_RPC_PACKET_STREAM_INTERNAL_H

#include <nng/nng.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/slice.h"
#include "common/base/strbuf.h"
#include "common/rpc/pipe_events_internal.h"
#include "common/rpc/sender_internal.h"
#include "common/rpc/transport_internal.h"

struct tls_session;

// The word before every packet. SP's header ends at the first word with its high bit set; call ids are in the frames,
// so the rest of the word has no meaning.
#define RPC_HEADER_WORD 0x80000001u

enum packet_stream_mode {
  PACKET_STREAM_DIRECT,    // TCP: the host's loop watches the socket
  PACKET_STREAM_NOTIFIED,  // IPC: nng's threads read, and wake the host's loop
};

enum packet_stream_state {
  PACKET_STREAM_OPEN,
  PACKET_STREAM_ENDED,  // the other side or the network has ended it, or what came was not SP
};

enum packet_stream_result {
  PACKET_STREAM_READ,   // a packet was read
  PACKET_STREAM_EMPTY,  // nothing more has come
  PACKET_STREAM_OVER,   // the connection has ended, and all that came before was read
};

// One direction of a stream.
struct packet_stream_transfer {
  void (*start)(nng_stream *stream, nng_aio *aio);
  nng_aio *attempt;     // moves what can be moved at once
  nng_aio *background;  // goes on in nng's threads; NULL in PACKET_STREAM_DIRECT
  bool running;         // the transfer in the background was started, and its end has not been seen
  atomic_bool done;     // the transfer in the background has ended; set by one of nng's threads
  int wake_fd;          // the eventfd that `background` writes to when it ends
};

struct packet_stream_options {
  struct transport *transport;
  size_t max_message_bytes;
  bool with_clock;                 // packets carry the present time: a server's do
  void (*on_readable)(void *arg);  // packets may have come, or the connection may have ended
  void *arg;
};

struct packet_stream {
  struct packet_stream_options options;
  nng_stream *stream;
  struct tls_session *tls;  // between `stream` and the buffers; NULL without TLS, and always in PACKET_STREAM_NOTIFIED
  enum packet_stream_mode mode;
  enum packet_stream_state state;
  bool is_ipc;
  bool readable;            // there may be something to read
  uint64_t received_bytes;  // moved in and out over the socket so far
  uint64_t sent_bytes;
  struct transport_watch watch;
  struct packet_stream_transfer receiving;
  struct packet_stream_transfer sending;
  struct send_port port;  // for senders
  // What has been received and not been taken: the bytes from `in_begin` to `in_end`.
  uint8_t *in;
  size_t in_begin;
  size_t in_end;
  size_t in_capacity;
  // At most one message that nng has not taken wholly: `out`, where there is a payload with it behind `out_head` bytes.
  struct strbuf out;
  struct outbox_payload out_payload;
  size_t out_head;
  size_t out_sent;  // of the message
};

// Takes over an open connection, and empties `opened`.
struct packet_stream *packet_stream_open(struct rpc_opened *opened, const struct packet_stream_options *options);
// Closes the connection and frees the stream. Nulls the pointer and accepts NULL in it.
void packet_stream_close(struct packet_stream **stream);

// Returns whether bytes wait that the socket has not taken.
bool packet_stream_has_unsent(const struct packet_stream *stream);
// Takes the next packet, which is valid until the next call.
enum packet_stream_result packet_stream_next(struct packet_stream *stream, struct slice *packet) MUST_CHECK;

// Returns the name of the service at the other end, as its certificate proves it; valid until the stream is closed.
// Empty without TLS.
struct slice packet_stream_peer(const struct packet_stream *stream);

#endif
