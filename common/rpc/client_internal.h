// The state of an RPC client and of its channels, shared by the client's files.
#ifndef BULKHEAD_RPC_CLIENT_INTERNAL_H
#define BULKHEAD_RPC_CLIENT_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/compiler.h"
#include "common/base/heap.h"
#include "common/base/list.h"
#include "common/observe/log_limit.h"
#include "common/rpc/balancer_internal.h"
#include "common/rpc/breaker_internal.h"
#include "common/rpc/call_table_internal.h"
#include "common/rpc/endpoint_internal.h"
#include "common/rpc/method_metrics_internal.h"
#include "common/rpc/packet_internal.h"
#include "common/rpc/retry_budget_internal.h"
#include "common/rpc/transport_internal.h"

// Why a call is sent again.
enum retry_reason {
  RETRY_UNSENT,   // its request had not left when its connection broke, its instance was silent or it was to be hedged
  RETRY_REFUSED,  // a server has not begun it
  RETRY_BROKEN,   // its connection broke while it was in flight
  RETRY_SILENT,   // its instance does not answer
  RETRY_REASON_COUNT,
};

// What becomes of hedges.
enum hedge_event {
  HEDGE_SENT,
  HEDGE_WON,          // its answer came first
  HEDGE_CANCELLED,    // one of the two requests was cancelled, because the other was answered
  HEDGE_OVER_BUDGET,  // was not sent, because too many calls were sent again
  HEDGE_EVENT_COUNT,
};

// The most times that the request of a call leaves.
#define RPC_MAX_ATTEMPTS 3

struct rpc_frame;

// The way to one service: its listed endpoints, and the calls that wait for one of them.
struct rpc_channel {
  struct rpc_channel *next;
  struct rpc_client *client;
  char *service;
  struct balancer_candidate **candidates;  // endpoint.load of the listed endpoints
  size_t candidate_count;
  struct balancer balancer;
  uint64_t hope_until_us;  // until when calls wait for an endpoint that is not listed yet
  struct list waiting;     // rpc_call.node
  size_t waiting_count;
  struct retry_budget retries;
  struct log_limit budget_log;  // of the line about the exhausted budget
  bool has_full;                // some endpoint may have too many unsent bytes
  struct log_limit full_log;    // of the line about that
  struct metric_series *in_flight;
  struct metric_series *retried[RETRY_REASON_COUNT];
  struct metric_series *ejected[2];   // because of failures, because of slowness
  struct metric_series *ejected_now;  // the gauge, which clients of this process share
  size_t ejected_count;               // what this channel has added to it
  struct metric_series *not_retried;  // the budget was exhausted
  struct metric_series *left_zone;
  struct metric_series *breakers_opened;
  struct metric_series *shed[2];  // calls that were refused here: the method fails everywhere, or all refuse it
  bool has_open;                  // some breaker of an endpoint may be open
  struct log_limit breaker_log;   // of the lines about that
  struct metric_series *hedges[HEDGE_EVENT_COUNT];
  struct endpoint_metrics endpoint_metrics;
};

struct rpc_client {
  size_t max_calls_in_flight;
  size_t max_unsent_bytes;  // of all endpoints, see rpc_client_options
  char *zone;               // NULL: not known
  struct transport transport;
  struct endpoint_group endpoints;
  size_t unlisted_count;  // endpoints that are in `endpoints`, but in no channel
  struct call_table calls;
  struct heap timers;   // rpc_call.timer
  struct list refused;  // rpc_call.node: calls that were refused when they were made
  // The same of calls that had waited. Many of them may be refused at a time, so they end by and by, or at their
  // deadlines.
  struct list given_up;
  struct list blocked;  // rpc_call.backlog_node
  struct rpc_channel *channels;
  struct method_metrics methods;
  struct arena scratch;  // arrays of the packet that is being read
  uint64_t now_us;       // of the current turn
  uint64_t recount_us;   // when the ejected endpoints are counted again; DEADLINE_NONE while there are none
  uint64_t recheck_us;   // when the servers are looked at again, see trust_internal.h; DEADLINE_NONE for never
};

static inline struct endpoint *endpoint_of(struct balancer_candidate *candidate)
{
  return CONTAINER_OF(candidate, struct endpoint, load);
}

