// Each dial has an id of its own, so that an event of an earlier dial is not taken for one of the latest.
#include "common/rpc/endpoint_internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/backoff.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/compiler.h"
#include "common/base/memory.h"
#include "common/observe/log.h"
#include "common/observe/metrics.h"
#include "common/rpc/packet_internal.h"

#define BACKOFF_FIRST_MS 20
// Few, because calls to a service without any endpoint are refused until one is connected again.
#define BACKOFF_MAX_MS 250
// The time for which a connection to an instance that is no longer listed must be quiet before it is closed. A server
// that shuts down usually closes it before, when it has the ack of its last packet.
#define LINGER_MS 30000
// Nothing limits the packets in flight to a server but the room in the connection.
#define NO_WINDOW UINT64_MAX

// ---- state ----

// Returns whether calls in flight at the endpoint can still be answered.
static bool is_connected_state(enum endpoint_state state)
{
  return state == ENDPOINT_READY || state == ENDPOINT_DRAINING || state == ENDPOINT_LINGERING;
}

static void log_state(const struct endpoint *endpoint)
{
  static const struct {
    enum log_level level;
    const char *message;
  } lines[] = {
      [ENDPOINT_BACKING_OFF] = {LOG_DEBUG, "waiting before an endpoint is dialled again"},
      [ENDPOINT_CONNECTING] = {LOG_DEBUG, "dialling an endpoint"},
      [ENDPOINT_PROBING] = {LOG_DEBUG, "connected to an endpoint, waiting for its first packet"},
      [ENDPOINT_READY] = {LOG_INFO, "connected to an endpoint"},
      [ENDPOINT_DRAINING] = {LOG_INFO, "an endpoint shuts down; new calls go to other endpoints where there are any"},
      [ENDPOINT_LINGERING] = {LOG_INFO,
                              "an endpoint is no longer listed or has a new connection; it finishes its calls"},
      [ENDPOINT_GONE] = {LOG_DEBUG, "an endpoint that is no longer listed or has a new connection is gone"},
  };
  LOG_AT(lines[endpoint->state].level, "rpc", lines[endpoint->state].message, LOG_STRING("endpoint", endpoint->id),
         LOG_STRING("url", endpoint->url));
}

// Forgets what calls of an earlier state have shown of the server.
static void forget_breakers(struct endpoint *endpoint)
{
  if (endpoint->breakers.open != 0)
    metric_add(endpoint->metrics->breakers_open, -(int64_t)endpoint->breakers.open);
  breaker_set_free(&endpoint->breakers);
}

// Changes the state, with its metric and log line; nothing else writes the state.
static void set_state(struct endpoint *endpoint, enum endpoint_state state)
{
  if (state == endpoint->state)
    return;
  int before = is_connected_state(endpoint->state) ? 1 : 0;
  int after = is_connected_state(state) ? 1 : 0;
  metric_add(endpoint->metrics->connected, after - before);
  endpoint->state = state;
  endpoint->load.ready = state == ENDPOINT_READY;
  endpoint->load.silent = false;
  forget_breakers(endpoint);
  if (endpoint->load.ready)
    balancer_note_ready(&endpoint->load, clock_now_us());
  log_state(endpoint);
}

static void set_timer(struct endpoint *endpoint, uint64_t due_us)
{
  heap_remove(&endpoint->group->timers, &endpoint->timer);
  heap_insert(&endpoint->group->timers, &endpoint->timer, due_us);
}

static void schedule_dial(struct endpoint *endpoint, uint64_t now_us, const char *reason)
{
  bool is_news = endpoint->backoff_ms <= BACKOFF_FIRST_MS;
  uint32_t pause_ms = backoff_next_ms(&endpoint->backoff_ms, BACKOFF_FIRST_MS, BACKOFF_MAX_MS);
  set_timer(endpoint, deadline_after_ms(now_us, pause_ms));
  set_state(endpoint, ENDPOINT_BACKING_OFF);
  LOG_AT(is_news ? LOG_WARN : LOG_DEBUG, "rpc",
         "no connection to an endpoint; it is dialled again, calls go to other endpoints where there are any",
         LOG_STRING("endpoint", endpoint->id), LOG_STRING("url", endpoint->url), LOG_STRING("reason", reason),
         LOG_INT("retryMs", pause_ms));
}

// ---- connection ----

static void drop_connection(struct endpoint *endpoint)
{
  sender_close(&endpoint->sender);
  packet_stream_close(&endpoint->stream);
  rpc_link_close(&endpoint->link);
  service_evidence_free(&endpoint->evidence);
}

