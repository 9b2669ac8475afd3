// Runs one exchange for one HTTP request of nginx: headers and body in, waiting, reply out, and the client that goes
// away.
//
// The exchange is opened with the request and closed with its pool, so that the access log may still ask it; a call in
// flight is cancelled when nginx cleans the request up, which is earlier. The reply's bytes stay where the exchange
// wrote them until nginx has sent them.
#include "gateway/nginx/module.h"

// What is smaller is not compressed: gzip_min_length of nginx.conf.in.
#define COMPRESSED_BYTES 1400
// As much as max_body_bytes of a method may be.
#define LARGE_BODY_BYTES ((off_t)4 * 1024 * 1024)

// What the module keeps for a request, in the request's pool.
struct request {
  ngx_http_request_t *r;
  struct exchange *exchange;
  struct turn turn;  // while a large reply is written
  struct stream stream;
  bool has_stream;
};

static void on_progress(void *arg, enum exchange_next next);

// ---- the exchange of a request ----

static void on_request_end(void *data)
{
  struct request *request = data;
  exchange_abandon(request->exchange);
  worker_touch();
}

static void on_pool_end(void *data)
{
  struct request *request = data;
  exchange_close(&request->exchange);
}

// Finds the module's part of a request. An internal redirect clears the contexts of all modules but not the pool's
// cleanups, so these are searched then.
static struct request *find_request(ngx_http_request_t *r)
{
  struct request *request = ngx_http_get_module_ctx(r, ngx_http_bulkhead_module);
  if (request != NULL || !(r->internal || r->filter_finalize))
    return request;
  for (ngx_pool_cleanup_t *cleanup = r->pool->cleanup; cleanup != NULL; cleanup = cleanup->next)
    if (cleanup->handler == on_pool_end)
      return cleanup->data;
  return NULL;
}

struct exchange *request_exchange(ngx_http_request_t *r)
{
  struct request *request = find_request(r);
  return request == NULL ? NULL : request->exchange;
}

void request_note_sent(ngx_http_request_t *r)
{
  struct exchange *exchange = request_exchange(r);
  if (exchange != NULL)
    exchange_note_sent(exchange);
}

struct exchange *request_open_exchange(ngx_http_request_t *r)
{
  struct request *request = find_request(r);
  if (request != NULL)
    return request->exchange;
  ngx_pool_cleanup_t *pool_cleanup = ngx_pool_cleanup_add(r->pool, sizeof(*request));
  ngx_http_cleanup_t *cleanup = ngx_http_cleanup_add(r, 0);
  if (pool_cleanup == NULL || cleanup == NULL || worker_gateway() == NULL)
    return NULL;
  request = pool_cleanup->data;
  *request = (struct request){.r = r};
  request->exchange = exchange_open(worker_gateway(), on_progress, request);
  pool_cleanup->handler = on_pool_end;
  cleanup->handler = on_request_end;
  cleanup->data = request;
  ngx_http_set_ctx(r, request, ngx_http_bulkhead_module);
  return request->exchange;
}

// ---- in ----

static struct slice header_value(const ngx_table_elt_t *header)
{
  return header == NULL ? (struct slice){0} : to_slice(header->value);
}

struct slice request_header(const ngx_http_request_t *r, const char *name)
{
  struct slice wanted = slice_from_string(name);
  for (const ngx_list_part_t *part = &r->headers_in.headers.part; part != NULL; part = part->next) {
    const ngx_table_elt_t *headers = part->elts;
    for (ngx_uint_t i = 0; i < part->nelts; i++)
      if (slice_equal_ignore_case(to_slice(headers[i].key), wanted))
        return to_slice(headers[i].value);
  }
  return (struct slice){0};
}

static struct slice find_header(void *arg, const char *name)
{
  return request_header(arg, name);
}

