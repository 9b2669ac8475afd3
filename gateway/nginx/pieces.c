// Sends large replies in pieces, by turns. nginx' filters take what they are given at once: to compress a list of
// megabytes holds all other clients of the worker up for a tenth of a second, and a few hundred small ones do the same.
//
// In one turn of the loop replies are given to the filters for TURN_US, a piece of each after the other. What is left
// waits for the next turns, so whatever else the worker has to do, such as to refuse a request, waits no longer than
// that.
#include "gateway/nginx/module.h"

#include "common/base/clock.h"

#define PIECE_BYTES ((size_t)64 * 1024)
// What costs too little to wait.
#define SMALL_BYTES ((size_t)8 * 1024)
#define TURN_US 1000
#define GUARD_MS 60000

struct pieces {
  ngx_queue_t link;  // in sender.waiting
  bool is_waiting;
  ngx_http_request_t *r;
  struct slice left;
  ngx_event_t guard;  // a timer: a worker that shuts down waits for timers, and not for what is posted
};

// The worker's replies that wait for their turn.
static struct {
  ngx_queue_t waiting;  // in the order of their turns
  ngx_event_t turn;     // posted for the next turn of the loop while replies wait
  uint64_t spent_us;    // on replies in this turn of the loop
} sender;

static void on_turn(ngx_event_t *event);

void pieces_start(ngx_log_t *log)
{
  ngx_queue_init(&sender.waiting);
  sender.turn = (ngx_event_t){.handler = on_turn, .log = log};
}

void pieces_end_turn(void)
{
  sender.spent_us = 0;
}

// ---- the queue ----

static void enqueue(struct pieces *pieces)
{
  pieces->is_waiting = true;
  ngx_queue_insert_tail(&sender.waiting, &pieces->link);
  ngx_post_event(&sender.turn, &ngx_posted_next_events);
}

static void dequeue(struct pieces *pieces)
{
  // The macro is two statements.
  if (pieces->is_waiting) {
    ngx_queue_remove(&pieces->link);
  }
  pieces->is_waiting = false;
}

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
  dequeue(pieces);
}

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

// Sends the next piece of `left`, and takes it off. NGX_DONE while others follow; else how the request ends.
static ngx_int_t send_next(ngx_http_request_t *r, struct slice *left)
{
  struct slice piece = *left;
  if (piece.size > PIECE_BYTES)
    piece.size = PIECE_BYTES;
  *left = slice_skip(*left, piece.size);
  bool is_last = left->size == 0;
  uint64_t before_us = clock_now_us();
  ngx_int_t rc = send_piece(r, piece, is_last);
  sender.spent_us += clock_now_us() - before_us;
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

static void send_in_turn(struct pieces *pieces)
{
  ngx_http_request_t *r = pieces->r;
  ngx_connection_t *connection = r->connection;
  ngx_http_set_log_request(connection->log, r);
  dequeue(pieces);
  ngx_int_t rc = connection->error ? NGX_ERROR : send_next(r, &pieces->left);
  if (rc == NGX_DONE) {
    enqueue(pieces);
  } else {
    drop_guard(pieces);
    request_note_sent(r);
    end_pieces(r, rc);
  }
  ngx_http_run_posted_requests(connection);
}

static void on_turn(ngx_event_t *event)
{
  sender.spent_us = 0;
  while (!ngx_queue_empty(&sender.waiting) && sender.spent_us < TURN_US)
    send_in_turn(ngx_queue_data(ngx_queue_head(&sender.waiting), struct pieces, link));
  // The macro is more than one statement.
  if (!ngx_queue_empty(&sender.waiting)) {
    ngx_post_event(event, &ngx_posted_next_events);
  }
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

// Makes what is left of a reply wait for its turn. The request stays until the last piece has been sent.
static ngx_int_t wait_for_turn(ngx_http_request_t *r, struct slice left)
{
  struct pieces *pieces = ngx_pcalloc(r->pool, sizeof(*pieces));
  ngx_pool_cleanup_t *cleanup = ngx_pool_cleanup_add(r->pool, 0);
  if (pieces == NULL || cleanup == NULL)
    return NGX_ERROR;
  cleanup->handler = forget_turn;
  cleanup->data = pieces;
  pieces->r = r;
  pieces->left = left;
  pieces->guard = (ngx_event_t){.handler = on_guard, .data = pieces, .log = r->connection->log};
  ngx_add_timer(&pieces->guard, GUARD_MS);
  watch_no_half_close(r);
  enqueue(pieces);
  r->main->count++;
  return NGX_DONE;
}

ngx_int_t pieces_send(ngx_http_request_t *r, struct slice body)
{
  if (body.size <= SMALL_BYTES)
    return send_piece(r, body, true);
  bool is_free = ngx_queue_empty(&sender.waiting) && sender.spent_us < TURN_US;
  ngx_int_t rc = is_free ? send_next(r, &body) : NGX_DONE;
  return rc == NGX_DONE ? wait_for_turn(r, body) : rc;
}