static void dial_server(struct endpoint *endpoint, uint64_t now_us)
{
  struct endpoint_group *group = endpoint->group;
  heap_remove(&group->timers, &endpoint->timer);
  endpoint->link_id = ++group->last_link_id;
  const struct rpc_link_options options = {.url = endpoint->url,
                                           .tls = group->trust.tls,
                                           .service = endpoint->service,
                                           .events = &group->transport->events,
                                           .id = endpoint->link_id};
  struct error error;
  if (rpc_link_dial(&options, &endpoint->link, &error) == STATUS_OK)
    set_state(endpoint, ENDPOINT_CONNECTING);
  else
    schedule_dial(endpoint, now_us, error.message);
}

struct endpoint *endpoint_find(const struct endpoint_group *group, uint64_t link_id)
{
  for (struct list *node = group->members.next; node != &group->members; node = node->next) {
    struct endpoint *endpoint = CONTAINER_OF(node, struct endpoint, node);
    if (endpoint->link != NULL && endpoint->link_id == link_id)
      return endpoint;
  }
  return NULL;
}

// ---- life ----

static void init_sender(struct endpoint *endpoint)
{
  const struct sender_options options = {
      .queue = &endpoint->group->transport->sends,
      .max_in_flight = NO_WINDOW,
      .max_message_bytes = endpoint->group->max_message_bytes,
      .packets = endpoint->metrics->packets,
      .frames = endpoint->metrics->frames,
  };
  sender_init(&endpoint->sender, &options);
}

struct endpoint *endpoint_create(struct endpoint_group *group, const struct rpc_endpoint *address,
                                 struct rpc_channel *channel, const struct endpoint_metrics *metrics, uint64_t now_us)
{
  struct endpoint *endpoint = calloc(1, sizeof(*endpoint));
  CHECK(endpoint != NULL);
  endpoint->group = group;
  endpoint->channel = channel;
  endpoint->metrics = metrics;
  endpoint->service = metrics->service;
  endpoint->id = memory_copy_text(address->id);
  endpoint->url = memory_copy_text(address->url);
  arena_init(&endpoint->proof);
  list_init(&endpoint->attempts);
  list_init(&endpoint->node);
  list_append(&group->members, &endpoint->node);
  init_sender(endpoint);
  dial_server(endpoint, now_us);
  return endpoint;
}

void endpoint_free(struct endpoint **endpoint_pointer)
{
  struct endpoint *endpoint = *endpoint_pointer;
  *endpoint_pointer = NULL;
  if (endpoint == NULL)
    return;
  CHECK(list_empty(&endpoint->attempts));
  drop_connection(endpoint);
  set_state(endpoint, ENDPOINT_GONE);
  heap_remove(&endpoint->group->timers, &endpoint->timer);
  list_remove(&endpoint->node);
  sender_free(&endpoint->sender);
  arena_free(&endpoint->proof);
  forget_breakers(endpoint);
  free(endpoint->id);
  free(endpoint->url);
  free(endpoint);
}

// Begins to prove both names: the server's certificate has done so already, or a hello asks for its own.
static enum status exchange_names(struct endpoint *endpoint, struct error *error)
{
  const char *service = endpoint->service;
  struct slice peer = packet_stream_peer(endpoint->stream);
  arena_reset(&endpoint->proof);
  endpoint->greeting = (struct service_greeting){0};
  if (peer.size != 0 && !slice_equal_string(peer, service))
    return error_set(error, STATUS_UNAUTHENTICATED, "its certificate is that of \"" SLICE_FMT "\", not of \"%s\"",
                     SLICE_ARG(peer), service);
  if (peer.size != 0 || endpoint->group->trust.identity == NULL)
    return STATUS_OK;
  enum status status = service_identity_greet(endpoint->group->trust.identity, service, endpoint->url, &endpoint->proof,
                                              &endpoint->greeting);
  if (status != STATUS_OK)
    return error_set(error, status, "the hello could not be signed; look at SERVICE_KEY");
  sender_add_hello(&endpoint->sender, endpoint->greeting.hello);
  endpoint->stream->options.max_message_bytes = RPC_UNPROVEN_PACKET_BYTES;
  return STATUS_OK;
}

// Asks the server for a packet.
static void ask_for_packet(struct endpoint *endpoint)
{
  static const struct rpc_frame probe = {.kind = RPC_FRAME_REQUEST};
  (void)sender_add(&endpoint->sender, &probe);
}

