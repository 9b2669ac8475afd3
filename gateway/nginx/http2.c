// Bounds what a connection of HTTP/2 costs others. nginx handles all frames that have come before it turns to the next
// connection, and takes 8 MB of frames without payload for a flood: half a million pings, which keep a worker for a
// tenth of a second and more. Here a connection gets a share of each turn of the event loop, and the bound is lower.
//
// nginx sets a connection's recv() when the TLS handshake has ended, and reads frames with it at once. So what follows
// the handshake is replaced, and that replaces recv(). Without TLS recv() stands when the connection is accepted.
#include "gateway/nginx/module.h"

#include "common/base/clock.h"
#include "common/observe/log.h"
#include "common/observe/log_limit.h"

// What a connection reads before others have their turn.
#define SHARE_BYTES (16 * 1024)
// What may come and go without payload beside MAX_OVERHEAD times the payload: frames' heads, settings, pings, resets.
// Bodies that nginx skips, because their requests were refused, count neither as this nor as payload.
#define FREE_BYTES (256 * 1024)
#define MAX_OVERHEAD 8
// The payload that must come with the reset of a request, beside FREE_BYTES: some 250 of them need none.
#define RESET_BYTES 1024

struct guard {
  ngx_event_handler_pt first_handler;                       // nginx' own, which begins the handshake
  void (*handshake_handler)(ngx_connection_t *connection);  // nginx' own, after the handshake
  ngx_recv_pt recv;                                         // nginx' own
  size_t taken;                                             // of the share, in bytes
  size_t window;                                            // nginx' receive window when it was looked at last
  off_t body_bytes;                                         // of all DATA frames
  off_t reset_bytes;                                        // the payload that resets need
};

static struct {
  struct metric_series *count;
  struct log_limit lines;
} floods;

void http2_prepare(void)
{
  floods.count = metrics_single(METRIC_HTTP2_FLOODS);
}

// ---- the guard of a connection ----

// Marks the guard among the cleanups of a connection's pool, which is where it is found; it needs none itself.
static void on_connection_end(void *data)
{
  (void)data;
}

// Returns NULL for a connection that there was no memory to guard.
static struct guard *find_guard(const ngx_connection_t *connection)
{
  const ngx_pool_cleanup_t *cleanup = connection->pool->cleanup;
  while (cleanup != NULL && cleanup->handler != on_connection_end)
    cleanup = cleanup->next;
  return cleanup == NULL ? NULL : cleanup->data;
}

// ---- reading ----

// Counts what has come in DATA frames: each takes its size from the window. nginx opens the window again when three
// quarters of its 2 GB are used, and what came just before that is not counted.
static void count_bodies(struct guard *guard, const ngx_http_v2_connection_t *http2)
{
  if (http2->recv_window < guard->window)
    guard->body_bytes += (off_t)(guard->window - http2->recv_window);
  guard->window = http2->recv_window;
}

static bool is_flood(struct guard *guard, const ngx_http_v2_connection_t *http2)
{
  count_bodies(guard, http2);
  return http2->total_bytes > MAX_OVERHEAD * http2->payload_bytes + guard->body_bytes + FREE_BYTES ||
         guard->reset_bytes > http2->payload_bytes + FREE_BYTES;
}

static void report_flood(const ngx_connection_t *connection)
{
  uint64_t suppressed;
  metric_add(floods.count, 1);
  if (log_limit_pass(&floods.lines, clock_now_us(), &suppressed))
    log_warn(
        "connections",
        "a client sent frames of HTTP/2 with hardly any payload, or reset too many requests; its connection was closed",
        LOG_SLICE("client", to_slice(connection->addr_text)), LOG_INT("closedSinceLastLine", suppressed + 1));
}

// Lets other connections have their turn, and goes on reading in the next one.
static ssize_t yield_turn(ngx_event_t *read)
{
  read->ready = 0;
  if (read->posted) {
    ngx_delete_posted_event(read);
  }
  ngx_post_event(read, &ngx_posted_next_events);
  return NGX_AGAIN;
}

