// The state of an RPC server, shared by the server's files: rpc_server.c moves requests and replies, server_watch.c
// looks at the connections.
#ifndef BULKHEAD_RPC_SERVER_INTERNAL_H
#define BULKHEAD_RPC_SERVER_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/list.h"
#include "common/rpc/connection_internal.h"
#include "common/rpc/link_internal.h"
#include "common/rpc/method_metrics_internal.h"
#include "common/rpc/request_internal.h"
#include "common/rpc/rpc_server.h"
#include "common/rpc/transport_internal.h"

struct rpc_server {
  struct rpc_server_options options;  // its strings are not kept
  struct transport transport;
  struct tls_context *tls;  // NULL without TLS
  struct rpc_link *link;
  int port;
  struct list connections;  // connection.node
  uint64_t last_connection;
  struct request_table requests;
  struct method_metrics methods;
  struct list blocked;        // rpc_request.backlog_node
  size_t streams;             // requests with a stream that were not replied to
  struct rpc_request *spare;  // a frame is decoded into it before it is known to be a request
  struct metric_series *in_flight;
  struct metric_series *packets;
  uint64_t now_us;
  // When the first connection without proof has had its time, or earlier; DEADLINE_NONE when there is none.
  uint64_t unproven_until_us;
  uint64_t recheck_us;  // when a client is looked at again, see trust_internal.h; DEADLINE_NONE when there is none
  uint64_t look_us;     // when it is looked next whether the clients read; DEADLINE_NONE without connections
  bool has_abandoned;   // there are abandoned connections, which are closed with the next rpc_server_process
  bool draining;
};

// Closes a connection and cancels its requests.
void server_close_connection(struct rpc_server *server, struct connection *connection);
// Handles the packets that have come over a connection (`arg`), and closes it if it has ended.
void server_receive_packets(void *arg);

// Changes the state of a request to cancelled or orphaned, and tells the handler the first time. Nothing else writes
// the state.
void server_cancel_request(struct rpc_server *server, struct rpc_request *request, enum request_state state);
// The replies that may wait for a client, in messages of the largest size, before its new requests are refused.
#define SERVER_CONGESTED_MESSAGES 8

// Queues a frame for a client, and gives the client up if it leaves too many bytes of them unread.
void server_queue_frame(struct rpc_server *server, struct connection *connection, const struct rpc_frame *frame,
                        uint8_t owner);
// Forgets the messages of a stream that its host has not taken, because the request ends.
void server_forget_messages(struct rpc_request *request);
// Handles a frame of a stream. False for a frame of another kind.
bool server_handle_stream_frame(struct rpc_server *server, const struct connection *connection,
                                const struct rpc_frame *frame);
// Tells the streams that wait for their connections to send which of them may write again.
void server_wake_writers(struct rpc_server *server);

// Watches a connection that was just opened. May close it, or another one, if too many have proven no name.
void server_watch_connection(struct rpc_server *server, struct connection *connection);
// Lets a client that has just proven its name be looked at in time.
void server_schedule_recheck(struct rpc_server *server);
// Gives up a client that does not read its replies. Its connection is closed with the next rpc_server_process, because
// a handler may be on the stack.
void server_abandon_client(struct rpc_server *server, struct connection *connection);
// Does what is due by server->now_us, and closes the connections of abandoned clients.
void server_run_watches(struct rpc_server *server);
// Returns when server_run_watches has something to do; DEADLINE_NONE for never.
uint64_t server_next_watch_us(const struct rpc_server *server);

#endif
