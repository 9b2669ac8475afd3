// Carries the streams of a request: the client's messages as they come, then the head of the reply, what the exchange
// has to send as it comes, and the trailers. Of what is sent, one piece is with nginx at a time, and the next one
// leaves when the client has taken it; of what is received, nothing is read while the service takes no more.
//
// The exchange tells of its progress from inside the RPC client, which must not see the request end meanwhile. So all
// is done in a posted event.
#include "gateway/nginx/module.h"

// How long a client may take nothing of what is there for it.
#define STALL_MS 60000
// After how long a silence something is sent that is no message.
#define BEAT_MS 15000
// How often a turn of the loop reads of one client, a buffer of 64 KiB at a time.
#define READS_A_TURN 4

static void stop_events(void *data)
{
  struct stream *stream = data;
  if (stream->wake.posted) {
    ngx_delete_posted_event(&stream->wake);
  }
  if (stream->beat.timer_set)
    ngx_del_timer(&stream->beat);
}

// Finalizes the request, which may stay for what it has left to send or to read. Nothing is done for the stream any
// more.
static void finish(struct stream *stream, ngx_int_t rc)
{
  stream->is_over = true;
  stop_events(stream);
  ngx_http_finalize_request(stream->r, rc);
}

static struct stream *find_stream(const ngx_http_request_t *r)
{
  for (const ngx_pool_cleanup_t *cleanup = r->pool->cleanup; cleanup != NULL; cleanup = cleanup->next)
    if (cleanup->handler == stop_events)
      return cleanup->data;
  return NULL;
}

bool stream_is_open(const ngx_http_request_t *r)
{
  return find_stream(r) != NULL;
}

// ---- the head ----

// Makes the head visible to the client before there is a message.
static ngx_int_t flush_head(ngx_http_request_t *r)
{
  ngx_int_t rc = ngx_http_send_special(r, NGX_HTTP_FLUSH);
#if (NGX_HTTP_V2)
  // Before nginx 1.23 nothing else makes the head leave the buffer of TLS.
  if (rc != NGX_ERROR && r->stream != NULL && ngx_http_v2_send_output_queue(r->stream->connection) == NGX_ERROR)
    return NGX_ERROR;
#endif
  return rc;
}

// ---- messages of the service ----

// Tells whether nginx holds bytes that the client has not taken: of the piece, or such as TLS has copied.
static bool is_unsent(const struct stream *stream)
{
  const ngx_http_request_t *r = stream->r;
  return ngx_buf_size(&stream->piece) > 0 || r->buffered || r->connection->buffered;
}

// Notes that nginx' filters have taken bytes. False where the request must end.
static bool note_output(const struct stream *stream, ngx_int_t rc)
{
  ngx_event_t *write = stream->r->connection->write;
  if (rc == NGX_ERROR)
    return false;
  if (is_unsent(stream)) {
    ngx_add_timer(write, STALL_MS);
    return ngx_handle_write_event(write, 0) == NGX_OK;
  }
  if (write->timer_set)
    ngx_del_timer(write);
  return true;
}

static bool send_head(struct stream *stream)
{
  ngx_http_request_t *r = stream->r;
  stream->has_head = true;
  if (request_fill_head(r, exchange_reply(stream->exchange)) != NGX_OK)
    return false;
  request_decline_unread(r);
  r->headers_out.content_length_n = -1;
  r->expect_trailers = 1;
  // Compressed, a message would wait for those that follow.
  r->gzip_tested = 1;
  r->gzip_ok = 0;
  ngx_int_t rc = ngx_http_send_header(r);
  return rc != NGX_ERROR && rc <= NGX_OK && note_output(stream, flush_head(r));
}

static bool send_piece(struct stream *stream, struct slice bytes)
{
  ngx_str_t text = to_text(bytes);
  stream->piece = (ngx_buf_t){.start = text.data,
                              .pos = text.data,
                              .last = text.data + text.len,
                              .end = text.data + text.len,
                              .memory = 1,
                              .flush = 1};
  stream->is_silent = false;
  ngx_chain_t out = {.buf = &stream->piece};
  return note_output(stream, ngx_http_output_filter(stream->r, &out));
}

