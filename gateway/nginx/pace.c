// Ends what moves too slowly: a body that trickles in, and a reply that is read in sips. nginx' own timeouts bound only
// the time between two bytes.
//
// A watch looks every five seconds. What has moved less than MIN_WINDOW_BYTES in two looks after each other is ended,
// which is within 10 s where nothing moves.
#include "gateway/nginx/module.h"

#define WINDOW_MS 5000
// 4 KiB a second.
#define MIN_WINDOW_BYTES ((off_t)WINDOW_MS * 4096 / 1000)
#define MAX_SLOW_WINDOWS 2

static ngx_http_output_body_filter_pt next_body_filter;

static void stop_watch(void *data)
{
  struct pace *pace = data;
  if (pace->timer.timer_set)
    ngx_del_timer(&pace->timer);
}

static void on_window(ngx_event_t *event)
{
  struct pace *pace = event->data;
  ngx_http_request_t *r = pace->r;
  off_t bytes = pace->count(r, pace);
  bool is_slow = bytes >= 0 && bytes - pace->bytes < MIN_WINDOW_BYTES;
  pace->bytes = bytes < 0 ? 0 : bytes;
  pace->slow_windows = is_slow ? pace->slow_windows + 1 : 0;
  if (pace->slow_windows < MAX_SLOW_WINDOWS) {
    ngx_add_timer(&pace->timer, WINDOW_MS);
    return;
  }
  // The request may be gone after `end`.
  ngx_connection_t *connection = r->connection;
  ngx_http_set_log_request(connection->log, r);
  pace->end(r);
  ngx_http_run_posted_requests(connection);
}

bool pace_watch(ngx_http_request_t *r, struct pace *pace)
{
  ngx_pool_cleanup_t *cleanup = ngx_pool_cleanup_add(r->pool, 0);
  if (cleanup == NULL)
    return false;
  cleanup->handler = stop_watch;
  cleanup->data = pace;
  pace->r = r;
  // A worker that shuts down does not wait for it.
  pace->timer = (ngx_event_t){.handler = on_window, .data = pace, .log = r->connection->log, .cancelable = 1};
  ngx_add_timer(&pace->timer, WINDOW_MS);
  return true;
}

void pace_stop(struct pace *pace)
{
  stop_watch(pace);
}

// ---- replies ----

// Returns how much of the reply has left; -1 while it does not wait for the client.
static off_t count_sent(ngx_http_request_t *r, const struct pace *pace)
{
  (void)pace;
  return r->connection->write->timer_set ? r->connection->sent : -1;
}

// Ends the request as nginx does when its send_timeout is over.
static void end_reply(ngx_http_request_t *r)
{
  r->connection->timedout = 1;
  ngx_http_finalize_request(r, NGX_HTTP_REQUEST_TIME_OUT);
}

static bool is_watched(const ngx_http_request_t *r)
{
  for (const ngx_pool_cleanup_t *cleanup = r->pool->cleanup; cleanup != NULL; cleanup = cleanup->next)
    if (cleanup->handler == stop_watch && ((const struct pace *)cleanup->data)->count == count_sent)
      return true;
  return false;
}

// Watches a reply from the first time that the client does not take what is sent.
static ngx_int_t filter_body(ngx_http_request_t *r, ngx_chain_t *in)
{
  ngx_int_t rc = next_body_filter(r, in);
  // A stream has a pace of its own (stream.c).
  if (rc != NGX_AGAIN || r != r->main || is_watched(r) || stream_is_open(r))
    return rc;
  struct pace *pace = ngx_pcalloc(r->pool, sizeof(*pace));
  if (pace == NULL)
    return NGX_ERROR;
  pace->count = count_sent;
  pace->end = end_reply;
  return pace_watch(r, pace) ? rc : NGX_ERROR;
}

void pace_install_filter(void)
{
  next_body_filter = ngx_http_top_body_filter;
  ngx_http_top_body_filter = filter_body;
}
