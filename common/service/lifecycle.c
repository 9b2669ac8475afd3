// The life of a serving process: connect, migrate (if asked for), start, listen, register, serve; after a signal
// deregister, drain, end background tasks, stop. The start is a task, so that a signal can end its waits. The drain is
// another task, started by the loop, so that it inherits neither deadline nor cancellation.
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/backoff.h"
#include "common/base/check.h"
#include "common/observe/log.h"
#include "common/observe/memory_metrics.h"
#include "common/observe/metrics.h"
#include "common/runtime/task.h"
#include "common/security/service_identity.h"
#include "common/service/capacity_internal.h"
#include "common/service/common_migrations_internal.h"
#include "common/service/health_internal.h"
#include "common/service/host_port_internal.h"
#include "common/service/idempotency_internal.h"
#include "common/service/reflection_internal.h"
#include "common/service/resource_shape_internal.h"
#include "common/service/service_internal.h"

enum {
  DEREGISTER_TIMEOUT_MS = 2000,
  KEYS_WAIT_MS = 3000,
  // How long calls and background tasks may take to return once they are cancelled. One that takes longer is a bug of
  // ours, and the process must end all the same.
  GRACE_MS = 5000,
  FLUSH_MS = 500,
  // What a start needs and does not find is looked for again after such pauses. It is told at first and as often.
  START_PAUSE_FIRST_MS = 100,
  START_PAUSE_MAX_MS = 2000,
  START_WARN_EVERY_MS = 30000,
  // For a call that came just before the drain, and its reply.
  DRAIN_MARGIN_MS = 1000,
  // A stream in which nothing comes and nothing leaves for so long ends during a drain.
  STREAM_IDLE_MS = 1000,
  DRAIN_LOOK_MS = 5,
};

static void drain(void *arg);

static void begin_drain(void *arg)
{
  struct service *service = arg;
  static const struct log_context drain_context = {.method = SLICE_INIT("drain")};
  task_start(service->loop, drain, service, DEADLINE_NONE, &drain_context);
}

static void stop_serving(struct service *service, const char *reason, int exit_code)
{
  if (service->stop_reason != NULL)
    return;
  service->stop_reason = reason;
  service->exit_code = exit_code;
  service->phase = PHASE_DRAINING;
  // A start that is under way ends first; it sees stop_reason and begins the drain itself.
  if (service->main_task != NULL)
    task_cancel(service->main_task);
  else
    loop_post(service->loop, begin_drain, service);
}

// ---- start ----

struct migration_job {
  struct service *service;
  size_t applied;
  enum status status;
  struct error error;
};

static void run_migrations(void *arg)
{
  struct migration_job *job = arg;
  job->status = migrations_up(service_migrate_conninfo(job->service), job->service->definition->migrations,
                              &job->applied, &job->error);
}

static void check_migrations(void *arg)
{
  struct migration_job *job = arg;
  job->status = migrations_check(job->service->common.pg_conninfo, job->service->definition->migrations, &job->error);
}

// Applies the migrations that are missing, where the setting says so; else UNAVAILABLE where some are. In any case a
// release that is older than the schema starts only if the migrations that it does not know say that it can run with
// them.
static enum status migrate(struct service *service, struct error *error)
{
  if (service->definition->migrations == NULL)
    return STATUS_OK;
  service->phase = PHASE_MIGRATING;
  struct migration_job job = {.service = service};
  enum status status = task_offload(service->common.migrate_on_start ? run_migrations : check_migrations, &job);
  if (status != STATUS_OK)
    return error_set(error, status, "the migrations were not begun");
  if (job.status == STATUS_PERMISSION_DENIED && !service->common.migrate_on_start) {
    log_warn("service",
             "the role may not read which migrations were applied; this release starts without knowing whether it fits "
             "the schema",
             LOG_STRING("reason", job.error.message));
  } else if (job.status != STATUS_OK) {
    *error = job.error;
    error_prefix(error, "migrations");
    return job.status;
  }
  if (service->stop_reason == NULL)
    service->phase = PHASE_STARTING;
  if (job.applied > 0)
    log_info("service", "migrations applied", LOG_INT("count", job.applied));
  return STATUS_OK;
}

// Makes one attempt at what needs PostgreSQL.
static enum status try_to_start(struct service *service, struct error *error)
{
  enum status status = pg_wait_ready(service->pg);
  if (status != STATUS_OK)
    return error_set(error, status, "PostgreSQL did not become ready");
  status = migrate(service, error);
  if (status == STATUS_OK && service->definition->start != NULL)
    status = service->definition->start(service, &service->state, error);
  return status;
}

