// One worker's gateway in nginx's event loop: the fds of RPC and discovery as connections with level-triggered read
// events, one timer for the next deadline, and one posted event that sends all frames of a turn of the loop together.
#include "gateway/nginx/module.h"

#include <ngx_event.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/thread.h"
#include "common/observe/crash.h"
#include "common/observe/log.h"
#include "common/observe/memory_metrics.h"

static struct worker {
  struct upstreams *upstreams;
  struct gateway *gateway;
  ngx_connection_t *rpc;
  ngx_connection_t *expensive_rpc;
  ngx_connection_t *discovery;
  ngx_event_t timer;
  uint64_t timer_us;  // when the timer fires; DEADLINE_NONE while it is not set
  ngx_event_t turn_end;
  ngx_event_t trim_timer;
  struct memory_trim trim;
  ngx_connection_t no_connection;  // nginx's debug log reads an fd behind every event
} worker = {.timer_us = DEADLINE_NONE};

struct gateway *worker_gateway(void)
{
  return worker.gateway;
}

const struct upstreams *worker_upstreams(void)
{
  return worker.upstreams;
}

bool worker_can_serve(void)
{
  return worker.gateway != NULL && keys_known(&worker.gateway->keys) && upstreams_are_ready(worker.upstreams);
}

// Tells clients of grpc.health.v1 whether calls of a service reach it. A worker that shuts down is for none.
static bool is_ready(void *arg, const char *service)
{
  (void)arg;
  if (ngx_exiting || !worker_can_serve())
    return false;
  return service == NULL || upstreams_is_ready(worker.upstreams, service);
}

void worker_touch(void)
{
  ngx_post_event(&worker.turn_end, &ngx_posted_events);
}

static void set_timer(void)
{
  // A worker that shuts down waits for timers that are not cancelable. The gateway's timer is one while requests wait
  // for a service.
  worker.timer.cancelable = worker.gateway->in_flight == 0;
  uint64_t next_us = deadline_min(upstreams_next_timeout_us(worker.upstreams), gateway_next_timeout_us(worker.gateway));
  // Firing early is harmless and cheaper than moving the timer with every call.
  if (next_us >= worker.timer_us)
    return;
  if (worker.timer.timer_set)
    ngx_del_timer(&worker.timer);
  worker.timer_us = next_us;
  // One millisecond is added, because nginx's clock stands still within a turn and is cut to milliseconds.
  ngx_add_timer(&worker.timer, (ngx_msec_t)deadline_left_ms(next_us, clock_now_us()) + 1);
}

void worker_flush(void)
{
  if (worker.upstreams != NULL)
    upstreams_flush(worker.upstreams);
}

static void on_turn_end(ngx_event_t *event)
{
  (void)event;
  turns_end_turn();
  if (worker.upstreams == NULL)
    return;
  upstreams_flush(worker.upstreams);
  handover_serve();
  set_timer();
}

static void on_timer(ngx_event_t *event)
{
  (void)event;
  worker.timer_us = DEADLINE_NONE;
  uint64_t now_us = clock_now_us();
  gateway_process(worker.gateway, now_us);
  upstreams_process_calls(worker.upstreams, UPSTREAMS_USUAL, now_us);
  upstreams_process_calls(worker.upstreams, UPSTREAMS_EXPENSIVE, now_us);
  worker_touch();
}

static void on_trim_timer(ngx_event_t *event)
{
  if (worker.gateway != NULL)
    exchange_trim_spares(worker.gateway);
  (void)memory_trim_look(&worker.trim);
  memory_metrics_set(&worker.trim.use);
  ngx_add_timer(event, MEMORY_TRIM_EVERY_MS);
}

static void on_rpc(ngx_event_t *event)
{
  ngx_connection_t *connection = event->data;
  if (connection->close) {
    // A graceful shutdown has begun: nginx closes connections that are marked idle, as this one is for this purpose.
    connection->close = 0;
    handover_end((ngx_cycle_t *)(uintptr_t)ngx_cycle);
    upstreams_deregister(worker.upstreams);
    return;
  }
  upstreams_process_calls(worker.upstreams, UPSTREAMS_USUAL, clock_now_us());
  worker_touch();
}

static void on_expensive_rpc(ngx_event_t *event)
{
  (void)event;
  upstreams_process_calls(worker.upstreams, UPSTREAMS_EXPENSIVE, clock_now_us());
  worker_touch();
}

static void on_discovery(ngx_event_t *event)
{
  (void)event;
  upstreams_process_lists(worker.upstreams);
  worker_touch();
}

static ngx_connection_t *watch_fd(int fd, ngx_event_handler_pt handler, ngx_log_t *log)
{
  ngx_connection_t *connection = ngx_get_connection(fd, log);
  if (connection == NULL)
    return NULL;
  connection->read->handler = handler;
  connection->read->log = log;
  connection->write->log = log;
  if (ngx_add_event(connection->read, NGX_READ_EVENT, NGX_LEVEL_EVENT) == NGX_OK)
    return connection;
  ngx_free_connection(connection);
  return NULL;
}

// The fd itself belongs to `upstreams`.
static void stop_watching(ngx_connection_t **connection)
{
  if (*connection == NULL)
    return;
  ngx_del_event((*connection)->read, NGX_READ_EVENT, 0);
  ngx_free_connection(*connection);
  (*connection)->fd = (ngx_socket_t)-1;
  *connection = NULL;
}

static const char *null_if_empty(ngx_str_t text)
{
  return text.len == 0 ? NULL : (const char *)text.data;
}