// Makes the metric series of a channel, by its service, or finds those that there are.
void channel_make_series(struct rpc_channel *channel);
// Finds the channel to a service, and makes it on first use.
struct rpc_channel *client_channel(struct rpc_client *client, const char *service);
// Chooses the endpoint for a call; NULL when none is ready. One with as many calls in flight as are allowed is
// chosen only when all ready endpoints have that many. Notes in the call's attempt whether it is a try of a breaker,
// which the caller must then send.
struct balancer_candidate *channel_pick(struct rpc_call *call, uint64_t now_us);
// Notes whether as many bytes wait to be sent to the endpoint as may, after something was added to them.
void channel_note_unsent(struct endpoint *endpoint);
// Keeps an endpoint that fails out of the choice for a while, if others do better.
void channel_eject_failing(struct endpoint *endpoint);
// Keeps an endpoint that is far slower than the others out of the choice for a while.
void channel_eject_slow(struct rpc_channel *channel);
// Brings the gauge of ejected endpoints up to date.
void channel_count_ejected(struct rpc_channel *channel);
// Returns whether an endpoint takes calls.
bool channel_is_ready(const struct rpc_channel *channel);
// Returns until when a call may wait for an endpoint while none is ready. There is hope for a second after an endpoint
// was listed, lost, or announced its end. A dial that fails ends the hope for an endpoint that was lost without notice.
uint64_t channel_hope_until_us(const struct rpc_channel *channel);
// Chooses another endpoint for a call in flight that is to be sent again; NULL when no other is ready, answers and has
// room.
struct balancer_candidate *channel_pick_other(const struct rpc_call *call, uint64_t now_us);
// Chooses the endpoint of a hedge. NULL when no other does well, or fewer than two or than half of the endpoints do.
struct balancer_candidate *channel_pick_hedge(const struct rpc_call *call, uint64_t now_us);
// Tells the endpoint's breaker of the call's method how an attempt has ended.
void channel_note_outcome(struct rpc_attempt *attempt, enum breaker_outcome outcome);
// Gives the try back that an attempt was, because it has ended without an outcome.
void channel_return_try(struct rpc_attempt *attempt);
// Marks the endpoints whose breakers for a method are open as to be avoided, and the others as not. Returns how many
// are.
size_t channel_mark_open(struct rpc_channel *channel, size_t method);
// Finds one of those that channel_mark_open has marked that is due to be tried, and takes the mark off; NULL for none.
struct balancer_candidate *channel_find_try(const struct rpc_channel *channel, size_t method, uint64_t now_us);
// Decides what becomes of a call for which `pick` was chosen, which is to be avoided. STATUS_OK: it goes there, also
// because an endpoint that is not to be avoided is ready, but full, silent or ejected. Otherwise all that are ready are
// to be avoided, and the call ends here with this status.
enum status channel_shed(const struct rpc_call *call, struct balancer_candidate *pick, uint64_t now_us) MUST_CHECK;
// Notes that the connection of an endpoint broke, or that its dial has failed; to be called before endpoint_set_lost.
void channel_note_lost(struct endpoint *endpoint);
// Notes that the server of an endpoint shuts down: it gets no new calls.
void channel_drain_endpoint(struct endpoint *endpoint);
// Notes that a server has asked for a new connection: it is dialled again, and new calls go over the new connection. A
// server that asks again before the calls over the old one have ended is treated as one that shuts down.
void channel_reconnect_endpoint(struct endpoint *endpoint);
// Looks whether the servers would still be believed to be who they are, and replaces the endpoints of the others.
void client_recheck_servers(struct rpc_client *client);
// Frees endpoints that get no new calls, once their calls have ended and the connection is closed.
void client_free_finished_endpoints(struct rpc_client *client);
void client_free_channels(struct rpc_client *client);

// ---- the requests of calls, in client_attempts.c ----

// Notes that the endpoint owes no answer any more.
static inline void client_end_attempt(struct rpc_attempt *attempt)
{
  list_remove(&attempt->node);
  if (attempt->call->stream == NULL)
    balancer_count_ended(&attempt->endpoint->load, attempt->cost_us);
  if (attempt->is_try)
    channel_return_try(attempt);
}

// Takes a request back. False when it has left, so that the server may have begun the call.
bool client_withdraw_attempt(const struct rpc_attempt *attempt);
// Sends CANCEL for a request that has left.
void client_cancel_attempt(const struct rpc_attempt *attempt);
// Finds the attempt of a call at this endpoint; NULL when there is none. `call` may be NULL.
static inline struct rpc_attempt *client_find_attempt(struct rpc_call *call, const struct endpoint *endpoint)
{
  if (call == NULL || call->state != CALL_IN_FLIGHT)
    return NULL;
  if (call->attempt.endpoint == endpoint)
    return &call->attempt;
  return call->hedge != NULL && call->hedge->endpoint == endpoint ? call->hedge : NULL;
}

