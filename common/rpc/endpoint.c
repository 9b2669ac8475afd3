// A socket serves exactly one connection. nng would dial again by itself after a loss and deliver what was still queued
// to whoever answers then; so a second connection is refused in nng's own callback, and the loop replaces the socket.
#include "common/rpc/endpoint_internal.h"

#include <nng/nng.h>
#include <nng/protocol/reqrep0/req.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "common/base/backoff.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/observe/log.h"
#include "common/observe/metrics.h"
#include "common/rpc/nng_threads_internal.h"
#include "common/rpc/packet_internal.h"

#define BACKOFF_FIRST_MS 20
#define BACKOFF_MAX_MS 5000
// How long a connection that is no longer wanted stays, for the server to close it first: see reaper.h.
#define LINGER_MS 30000

static void watch(struct endpoint_hub *hub, int fd, void *data)
{
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = data};
  CHECK(epoll_ctl(hub->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0);
}

static void unwatch(struct endpoint_hub *hub, struct endpoint_watch *watched)
{
  if (watched->fd >= 0)
    epoll_ctl(hub->epoll_fd, EPOLL_CTL_DEL, watched->fd, NULL);
  watched->fd = -1;
}

void endpoint_hub_init(struct endpoint_hub *hub, size_t max_message_bytes, const struct rpc_tls *tls)
{
  *hub = (struct endpoint_hub){.max_message_bytes = max_message_bytes, .tls = *tls};
  hub->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  CHECK(hub->epoll_fd >= 0);
  rpc_io_init(&hub->io);
  hub->reaper = reaper_start();
  list_init(&hub->dirty);
  list_init(&hub->holding);
  watch(hub, hub->reaper->events.fd, NULL);
}

void endpoint_hub_free(struct endpoint_hub *hub)
{
  CHECK(list_empty(&hub->dirty));
  reaper_stop(&hub->reaper);
  rpc_io_free(&hub->io);
  heap_free(&hub->timers);
  close(hub->epoll_fd);
}

// On a thread of nng's.
static void on_pipe(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
  struct rpc_link *link = arg;
  if (event == NNG_PIPE_EV_ADD_PRE) {
    if (atomic_exchange(&link->used, true))
      nng_pipe_close(pipe);
    return;
  }
  enum pipe_event_kind kind = event == NNG_PIPE_EV_ADD_POST ? PIPE_OPENED : PIPE_CLOSED;
  pipe_events_push(link->events, (struct pipe_event){.kind = kind, .pipe = (uint32_t)pipe.id, .link_id = link->id});
}

static struct rpc_link *make_link(struct endpoint_hub *hub)
{
  struct rpc_link *link = calloc(1, sizeof(*link));
  CHECK(link != NULL);
  link->events = &hub->reaper->events;
  link->id = ++hub->last_link_id;
  CHECK(nng_req0_open_raw(&link->socket) == 0);
  nng_threads_park();
  rpc_socket_prepare(link->socket, hub->max_message_bytes);
  CHECK(nng_pipe_notify(link->socket, NNG_PIPE_EV_ADD_PRE, on_pipe, link) == 0);
  CHECK(nng_pipe_notify(link->socket, NNG_PIPE_EV_ADD_POST, on_pipe, link) == 0);
  CHECK(nng_pipe_notify(link->socket, NNG_PIPE_EV_REM_POST, on_pipe, link) == 0);
  return link;
}

static void drop_link(struct endpoint_hub *hub, struct endpoint *endpoint)
{
  if (endpoint->link == NULL)
    return;
  unwatch(hub, &endpoint->receive_watch);
  unwatch(hub, &endpoint->send_watch);
  reaper_close(hub->reaper, endpoint->link);
  endpoint->link = NULL;
}

// The only place where the state changes.
static void set_state(struct endpoint *endpoint, enum endpoint_state state)
{
  if (endpoint->state == ENDPOINT_CONNECTED)
    metric_add(endpoint->metrics->connected, -1);
  if (state == ENDPOINT_CONNECTED)
    metric_add(endpoint->metrics->connected, 1);
  endpoint->state = state;
  endpoint->load.ready = state == ENDPOINT_CONNECTED && !endpoint->draining && !endpoint->removed;
}

static uint64_t retry_time(struct endpoint *endpoint, uint64_t now_us)
{
  return deadline_after_ms(now_us, backoff_next_ms(&endpoint->backoff_ms, BACKOFF_FIRST_MS, BACKOFF_MAX_MS));
}

static void schedule_retry(struct endpoint_hub *hub, struct endpoint *endpoint, uint64_t now_us)
{
  heap_remove(&hub->timers, &endpoint->timer);
  if (!endpoint->removed)
    heap_insert(&hub->timers, &endpoint->timer, retry_time(endpoint, now_us));
}