// Finds the headers that nginx has no member for, in one pass over all of them.
static void find_own_headers(const ngx_http_request_t *r, struct exchange_input *input)
{
  const struct {
    struct slice name;
    struct slice *value;
  } wanted[] = {
      {SLICE("x-request-id"), &input->request_id},
      {SLICE("traceparent"), &input->traceparent},
      {SLICE("idempotency-key"), &input->idempotency_key},
      {SLICE("request-timeout"), &input->time_limits.request_timeout},
      {SLICE("grpc-timeout"), &input->time_limits.grpc_timeout},
      {SLICE("connect-timeout-ms"), &input->time_limits.connect_timeout_ms},
  };
  const struct slice content_type = SLICE("content-type");
  for (const ngx_list_part_t *part = &r->headers_in.headers.part; part != NULL; part = part->next) {
    const ngx_table_elt_t *headers = part->elts;
    for (ngx_uint_t i = 0; i < part->nelts; i++) {
      if (headers[i].lowcase_key == NULL)
        continue;
      struct slice name = slice_make(headers[i].lowcase_key, headers[i].key.len);
      // nginx takes the first Content-Type and ignores others. A request with two is treated as one without an accepted
      // type.
      if (&headers[i] != r->headers_in.content_type && slice_equal(name, content_type))
        input->content_type = SLICE("two");
      for (size_t w = 0; w < ARRAY_LEN(wanted); w++)
        if (slice_equal(name, wanted[w].name))
          *wanted[w].value = wanted[w].value->data == NULL ? to_slice(headers[i].value) : SLICE("two values");
    }
  }
}

struct slice request_path(const ngx_http_request_t *r)
{
  struct slice whole = to_slice(r->unparsed_uri);
  whole.size = slice_find(whole, '?', 0);
  return whole;
}

struct slice request_method(const ngx_http_request_t *r)
{
  struct slice line = to_slice(r->request_line);
  return r->internal && line.size > 0 ? slice_make(line.data, slice_find(line, ' ', 0)) : to_slice(r->method_name);
}

void request_fill_input(ngx_http_request_t *r, struct exchange_input *input)
{
  struct slice path = request_path(r);
  *input = (struct exchange_input){
      .method = request_method(r),
      .path = path,
      .query = slice_skip(to_slice(r->unparsed_uri), path.size + 1),
      .authorization = header_value(r->headers_in.authorization),
      .content_type = header_value(r->headers_in.content_type),
      .if_match = header_value(r->headers_in.if_match),
      .if_none_match = header_value(r->headers_in.if_none_match),
      .client_address = to_slice(r->connection->addr_text),
      .body_bytes = r->headers_in.content_length_n > 0 ? (uint64_t)r->headers_in.content_length_n : 0,
      .is_http2 = r->http_version == NGX_HTTP_VERSION_20,
      .has_body = r->headers_in.content_length_n > 0 || r->headers_in.chunked,
      .body_may_be_empty = r->headers_in.chunked,
      .header = find_header,
      .header_arg = r,
  };
  find_own_headers(r, input);
}

// ---- the body ----

// Appends one buffer of the body, from memory or from nginx's temporary file.
static bool read_buffer(ngx_buf_t *buf, u_char **to)
{
  // The buffer that ends a chunked body is empty and points nowhere.
  if (ngx_buf_size(buf) == 0)
    return true;
  if (!buf->in_file) {
    *to = ngx_cpymem(*to, buf->pos, (size_t)(buf->last - buf->pos));
    return true;
  }
  size_t size = (size_t)(buf->file_last - buf->file_pos);
  ssize_t got = ngx_read_file(buf->file, *to, size, buf->file_pos);
  *to += size;
  return got >= 0 && (size_t)got == size;
}

// Returns the body as one piece of memory, without a copy where nginx has it in one buffer.
static bool join_body(ngx_http_request_t *r, struct slice *body)
{
  *body = (struct slice){0};
  const ngx_chain_t *bufs = r->request_body == NULL ? NULL : r->request_body->bufs;
  if (bufs == NULL)
    return true;
  if (bufs->next == NULL && !bufs->buf->in_file) {
    *body = slice_make(bufs->buf->pos, (size_t)(bufs->buf->last - bufs->buf->pos));
    return true;
  }
  size_t size = 0;
  for (const ngx_chain_t *link = bufs; link != NULL; link = link->next)
    size += (size_t)ngx_buf_size(link->buf);
  u_char *copy = ngx_pnalloc(r->pool, size == 0 ? 1 : size);
  if (copy == NULL)
    return false;
  *body = slice_make(copy, size);
  for (const ngx_chain_t *link = bufs; link != NULL; link = link->next)
    if (!read_buffer(link->buf, &copy))
      return false;
  return true;
}

static void wait_for_progress(ngx_http_request_t *r)
{
  client_watch(r);
  worker_touch();
}

static ngx_int_t send_exchange(struct request *request)
{
  return request_send_reply(request->r, exchange_reply(request->exchange));
}

// ---- large replies ----