static void start_counting(const struct module_conf *module)
{
  ngx_slab_pool_t *pool = (ngx_slab_pool_t *)(void *)module->metrics_zone->shm.addr;
  if (ngx_worker < module->metrics_slots)
    metrics_attach(pool->data, module->metrics_slots, ngx_worker);
  else
    log_warn("metrics", "worker_processes must stand before http {} for all workers to be counted",
             LOG_INT("worker", ngx_worker));
  // The metrics page adds up all workers; these two values are not sums, so one worker alone sets them.
  if (ngx_worker != 0)
    return;
  metric_set(metrics_series(METRIC_BUILD_INFO, (struct slice[]){SLICE("gateway"), SLICE(BULKHEAD_VERSION)}, 2), 1);
  metric_set(metrics_single(METRIC_START_TIME), clock_wall_us() / 1000000);
}

static enum status start_upstreams(const struct module_conf *module, struct error *error)
{
  struct upstreams_options options = {
      .api = module->api,
      .consul_url = null_if_empty(module->consul_url),
      .consul_token = null_if_empty(module->consul_token),
      .static_list = null_if_empty(module->static_list),
      .state_dir = null_if_empty(module->state_dir),
      .zone = null_if_empty(module->zone),
      .service_key = null_if_empty(module->service_key),
      .service_keys = null_if_empty(module->service_keys),
      .tls = {.ca_file = null_if_empty(module->tls_ca_file), .cert_key_file = null_if_empty(module->tls_cert_key_file)},
  };
  enum status status = upstreams_create(&options, &worker.upstreams, error);
  // Only the first worker registers the gateway, for all of them.
  if (status == STATUS_OK && ngx_worker == 0 && module->advertise_address.len > 0 && module->consul_url.len > 0)
    status = upstreams_register(worker.upstreams, (const char *)module->advertise_address.data,
                                (const char *)module->advertise_health_url.data, error);
  return status;
}

// Ends the worker with its master. Workers of a master that was killed would go on, hold the port against the next
// one, and stay in Consul.
static void end_with_master(void)
{
  if (ngx_process != NGX_PROCESS_WORKER)
    return;
  (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
  // The signal does not come for a master that has died before.
  if (getppid() != ngx_parent)
    ngx_terminate = 1;
}

ngx_int_t worker_start(ngx_cycle_t *cycle)
{
  const struct module_conf *module = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_bulkhead_module);
  bool serves = ngx_process == NGX_PROCESS_WORKER || ngx_process == NGX_PROCESS_SINGLE;
  if (module == NULL || module->api == NULL || !serves)
    return NGX_OK;
  enum log_level level = LOG_INFO;
  if (module->log_level.len > 0 && !log_level_parse(to_slice(module->log_level), &level))
    level = LOG_INFO;
  log_init("gateway", level);
  end_with_master();
  crash_report_install();
  memory_keep_freed();
  // Refusals and small replies are not to wait for a whole turn of PostgreSQL's or a service's.
  thread_ask_for_short_turns();
  start_counting(module);
  certificate_tell_expiry(cycle);
  connections_start(cycle, module);
  turns_start(cycle->log);
  handover_begin(cycle);
  struct error error;
  if (start_upstreams(module, &error) != STATUS_OK) {
    log_error("gateway", "the worker cannot start", LOG_STRING("reason", error.message));
    return NGX_ERROR;
  }
  struct gateway_options options = {.api = module->api,
                                    .follows_endings = true,
                                    .is_ready = is_ready,
                                    .issuer = (const char *)module->issuer.data,
                                    .audience = (const char *)module->audience.data,
                                    .backend = upstreams_backend(worker.upstreams, UPSTREAMS_USUAL),
                                    .expensive_backend = upstreams_backend(worker.upstreams, UPSTREAMS_EXPENSIVE)};
  memcpy(options.limits, module->limits, sizeof(options.limits));
  worker.gateway = gateway_create(&options);
  worker.no_connection.fd = (ngx_socket_t)-1;
  worker.timer = (ngx_event_t){.handler = on_timer, .data = &worker.no_connection, .log = cycle->log};
  worker.turn_end = (ngx_event_t){.handler = on_turn_end, .data = &worker.no_connection, .log = cycle->log};
  // A worker that shuts down does not wait for it.
  worker.trim_timer =
      (ngx_event_t){.handler = on_trim_timer, .data = &worker.no_connection, .log = cycle->log, .cancelable = 1};
  on_trim_timer(&worker.trim_timer);
  worker.rpc = watch_fd(upstreams_rpc_fd(worker.upstreams, UPSTREAMS_USUAL), on_rpc, cycle->log);
  worker.expensive_rpc =
      watch_fd(upstreams_rpc_fd(worker.upstreams, UPSTREAMS_EXPENSIVE), on_expensive_rpc, cycle->log);
  worker.discovery = watch_fd(upstreams_discovery_fd(worker.upstreams), on_discovery, cycle->log);
  if (worker.rpc == NULL || worker.expensive_rpc == NULL || worker.discovery == NULL)
    return NGX_ERROR;
  worker.rpc->idle = 1;
  gateway_process(worker.gateway, clock_now_us());
  worker_touch();
  return NGX_OK;
}

void worker_stop(ngx_cycle_t *cycle)
{
  (void)cycle;
  connections_stop();
  if (worker.upstreams == NULL)
    return;
  stop_watching(&worker.rpc);
  stop_watching(&worker.expensive_rpc);
  stop_watching(&worker.discovery);
  if (worker.timer.timer_set)
    ngx_del_timer(&worker.timer);
  if (worker.trim_timer.timer_set)
    ngx_del_timer(&worker.trim_timer);
  if (worker.gateway != NULL)
    gateway_stop(worker.gateway);
  upstreams_free(&worker.upstreams);
  // The gateway is not freed: requests that a fast shutdown cut off still point to it, and the process ends right
  // after.
}
