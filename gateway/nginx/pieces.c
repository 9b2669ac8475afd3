// Sends a large reply in pieces, one in a turn of the worker's loop. nginx' filters take what they are given at once:
// to compress a list of megabytes holds all other clients of the worker up for a tenth of a second, and a few hundred
// of them for many.
#include "gateway/nginx/module.h"

#define PIECE_BYTES ((size_t)64 * 1024)
#define GUARD_MS 60000

struct pieces {
  ngx_http_request_t *r;
  struct slice left;
  ngx_event_t turn;   // posted for the next turn
  ngx_event_t guard;  // a timer: a worker that shuts down waits for timers, and not for what is posted
};

static void drop_guard(struct pieces *pieces)
{
  if (pieces->guard.timer_set)
    ngx_del_timer(&pieces->guard);
}

static void on_guard(ngx_event_t *event)
{
  ngx_add_timer(event, GUARD_MS);
}

static void forget_turn(void *data)
{
  struct pieces *pieces = data;
  drop_guard(pieces);
  // The macro is two statements.
  if (pieces->turn.posted) {
    ngx_delete_posted_event(&pieces->turn);
  }
}

static ngx_int_t send_piece(ngx_http_request_t *r, struct slice piece, bool is_last)
{
  ngx_buf_t *buf = ngx_calloc_buf(r->pool);
  if (buf == NULL)
    return NGX_ERROR;
  buf->pos = to_text(piece).data;
  buf->last = buf->pos + piece.size;
  buf->start = buf->pos;
  buf->end = buf->last;
  buf->memory = 1;
  buf->last_buf = is_last;
  buf->last_in_chain = 1;
  ngx_chain_t out = {.buf = buf};
  return ngx_http_output_filter(r, &out);
}

// Sends the next piece. NGX_DONE while others follow, which the event sends; else how the request ends.
static ngx_int_t send_next(struct pieces *pieces)
{
  struct slice piece = pieces->left;
  if (piece.size > PIECE_BYTES)
    piece.size = PIECE_BYTES;
  pieces->left = slice_skip(pieces->left, piece.size);
  bool is_last = pieces->left.size == 0;
  ngx_int_t rc = send_piece(pieces->r, piece, is_last);
  if (is_last || rc == NGX_ERROR) {
    drop_guard(pieces);
    return rc;
  }
  ngx_post_event(&pieces->turn, &ngx_posted_next_events);
  return NGX_DONE;
}

static bool is_unsent(const ngx_http_request_t *r)
{
  return r->buffered || r->postponed || r->connection->buffered;
}

static void wait_for_room(ngx_http_request_t *r)
{
  const ngx_http_core_loc_conf_t *core = ngx_http_get_module_loc_conf(r, ngx_http_core_module);
  ngx_event_t *write = r->connection->write;
  ngx_add_timer(write, core->send_timeout);
  if (ngx_handle_write_event(write, core->send_lowat) != NGX_OK)
    ngx_http_finalize_request(r, NGX_ERROR);
}

// Sends what the client has not taken yet, as nginx does for a request that was finalised. nginx would end the
// connection of a client that has said that it sends nothing more.
static void on_writable(ngx_http_request_t *r)
{
  if (r->connection->write->timedout) {
    r->connection->timedout = 1;
    ngx_http_finalize_request(r, NGX_HTTP_REQUEST_TIME_OUT);
    return;
  }
  ngx_int_t rc = ngx_http_output_filter(r, NULL);
  if (rc != NGX_ERROR && is_unsent(r))
    wait_for_room(r);
  else
    ngx_http_finalize_request(r, rc);
}

// Ends a request whose last piece was given to the filters, once all of it has left.
static void end_pieces(ngx_http_request_t *r, ngx_int_t rc)
{
  if (rc == NGX_ERROR || r->stream != NULL || !is_unsent(r)) {
    ngx_http_finalize_request(r, rc);
    return;
  }
  r->write_event_handler = on_writable;
  wait_for_room(r);
}

static void on_turn(ngx_event_t *event)
{
  struct pieces *pieces = event->data;
  ngx_http_request_t *r = pieces->r;
  ngx_connection_t *connection = r->connection;
  ngx_http_set_log_request(connection->log, r);
  ngx_int_t rc = connection->error ? NGX_ERROR : send_next(pieces);
  if (rc != NGX_DONE)
    end_pieces(r, rc);
  ngx_http_run_posted_requests(connection);
}

// Ends what client.c does for a request that waits: an interim response must not come between two pieces. A client of
// HTTP/1.1 that has gone shows when something is sent to it.
static void watch_no_half_close(ngx_http_request_t *r)
{
  if (r->stream != NULL)
    r->read_event_handler = ngx_http_test_reading;
  else if (!r->discard_body)
    r->read_event_handler = ngx_http_block_reading;
}

ngx_int_t pieces_send(ngx_http_request_t *r, struct slice body)
{
  if (body.size <= PIECE_BYTES)
    return send_piece(r, body, true);
  struct pieces *pieces = ngx_pcalloc(r->pool, sizeof(*pieces));
  ngx_pool_cleanup_t *cleanup = ngx_pool_cleanup_add(r->pool, 0);
  if (pieces == NULL || cleanup == NULL)
    return NGX_ERROR;
  cleanup->handler = forget_turn;
  cleanup->data = pieces;
  pieces->r = r;
  pieces->left = body;
  pieces->turn = (ngx_event_t){.handler = on_turn, .data = pieces, .log = r->connection->log};
  pieces->guard = (ngx_event_t){.handler = on_guard, .data = pieces, .log = r->connection->log};
  ngx_add_timer(&pieces->guard, GUARD_MS);
  watch_no_half_close(r);
  ngx_int_t rc = send_next(pieces);
  // The request stays until the last piece has been sent.
  if (rc == NGX_DONE)
    r->main->count++;
  return rc;
}