static ngx_int_t write_piece(struct turn *turn)
{
  const struct request *request = CONTAINER_OF(turn, struct request, turn);
  if (turn->r->connection->error)
    return NGX_ERROR;
  switch (exchange_write(request->exchange)) {
  case EXCHANGE_WRITING:
    return NGX_DONE;
  case EXCHANGE_DONE:
    return NGX_OK;
  case EXCHANGE_WANT_BODY:
  case EXCHANGE_WANT_STREAM:
  case EXCHANGE_STREAMING:
  case EXCHANGE_WAITING:
    break;
  }
  return NGX_DECLINED;
}

static void on_written(struct turn *turn, ngx_int_t rc)
{
  struct request *request = CONTAINER_OF(turn, struct request, turn);
  // With NGX_DECLINED the request has another reply by now, or nobody waits for one.
  if (rc == NGX_OK)
    ngx_http_finalize_request(request->r, send_exchange(request));
  else if (rc == NGX_ERROR)
    ngx_http_finalize_request(request->r, NGX_HTTP_CLIENT_CLOSED_REQUEST);
}

// Has a large reply written by turns.
static void write_by_turns(struct request *request)
{
  request->turn = (struct turn){.run = write_piece,
                                .end = on_written,
                                .is_very_large = pacing_is_very_large(exchange_write_bytes(request->exchange))};
  if (!turns_wait(request->r, &request->turn))
    ngx_http_finalize_request(request->r, NGX_HTTP_INTERNAL_SERVER_ERROR);
}

// nginx calls this once the body is there, perhaps from within ngx_http_read_client_request_body, which counted the
// request.
static void on_body(ngx_http_request_t *r)
{
  struct request *request = find_request(r);
  struct slice body;
  body_ended(r);
  if (!join_body(r, &body)) {
    ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
    return;
  }
  if (exchange_body(request->exchange, body) == EXCHANGE_WAITING)
    wait_for_progress(r);
  else
    ngx_http_finalize_request(r, send_exchange(request));
}

// ---- streams ----

static bool open_stream(struct request *request)
{
  if (!request->has_stream)
    request->has_stream = stream_open(&request->stream, request->r, request->exchange);
  return request->has_stream;
}

static ngx_int_t read_stream(struct request *request)
{
  return open_stream(request) ? stream_read(&request->stream) : NGX_HTTP_INTERNAL_SERVER_ERROR;
}

// ---- the way through ----

ngx_int_t request_handle(ngx_http_request_t *r)
{
  struct exchange *exchange = request_open_exchange(r);
  if (exchange == NULL)
    return NGX_HTTP_INTERNAL_SERVER_ERROR;
  struct exchange_input input;
  request_fill_input(r, &input);
  switch (exchange_start(exchange, &input)) {
  case EXCHANGE_WANT_BODY:
    return body_read(r, exchange_body_limit(exchange), on_body);
  case EXCHANGE_WAITING:
    r->main->count++;
    wait_for_progress(r);
    return NGX_DONE;
  case EXCHANGE_WANT_STREAM:
    return read_stream(find_request(r));
  case EXCHANGE_WRITING:  // only after a wait
  case EXCHANGE_STREAMING:
  case EXCHANGE_DONE:
    break;
  }
  return request_send_reply(r, exchange_reply(exchange));
}

static void go_on(struct request *request, enum exchange_next next)
{
  ngx_http_request_t *r = request->r;
  if (next == EXCHANGE_WRITING)
    write_by_turns(request);
  else if (next == EXCHANGE_WANT_BODY)
    ngx_http_finalize_request(r, body_read(r, exchange_body_limit(request->exchange), on_body));
  else if (next == EXCHANGE_WANT_STREAM)
    ngx_http_finalize_request(r, read_stream(request));
  else
    ngx_http_finalize_request(r, send_exchange(request));
}

// Goes on with a request when a wait has ended, outside of nginx's events for it. nginx runs posted requests at the end
// of its own events, so they must be run here.
static void on_progress(void *arg, enum exchange_next next)
{
  struct request *request = arg;
  // Without memory for a stream its call ends at its deadline.
  if (next == EXCHANGE_STREAMING && !open_stream(request))
    return;
  if (request->has_stream) {
    stream_wake(&request->stream, next);
    worker_touch();
    return;
  }
  ngx_connection_t *connection = request->r->connection;
  ngx_http_set_log_request(connection->log, request->r);
  go_on(request, next);
  ngx_http_run_posted_requests(connection);
  worker_touch();
}

// ---- out ----

static ngx_int_t add_field(ngx_list_t *list, struct slice name, struct slice value)
{
  ngx_table_elt_t *header = ngx_list_push(list);
  if (header == NULL)
    return NGX_ERROR;
  *header = (ngx_table_elt_t){.hash = 1, .key = to_text(name), .value = to_text(value)};
  return NGX_OK;
}