// Ends the request after all of its stream. A client takes an end that is none for a failure.
static void end_sent(struct stream *stream)
{
  ngx_http_request_t *r = stream->r;
  const struct exchange_reply *reply = exchange_reply(stream->exchange);
  bool is_cut = reply->is_cut;
  ngx_int_t rc = is_cut ? NGX_ERROR : request_add_trailers(r, reply);
  exchange_end_stream(stream->exchange);
  finish(stream, rc == NGX_OK ? ngx_http_send_special(r, NGX_HTTP_LAST) : rc);
}

// Sends until nothing is there, or the client takes no more. The request may be gone afterwards.
static void pump(struct stream *stream)
{
  if (!stream->has_head && !send_head(stream)) {
    finish(stream, NGX_ERROR);
    return;
  }
  // The answer to HEAD is the head.
  if (stream->r->header_only) {
    exchange_end_stream(stream->exchange);
    finish(stream, NGX_OK);
    return;
  }
  while (!is_unsent(stream)) {
    struct slice bytes = exchange_stream_next(stream->exchange);
    if (bytes.size == 0)
      break;
    if (!send_piece(stream, bytes)) {
      finish(stream, NGX_ERROR);
      return;
    }
  }
  worker_touch();
  if (exchange_stream_is_sent(stream->exchange) && !is_unsent(stream))
    end_sent(stream);
}

static void on_writable(ngx_http_request_t *r)
{
  struct stream *stream = find_stream(r);
  if (r->connection->error || r->connection->write->timedout) {
    r->connection->timedout = r->connection->write->timedout;
    finish(stream, NGX_HTTP_CLIENT_CLOSED_REQUEST);
    return;
  }
  if (!stream->has_head)
    return;
  if (is_unsent(stream) && !note_output(stream, ngx_http_output_filter(r, NULL))) {
    finish(stream, NGX_ERROR);
    return;
  }
  if (exchange_is_streaming(stream->exchange))
    pump(stream);
}

// ---- messages of the client ----

// Feeds what nginx has read. False where the service takes no more of it now.
static bool feed_read(struct stream *stream)
{
  ngx_http_request_body_t *body = stream->r->request_body;
  while (body->bufs != NULL) {
    ngx_buf_t *buf = body->bufs->buf;
    struct slice bytes = slice_make(buf->pos, (size_t)(buf->last - buf->pos));
    bool is_used = bytes.size == 0 || exchange_feed(stream->exchange, &bytes, false);
    buf->pos = buf->last - bytes.size;
    if (!is_used)
      return false;
    ngx_chain_t *used = body->bufs;
    body->bufs = used->next;
    ngx_free_chain(stream->r->pool, used);
  }
  return true;
}

// Reads what has come. NGX_AGAIN where nothing is there, else an HTTP status of an error, or NGX_OK.
static ngx_int_t read_more(const struct stream *stream)
{
  ngx_http_request_t *r = stream->r;
  // A pause is no fault of a stream's.
  r->connection->read->timedout = 0;
  ngx_int_t rc = ngx_http_read_unbuffered_request_body(r);
  if (r->connection->read->timer_set)
    ngx_del_timer(r->connection->read);
  if (rc >= NGX_HTTP_SPECIAL_RESPONSE)
    return rc;
  return r->request_body->bufs == NULL && r->reading_body ? NGX_AGAIN : NGX_OK;
}