enum status endpoint_set_connected(struct endpoint *endpoint, struct rpc_opened *opened, uint64_t now_us,
                                   struct error *error)
{
  if (endpoint->state != ENDPOINT_CONNECTING)
    return STATUS_OK;
  const struct packet_stream_options options = {.transport = endpoint->group->transport,
                                                .max_message_bytes = endpoint->group->max_message_bytes,
                                                .on_readable = endpoint->group->on_readable,
                                                .arg = endpoint};
  rpc_link_close(&endpoint->link);
  endpoint->clock = (struct peer_clock){0};
  endpoint->stream = packet_stream_open(opened, &options);
  sender_open(&endpoint->sender, &endpoint->stream->port);
  enum status status = exchange_names(endpoint, error);
  if (status != STATUS_OK)
    return status;
  ask_for_packet(endpoint);
  liveness_begin(&endpoint->liveness, true, now_us);
  set_timer(endpoint, liveness_next_look_us(&endpoint->liveness, true));
  set_state(endpoint, ENDPOINT_PROBING);
  return STATUS_OK;
}

enum status endpoint_check_hello(struct endpoint *endpoint, struct slice hello, struct error *error)
{
  struct service_identity *identity = endpoint->group->trust.identity;
  if (hello.size != 0 && identity != NULL) {
    if (endpoint->greeting.nonce.size == 0)
      return error_set(error, STATUS_UNAUTHENTICATED, "a hello came that answers none of ours");
    int64_t now = clock_wall_us() / 1000000;
    enum status status = service_identity_check_answer(identity, hello, now, &endpoint->greeting, error);
    if (status != STATUS_OK)
      return status;
    service_identity_keep(identity, hello, now, false, &endpoint->evidence);
    endpoint->greeting = (struct service_greeting){0};
    endpoint->stream->options.max_message_bytes = endpoint->group->max_message_bytes;
  }
  if (endpoint->greeting.nonce.size == 0 && endpoint->state == ENDPOINT_PROBING)
    set_state(endpoint, ENDPOINT_READY);
  return STATUS_OK;
}

void endpoint_set_lost(struct endpoint *endpoint, uint64_t now_us, const char *reason)
{
  if (is_connected_state(endpoint->state))
    metric_add(endpoint->metrics->lost, 1);
  drop_connection(endpoint);
  heap_remove(&endpoint->group->timers, &endpoint->timer);
  // A connection that has carried packets was a good one: the first attempt after it comes soon.
  if (is_connected_state(endpoint->state))
    endpoint->backoff_ms = 0;
  if (endpoint->state == ENDPOINT_LINGERING || endpoint->state == ENDPOINT_GONE)
    set_state(endpoint, ENDPOINT_GONE);
  else
    schedule_dial(endpoint, now_us, reason);
}

void endpoint_set_draining(struct endpoint *endpoint)
{
  if (endpoint->state != ENDPOINT_READY)
    return;
  sender_hold_ack(&endpoint->sender);
  set_state(endpoint, ENDPOINT_DRAINING);
}

// Sets the timer of a lingering endpoint: for the next look whether it is quiet, or an earlier one whether its server
// still answers the calls that it has.
static void set_linger_timer(struct endpoint *endpoint)
{
  uint64_t look_us = list_empty(&endpoint->attempts) ? DEADLINE_NONE : liveness_next_look_us(&endpoint->liveness, true);
  set_timer(endpoint, deadline_min(endpoint->quiet_check_us, look_us));
}

static void schedule_quiet_check(struct endpoint *endpoint, uint64_t now_us)
{
  endpoint->received_before_linger = endpoint->sender.window.received;
  endpoint->quiet_check_us = deadline_after_ms(now_us, endpoint->is_replaced ? RPC_REVOKED_RECHECK_MS : LINGER_MS);
  set_linger_timer(endpoint);
}

void endpoint_set_unlisted(struct endpoint *endpoint, uint64_t now_us)
{
  heap_remove(&endpoint->group->timers, &endpoint->timer);
  // A connection that may carry packets is not closed at once: see LINGER_MS.
  if (!is_connected_state(endpoint->state) && endpoint->state != ENDPOINT_PROBING) {
    set_state(endpoint, ENDPOINT_GONE);
    return;
  }
  schedule_quiet_check(endpoint, now_us);
  set_state(endpoint, ENDPOINT_LINGERING);
}

void endpoint_set_replaced(struct endpoint *endpoint, uint64_t now_us)
{
  endpoint->is_replaced = true;
  endpoint_set_unlisted(endpoint, now_us);
}