void endpoint_dial(struct endpoint_hub *hub, struct endpoint *endpoint, uint64_t now_us)
{
  CHECK(endpoint->link == NULL);
  heap_remove(&hub->timers, &endpoint->timer);
  flow_reset(&endpoint->flow);
  endpoint->draining = false;
  endpoint->link = make_link(hub);
  endpoint->receive_watch.fd = rpc_socket_fd(endpoint->link->socket, NNG_OPT_RECVFD);
  watch(hub, endpoint->receive_watch.fd, &endpoint->receive_watch);
  set_state(endpoint, ENDPOINT_CONNECTING);
  struct error error;
  if (rpc_socket_dial(endpoint->link->socket, endpoint->url, &hub->tls, &error) == STATUS_OK)
    return;
  log_warn("rpc", "cannot dial an endpoint, will try again", LOG_STRING("endpoint", endpoint->id),
           LOG_STRING("reason", error.message));
  drop_link(hub, endpoint);
  set_state(endpoint, ENDPOINT_BROKEN);
  schedule_retry(hub, endpoint, now_us);
}

static char *copy_of(struct slice text)
{
  char *copy = malloc(text.size + 1);
  CHECK(copy != NULL);
  if (text.size != 0)
    memcpy(copy, text.data, text.size);
  copy[text.size] = '\0';
  return copy;
}

struct endpoint *endpoint_create(struct endpoint_hub *hub, const struct rpc_endpoint *place,
                                 struct rpc_service *service, const struct endpoint_metrics *metrics, uint64_t now_us)
{
  struct endpoint *endpoint = calloc(1, sizeof(*endpoint));
  CHECK(endpoint != NULL);
  endpoint->service = service;
  endpoint->metrics = metrics;
  endpoint->id = copy_of(place->id);
  endpoint->url = copy_of(place->url);
  endpoint->receive_watch = (struct endpoint_watch){.endpoint = endpoint, .fd = -1};
  endpoint->send_watch = (struct endpoint_watch){.endpoint = endpoint, .fd = -1};
  list_init(&endpoint->calls);
  list_init(&endpoint->node);
  list_init(&endpoint->dirty);
  flow_init(&endpoint->flow);
  endpoint_dial(hub, endpoint, now_us);
  return endpoint;
}

void endpoint_free(struct endpoint_hub *hub, struct endpoint *endpoint)
{
  CHECK(list_empty(&endpoint->calls));
  set_state(endpoint, ENDPOINT_BROKEN);
  drop_link(hub, endpoint);
  heap_remove(&hub->timers, &endpoint->timer);
  list_remove(&endpoint->node);
  list_remove(&endpoint->dirty);
  flow_reset(&endpoint->flow);
  outbox_free(&endpoint->outbox);
  free(endpoint->id);
  free(endpoint->url);
  free(endpoint);
}

void endpoint_connected(struct endpoint *endpoint)
{
  set_state(endpoint, ENDPOINT_CONNECTED);
  log_info("rpc", "connected to an endpoint", LOG_STRING("endpoint", endpoint->id), LOG_STRING("url", endpoint->url));
}

void endpoint_lost(struct endpoint_hub *hub, struct endpoint *endpoint, uint64_t now_us)
{
  bool was_connected = endpoint->state == ENDPOINT_CONNECTED;
  drop_link(hub, endpoint);
  outbox_clear(&endpoint->outbox);
  list_remove(&endpoint->dirty);
  // A connection that has carried answers was a good one: the first attempt after it comes soon.
  if (endpoint->flow.received != 0)
    endpoint->backoff_ms = 0;
  flow_reset(&endpoint->flow);
  endpoint->draining = false;
  set_state(endpoint, ENDPOINT_BROKEN);
  schedule_retry(hub, endpoint, now_us);
  if (was_connected)
    metric_add(endpoint->metrics->lost, 1);
  if (!endpoint->removed)
    log_warn("rpc", "the connection to an endpoint broke", LOG_STRING("endpoint", endpoint->id),
             LOG_STRING("url", endpoint->url), LOG_INT("retryMs", endpoint->backoff_ms));
}

void endpoint_set_draining(struct endpoint *endpoint)
{
  endpoint->draining = true;
  set_state(endpoint, endpoint->state);
  log_info("rpc", "an endpoint takes no new calls", LOG_STRING("endpoint", endpoint->id));
}

static void linger(struct endpoint_hub *hub, struct endpoint *endpoint, uint64_t now_us)
{
  endpoint->quiet_since_packets = endpoint->flow.received;
  heap_remove(&hub->timers, &endpoint->timer);
  heap_insert(&hub->timers, &endpoint->timer, deadline_after_ms(now_us, LINGER_MS));
}

void endpoint_set_removed(struct endpoint_hub *hub, struct endpoint *endpoint, uint64_t now_us)
{
  endpoint->removed = true;
  set_state(endpoint, endpoint->state);
  linger(hub, endpoint, now_us);
}