// Takes messages of the client until nothing is there, or the service takes no more, or it is the turn of others. False
// where the request must end.
static bool take_messages(struct stream *stream)
{
  ngx_http_request_t *r = stream->r;
  for (int reads = 0; stream->reads && !stream->is_done && feed_read(stream); reads++) {
    if (reads == READS_A_TURN) {
      ngx_post_event(&stream->wake, &ngx_posted_next_events);
      return true;
    }
    if (!r->reading_body) {
      struct slice none = {0};
      stream->reads = !exchange_feed(stream->exchange, &none, true);
      return true;
    }
    ngx_int_t rc = read_more(stream);
    if (rc == NGX_AGAIN)
      return true;
    if (rc != NGX_OK)
      return false;
  }
  return true;
}

static void end_gone(struct stream *stream)
{
  stream->r->connection->error = 1;
  finish(stream, NGX_HTTP_CLIENT_CLOSED_REQUEST);
}

static void on_readable(ngx_http_request_t *r)
{
  struct stream *stream = find_stream(r);
  bool has_gone = r->stream != NULL && r->connection->error;
  if (has_gone || (stream->reads && !take_messages(stream)))
    end_gone(stream);
  else if (!stream->reads && r->stream == NULL)
    ngx_http_test_reading(r);
  worker_touch();
}

// ---- both ----

static void go_on(struct stream *stream)
{
  if (stream->reads && !take_messages(stream))
    end_gone(stream);
  else if (exchange_is_streaming(stream->exchange))
    pump(stream);
  else if (stream->is_done && !stream->is_over)
    finish(stream, request_send_reply(stream->r, exchange_reply(stream->exchange)));
  worker_touch();
}

static void on_wake(ngx_event_t *event)
{
  struct stream *stream = CONTAINER_OF(event, struct stream, wake);
  ngx_connection_t *connection = stream->r->connection;
  ngx_http_set_log_request(connection->log, stream->r);
  go_on(stream);
  ngx_http_run_posted_requests(connection);
}

static void on_beat(ngx_event_t *event)
{
  struct stream *stream = CONTAINER_OF(event, struct stream, beat);
  ngx_add_timer(event, BEAT_MS);
  if (stream->is_silent)
    exchange_stream_beat(stream->exchange);
  stream->is_silent = true;
}

bool stream_open(struct stream *stream, ngx_http_request_t *r, struct exchange *exchange)
{
  ngx_pool_cleanup_t *cleanup = ngx_pool_cleanup_add(r->pool, 0);
  if (cleanup == NULL)
    return false;
  cleanup->handler = stop_events;
  cleanup->data = stream;
  *stream = (struct stream){.r = r, .exchange = exchange, .is_silent = true};
  stream->wake = (ngx_event_t){.handler = on_wake, .data = &stream->no_connection, .log = r->connection->log};
  // A worker that shuts down waits for the exchange and not for this.
  stream->beat =
      (ngx_event_t){.handler = on_beat, .data = &stream->no_connection, .log = r->connection->log, .cancelable = 1};
  stream->no_connection.fd = (ngx_socket_t)-1;
  ngx_add_timer(&stream->beat, BEAT_MS);
  // What client.c does for a request that waits would come between the messages.
  r->read_event_handler = on_readable;
  r->write_event_handler = on_writable;
  return true;
}

// nginx calls this at once; r->reading_body says whether more is to come.
static void on_body(ngx_http_request_t *r)
{
  struct stream *stream = find_stream(r);
  r->read_event_handler = on_readable;
  r->write_event_handler = on_writable;
  stream->reads = true;
  stream_wake(stream, EXCHANGE_WANT_STREAM);
}

ngx_int_t stream_read(struct stream *stream)
{
  ngx_http_request_t *r = stream->r;
  r->request_body_no_buffering = 1;
  ngx_int_t rc = ngx_http_read_client_request_body(r, on_body);
  return rc >= NGX_HTTP_SPECIAL_RESPONSE ? rc : NGX_DONE;
}

void stream_wake(struct stream *stream, enum exchange_next next)
{
  if (next == EXCHANGE_DONE)
    stream->is_done = true;
  if (stream->is_over)
    return;
  ngx_post_event(&stream->wake, &ngx_posted_events);
}
