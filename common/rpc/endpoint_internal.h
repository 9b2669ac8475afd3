// One remote instance as the client sees it: a raw REQ socket with one connection, the frames that wait to leave, and
// the way back after the connection broke. It knows frames only as bytes; whose calls they are is the client's matter.
#ifndef BULKHEAD_RPC_ENDPOINT_INTERNAL_H
#define BULKHEAD_RPC_ENDPOINT_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/compiler.h"
#include "common/base/heap.h"
#include "common/base/list.h"
#include "common/rpc/balancer_internal.h"
#include "common/rpc/flow_internal.h"
#include "common/rpc/outbox_internal.h"
#include "common/rpc/pipe_events_internal.h"
#include "common/rpc/reaper_internal.h"
#include "common/rpc/rpc.h"
#include "common/rpc/socket_internal.h"

struct metric_series;

enum endpoint_state {
  ENDPOINT_CONNECTING,  // nng dials, again and again
  ENDPOINT_CONNECTED,
  ENDPOINT_BROKEN,  // no socket; dialled anew when `timer` is due
};

// What the endpoints of one client share.
struct endpoint_hub {
  int epoll_fd;  // nests the fds of all sockets and of the event queue
  struct rpc_io io;
  struct reaper *reaper;  // and the event queue
  struct heap timers;     // endpoint.timer
  struct list dirty;      // endpoint.dirty: has something to send
  struct list holding;    // endpoint.flow: holds frames back
  size_t max_message_bytes;
  struct rpc_tls tls;
  uint64_t last_link_id;
};

// The series of the endpoint's service.
struct endpoint_metrics {
  struct metric_series *connected;
  struct metric_series *lost;
  struct metric_series *packets;
  struct metric_series *frames;
};

struct endpoint;

// What an epoll event points to; NULL stands for the event queue.
struct endpoint_watch {
  struct endpoint *endpoint;
  int fd;  // -1 while not watched
};

struct endpoint {
  struct balancer_candidate load;
  struct rpc_service *service;
  const struct endpoint_metrics *metrics;
  char *id;
  char *url;
  enum endpoint_state state;
  bool removed;   // no longer listed; goes when its calls have ended
  bool draining;  // the server has said GOAWAY
  struct rpc_link *link;
  struct endpoint_watch receive_watch;
  struct endpoint_watch send_watch;  // watched while nng's queue is full
  struct outbox outbox;
  struct list calls;  // rpc_call.node
  struct list node;   // the client's list of all endpoints
  struct list dirty;
  struct heap_node timer;  // the next dial, or the end of one that is removed
  uint32_t backoff_ms;
  struct packet_flow flow;
  uint64_t quiet_since_packets;  // flow.received when it began to linger
};

void endpoint_hub_init(struct endpoint_hub *hub, size_t max_message_bytes, const struct rpc_tls *tls);
// All endpoints must be gone. Waits for nng to close their sockets, a second at most.
void endpoint_hub_free(struct endpoint_hub *hub);

// Dials at once.
struct endpoint *endpoint_create(struct endpoint_hub *hub, const struct rpc_endpoint *place,
                                 struct rpc_service *service, const struct endpoint_metrics *metrics, uint64_t now_us);
// It must have no calls.
void endpoint_free(struct endpoint_hub *hub, struct endpoint *endpoint);

void endpoint_dial(struct endpoint_hub *hub, struct endpoint *endpoint, uint64_t now_us);
// nng has connected it.
void endpoint_connected(struct endpoint *endpoint);
// Its connection broke: throws the socket away and sets the time of the next attempt.
void endpoint_lost(struct endpoint_hub *hub, struct endpoint *endpoint, uint64_t now_us);
// The server wants no new calls, or discovery has dropped it.
void endpoint_set_draining(struct endpoint *endpoint);
void endpoint_set_removed(struct endpoint_hub *hub, struct endpoint *endpoint, uint64_t now_us);
// Removed, without calls and without a connection.
bool endpoint_is_finished(const struct endpoint *endpoint);
// Its timer is due: dials again. False when instead it is removed and has been quiet for so long that it may be freed.
bool endpoint_timer_due(struct endpoint_hub *hub, struct endpoint *endpoint, uint64_t now_us) MUST_CHECK;

// The next packet that has come; NULL when there is none. The caller frees it.
nng_msg *endpoint_receive(struct endpoint_hub *hub, struct endpoint *endpoint);
// It held so many frames; the server tells by it how many of our packets have come.
void endpoint_took_packet(struct endpoint_hub *hub, struct endpoint *endpoint, size_t frames, uint64_t arrived_packets);
// Marks those for the next flush that have held their frames for long enough.
void endpoint_release_held(struct endpoint_hub *hub, uint64_t now_us);
// Queues a frame; it leaves at once where that fills a packet, else with the next flush or a little later (see flow.h).
void endpoint_queue(struct endpoint_hub *hub, struct endpoint *endpoint, const struct rpc_frame *frame);
void endpoint_queue_with_timeout(struct endpoint_hub *hub, struct endpoint *endpoint, struct slice body,
                                 uint32_t timeout_ms);
void endpoint_flush(struct endpoint_hub *hub, struct endpoint *endpoint);
// nng has room again.
void endpoint_sendable(struct endpoint_hub *hub, struct endpoint *endpoint);

#endif