// Repeats the attempt while it fails for the lack of something that may come: a server, a role, the migrations. The
// admin port answers meanwhile, and a signal ends the wait.
static enum status start_with_postgres(struct service *service, struct error *error)
{
  uint32_t pause_ms = 0;
  uint64_t warn_us = 0;
  for (;;) {
    enum status status = try_to_start(service, error);
    if ((status != STATUS_UNAVAILABLE && status != STATUS_DEADLINE_EXCEEDED) || service->stop_reason != NULL)
      return status;
    bool is_due = clock_now_us() >= warn_us;
    if (is_due)
      warn_us = deadline_after_ms(clock_now_us(), START_WARN_EVERY_MS);
    LOG_AT(is_due ? LOG_WARN : LOG_DEBUG, "service",
           "the start waits for what it needs, and tries again; until then this instance is not ready",
           LOG_STRING("reason", error->message), LOG_INT("waitedMs", (clock_now_us() - service->began_us) / 1000));
    status = task_sleep_ms(backoff_next_ms(&pause_ms, START_PAUSE_FIRST_MS, START_PAUSE_MAX_MS));
    if (status != STATUS_OK)
      return error_set(error, status, "stopped during the start");
  }
}

// Binds what every process serves beside what the service itself has named.
static void bind_all(struct service *service)
{
  const struct service_definition *definition = service->definition;
  const struct rpc_binding common[] = {
      {.service = &grpc_health_v1_health, .handlers = &health_handlers},
      {.service = &grpc_reflection_v1_server_reflection, .handlers = &reflection_handlers},
      {.service = &process_cache_v1_instances, .handlers = &cache_instances_handlers},
  };
  size_t own = definition->binding_count;
  struct rpc_binding *bindings = arena_array(&service->arena, own + ARRAY_LEN(common), sizeof(*bindings));
  if (own > 0)
    memcpy(bindings, definition->bindings, own * sizeof(*bindings));
  memcpy(bindings + own, common, sizeof(common));
  service->bindings = bindings;
  service->binding_count = own + ARRAY_LEN(common);
}

static enum status listen_rpc(struct service *service, struct error *error)
{
  const struct common_settings *common = &service->common;
  bind_all(service);
  dispatch_init(&service->dispatch, service, service->bindings, service->binding_count);
  const struct rpc_server_options options = {
      .listen_url = common->rpc_listen,
      .max_calls_in_flight = (size_t)common->rpc_max_calls,
      .max_streams = (size_t)common->rpc_max_streams,
      .identity = service->identity,
      .tls = {.ca_file = common->rpc_tls_ca, .cert_key_file = common->rpc_tls_cert_key},
      .is_vital = dispatch_is_vital,
      .on_request = dispatch_request,
      .on_cancel = dispatch_cancel,
      .on_message = dispatch_message,
      .on_half_close = dispatch_half_close,
      .on_writable = dispatch_writable,
      .arg = &service->dispatch,
  };
  enum status status = rpc_server_create(&options, &service->server, error);
  if (status != STATUS_OK)
    return status;
  rpc_pump_server(&service->server_pump, service->loop, service->server);
  return STATUS_OK;
}

// The address at which others reach the admin port, once it listens.
static const char *admin_address(struct service *service)
{
  const struct common_settings *common = &service->common;
  struct host_port admin;
  CHECK(host_port_parse(slice_from_string(common->admin_listen), &admin));
  struct slice host = advertise_host(admin.host, common->rpc_advertise, host_primary_address(&service->arena));
  return host_port_format(host, admin_port(service->admin), &service->arena);
}

static enum status register_instance(struct service *service, struct error *error)
{
  struct arena *arena = &service->arena;
  const struct common_settings *common = &service->common;
  const char *url = NULL;
  const struct advertised advertised = {
      .listen_url = common->rpc_listen,
      .port = rpc_server_port(service->server),
      .advertise = common->rpc_advertise,
      .primary = host_primary_address(arena),
  };
  enum status status = advertise_url(&advertised, arena, &url, error);
  if (status != STATUS_OK)
    return status;
  if (service->identity != NULL)
    service_identity_set_address(service->identity, url);
  cache_instances_set_url(&service->cache_instances, url);
  const char *admin = admin_address(service);
  if (common->consul_url != NULL) {
    const struct discovery_registration registration = {
        .service = service->definition->name,
        .id = common->instance_id,
        .url = url,
        .health_url = arena_printf(arena, "http://%s/readyz", admin),
        .version = BULKHEAD_VERSION,
        .zone = common->zone,
    };
    discovery_register(service->discovery, &registration);
  }
  log_info("service", "ready", LOG_STRING("instance", common->instance_id), LOG_STRING("rpcUrl", url),
           LOG_STRING("admin", admin), LOG_INT("startMs", (clock_now_us() - service->began_us) / 1000));
  return STATUS_OK;
}