ngx_int_t request_add_header(ngx_http_request_t *r, struct slice name, struct slice value)
{
  return add_field(&r->headers_out.headers, name, value);
}

ngx_int_t request_fill_head(ngx_http_request_t *r, const struct exchange_reply *reply)
{
  r->headers_out.status = (ngx_uint_t)reply->http_status;
  r->headers_out.content_type = to_text(reply->content_type);
  r->headers_out.content_type_len = reply->content_type.size;
  r->headers_out.content_type_lowcase = NULL;
  for (size_t i = 0; i < reply->headers.count; i++)
    if (request_add_header(r, reply->headers.items[i].name, reply->headers.items[i].value) != NGX_OK)
      return NGX_ERROR;
  // The exchange has checked preconditions. nginx would compare If-Match with the ETag after the change.
  r->disable_not_modified = 1;
  return NGX_OK;
}

ngx_int_t request_add_trailers(ngx_http_request_t *r, const struct exchange_reply *reply)
{
  for (size_t i = 0; i < reply->trailers.count; i++)
    if (add_field(&r->headers_out.trailers, reply->trailers.items[i].name, reply->trailers.items[i].value) != NGX_OK)
      return NGX_ERROR;
  r->expect_trailers = reply->trailers.count > 0;
  return NGX_OK;
}

ngx_int_t request_send_bytes(ngx_http_request_t *r, struct slice bytes)
{
  // A 304 has no body, and its length would say nothing about that of a 200.
  r->headers_out.content_length_n = r->headers_out.status == NGX_HTTP_NOT_MODIFIED ? -1 : (off_t)bytes.size;
  ngx_int_t rc = ngx_http_send_header(r);
  if (rc == NGX_ERROR || rc > NGX_OK || r->header_only)
    return rc;
  if (bytes.size == 0)
    return ngx_http_send_special(r, NGX_HTTP_LAST);
  return pieces_send(r, bytes);
}

// Sends a reply whose outcome follows its body, or stands in the headers of one without. A length would end the reply
// before its trailers.
static ngx_int_t send_with_outcome(ngx_http_request_t *r, const struct exchange_reply *reply)
{
  if (request_add_trailers(r, reply) != NGX_OK)
    return NGX_ERROR;
  r->header_only = reply->has_no_body;
  r->headers_out.content_length_n = -1;
  ngx_int_t rc = ngx_http_send_header(r);
  if (rc == NGX_ERROR || rc > NGX_OK || r->header_only)
    return rc;
  return pieces_send(r, reply->body);
}

// A client that has announced its body (Expect: 100-continue) and waits gets the answer instead of being asked for the
// body. Whether it still sends that is not known, so the connection ends with the answer.
static void decline_announced_body(ngx_http_request_t *r)
{
  if (r->request_body != NULL || r->expect_tested || r->headers_in.expect == NULL || r->stream != NULL)
    return;
  r->expect_tested = 1;
  r->keepalive = 0;
}

void request_decline_unread(ngx_http_request_t *r)
{
  if (r->stream == NULL && (r->reading_body || r->headers_in.content_length_n > LARGE_BODY_BYTES))
    r->keepalive = 0;
}

ngx_int_t request_send_reply(ngx_http_request_t *r, const struct exchange_reply *reply)
{
  decline_announced_body(r);
  request_decline_unread(r);
  ngx_int_t rc = ngx_http_discard_request_body(r);
  if (rc != NGX_OK)
    return rc;
  if (request_fill_head(r, reply) != NGX_OK)
    return NGX_ERROR;
  if (reply->has_etag) {
    // A strong ETag names these bytes, and clients send it back as If-Match, so gzip must not change them.
    r->gzip_tested = 1;
    r->gzip_ok = 0;
  }
  if (reply->body.size >= COMPRESSED_BYTES && gateway_is_crowded(worker_gateway()))
    compression_hurry(r);
  if (pacing_is_other(reply->http_status, reply->body.size))
    turns_note_other();
  // A very large reply leaves when others do not need the worker.
  if (pacing_is_very_large(reply->body.size))
    request_note_sent(r);
  bool has_outcome = reply->has_no_body || reply->trailers.count > 0;
  rc = has_outcome ? send_with_outcome(r, reply) : request_send_bytes(r, reply->body);
  if (rc != NGX_DONE)
    request_note_sent(r);
  return rc;
}