// Tells the breaker that an endpoint has answered an attempt, also with the first frame of a stream; once per attempt.
void client_note_answer(struct rpc_attempt *attempt);
// Learns from how an attempt has ended how well its endpoint does.
void client_judge_attempt(struct rpc_attempt *attempt, const struct rpc_status *status);
// Learns from an attempt that is given up without an answer how slow its endpoint is at least.
void client_note_unanswered(const struct rpc_attempt *attempt);
// Tells whether a status says something of the instance that has sent it, and not of the request.
bool client_is_instance_failure(const struct rpc_status *status);

// ---- hedges, in client_hedges.c ----

// Tells whether a second request of the call may be sent to another endpoint, if the first takes long.
static inline bool client_may_hedge(const struct rpc_call *call)
{
  return call->hedge_after_ms != 0 && !call->is_hedged && call->attempts + 2 <= RPC_MAX_ATTEMPTS;
}

// Sends a second request of a call in flight that takes long, where that may be.
void client_hedge_call(struct rpc_call *call);
// Forgets the hedge of a call, which must have one.
void client_end_hedge(struct rpc_call *call);
// Handles the answer to one of the two requests of a call. Returns whether it ends the call: then the other request is
// cancelled, and the call has this one only. Otherwise it has the other one only.
bool client_settle_hedge(struct rpc_attempt *attempt, const struct rpc_status *status) MUST_CHECK;
// Gives up one of the two requests of a call, which goes on with the other.
void client_drop_attempt(struct rpc_attempt *attempt, bool may_have_begun);
// Gives up the request at a silent endpoint of a call that has two, if the other endpoint is silent, too.
void client_leave_hedged(struct rpc_attempt *attempt);

// ---- calls that are sent again, in client_retries.c ----

// Takes a call back from its endpoint, to be sent again.
void client_take_back(struct rpc_call *call, enum retry_reason reason);
// Tells whether the server says that it has not begun the call.
bool client_is_refusal(const struct rpc_status *status);

// ---- calls, in client_calls.c ----

// Changes the state of a call: moves it between the lists, timers and counts of the states.
void client_set_call_state(struct rpc_call *call, enum call_state state);
// Queues the request of `attempt->call` at an endpoint. `frame` is its frame where that was made before, else
// NULL.
void client_begin_attempt(struct rpc_attempt *attempt, struct endpoint *endpoint, struct rpc_frame *frame,
                          uint64_t now_us);
// Sends the request of a call that is in no list to an endpoint. `frame` as for client_begin_attempt.
void client_send_request(struct rpc_call *call, struct endpoint *endpoint, struct rpc_frame *frame, uint64_t now_us);
// Sends a call that is in no list to the endpoint that should answer first, or lets it wait for one.
void client_place_call(struct rpc_call *call, struct rpc_frame *frame, uint64_t now_us);
// Ends a call with what its server has answered. Its callback runs.
void client_end_call(struct rpc_call *call, const struct rpc_status *status, struct slice payload);
// Ends a call that no server has answered. `has_left` says whether its request has left.
void client_fail_call(struct rpc_call *call, enum status code, bool has_left, const char *message);
// Lets the call end with the next rpc_client_process, because `done` must not run inside rpc_client_call.
void client_refuse_call(struct rpc_call *call, enum status code, const char *message);
// Takes the request of a call back. False when it has left, so that the server may have begun the call.
bool client_withdraw_request(struct rpc_call *call);
// Sends a call again that its server has refused without beginning it. False where that must not or cannot be done.
bool client_retry_refused(struct rpc_call *call, const struct rpc_status *refusal);
// Sends the calls of an endpoint again that may be, and ends the others. `has_left` of the attempts must be set, and
// the endpoint must not be ready any more.
void client_move_calls(struct endpoint *endpoint);
// Sends the calls of a silent endpoint that may be sent again to others. The rest wait for its answer.
void client_leave_silent(struct endpoint *endpoint);
// Hedges a call whose timer has fired, ends it, or lets it wait on: for an endpoint, or for the server's last word.
void client_expire_call(struct rpc_client *client, struct rpc_call *call);
// Notes that the request of a stream was queued: messages may be written now.
void client_begin_stream(struct rpc_call *call);
// Handles a frame of a stream. False for a frame of another kind.
bool client_handle_stream_frame(struct endpoint *endpoint, const struct rpc_frame *frame);
// Tells the streams that wait for their connections to send which of them may write again.
void client_wake_writers(struct rpc_client *client);
// Ends the calls that were refused before; of those that had waited, a few.
void client_end_refused(struct rpc_client *client);
// Sends the calls of the channel that wait for an endpoint, oldest first, as far as there is room.
void channel_dispatch_waiting(struct rpc_channel *channel);
// Ends the calls of the channel that wait for an endpoint, unless one is ready or may soon be.
void channel_end_hopeless_calls(struct rpc_channel *channel);

#endif
