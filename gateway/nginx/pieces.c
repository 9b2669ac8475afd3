// Sends large replies in pieces, by turns (turns.c). nginx' filters take what they are given at once, and compress it.
#include "gateway/nginx/module.h"

// Compressed in some tenths of a millisecond.
#define PIECE_BYTES ((size_t)16 * 1024)
// What costs too little to wait.
#define SMALL_BYTES ((size_t)8 * 1024)

struct pieces {
  struct turn turn;
  struct slice left;
};

// ---- pieces ----

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

// Sends the next piece of what is left, and takes it off. NGX_DONE while others follow; else how the request ends.
static ngx_int_t send_next(struct turn *turn)
{
  struct pieces *pieces = CONTAINER_OF(turn, struct pieces, turn);
  if (turn->r->connection->error)
    return NGX_ERROR;
  struct slice piece = pieces->left;
  if (piece.size > PIECE_BYTES)
    piece.size = PIECE_BYTES;
  pieces->left = slice_skip(pieces->left, piece.size);
  bool is_last = pieces->left.size == 0;
  ngx_int_t rc = send_piece(turn->r, piece, is_last);
  return is_last || rc == NGX_ERROR ? rc : NGX_DONE;
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

static void on_last_piece(struct turn *turn, ngx_int_t rc)
{
  request_note_sent(turn->r);
  end_pieces(turn->r, rc);
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
  if (body.size <= SMALL_BYTES)
    return send_piece(r, body, true);
  struct pieces *pieces = ngx_pcalloc(r->pool, sizeof(*pieces));
  if (pieces == NULL)
    return NGX_ERROR;
  pieces->turn = (struct turn){.r = r, .run = send_next, .end = on_last_piece};
  pieces->turn.is_very_large = pacing_is_very_large(body.size);
  pieces->left = body;
  ngx_int_t rc = !pieces->turn.is_very_large && turns_are_free() ? turns_run(&pieces->turn) : NGX_DONE;
  if (rc != NGX_DONE)
    return rc;
  // The request stays until the last piece was sent.
  watch_no_half_close(r);
  if (!turns_wait(r, &pieces->turn))
    return NGX_ERROR;
  r->main->count++;
  return NGX_DONE;
}
