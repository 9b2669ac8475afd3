// Hands the public listeners over from one generation of workers to the next, at a reload, an upgrade or a restart, so
// that no request is lost. Both generations share the listening sockets, whose queues of new connections outlive them.
//
// A new worker accepts connections once it can serve them. A worker that shuts down takes what waits in the queues:
// where no successor shares them, the kernel resets what nobody has accepted. It says "Connection: close" with each
// answer (nginx does that), and over HTTP/2 GOAWAY. nginx would close idle connections at once, and the kernel answers
// a request that has come just then with a reset. Here they stay open for IDLE_MS, in which clients that use them get
// an answer and leave. What is idle after that gets a FIN, and a reset only after LINGER_MS.
#include "gateway/nginx/module.h"

#include <fcntl.h>
#include <ngx_event.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/observe/log.h"

// The longest time for which a new worker accepts nothing. A service may be away for long.
#define HOLD_MS 1000
#define IDLE_MS 5000
#define LINGER_MS 3000
// How long a worker that shuts down accepts on: the other processes close their listeners at almost the same time, and
// what comes between their ends is taken by the last.
#define LAST_ACCEPTS_MS 50

// How often a worker that a reload has replaced looks whether its streams must end.
#define STREAM_LOOK_MS 250

static ngx_http_output_body_filter_pt next_body_filter;

// A public listener, under a descriptor that nginx does not close.
struct kept_listener {
  ngx_listening_t *listening;
  int fd;
};

// What the master and all of its workers know of loads of the configuration.
struct loads {
  ngx_atomic_t count;
  ngx_atomic_t stopped;  // the load whose workers were told to end, because all are; 0: none
};

static struct {
  ngx_cycle_t *cycle;  // NULL: the listeners accept
  ngx_event_t timer;
  ngx_event_t http2_timer;
  ngx_event_t stream_timer;
  struct loads *loads;         // NULL without memory
  ngx_atomic_uint_t own_load;  // that this worker has come of
  ngx_msec_t drain_end;        // of the streams
  ngx_array_t *kept;           // struct kept_listener; NULL without memory
  ngx_event_t last_accepts;
  ngx_connection_t no_connection;          // nginx's debug log reads an fd behind every event
  ngx_event_handler_pt keepalive_handler;  // nginx' own, of an idle connection
} handover;

// ---- a new worker ----

static void resume_accepting(void)
{
  ngx_cycle_t *cycle = handover.cycle;
  const ngx_core_conf_t *core = (ngx_core_conf_t *)ngx_get_conf(cycle->conf_ctx, ngx_core_module);
  ngx_listening_t *listening = cycle->listening.elts;
  handover.cycle = NULL;
  // Who replaces a master waits for this title before it ends the one before (upgrade.sh).
  ngx_setproctitle("worker process serves clients");
  for (ngx_uint_t i = 0; i < cycle->listening.nelts; i++) {
    if (!connections_is_public(&listening[i]) || listening[i].connection == NULL)
      continue;
    // nginx' own choice: with several workers, a connection wakes one of them.
    ngx_uint_t flags = core->worker_processes > 1 ? NGX_EXCLUSIVE_EVENT : 0;
    (void)ngx_add_event(listening[i].connection->read, NGX_READ_EVENT, flags);
  }
}

static void on_hold_end(ngx_event_t *event)
{
  (void)event;
  if (handover.cycle != NULL)
    resume_accepting();
}

static void keep_listener(ngx_listening_t *listening)
{
  int fd = fcntl(listening->fd, F_DUPFD_CLOEXEC, 0);
  struct kept_listener *kept = fd < 0 || handover.kept == NULL ? NULL : ngx_array_push(handover.kept);
  if (kept != NULL)
    *kept = (struct kept_listener){.listening = listening, .fd = fd};
  else if (fd >= 0)
    close(fd);
}

void handover_begin(ngx_cycle_t *cycle)
{
  ngx_listening_t *listening = cycle->listening.elts;
  handover.kept = ngx_array_create(cycle->pool, 2, sizeof(struct kept_listener));
  for (ngx_uint_t i = 0; i < cycle->listening.nelts; i++)
    if (connections_is_public(&listening[i]))
      keep_listener(&listening[i]);
  for (ngx_uint_t i = 0; i < cycle->listening.nelts; i++)
    if (connections_is_public(&listening[i]) && listening[i].connection->read->active)
      (void)ngx_del_event(listening[i].connection->read, NGX_READ_EVENT, NGX_DISABLE_EVENT);
  handover.cycle = cycle;
  handover.own_load = handover.loads == NULL ? 0 : handover.loads->count;
  handover.no_connection.fd = (ngx_socket_t)-1;
  handover.timer =
      (ngx_event_t){.handler = on_hold_end, .data = &handover.no_connection, .log = cycle->log, .cancelable = 1};
  ngx_add_timer(&handover.timer, HOLD_MS);
}

