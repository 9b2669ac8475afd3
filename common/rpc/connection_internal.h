// One client as the server sees it: its connection, its requests, and the sender of its replies.
#ifndef BULKHEAD_RPC_CONNECTION_INTERNAL_H
#define BULKHEAD_RPC_CONNECTION_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/list.h"
#include "common/rpc/packet_stream_internal.h"
#include "common/rpc/sender_internal.h"
#include "common/rpc/trust_internal.h"

struct rpc_server;

enum connection_state {
  CONNECTION_UNPROVEN,      // has not proven its client's name: its requests are refused
  CONNECTION_OPEN,          // may be sent frames at any time
  CONNECTION_GOAWAY_SENT,   // may still send requests: they crossed with the GOAWAY
  CONNECTION_GOAWAY_ACKED,  // knows that the server drains; its requests are refused from now on
  CONNECTION_REFUSED,       // has not proven its client's name and will not: to be closed
  CONNECTION_ABANDONED,     // does not take its replies: to be closed
};

struct connection {
  struct rpc_server *server;
  uint64_t number;  // for the log
  enum connection_state state;
  struct list requests;  // rpc_request.node
  struct list node;      // rpc_server.connections
  struct packet_stream *stream;
  struct sender sender;
  char *peer;                // the proven name of the client's program; NULL without proof
  size_t max_message_bytes;  // once the client is proven
  size_t kept_bytes;         // of messages of its streams that the host has not taken
  unsigned unproven_input;   // packets and frames that came without proof
  uint64_t opened_us;
  struct service_evidence evidence;  // the hello that has proven `peer`; none with TLS
  uint64_t revoked_us;               // when `peer` was found to be accepted no longer; 0 while it is
  uint64_t received_before_recheck;  // packets received when a revoked connection was looked at last
  uint64_t moved_before_look;        // what the client had taken when it was looked at last
  unsigned looks_without_progress;
};

struct connection_options {
  struct rpc_server *server;
  uint64_t number;
  size_t max_message_bytes;
  struct transport *transport;
  bool needs_proof;                       // the client must show a hello, unless its certificate names it
  void (*on_readable)(void *connection);  // packets may have come, or the connection may have ended
  struct metric_series *packets;          // counts packets sent
};

// Takes over an open connection, and empties `opened`. The caller puts the result into its list.
struct connection *connection_open(struct rpc_opened *opened, const struct connection_options *options);
// Takes the connection out of its list, closes and frees it, and nulls the pointer. It must have no requests (CHECK).
void connection_close(struct connection **connection);

// Notes the proven name of the client: from now on its requests are served.
void connection_set_proven(struct connection *connection, struct slice peer);
// Notes that the client's hello proves nothing, or that none has come in time. The caller must close the connection.
void connection_refuse(struct connection *connection, const char *reason);
// Takes the hello of a client, and answers it with ours. Refuses the client if it proves nothing.
void connection_take_hello(struct connection *connection, struct service_identity *identity, struct slice hello);
// Counts a packet or frame, and refuses a client that goes on without showing a hello.
void connection_count_unproven(struct connection *connection);
// Returns the connection without proof that was opened first; NULL when there is none. `count` becomes how many there
// are.
struct connection *connection_find_unproven(const struct list *connections, size_t *count);

// Queues a GOAWAY frame, so that the client sends no further requests here: with RPC_RECONNECT as `reason` over this
// connection, with an empty one to this server. Ignored unless the connection is open: a client without proof is told
// once it has proven its name.
void connection_send_goaway(struct connection *connection, struct slice reason);
// Looks whether the client would still be let in, and revokes the connection if not; see trust_internal.h. Returns when
// to look again: 0 when the caller must close the connection now, DEADLINE_NONE when there is nothing to look at.
uint64_t connection_recheck(struct connection *connection, const struct rpc_trust *trust, uint64_t now_us);
// Notes that the client has acked everything that was sent to it, also the GOAWAY if there was one: after that its
// requests are refused.
void connection_note_all_acked(struct connection *connection);
// Gives the client up: drops what is unsent, and drops all replies from now on.
void connection_abandon(struct connection *connection);

// The time between two looks whether the client reads.
#define CONNECTION_LOOK_MS 1000
// Returns whether the client has taken nothing at many looks in a row although frames wait for it. The looks are
// counted, and not the time, so that a client is not blamed for a pause of our own process.
bool connection_look_for_progress(struct connection *connection);

// Returns whether everything has left the outbox and, if `acked`, has arrived. An abandoned connection is always
// idle, because nothing is sent to it, and so is one without proof.
bool connection_is_idle(const struct connection *connection, bool acked);

#endif