static bool users_can_be_known(const struct service *service)
{
  return !callers_need_keys(&service->callers) || callers_know_keys(&service->callers);
}

// Waits a moment for the keys of access tokens, because until it has them an instance refuses what another could serve.
// Without their issuer it takes calls all the same, and /readyz says what is missing.
static void wait_for_token_keys(struct service *service)
{
  if (service_wait_until(service, users_can_be_known, KEYS_WAIT_MS) || service->stop_reason != NULL)
    return;
  log_warn("service",
           "the keys of access tokens have not come; calls of users are refused until they do; see whether the service "
           "that issues tokens runs and is found",
           LOG_INT("waitedMs", KEYS_WAIT_MS));
}

static enum status start_service(struct service *service, struct error *error)
{
  const struct service_definition *definition = service->definition;
  enum status status = dispatch_check_handlers(definition->bindings, definition->binding_count, error);
  if (status == STATUS_OK)
    status = resource_check_shapes(definition->resources, error);
  if (status == STATUS_OK)
    status = jobs_check_kinds(definition, error);
  if (status != STATUS_OK)
    return status;
  if (definition->migrations == NULL && idempotency_is_used(definition))
    return error_set(error, STATUS_FAILED_PRECONDITION,
                     "the methods that take an Idempotency-Key need the table that migrations make; name a migration "
                     "set in the service definition");
  status = start_with_postgres(service, error);
  if (status != STATUS_OK)
    return status;
  service->has_started = true;
  idempotency_start_sweep(service);
  jobs_start(service);
  capacity_check(service->pg);
  wait_for_token_keys(service);
  // A signal may have come while the start did not wait for anything; no wait has noticed it then.
  status = task_check();
  if (status != STATUS_OK)
    return error_set(error, status, "stopped during the start");
  status = listen_rpc(service, error);
  return status == STATUS_OK ? register_instance(service, error) : status;
}

static void start(void *arg)
{
  struct service *service = arg;
  struct error error = {.status = STATUS_OK};
  enum status status = start_service(service, &error);
  service->main_task = NULL;
  if (service->stop_reason != NULL) {
    loop_post(service->loop, begin_drain, service);
  } else if (status != STATUS_OK) {
    log_error("service", "the start failed; the process exits", LOG_STATUS(status),
              LOG_STRING("reason", error.message));
    stop_serving(service, "the start failed", 1);
  } else {
    service->phase = PHASE_SERVING;
    metric_set(metrics_single(METRIC_START_TIME), clock_wall_us() / 1000000);
  }
}

// ---- drain ----

static bool no_call_is_left(const struct service *service)
{
  return rpc_server_calls_in_flight(service->server) == 0;
}

static bool calls_are_done(const struct service *service)
{
  return no_call_is_left(service) && rpc_server_idle(service->server);
}

static void give_up(const char *what)
{
  log_error("service", "something did not end in time; the process exits without waiting for it any longer",
            LOG_STRING("what", what));
  log_flush(FLUSH_MS);
  _exit(1);
}

uint64_t service_drain_timeout_ms(const struct service *service)
{
  if (service->common.drain_timeout_ms > 0)
    return (uint64_t)service->common.drain_timeout_ms;
  const struct service_definition *definition = service->definition;
  return dispatch_longest_ms(definition->bindings, definition->binding_count) + DRAIN_MARGIN_MS;
}

// Waits until all calls have ended and their replies have left. False when the drain timeout comes first.
static bool await_calls(struct service *service, uint64_t end_us)
{
  while (!calls_are_done(service)) {
    uint64_t now_us = clock_now_us();
    if (now_us >= end_us || task_sleep_ms(DRAIN_LOOK_MS) != STATUS_OK)
      return false;
    dispatch_end_idle_streams(&service->dispatch, now_us, STREAM_IDLE_MS * 1000);
  }
  return true;
}

static void drain_calls(struct service *service, uint64_t end_us)
{
  if (service->server == NULL)
    return;
  rpc_server_drain(service->server);
  if (await_calls(service, end_us))
    return;
  if (no_call_is_left(service)) {
    log_warn("service", "a client did not take its last replies within the drain timeout; they are lost");
    return;
  }
  log_warn("service", "calls are still at work after the drain timeout; they are cancelled now",
           LOG_INT("calls", rpc_server_calls_in_flight(service->server)));
  dispatch_cancel_all(&service->dispatch);
  if (!service_wait_until(service, no_call_is_left, GRACE_MS))
    give_up("calls");
  // The replies of cancelled calls should still be sent, but a client that is gone must not delay the end.
  if (!service_wait_until(service, calls_are_done, FLUSH_MS))
    log_warn("service", "a client did not take the replies of its cancelled calls; they are lost");
}

