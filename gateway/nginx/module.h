// What the files of gateway/nginx share; private to the folder. It binds the gateway (gateway/*.h) to nginx and holds
// no logic of its own. All of it runs in the one thread of an nginx worker.
//
//   module.c     directives, loading before the fork
//   worker.c     start and stop of a worker, the event loop's glue
//   connections.c   how many connections an address may have
//   handover.c   listeners and connections when the workers are replaced
//   http2.c      how much a connection of HTTP/2 may cost
//   body.c       how large a body may be, and how much room all of an address may take
//   pace.c       how slowly a body may come, and a reply be read
//   turns.c      turns of large replies
//   pieces.c     large replies, in pieces
//   compression.c   how much time a reply's compression takes
//   request.c    requests in, bodies in, replies out
//   client.c     clients that go away, or only end what they send, while a request waits
//   error_log.c  nginx's own lines about errors as JSON
//   pages.c      problem pages, OpenAPI, metrics, readiness
//   certificate.c  when the public certificate expires
//   cors_filter.c  headers for scripts of other origins
//   variables.c  $bulkhead_… for the access log
#ifndef BULKHEAD_GATEWAY_NGINX_MODULE_H
#define BULKHEAD_GATEWAY_NGINX_MODULE_H

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "gateway/address_counts.h"
#include "gateway/exchange.h"
#include "gateway/pacing.h"
#include "gateway/upstreams.h"

extern ngx_module_t ngx_http_bulkhead_module;

// The directives of http {}. A text is empty where its directive is absent or "".
struct module_conf {
  ngx_str_t protoset;
  ngx_str_t consul_url;
  ngx_str_t consul_token;
  ngx_str_t static_list;
  ngx_str_t state_dir;
  ngx_str_t zone;
  ngx_str_t issuer;
  ngx_str_t audience;
  ngx_str_t advertise_address;
  ngx_str_t advertise_health_url;
  ngx_str_t tls_ca_file;
  ngx_str_t tls_cert_key_file;
  ngx_str_t service_key;   // the text of the file
  ngx_str_t service_keys;  // the path
  ngx_str_t log_level;
  struct gcra_limit limits[LIMIT_CLASS_COUNT];
  void *fast_gzip;    // the configuration of gzip while there is a crowd; NULL: the usual one
  bool has_handlers;  // a location uses the module
  struct api *api;    // NULL until loaded; freed with the configuration's pool
  ngx_shm_zone_t *metrics_zone;
  ngx_uint_t metrics_slots;
  ngx_shm_zone_t *address_zone;  // what each client address holds
  ngx_uint_t address_slots;
  size_t body_budget;       // bytes of bodies, over all workers
  ngx_msec_t stream_drain;  // how long streams go on in a worker that a reload has replaced
};

// The directives of server {}.
struct server_conf {
  ngx_str_t cors_origins;             // the origins whose scripts may read replies; empty for none
  ngx_int_t connections_per_address;  // below 1: connections are not counted
  ngx_array_t *trusted_proxies;       // ngx_cidr_t; NULL: none
};

static inline struct slice to_slice(ngx_str_t text)
{
  return slice_make(text.data, text.len);
}

// Converts without const, because nginx's own texts have none; nginx only reads what it is given here.
static inline ngx_str_t to_text(struct slice slice)
{
  ngx_str_t text = {.len = slice.size};
  memcpy(&text.data, &slice.data, sizeof(text.data));
  return text;
}

// ---- module.c ----

// Adds zeroed memory of at least `bytes`, shared by the workers, with the module's configuration as its data; `init`
// allocates what it holds. NULL after an error.
ngx_shm_zone_t *module_add_zone(ngx_conf_t *cf, ngx_str_t name, size_t bytes, ngx_shm_zone_init_pt init);

// ---- worker.c ----

ngx_int_t worker_start(ngx_cycle_t *cycle);
void worker_stop(ngx_cycle_t *cycle);
// Returns the gateway of this worker; NULL before the start and in processes that serve no requests.
struct gateway *worker_gateway(void);
const struct upstreams *worker_upstreams(void);
// Tells whether every service takes calls and tokens can be verified.
bool worker_can_serve(void);
// Schedules a flush and a look at the timers for the end of this turn of the loop, because something was queued or a
// deadline has changed.
void worker_touch(void);
// Sends what was queued for the services in this turn of the loop so far.
void worker_flush(void);

// ---- certificate.c ----

