// Reads the bodies of requests within bounds: how large one may be (its method says so), how slowly it may come, and
// how much of the gateway's memory and disk all bodies of one address may take.
//
// Bodies share a budget. An address gets a quarter of it at most, and no more than it leaves free, so that there is
// room for others whatever a few addresses do. A request that would get more is answered with 503. What a body has
// taken is given back with the request's memory.
#include "gateway/nginx/module.h"

#include "common/base/clock.h"
#include "common/observe/log.h"
#include "common/observe/log_limit.h"

#define MAX_SHARE 4  // an address gets a fourth of the budget

static ngx_http_request_body_filter_pt next_filter;

struct intake {
  struct pace pace;
  size_t max_bytes;
  size_t received;
  size_t taken;  // counted for the address
  uint64_t key;
  bool is_counted;  // the address has a key
  size_t budget;
};

static void give_back(void *data)
{
  struct intake *intake = data;
  if (intake->taken > 0)
    address_give_back(connections_counts(), intake->key, ADDRESS_BODY_BYTES, intake->taken);
}

static struct intake *find_intake(const ngx_http_request_t *r)
{
  for (const ngx_pool_cleanup_t *cleanup = r->pool->cleanup; cleanup != NULL; cleanup = cleanup->next)
    if (cleanup->handler == give_back)
      return cleanup->data;
  return NULL;
}

static void log_full(const ngx_http_request_t *r, uint64_t held, uint64_t held_by_all, size_t budget)
{
  static struct log_limit limit;
  uint64_t suppressed;
  if (!log_limit_pass(&limit, clock_now_us(), &suppressed))
    return;
  // What all hold leaves an address less than its share.
  bool is_shared = held_by_all > budget - budget / MAX_SHARE;
  log_warn("bodies",
           is_shared ? "bodies of all clients leave no room for one more (BODY_BYTES); its request was answered 503"
                     : "bodies of a client address take the quarter of BODY_BYTES that it may have; its request was "
                       "answered 503",
           LOG_SLICE("client", to_slice(r->connection->addr_text)), LOG_INT("bytesOfAddress", held),
           LOG_INT("bytesOfAll", held_by_all), LOG_INT("refusedSinceLastLine", suppressed + 1));
}

// Counts `bytes` in all for the body. False where the budget has no room for them.
static bool take_room(const ngx_http_request_t *r, struct intake *intake, size_t bytes)
{
  if (!intake->is_counted || bytes <= intake->taken)
    return true;
  struct address_counts *counts = connections_counts();
  size_t more = bytes - intake->taken;
  uint64_t by_all = address_held_by_all(counts, ADDRESS_BODY_BYTES);
  uint64_t own = address_held(counts, intake->key, ADDRESS_BODY_BYTES);
  uint64_t free = intake->budget - (by_all < intake->budget ? by_all : intake->budget);
  uint64_t most = free < intake->budget / MAX_SHARE ? free : intake->budget / MAX_SHARE;
  if (own + more > most) {
    log_full(r, own, by_all, intake->budget);
    return false;
  }
  if (address_take(counts, intake->key, ADDRESS_BODY_BYTES, more))
    intake->taken = bytes;
  return true;
}

// ---- slow bodies ----

static off_t count_received(ngx_http_request_t *r, const struct pace *pace)
{
  (void)r;
  return (off_t)((const struct intake *)(const void *)pace)->received;
}

// Answers 408. nginx would close the connection without a word.
static void end_body(ngx_http_request_t *r)
{
  if (r->connection->read->timer_set)
    ngx_del_timer(r->connection->read);
#if (NGX_HTTP_V2)
  if (r->stream != NULL)
    r->stream->skip_data = 1;
#endif
  r->keepalive = 0;
  r->read_event_handler = ngx_http_block_reading;
  struct exchange_input input;
  request_fill_input(r, &input);
  struct exchange *exchange = request_exchange(r);
  exchange_fail_http(exchange, &input, NGX_HTTP_REQUEST_TIME_OUT);
  ngx_http_finalize_request(r, request_send_reply(r, exchange_reply(exchange)));
}

// ---- reading ----

// Refuses the rest of a body. What the client still sends is no next request.
static ngx_int_t refuse_rest(ngx_http_request_t *r, ngx_int_t http_status)
{
  r->keepalive = 0;
  return http_status;
}

// Sees each piece of a body that nginx has read, before it is stored.
static ngx_int_t filter_piece(ngx_http_request_t *r, ngx_chain_t *in)
{
  struct intake *intake = find_intake(r);
  if (intake == NULL)
    return next_filter(r, in);
  for (const ngx_chain_t *link = in; link != NULL; link = link->next)
    intake->received += (size_t)ngx_buf_size(link->buf);
  if (intake->received > intake->max_bytes)
    return refuse_rest(r, NGX_HTTP_REQUEST_ENTITY_TOO_LARGE);
  if (!take_room(r, intake, intake->received))
    return refuse_rest(r, NGX_HTTP_SERVICE_UNAVAILABLE);
  return next_filter(r, in);
}

static struct intake *open_intake(ngx_http_request_t *r, size_t max_bytes)
{
  const struct module_conf *module = ngx_http_get_module_main_conf(r, ngx_http_bulkhead_module);
  ngx_pool_cleanup_t *cleanup = ngx_pool_cleanup_add(r->pool, sizeof(struct intake));
  if (cleanup == NULL)
    return NULL;
  struct intake *intake = cleanup->data;
  *intake = (struct intake){.pace = {.count = count_received, .end = end_body},
                            .max_bytes = max_bytes,
                            .budget = (size_t)module->body_budget};
  intake->is_counted = address_key(r->connection->sockaddr, &intake->key);
  cleanup->handler = give_back;
  return intake;
}

void body_ended(ngx_http_request_t *r)
{
  struct intake *intake = find_intake(r);
  if (intake != NULL)
    pace_stop(&intake->pace);
}

ngx_int_t body_read(ngx_http_request_t *r, size_t max_bytes, ngx_http_client_body_handler_pt done)
{
  struct intake *intake = open_intake(r, max_bytes);
  if (intake == NULL)
    return NGX_HTTP_INTERNAL_SERVER_ERROR;
  // What is announced is taken before any of it is read.
  if (r->headers_in.content_length_n > 0 && !take_room(r, intake, (size_t)r->headers_in.content_length_n))
    return NGX_HTTP_SERVICE_UNAVAILABLE;
  r->request_body_in_single_buf = 1;
  ngx_int_t rc = ngx_http_read_client_request_body(r, done);
  // Without memory for the watch, nginx' own timeouts are left.
  if (rc == NGX_AGAIN)
    (void)pace_watch(r, &intake->pace);
  return rc >= NGX_HTTP_SPECIAL_RESPONSE ? rc : NGX_DONE;
}

void body_install_filter(void)
{
  next_filter = ngx_http_top_request_body_filter;
  ngx_http_top_request_body_filter = filter_piece;
}
