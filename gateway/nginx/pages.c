// Pages that the gateway answers by itself: problems for nginx's own errors, the OpenAPI document, metrics, readiness.
#include "gateway/nginx/module.h"

// Tells whether a request of HTTP/2 is for the server. nginx has read its fields up to the :path, whose form it
// refuses. The :method, if it came before, is the query that error_page has given to this page.
static bool asks_for_server_by_fields(const ngx_http_request_t *r)
{
  return slice_equal(to_slice(r->args), SLICE("OPTIONS")) && r->uri_start != NULL &&
         slice_equal(slice_make(r->uri_start, (size_t)(r->uri_end - r->uri_start)), SLICE("*"));
}

// Whether nginx has refused "OPTIONS * HTTP/1.1" (RFC 9110, section 9.3.7): its parser knows no such target. The line
// that it could not parse is still in its buffer.
static bool asks_for_server(const ngx_http_request_t *r)
{
  if (r->err_status != NGX_HTTP_BAD_REQUEST)
    return false;
  if (r->http_version == NGX_HTTP_VERSION_20)
    return asks_for_server_by_fields(r);
  if (r->request_line.len > 0 || r->request_start == NULL)
    return false;
  return slice_starts_with(slice_make(r->request_start, (size_t)(r->header_in->last - r->request_start)),
                           SLICE("OPTIONS * HTTP/1."));
}

// Drops the headers of the reply that failed: the range filter refuses with 416 after others have added theirs, which
// they do again for the problem. Content-Range stays: it says how long the file is (RFC 9110, section 15.5.17).
static ngx_int_t drop_headers(ngx_http_request_t *r)
{
  const ngx_table_elt_t *range = r->headers_out.content_range;
  struct slice value = range == NULL || range->hash == 0 ? (struct slice){0} : to_slice(range->value);
  ngx_http_clean_header(r);
  return value.size == 0 ? NGX_OK : request_add_header(r, SLICE("Content-Range"), value);
}

// Answers nginx's own error status as a problem document; error_page leads here by an internal redirect.
ngx_int_t page_problem(ngx_http_request_t *r)
{
  struct exchange *exchange = request_open_exchange(r);
  if (exchange == NULL || drop_headers(r) != NGX_OK) {
    // Without memory for a problem document, nginx answers with its plain page and closes the connection.
    r->keepalive = 0;
    return NGX_HTTP_INTERNAL_SERVER_ERROR;
  }
  body_ended(r);
  struct exchange_input input;
  request_fill_input(r, &input);
  int http_status = r->err_status == 0 ? NGX_HTTP_NOT_FOUND : (int)r->err_status;
  if (asks_for_server(r)) {
    input.method = SLICE("OPTIONS");
    input.path = SLICE("*");
    http_status = NGX_HTTP_NOT_ALLOWED;
  }
  exchange_fail_http(exchange, &input, http_status);
  // nginx sends err_status in place of the reply's own status.
  r->err_status = (ngx_uint_t)exchange_reply(exchange)->http_status;
  return request_send_reply(r, exchange_reply(exchange));
}

// Returns the header that was added last.
static ngx_table_elt_t *last_header(ngx_http_request_t *r)
{
  ngx_list_part_t *last = r->headers_out.headers.last;
  return &((ngx_table_elt_t *)last->elts)[last->nelts - 1];
}

static ngx_int_t begin_page(ngx_http_request_t *r, const char *content_type)
{
  if ((r->method & (NGX_HTTP_GET | NGX_HTTP_HEAD)) == 0)
    return NGX_HTTP_NOT_ALLOWED;
  ngx_int_t rc = ngx_http_discard_request_body(r);
  if (rc != NGX_OK)
    return rc;
  struct slice type = slice_from_string(content_type);
  r->headers_out.status = NGX_HTTP_OK;
  r->headers_out.content_type = to_text(type);
  // gzip_types compares the type without its parameters.
  r->headers_out.content_type_len = slice_find(type, ';', 0);
  r->headers_out.content_type_lowcase = NULL;
  if (request_add_header(r, SLICE("X-Content-Type-Options"), SLICE("nosniff")) != NGX_OK)
    return NGX_ERROR;
  return NGX_OK;
}

// Announces a body that is compressed already, so that nginx does not compress it for each request.
static ngx_int_t announce_gzip(ngx_http_request_t *r)
{
  if (request_add_header(r, SLICE("Content-Encoding"), SLICE("gzip")) != NGX_OK)
    return NGX_ERROR;
  r->headers_out.content_encoding = last_header(r);
  // The strong tag names the bytes that are not compressed (RFC 9110, section 8.8.3).
  ngx_http_weak_etag(r);
  return NGX_OK;
}

ngx_int_t page_openapi(ngx_http_request_t *r)
{
  ngx_int_t rc = begin_page(r, "application/json");
  if (rc != NGX_OK)
    return rc;
  const struct module_conf *module = ngx_http_get_module_main_conf(r, ngx_http_bulkhead_module);
  if (request_add_header(r, SLICE("Cache-Control"), SLICE("no-cache")) != NGX_OK ||
      request_add_header(r, SLICE("ETag"), slice_from_string(module->api->openapi_etag)) != NGX_OK)
    return NGX_ERROR;
  // nginx compares If-None-Match with this header.
  r->headers_out.etag = last_header(r);
  // Caches keep both forms apart, also where this client takes the one that is not compressed.
  r->gzip_vary = 1;
  if (ngx_http_gzip_ok(r) != NGX_OK)
    return request_send_bytes(r, strbuf_slice(&module->api->openapi));
  if (announce_gzip(r) != NGX_OK)
    return NGX_ERROR;
  return request_send_bytes(r, strbuf_slice(&module->api->openapi_gzip));
}

static void free_text(void *data)
{
  strbuf_free(data);
}

// Creates a buffer that is freed with the request. NULL without memory.
static struct strbuf *create_text(ngx_http_request_t *r)
{
  ngx_pool_cleanup_t *cleanup = ngx_pool_cleanup_add(r->pool, sizeof(struct strbuf));
  if (cleanup == NULL)
    return NULL;
  strbuf_init(cleanup->data, 0);
  cleanup->handler = free_text;
  return cleanup->data;
}

ngx_int_t page_metrics(ngx_http_request_t *r)
{
  ngx_int_t rc = begin_page(r, "text/plain; version=0.0.4; charset=utf-8");
  if (rc != NGX_OK)
    return rc;
  struct strbuf *text = create_text(r);
  if (text == NULL)
    return NGX_ERROR;
  metrics_render(text);
  return request_send_bytes(r, strbuf_slice(text));
}

// Answers /readyz: ready once tokens can be verified. A service that is away is shown but does not make the gateway
// unready, because the others still work and requests to it get 503.
ngx_int_t page_ready(ngx_http_request_t *r)
{
  ngx_int_t rc = begin_page(r, "application/json");
  if (rc != NGX_OK)
    return rc;
  struct strbuf *text = create_text(r);
  if (text == NULL || worker_gateway() == NULL)
    return NGX_ERROR;
  bool ready = keys_known(&worker_gateway()->keys);
  upstreams_write_health(worker_upstreams(), ready, text);
  if (!ready)
    r->headers_out.status = NGX_HTTP_SERVICE_UNAVAILABLE;
  return request_send_bytes(r, strbuf_slice(text));
}