// Sets the metric about the public certificate; the earliest of several.
void certificate_tell_expiry(ngx_cycle_t *cycle);

// ---- connections.c ----

char *connections_set_proxies(ngx_conf_t *cf, ngx_command_t *command, void *conf);
// Adds the memory in which the workers count, after metrics_slots is known. False after an error.
bool connections_add_zone(ngx_conf_t *cf, struct module_conf *module);
// Begins to count the connections of the public listeners in this worker.
void connections_start(ngx_cycle_t *cycle, const struct module_conf *module);
void connections_stop(void);
// Tells whether a listener is for clients; the one for operators is not.
bool connections_is_public(const ngx_listening_t *listening);
// The handler of a listening connection's read event: accepts as many of those that wait as a turn of the loop takes.
void connections_accept_some(ngx_event_t *event);
// Accepts all of them.
void connections_accept_waiting(ngx_event_t *event);
// Returns what the client addresses hold.
struct address_counts *connections_counts(void);

// ---- handover.c ----

// Makes a new worker accept no client before handover_serve, or for a second at most.
void handover_begin(ngx_cycle_t *cycle);
// Lets a worker accept clients as soon as it can serve them. Cheap; call it whenever that may have changed.
void handover_serve(void);
// Counts a load of the configuration, in the master.
void handover_note_load(void);
// Takes care of the idle connections of a worker that shuts down, of those that no worker has accepted, and of streams.
// Call it before nginx closes idle connections.
void handover_end(ngx_cycle_t *cycle);
void handover_install_filter(void);

// ---- http2.c ----

// Prepares the counter of floods: once before the workers start, and in each of them.
void http2_prepare(void);
// Bounds what a new connection costs, if its client speaks HTTP/2. Call it before anything is read.
void http2_guard(ngx_connection_t *connection, bool has_tls);
// Tells whether the client of a connection speaks HTTP/2.
bool http2_is_spoken(const ngx_connection_t *connection);
// Tells whether GOAWAY was sent on a connection of HTTP/2.
bool http2_is_ending(const ngx_connection_t *connection);
// Lets requests that their clients reset be counted. False without memory.
bool http2_count_resets(ngx_conf_t *cf);

// ---- pace.c ----

// Ends a request whose bytes come or go too slowly.
struct pace {
  // Returns the bytes that have moved so far; -1 while nothing is expected to move.
  off_t (*count)(ngx_http_request_t *r, const struct pace *pace);
  void (*end)(ngx_http_request_t *r);
  // The members below are the watch's own.
  ngx_http_request_t *r;
  ngx_event_t timer;
  off_t bytes;
  ngx_uint_t slow_windows;
};

// Watches the request until pace_stop or the end of its pool. `pace` must live as long as the pool. False without
// memory.
bool pace_watch(ngx_http_request_t *r, struct pace *pace);
void pace_stop(struct pace *pace);
// Makes every reply watched that its client does not take at once.
void pace_install_filter(void);

// ---- turns.c ----

// What a request does piece by piece. Lies in the request's pool.
struct turn {
  // Does one piece: a fraction of a millisecond. Returns NGX_DONE while others follow.
  ngx_int_t (*run)(struct turn *turn);
  // Called with what the last piece has returned.
  void (*end)(struct turn *turn, ngx_int_t rc);
  ngx_http_request_t *r;
  bool is_very_large;  // of the reply (pacing.h)
  // The members below are the queue's own.
  ngx_queue_t link;
  bool is_waiting;
  ngx_event_t guard;
};

// Prepares the worker's queue.
void turns_start(ngx_log_t *log);
// Notes that a reply is sent for which very large ones pause (pacing.h).
void turns_note_other(void);
// Notes that a turn of the loop ends.
void turns_end_turn(void);
// Tells whether nothing waits, and this turn of the loop has time for a piece.
bool turns_are_free(void);
// Does a piece at once.
ngx_int_t turns_run(struct turn *turn);
// Does the pieces in the next turns of the loop, until the last one or the end of the request's pool. False without
// memory.
bool turns_wait(ngx_http_request_t *r, struct turn *turn);

// ---- pieces.c ----

// Sends the body of a reply whose header was sent, a large one over several turns of the loop, and each after those
// that wait already. `body` must not be empty, and must live as long as the request. Returns what a handler of nginx'
// returns: NGX_DONE while some of it waits; request_note_sent is called when it waits no more.
ngx_int_t pieces_send(ngx_http_request_t *r, struct slice body);

