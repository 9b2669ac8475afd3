// One remote instance as the client sees it: its connection, the sender of its frames, and the way back after the
// connection broke. An endpoint knows frames only as bytes; their calls belong to the client.
#ifndef BULKHEAD_RPC_ENDPOINT_INTERNAL_H
#define BULKHEAD_RPC_ENDPOINT_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/heap.h"
#include "common/base/list.h"
#include "common/rpc/balancer_internal.h"
#include "common/rpc/breaker_internal.h"
#include "common/rpc/link_internal.h"
#include "common/rpc/liveness_internal.h"
#include "common/rpc/packet_stream_internal.h"
#include "common/rpc/peer_clock_internal.h"
#include "common/rpc/rpc.h"
#include "common/rpc/sender_internal.h"
#include "common/rpc/transport_internal.h"
#include "common/rpc/trust_internal.h"
#include "common/security/service_identity.h"

struct metric_series;
struct rpc_channel;
struct endpoint;

enum endpoint_state {
  ENDPOINT_BACKING_OFF,  // has no connection; `timer` says when to dial
  ENDPOINT_CONNECTING,   // `link` dials
  ENDPOINT_PROBING,      // connected; the server was asked for a packet and its proof, which have not come yet
  ENDPOINT_READY,        // connected and heard of, takes calls
  ENDPOINT_DRAINING,     // connected; the server has said GOAWAY: no new calls
  ENDPOINT_LINGERING,    // connected but no longer listed or replaced: no new calls, freed once it is quiet
  ENDPOINT_GONE,         // no longer listed or replaced, and not connected: freed once it has no calls
};

// Holds what the endpoints of one client share.
struct endpoint_group {
  struct transport *transport;
  struct heap timers;   // endpoint.timer
  struct list members;  // endpoint.node; all of them, also those that are no longer listed
  size_t max_message_bytes;
  struct rpc_trust trust;
  uint64_t last_link_id;
  void (*on_readable)(void *endpoint);  // packets may have come
};

// The service that endpoints belong to, and the metric series that they count in.
struct endpoint_metrics {
  const char *service;
  struct metric_series *connected;
  struct metric_series *lost;
  struct metric_series *silent;
  struct metric_series *packets;
  struct metric_series *frames;
  struct metric_series *breakers_open;
};

struct endpoint {
  struct balancer_candidate load;
  struct breaker_set breakers;
  struct endpoint_group *group;
  struct rpc_channel *channel;
  const char *service;  // that the other side must prove to be
  const struct endpoint_metrics *metrics;
  char *id;
  char *url;
  enum endpoint_state state;
  uint64_t link_id;              // of the last dial
  struct rpc_link *link;         // the dial; NULL when there is none
  struct packet_stream *stream;  // the connection; NULL when there is none
  struct sender sender;
  struct peer_clock clock;  // of the server
  struct liveness liveness;
  struct list attempts;    // rpc_attempt.node
  struct list node;        // group.members
  struct heap_node timer;  // the next dial, or the next look whether the server answers or a lingering one is quiet
  uint32_t backoff_ms;
  struct arena proof;                // of `greeting`
  struct service_greeting greeting;  // without a nonce when the server needs to show no hello
  struct service_evidence evidence;  // the hello that has proven the server's name; none with TLS
  uint64_t quiet_check_us;           // of a lingering endpoint: when to look whether it is quiet
  uint64_t received_before_linger;   // packets received when that was set
  uint64_t hope_until_us;            // until when calls wait for it while it takes none; channel.c sets it
  bool may_come_up;   // a dial that fails does not end the hope: its server may be about to start, or have a successor
  bool is_elsewhere;  // in another zone than the client, as far as both are known
  bool is_replaced;   // an endpoint with another connection to the same server takes its calls
};

// Creates an endpoint of the group and dials at once. `address` is copied; `metrics` must outlive the endpoint.
struct endpoint *endpoint_create(struct endpoint_group *group, const struct rpc_endpoint *address,
                                 struct rpc_channel *channel, const struct endpoint_metrics *metrics, uint64_t now_us);
// Closes the endpoint's connection in the background and frees the endpoint, which must have no calls (CHECK). Nulls
// the pointer and accepts NULL in it.
void endpoint_free(struct endpoint **endpoint);

// Finds the endpoint that waits for the dial with this id; NULL when none does any more.
struct endpoint *endpoint_find(const struct endpoint_group *group, uint64_t link_id);

// Takes over the connection that the dial has opened, and asks the server for a packet (see peer_clock_internal.h). The
// connection stays the caller's unless the endpoint is connecting. Not OK when the server's certificate names another
// service; then the caller must call endpoint_set_lost.
enum status endpoint_set_connected(struct endpoint *endpoint, struct rpc_opened *opened, uint64_t now_us,
                                   struct error *error) MUST_CHECK;
// Notes the first packet of the server with its hello, which may be empty. The endpoint becomes ready, unless the hello
// does not prove that the server is the service that was dialled. Then it is not OK, and the caller must call
// endpoint_set_lost. A packet without hello that comes before the proof changes nothing.
enum status endpoint_check_hello(struct endpoint *endpoint, struct slice hello, struct error *error) MUST_CHECK;
// Notes that the dial has failed or the connection broke: closes it, and schedules the next dial unless the endpoint is
// no longer listed. The calls in flight stay in `attempts` for the caller to end. `reason` is for the log.
void endpoint_set_lost(struct endpoint *endpoint, uint64_t now_us, const char *reason);
// Notes that the server has sent GOAWAY: the endpoint gets no new calls. Ignored unless the endpoint is ready.
void endpoint_set_draining(struct endpoint *endpoint);
// Notes that discovery no longer lists the endpoint: it gets no new calls, and is finished once its calls have ended
// and its connection has been quiet.
void endpoint_set_unlisted(struct endpoint *endpoint, uint64_t now_us);
// Notes that an endpoint with another connection takes the calls to the same server from now on: this one gets none,
// and is finished once its calls have ended.
void endpoint_set_replaced(struct endpoint *endpoint, uint64_t now_us);
// Returns whether the endpoint's server would still be believed to be the service that was dialled. Else `error` says
// why. An endpoint that gets no new calls anyway is not looked at.
bool endpoint_is_trusted(struct endpoint *endpoint, struct error *error) MUST_CHECK;
// Returns whether the endpoint may be freed: it is no longer listed, not connected, and has no calls.
bool endpoint_is_finished(const struct endpoint *endpoint);
// Does what the endpoint's timer was set for: dials, asks a server that is quiet for a packet, or lets go of a
// lingering connection that has become quiet. A server that leaves the question unanswered is silent: it gets new calls
// only when no other endpoint is ready. False when it was silent for so long that the caller must call
// endpoint_set_lost.
bool endpoint_run_timer(struct endpoint *endpoint, uint64_t now_us) MUST_CHECK;

// Takes the next packet that has arrived, and counts it for the next ack; it is valid until the next call. When there
// is none, an ack is queued if one is due. After PACKET_STREAM_OVER the connection has ended, and the caller must call
// endpoint_set_lost.
enum packet_stream_result endpoint_receive(struct endpoint *endpoint, struct slice *packet) MUST_CHECK;

#endif