// Runs on a thread of the pool, because it blocks until Consul answers and the calls at work must go on meanwhile.
static void deregister(void *arg)
{
  struct service *service = arg;
  discovery_deregister(service->discovery, DEREGISTER_TIMEOUT_MS);
}

static void drain(void *arg)
{
  struct service *service = arg;
  jobs_close(service);
  log_info("service", "draining", LOG_STRING("reason", service->stop_reason),
           LOG_INT("calls", service->server == NULL ? 0 : rpc_server_calls_in_flight(service->server)),
           LOG_INT("timeoutMs", service_drain_timeout_ms(service)));
  if (task_offload(deregister, service) != STATUS_OK)
    log_warn("service", "could not deregister; the failing health check will remove this instance");
  // Before the address is free for another process, which takes this one for dead.
  cache_instances_retire(&service->cache_instances);
  uint64_t end_us = deadline_after_ms(clock_now_us(), service_drain_timeout_ms(service));
  drain_calls(service, end_us);
  if (!service_wait_until(service, jobs_are_idle, deadline_left_ms(end_us, clock_now_us())))
    log_info("service", "jobs are still at work after the drain timeout; they are cancelled and given back");
  if (!background_end_all(service, GRACE_MS))
    give_up("background tasks");
  if (service->has_started && service->definition->stop != NULL)
    service->definition->stop(service, service->state);
  log_info("service", "stopped", LOG_STRING("reason", service->stop_reason));
  loop_stop(service->loop);
}

// ---- the process ----

static void on_signal(void *arg, int number)
{
  struct service *service = arg;
  if (service->stop_reason == NULL) {
    stop_serving(service, number == SIGTERM ? "SIGTERM" : "SIGINT", 0);
    return;
  }
  log_warn("service", "a second signal came; the process exits at once, calls in flight are lost");
  log_flush(FLUSH_MS);
  _exit(1);
}

static enum check_result check_of(bool configured, bool up)
{
  if (!configured)
    return CHECK_OFF;
  return up ? CHECK_UP : CHECK_DOWN;
}

struct readiness service_readiness(const struct service *service)
{
  const char *redis_url = service->common.redis_url;
  return (struct readiness){
      .phase = service->phase,
      .postgres = check_of(true, pg_ready(service->pg)),
      .redis = check_of(redis_url != NULL && redis_url[0] != '\0', redis_up(service->redis)),
      .token_keys = check_of(callers_need_keys(&service->callers), callers_know_keys(&service->callers)),
      .consul = check_of(service->common.consul_url != NULL, discovery_consul_up(service->discovery)),
  };
}

static bool render_ready(void *arg, struct strbuf *out)
{
  const struct readiness readiness = service_readiness(arg);
  return readiness_render(&readiness, out);
}

static enum status open_admin(struct service *service, struct error *error)
{
  const struct admin_options options = {
      .listen = service->common.admin_listen,
      .render_ready = render_ready,
      .arg = service,
  };
  enum status status = admin_create(service->loop, &options, &service->admin, error);
  if (status == STATUS_OK)
    log_info("service", "starting", LOG_STRING("instance", service->common.instance_id),
             LOG_STRING("version", BULKHEAD_VERSION), LOG_STRING("admin", admin_address(service)));
  return status;
}

static void look_at_memory(void *arg)
{
  struct service *service = arg;
  loop_trim_stacks(service->loop);
  (void)memory_trim_look(&service->trim);
  memory_metrics_set(&service->trim.use);
  loop_timer_start(service->trim_timer, MEMORY_TRIM_EVERY_MS);
}

int service_serve(struct service *service)
{
  struct error error;
  service->began_us = clock_now_us();
  service->phase = PHASE_STARTING;
  enum status status = service_open(service, on_signal, &error);
  if (status == STATUS_OK)
    status = open_admin(service, &error);
  if (status != STATUS_OK) {
    fprintf(stderr, "%s: %s\n", service->definition->name, error.message);
    return status == STATUS_INVALID_ARGUMENT ? 2 : 1;
  }
  const struct slice labels[] = {slice_from_string(service->definition->name), SLICE(BULKHEAD_VERSION)};
  metric_set(metrics_series(METRIC_BUILD_INFO, labels, ARRAY_LEN(labels)), 1);
  service->trim_timer = loop_timer_create(service->loop, look_at_memory, service);
  look_at_memory(service);
  static const struct log_context start_context = {.method = SLICE_INIT("start")};
  service->main_task = task_start(service->loop, start, service, DEADLINE_NONE, &start_context);
  loop_run(service->loop);
  return service->exit_code;
}