bool endpoint_is_trusted(struct endpoint *endpoint, struct error *error)
{
  bool takes_calls = endpoint->state == ENDPOINT_READY || endpoint->state == ENDPOINT_DRAINING;
  return !takes_calls || rpc_trust_accepts(&endpoint->group->trust, endpoint->stream, &endpoint->evidence, error);
}

bool endpoint_is_finished(const struct endpoint *endpoint)
{
  return endpoint->state == ENDPOINT_GONE && list_empty(&endpoint->attempts);
}

static bool is_quiet(const struct endpoint *endpoint)
{
  // A server that is believed no longer does not decide how long its connection stays.
  if (endpoint->is_replaced)
    return list_empty(&endpoint->attempts);
  return list_empty(&endpoint->attempts) && sender_is_empty(&endpoint->sender) &&
         endpoint->sender.window.received == endpoint->received_before_linger;
}

static void set_silent(struct endpoint *endpoint, bool silent)
{
  if (silent == endpoint->load.silent)
    return;
  endpoint->load.silent = silent;
  if (silent)
    metric_add(endpoint->metrics->silent, 1);
  LOG_AT(silent ? LOG_WARN : LOG_INFO, "rpc",
         silent ? "an endpoint does not answer; new calls, and those in flight that may be repeated, go to other "
                  "endpoints where there are any"
                : "an endpoint answers again",
         LOG_STRING("endpoint", endpoint->id), LOG_STRING("url", endpoint->url),
         LOG_INT("callsInFlight", endpoint->load.calls_in_flight));
}

// Judges whether the server answers. False when the connection to it must be given up.
static bool judge_server(struct endpoint *endpoint, bool awaited, uint64_t now_us)
{
  enum liveness_verdict verdict = liveness_look(&endpoint->liveness, endpoint->stream->received_bytes, awaited, now_us);
  if (verdict == LIVENESS_LOST)
    return false;
  if (verdict == LIVENESS_ASK)
    ask_for_packet(endpoint);
  if (verdict == LIVENESS_SILENT && is_connected_state(endpoint->state))
    set_silent(endpoint, true);
  return true;
}

static bool look_at_server(struct endpoint *endpoint, uint64_t now_us)
{
  bool awaited = !list_empty(&endpoint->attempts) || endpoint->state == ENDPOINT_PROBING;
  if (!judge_server(endpoint, awaited, now_us))
    return false;
  set_timer(endpoint, liveness_next_look_us(&endpoint->liveness, awaited));
  return true;
}

static void look_whether_quiet(struct endpoint *endpoint, uint64_t now_us)
{
  if (!is_quiet(endpoint)) {
    schedule_quiet_check(endpoint, now_us);
    return;
  }
  heap_remove(&endpoint->group->timers, &endpoint->timer);
  set_state(endpoint, ENDPOINT_GONE);
}

static bool look_at_lingering(struct endpoint *endpoint, uint64_t now_us)
{
  bool look_is_due = now_us >= liveness_next_look_us(&endpoint->liveness, true);
  if (!list_empty(&endpoint->attempts) && look_is_due && !judge_server(endpoint, true, now_us))
    return false;
  if (now_us >= endpoint->quiet_check_us)
    look_whether_quiet(endpoint, now_us);
  else
    set_linger_timer(endpoint);
  return true;
}

bool endpoint_run_timer(struct endpoint *endpoint, uint64_t now_us)
{
  if (endpoint->state == ENDPOINT_BACKING_OFF)
    dial_server(endpoint, now_us);
  else if (endpoint->state == ENDPOINT_LINGERING)
    return look_at_lingering(endpoint, now_us);
  else
    return look_at_server(endpoint, now_us);
  return true;
}

// ---- packets ----

enum packet_stream_result endpoint_receive(struct endpoint *endpoint, struct slice *packet)
{
  enum packet_stream_result result = packet_stream_next(endpoint->stream, packet);
  if (result == PACKET_STREAM_READ) {
    sender_begin_packet(&endpoint->sender);
    set_silent(endpoint, false);
  }
  if (result != PACKET_STREAM_EMPTY)
    return result;
  // All has been read, also after a GOAWAY in the last packet: a server that shuts down waits for the ack of its last
  // packet before it ends.
  if (endpoint->state == ENDPOINT_DRAINING || endpoint->state == ENDPOINT_LINGERING)
    sender_hurry_ack(&endpoint->sender);
  else
    sender_queue_due_ack(&endpoint->sender);
  return PACKET_STREAM_EMPTY;
}