// Reads as nginx' own recv() does. An error makes nginx close the connection at once; it would read on for seconds from
// one that it found to be a flood itself.
static ssize_t read_share(ngx_connection_t *connection, u_char *out, size_t size)
{
  struct guard *guard = find_guard(connection);
  // What nginx keeps for a connection is that of HTTP/2 from its first event on.
  if (!http2_is_spoken(connection))
    return guard->recv(connection, out, size);
  if (is_flood(guard, connection->data)) {
    report_flood(connection);
    return NGX_ERROR;
  }
  if (guard->taken >= SHARE_BYTES) {
    guard->taken = 0;
    return yield_turn(connection->read);
  }
  size_t rest = SHARE_BYTES - guard->taken;
  ssize_t got = guard->recv(connection, out, size < rest ? size : rest);
  if (got > 0)
    guard->taken += (size_t)got;
  else
    guard->taken = 0;
  return got;
}

// ---- handshake ----

static bool has_chosen_http2(const ngx_connection_t *connection)
{
  if (!connection->ssl->handshaked)
    return false;
  const unsigned char *protocol;
  unsigned size;
  SSL_get0_alpn_selected(connection->ssl->connection, &protocol, &size);
  return slice_equal(slice_make(protocol, size), SLICE("h2"));
}

// Tells whether what nginx keeps for a connection is that of HTTP/2, which begins with a pointer to the connection.
// Neither a connection before its first request nor a request of HTTP/1.1 begins so.
static bool has_begun_http2(const ngx_connection_t *connection)
{
  const void *first = NULL;
  if (connection->data != NULL)
    memcpy(&first, connection->data, sizeof(first));
  return first == connection;
}

bool http2_is_spoken(const ngx_connection_t *connection)
{
  return connection->ssl == NULL ? has_begun_http2(connection) : has_chosen_http2(connection);
}

bool http2_is_ending(const ngx_connection_t *connection)
{
  const ngx_http_v2_connection_t *http2 = connection->data;
  return http2->goaway;
}

// Also called after a handshake that has failed.
static void on_handshake_end(ngx_connection_t *connection)
{
  struct guard *guard = find_guard(connection);
  if (has_chosen_http2(connection)) {
    guard->recv = connection->recv;
    connection->recv = read_share;
  }
  guard->handshake_handler(connection);
}

static void on_first_bytes(ngx_event_t *read)
{
  ngx_connection_t *connection = read->data;
  struct guard *guard = find_guard(connection);
  // That of connections.c, where it still waits for the PROXY protocol; else this function.
  ngx_event_handler_pt awaiting = read->handler;
  read->handler = guard->first_handler;
  guard->first_handler(read);
  if (connection->destroyed)
    return;
  if (read->handler == guard->first_handler) {
    read->handler = awaiting;
  } else if (connection->ssl != NULL && connection->ssl->handler != NULL) {
    guard->handshake_handler = connection->ssl->handler;
    connection->ssl->handler = on_handshake_end;
  }
}

void http2_guard(ngx_connection_t *connection, bool has_tls)
{
  ngx_pool_cleanup_t *cleanup = ngx_pool_cleanup_add(connection->pool, sizeof(struct guard));
  if (cleanup == NULL)
    return;
  cleanup->handler = on_connection_end;
  struct guard *guard = cleanup->data;
  *guard = (struct guard){.first_handler = connection->read->handler};
  if (has_tls) {
    connection->read->handler = on_first_bytes;
    return;
  }
  guard->recv = connection->recv;
  connection->recv = read_share;
}

// ---- resets ----

// Counts a request that its client has reset, at whatever step. nginx takes its head for payload, which may be many
// times what has come, because HPACK repeats headers by their number.
static ngx_int_t count_reset(ngx_http_request_t *r)
{
  struct guard *guard =
      r->stream == NULL || !r->connection->error ? NULL : find_guard(r->stream->connection->connection);
  if (guard != NULL)
    guard->reset_bytes += RESET_BYTES + r->request_length;
  return NGX_OK;
}

bool http2_count_resets(ngx_conf_t *cf)
{
  ngx_http_core_main_conf_t *core = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);
  ngx_http_handler_pt *handler = ngx_array_push(&core->phases[NGX_HTTP_LOG_PHASE].handlers);
  if (handler == NULL)
    return false;
  *handler = count_reset;
  return true;
}