// ---- compression.c ----

char *compression_set_fast(ngx_conf_t *cf, ngx_command_t *command, void *conf);
// Lets the reply be compressed in less time. Call it before the header is sent.
void compression_hurry(ngx_http_request_t *r);

// ---- body.c ----

// Reads the request's body of at most `max_bytes` and calls `done`, perhaps at once. Returns NGX_DONE, or the HTTP
// status of an error, for nginx to finalize the request with.
ngx_int_t body_read(ngx_http_request_t *r, size_t max_bytes, ngx_http_client_body_handler_pt done);
// Notes that no more of the body is waited for: it is complete, or was refused. Does nothing for other requests.
void body_ended(ngx_http_request_t *r);
void body_install_filter(void);

// ---- request.c ----

ngx_int_t request_handle(ngx_http_request_t *r);
// Returns the exchange of a request, also after an internal redirect; NULL when the request has none.
struct exchange *request_exchange(ngx_http_request_t *r);
// Tells the exchange of a request that all of its reply was given to nginx.
void request_note_sent(ngx_http_request_t *r);
// Returns the exchange of a request and opens it where there is none yet. NULL without memory.
struct exchange *request_open_exchange(ngx_http_request_t *r);
void request_fill_input(ngx_http_request_t *r, struct exchange_input *input);
// Returns the method of a request as sent; nginx makes it GET when it goes on to an error page.
struct slice request_method(const ngx_http_request_t *r);
// Returns a header of a request by its name; NULL data where there is none.
struct slice request_header(const ngx_http_request_t *r, const char *name);
// Returns the path of a request as sent, without the query.
struct slice request_path(const ngx_http_request_t *r);
ngx_int_t request_send_reply(ngx_http_request_t *r, const struct exchange_reply *reply);
// Makes the head of a reply the request's, without sending it.
ngx_int_t request_fill_head(ngx_http_request_t *r, const struct exchange_reply *reply);
// Lets the connection end with the reply where a stream of the client is not over, or a body is larger than any but a
// stream's: it is not read to its end for the sake of the next request. Call it before the head is sent.
void request_decline_unread(ngx_http_request_t *r);
// Adds what follows the body of a reply.
ngx_int_t request_add_trailers(ngx_http_request_t *r, const struct exchange_reply *reply);
// Sends a body. `bytes` must outlive the request or be in its pool.
ngx_int_t request_send_bytes(ngx_http_request_t *r, struct slice bytes);
ngx_int_t request_add_header(ngx_http_request_t *r, struct slice name, struct slice value);

// ---- stream.c ----

// The streams of a request. Lies in the request's pool.
struct stream {
  ngx_http_request_t *r;
  struct exchange *exchange;
  ngx_buf_t piece;  // of what is sent; with nginx until all of it has left
  ngx_event_t wake;
  ngx_event_t beat;
  ngx_connection_t no_connection;  // nginx' debug log reads an fd behind every event
  bool has_head;
  bool reads;      // the client's messages are not over
  bool is_done;    // the reply is there as a whole
  bool is_over;    // the request was finalized
  bool is_silent;  // nothing was sent lately
};

// Prepares the streams of a request that the exchange waits for. False without memory.
bool stream_open(struct stream *stream, ngx_http_request_t *r, struct exchange *exchange);
// Begins to read the client's messages. Returns NGX_DONE, with the request counted, or an HTTP status for nginx to
// finalize the request with.
ngx_int_t stream_read(struct stream *stream);
// Goes on in a posted event, after the exchange has made progress.
void stream_wake(struct stream *stream, enum exchange_next next);
// Tells whether a request has streams.
bool stream_is_open(const ngx_http_request_t *r);

// ---- client.c ----

// Watches the client while the exchange waits; a client that has gone ends its request.
void client_watch(ngx_http_request_t *r);

// ---- error_log.c ----

extern ngx_module_t ngx_bulkhead_error_log_module;

// ---- pages.c ----

ngx_int_t page_problem(ngx_http_request_t *r);
ngx_int_t page_openapi(ngx_http_request_t *r);
ngx_int_t page_metrics(ngx_http_request_t *r);
ngx_int_t page_ready(ngx_http_request_t *r);

// ---- cors_filter.c ----

char *cors_set_origins(ngx_conf_t *cf, ngx_command_t *command, void *conf);
void cors_install_filter(void);

// ---- variables.c ----

ngx_int_t variables_add(ngx_conf_t *cf);

#endif