void handover_serve(void)
{
  if (handover.cycle == NULL || !worker_can_serve())
    return;
  resume_accepting();
  ngx_del_timer(&handover.timer);
}

// ---- the listeners of a worker that shuts down ----

// Makes a listener accept on under the descriptor that was kept, as nginx does at the start of a worker.
static void accept_on(const struct kept_listener *kept)
{
  ngx_connection_t *connection = ngx_get_connection(kept->fd, ngx_cycle->log);
  kept->listening->connection = connection;
  if (connection == NULL)
    return;
  connection->type = SOCK_STREAM;
  connection->log = &kept->listening->log;
  connection->listening = kept->listening;
  connection->read->log = connection->log;
  connection->read->accept = 1;
  connection->read->handler = connections_accept_some;
  (void)ngx_add_event(connection->read, NGX_READ_EVENT, 0);
}

// Accepts what waits, and closes.
static void end_listener(const struct kept_listener *kept)
{
  ngx_connection_t *connection = kept->listening->connection;
  if (connection != NULL) {
    connections_accept_waiting(connection->read);
    if (connection->read->active)
      (void)ngx_del_event(connection->read, NGX_READ_EVENT, 0);
    // nginx sets a timer where no more files may be opened.
    if (connection->read->timer_set)
      ngx_del_timer(connection->read);
    ngx_free_connection(connection);
    connection->fd = (ngx_socket_t)-1;
    kept->listening->connection = NULL;
  }
  close(kept->fd);
}

static void on_last_accepts(ngx_event_t *event)
{
  (void)event;
  const struct kept_listener *kept = handover.kept->elts;
  for (ngx_uint_t i = 0; i < handover.kept->nelts; i++)
    end_listener(&kept[i]);
}

// nginx has closed its own descriptors by now. Where a successor has the same listeners, it does not matter who serves
// what comes.
static void end_listeners(void)
{
  if (handover.kept == NULL)
    return;
  const struct kept_listener *kept = handover.kept->elts;
  for (ngx_uint_t i = 0; i < handover.kept->nelts; i++)
    accept_on(&kept[i]);
  // The worker does not end before it.
  handover.last_accepts =
      (ngx_event_t){.handler = on_last_accepts, .data = &handover.no_connection, .log = ngx_cycle->log};
  ngx_add_timer(&handover.last_accepts, LAST_ACCEPTS_MS);
}

// ---- idle connections of a worker that shuts down ----

static void on_lingering(ngx_event_t *read)
{
  ngx_connection_t *connection = read->data;
  u_char skipped[4096];
  ssize_t got = 1;
  while (!read->timedout && !connection->close && got > 0)
    got = recv(connection->fd, skipped, sizeof(skipped), 0);
  if (got < 0 && ngx_socket_errno == NGX_EAGAIN && ngx_handle_read_event(read, 0) == NGX_OK)
    return;
  ngx_http_close_connection(connection);
}

// Says that no more answers come, and reads on: a close of what holds unread bytes is a reset.
static void close_gently(ngx_connection_t *connection)
{
  if (connection->ssl != NULL) {
    connection->ssl->handler = ngx_http_close_connection;
    connection->ssl->shutdown_without_free = 1;
    connection->ssl->no_wait_shutdown = 1;
    if (ngx_ssl_shutdown(connection) == NGX_AGAIN)
      return;
  }
  if (ngx_shutdown_socket(connection->fd, NGX_WRITE_SHUTDOWN) == -1) {
    ngx_http_close_connection(connection);
    return;
  }
  connection->read->handler = on_lingering;
  connection->read->timedout = 0;
  ngx_add_timer(connection->read, LINGER_MS);
  on_lingering(connection->read);
}

static void on_idle(ngx_event_t *read)
{
  ngx_connection_t *connection = read->data;
  if (connection->close) {
    ngx_http_close_connection(connection);
    return;
  }
  if (read->timedout) {
    close_gently(connection);
    return;
  }
  read->handler = handover.keepalive_handler;
  read->handler(read);
  // Not a byte of a request has come, such as where TLS has sent something of its own.
  if (connection->fd != (ngx_socket_t)-1 && read->handler == handover.keepalive_handler)
    read->handler = on_idle;
}

// ---- HTTP/2 in a worker that shuts down ----

static bool is_http2_client(const ngx_connection_t *connection)
{
  return connection->fd != (ngx_socket_t)-1 && connection->listening != NULL && http2_is_spoken(connection);
}