bool endpoint_is_finished(const struct endpoint *endpoint)
{
  return endpoint->removed && list_empty(&endpoint->calls) && endpoint->state != ENDPOINT_CONNECTED;
}

bool endpoint_timer_due(struct endpoint_hub *hub, struct endpoint *endpoint, uint64_t now_us)
{
  if (!endpoint->removed) {
    endpoint_dial(hub, endpoint, now_us);
    return true;
  }
  bool quiet = list_empty(&endpoint->calls) && outbox_bytes(&endpoint->outbox) == 0 &&
               endpoint->flow.received == endpoint->quiet_since_packets;
  if (!quiet)
    linger(hub, endpoint, now_us);
  return !quiet;
}

static void mark_dirty(struct endpoint_hub *hub, struct endpoint *endpoint)
{
  if (list_empty(&endpoint->dirty))
    list_append(&hub->dirty, &endpoint->dirty);
}

nng_msg *endpoint_receive(struct endpoint_hub *hub, struct endpoint *endpoint)
{
  if (endpoint->link == NULL)
    return NULL;
  struct packet_flow *flow = &endpoint->flow;
  nng_msg *message = rpc_io_receive(&hub->io, endpoint->link->socket);
  if (message != NULL) {
    flow_received(flow);
    return message;
  }
  // Every way out of the drain comes through here, also the one after a GOAWAY in the last packet: a draining server
  // waits to hear of its last packet before it goes.
  if (endpoint->draining && flow_has_untold(flow))
    flow->tell_now = true;
  if (flow->tell_now)
    mark_dirty(hub, endpoint);
  return NULL;
}

void endpoint_took_packet(struct endpoint_hub *hub, struct endpoint *endpoint, size_t frames, uint64_t arrived_packets)
{
  flow_took_frames(&endpoint->flow, frames);
  if (flow_learn(&endpoint->flow, arrived_packets) && outbox_bytes(&endpoint->outbox) != 0)
    mark_dirty(hub, endpoint);
}

void endpoint_release_held(struct endpoint_hub *hub, uint64_t now_us)
{
  struct packet_flow *flow;
  while ((flow = flow_take_due(&hub->holding, now_us)) != NULL)
    mark_dirty(hub, CONTAINER_OF(flow, struct endpoint, flow));
}

void endpoint_queue(struct endpoint_hub *hub, struct endpoint *endpoint, const struct rpc_frame *frame)
{
  outbox_add(&endpoint->outbox, frame);
  mark_dirty(hub, endpoint);
  if (outbox_is_full(&endpoint->outbox))
    endpoint_flush(hub, endpoint);
}

void endpoint_queue_with_timeout(struct endpoint_hub *hub, struct endpoint *endpoint, struct slice body,
                                 uint32_t timeout_ms)
{
  outbox_add_with_timeout(&endpoint->outbox, body, timeout_ms);
  mark_dirty(hub, endpoint);
}

// False when nng has no room; then the fd that tells of room is watched and the frames stay where they are.
static bool send_packet(struct endpoint_hub *hub, struct endpoint *endpoint, struct slice frames)
{
  nng_msg *message = rpc_message_make(frames, endpoint->flow.received);
  CHECK(nng_msg_header_append_u32(message, RPC_HEADER_WORD) == 0);
  if (!rpc_io_send(&hub->io, endpoint->link->socket, message)) {
    nng_msg_free(message);
    endpoint->send_watch.fd = rpc_socket_fd(endpoint->link->socket, NNG_OPT_SENDFD);
    watch(hub, endpoint->send_watch.fd, &endpoint->send_watch);
    return false;
  }
  flow_sent(&endpoint->flow);
  metric_add(endpoint->metrics->packets, 1);
  return true;
}

void endpoint_flush(struct endpoint_hub *hub, struct endpoint *endpoint)
{
  list_remove(&endpoint->dirty);
  if (endpoint->state != ENDPOINT_CONNECTED || endpoint->send_watch.fd >= 0)
    return;
  struct outbox *outbox = &endpoint->outbox;
  while (outbox_bytes(outbox) != 0 && !flow_holds_back(&endpoint->flow, outbox_is_full(outbox))) {
    struct outbox_packet packet = outbox_peek(outbox);
    if (!send_packet(hub, endpoint, packet.bytes))
      return;
    outbox_remove(outbox, packet);
    metric_add(endpoint->metrics->frames, (int64_t)packet.frame_count);
  }
  if (outbox_bytes(outbox) != 0)
    flow_hold(&endpoint->flow, &hub->holding);
  else if (endpoint->flow.tell_now)
    (void)send_packet(hub, endpoint, (struct slice){0});
}

void endpoint_sendable(struct endpoint_hub *hub, struct endpoint *endpoint)
{
  unwatch(hub, &endpoint->send_watch);
  mark_dirty(hub, endpoint);
}