// Sends GOAWAY to clients that have asked for nothing since the shutdown has begun, and to those whose handshake ended
// after that.
static void on_http2_end(ngx_event_t *event)
{
  ngx_connection_t *connections = ngx_cycle->connections;
  for (ngx_uint_t i = 0; i < ngx_cycle->connection_n; i++) {
    if (!is_http2_client(&connections[i]) || http2_is_ending(&connections[i]))
      continue;
    connections[i].close = 1;
    connections[i].read->handler(connections[i].read);
  }
  ngx_add_timer(event, IDLE_MS);
}

static void start_http2_timer(void)
{
  // A worker waits for its clients, and not for this.
  handover.http2_timer =
      (ngx_event_t){.handler = on_http2_end, .data = &handover.no_connection, .log = ngx_cycle->log, .cancelable = 1};
  ngx_add_timer(&handover.http2_timer, IDLE_MS);
}

// Lets nginx send GOAWAY with the client's next request, which is still answered, instead of at once: many clients do
// not repeat a request that crosses a GOAWAY.
static void say_goodbye(ngx_connection_t *connection)
{
  connection->idle = 0;
  connection->requests = NGX_MAX_INT32_VALUE;
}

// ---- streams of a worker that shuts down ----

void handover_note_load(void)
{
  // What the first load has mapped stays, and workers inherit it.
  if (handover.loads == NULL) {
    handover.loads = mmap(NULL, sizeof(*handover.loads), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (handover.loads == MAP_FAILED)
      handover.loads = NULL;
  }
  if (handover.loads != NULL)
    handover.loads->count++;
}

// Tells whether all workers end. Those that a reload has replaced are not told so by nginx, but see that the workers of
// the last load have been.
static bool is_stopping(void)
{
  struct loads *loads = handover.loads;
  if (loads == NULL)
    return true;
  if (loads->count == handover.own_load)
    loads->stopped = loads->count;
  return loads->stopped == loads->count;
}

static void on_stream_look(ngx_event_t *event)
{
  if (is_stopping() || (ngx_msec_int_t)(ngx_current_msec - handover.drain_end) >= 0) {
    exchange_drain_streams(worker_gateway());
    worker_touch();
    return;
  }
  ngx_add_timer(event, STREAM_LOOK_MS);
}

// Ends the streams: at once where the gateway stops, so that their clients go to another one; later where a reload has
// replaced the worker, because all that they would gain is another process of the same gateway.
static void start_stream_timer(const ngx_cycle_t *cycle)
{
  const struct module_conf *module = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_bulkhead_module);
  handover.drain_end = ngx_current_msec + module->stream_drain;
  // The streams themselves make the worker wait.
  handover.stream_timer =
      (ngx_event_t){.handler = on_stream_look, .data = &handover.no_connection, .log = ngx_cycle->log, .cancelable = 1};
  on_stream_look(&handover.stream_timer);
}

// ---- the end of a worker ----

static bool is_idle_client(const ngx_connection_t *connection)
{
  return connection->fd != (ngx_socket_t)-1 && connection->idle && connection->listening != NULL;
}

void handover_end(ngx_cycle_t *cycle)
{
  const ngx_core_conf_t *core = (ngx_core_conf_t *)ngx_get_conf(cycle->conf_ctx, ngx_core_module);
  ngx_connection_t *connections = cycle->connections;
  log_info("gateway", "draining: a worker takes no more clients", LOG_INT("calls", worker_gateway()->in_flight),
           LOG_INT("timeoutMs", core->shutdown_timeout));
  for (ngx_uint_t i = 0; i < cycle->connection_n; i++) {
    if (is_http2_client(&connections[i]))
      say_goodbye(&connections[i]);
    if (!is_idle_client(&connections[i]))
      continue;
    // nginx closes what is marked idle.
    connections[i].idle = 0;
    handover.keepalive_handler = connections[i].read->handler;
    connections[i].read->handler = on_idle;
    ngx_add_timer(connections[i].read, IDLE_MS);
  }
  start_http2_timer();
  start_stream_timer(cycle);
  end_listeners();
}

// ---- answers that are under way when a worker shuts down ----

// An answer that has begun before the shutdown has not said that the connection ends with it: the client may send its
// next request at any moment.
static ngx_int_t filter_body(ngx_http_request_t *r, ngx_chain_t *in)
{
  if (ngx_exiting && r == r->main && r->keepalive)
    r->lingering_close = 1;
  return next_body_filter(r, in);
}

void handover_install_filter(void)
{
  next_body_filter = ngx_http_top_body_filter;
  ngx_http_top_body_filter = filter_body;
}
