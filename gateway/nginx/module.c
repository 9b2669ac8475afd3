// The module as nginx sees it: its directives, and what is loaded before the workers are forked (contracts, metric
// series, shared memory), so that all of them share it.
#include "gateway/nginx/module.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/observe/log.h"
#include "common/observe/memory_metrics.h"

// The name of the shared memory in which the workers count.
#define METRICS_ZONE "bulkhead_metrics"
#define CONSUL_TOKEN_MAX_BYTES 512
// For a request that came just before the shutdown, and its answer.
#define SHUTDOWN_MARGIN_MS 5000
#define SERVICE_KEY_MAX_BYTES 4096

static void *create_main_conf(ngx_conf_t *cf)
{
  struct module_conf *module = ngx_pcalloc(cf->pool, sizeof(*module));
  if (module != NULL)
    module->body_budget = NGX_CONF_UNSET_SIZE;
  if (module != NULL)
    module->stream_drain = NGX_CONF_UNSET_MSEC;
  return module;
}

static void *create_server_conf(ngx_conf_t *cf)
{
  struct server_conf *server = ngx_pcalloc(cf->pool, sizeof(*server));
  if (server != NULL)
    server->connections_per_address = NGX_CONF_UNSET;
  return server;
}

// Reads a file of at most `max_bytes` into `text`, which has room for one byte more. Returns its size, or -1 after it
// has logged why.
static ssize_t read_secret(ngx_conf_t *cf, const ngx_str_t *path, char *text, size_t max_bytes)
{
  int fd = open((const char *)path->data, O_RDONLY | O_CLOEXEC);
  ssize_t got = fd < 0 ? -1 : read(fd, text, max_bytes + 1);
  int saved = errno;
  if (fd >= 0)
    close(fd);
  if (got < 0)
    ngx_conf_log_error(NGX_LOG_EMERG, cf, saved, "cannot read \"%V\"", path);
  return got;
}

static bool keep_secret(ngx_conf_t *cf, struct slice text, ngx_str_t *out)
{
  out->data = ngx_pnalloc(cf->pool, text.size + 1);
  if (out->data == NULL)
    return false;
  memcpy(out->data, text.data, text.size);
  out->data[text.size] = '\0';
  out->len = text.size;
  return true;
}

// Reads the token from the first line of a file, so that it stands in no configuration.
static char *set_consul_token(ngx_conf_t *cf, ngx_command_t *command, void *conf)
{
  (void)command;
  struct module_conf *module = conf;
  const ngx_str_t *path = &((ngx_str_t *)cf->args->elts)[1];
  if (path->len == 0)
    return NGX_CONF_OK;
  char text[CONSUL_TOKEN_MAX_BYTES + 1];
  ssize_t got = read_secret(cf, path, text, CONSUL_TOKEN_MAX_BYTES);
  if (got < 0)
    return NGX_CONF_ERROR;
  size_t size = slice_find(slice_make(text, (size_t)got), '\n', 0);
  if (size == 0 || size > CONSUL_TOKEN_MAX_BYTES) {
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "the first line of \"%V\" must hold a Consul token of 1 to %d bytes", path,
                       CONSUL_TOKEN_MAX_BYTES);
    return NGX_CONF_ERROR;
  }
  return keep_secret(cf, slice_make(text, size), &module->consul_token) ? NGX_CONF_OK : NGX_CONF_ERROR;
}

// Reads the gateway's key as the master, because the workers' user may not.
static char *set_service_key(ngx_conf_t *cf, ngx_command_t *command, void *conf)
{
  (void)command;
  struct module_conf *module = conf;
  const ngx_str_t *path = &((ngx_str_t *)cf->args->elts)[1];
  if (path->len == 0)
    return NGX_CONF_OK;
  char text[SERVICE_KEY_MAX_BYTES + 1];
  ssize_t got = read_secret(cf, path, text, SERVICE_KEY_MAX_BYTES);
  if (got < 0)
    return NGX_CONF_ERROR;
  if (got == 0 || got > SERVICE_KEY_MAX_BYTES) {
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "\"%V\" must hold a private key of at most %d bytes; deploy/keys makes one", path,
                       SERVICE_KEY_MAX_BYTES);
    return NGX_CONF_ERROR;
  }
  return keep_secret(cf, slice_make(text, (size_t)got), &module->service_key) ? NGX_CONF_OK : NGX_CONF_ERROR;
}

// Reads the rate limit of a class: bulkhead_rate read "100/s burst 200".
static char *set_rate(ngx_conf_t *cf, ngx_command_t *command, void *conf)
{
  (void)command;
  struct module_conf *module = conf;
  ngx_str_t *args = cf->args->elts;
  enum limit_class kind = LIMIT_READ;
  while (kind < LIMIT_CLASS_COUNT && !slice_equal_string(to_slice(args[1]), limit_class_name(kind)))
    kind++;
  if (kind == LIMIT_CLASS_COUNT) {
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "\"%V\" is no class of rate limits; there are: read, write, expensive, credential, key",
                       &args[1]);
    return NGX_CONF_ERROR;
  }
  if (gcra_parse(to_slice(args[2]), &module->limits[kind]))
    return NGX_CONF_OK;
  ngx_conf_log_error(
      NGX_LOG_EMERG, cf, 0,
      "the rate limit \"%V\" of class %V is not accepted; write a rate and perhaps a burst, such as "
      "\"100/s burst 200\" or \"30/m\", of s, m, h or d, whose burst comes back within 366 days, or \"off\"",
      &args[2], &args[1]);
  return NGX_CONF_ERROR;
}

// Sets two texts: the one at the command's offset and the one after it.
static char *set_pair(ngx_conf_t *cf, ngx_command_t *command, void *conf)
{
  ngx_str_t *target = (ngx_str_t *)(void *)((char *)conf + command->offset);
  const ngx_str_t *args = cf->args->elts;
  target[0] = args[1];
  target[1] = args[2];
  return NGX_CONF_OK;
}

static char *set_handler(ngx_conf_t *cf, ngx_command_t *command, void *conf)
{
  (void)conf;
  static const struct {
    const char *directive;
    ngx_http_handler_pt handler;
  } handlers[] = {
      {"bulkhead", request_handle},       {"bulkhead_problem", page_problem}, {"bulkhead_openapi", page_openapi},
      {"bulkhead_metrics", page_metrics}, {"bulkhead_ready", page_ready},
  };
  struct module_conf *module = ngx_http_conf_get_module_main_conf(cf, ngx_http_bulkhead_module);
  ngx_http_core_loc_conf_t *location = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
  for (size_t i = 0; i < ARRAY_LEN(handlers); i++)
    if (slice_equal_string(to_slice(command->name), handlers[i].directive))
      location->handler = handlers[i].handler;
  module->has_handlers = true;
  return NGX_CONF_OK;
}

#define TEXT_DIRECTIVE(directive, member)                                                                              \
  {                                                                                                                    \
    .name = ngx_string(directive), .type = NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1, .set = ngx_conf_set_str_slot,          \
    .conf = NGX_HTTP_MAIN_CONF_OFFSET, .offset = offsetof(struct module_conf, member)                                  \
  }
#define PAIR_DIRECTIVE(directive, member)                                                                              \
  {                                                                                                                    \
    .name = ngx_string(directive), .type = NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE2, .set = set_pair,                       \
    .conf = NGX_HTTP_MAIN_CONF_OFFSET, .offset = offsetof(struct module_conf, member)                                  \
  }
#define HANDLER_DIRECTIVE(directive)                                                                                   \
  {                                                                                                                    \
    .name = ngx_string(directive), .type = NGX_HTTP_LOC_CONF | NGX_CONF_NOARGS, .set = set_handler,                    \
    .conf = NGX_HTTP_LOC_CONF_OFFSET                                                                                   \
  }

static ngx_command_t directives[] = {
    // The file of the contracts: a descriptor set with imports and source info.
    TEXT_DIRECTIVE("bulkhead_protoset", protoset),
    // The places of the services: Consul's URL, or a list such as "item=tcp://…;user=tcp://…". At least one of
    // both is required.
    TEXT_DIRECTIVE("bulkhead_consul", consul_url),
    TEXT_DIRECTIVE("bulkhead_static", static_list),
    // A folder where the last known places are kept for a start without Consul; "" for none.
    TEXT_DIRECTIVE("bulkhead_state_dir", state_dir),
    // Where this gateway runs: it prefers instances that have registered the same zone; "" for none.
    TEXT_DIRECTIVE("bulkhead_zone", zone),
    {.name = ngx_string("bulkhead_consul_token_file"),
     .type = NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1,
     .set = set_consul_token,
     .conf = NGX_HTTP_MAIN_CONF_OFFSET},
    // The values that iss and aud of a token must have.
    TEXT_DIRECTIVE("bulkhead_issuer", issuer),
    TEXT_DIRECTIVE("bulkhead_audience", audience),
    // The registration of this gateway in Consul: host:port, and the URL of its readiness check.
    PAIR_DIRECTIVE("bulkhead_advertise", advertise_address),
    // Without TLS to the services: the files of the gateway's private key and of the public keys of all services.
    {.name = ngx_string("bulkhead_service_key"),
     .type = NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1,
     .set = set_service_key,
     .conf = NGX_HTTP_MAIN_CONF_OFFSET},
    TEXT_DIRECTIVE("bulkhead_service_keys", service_keys),
    // Mutual TLS to the services: the authority's certificate, our certificate and key in one file.
    PAIR_DIRECTIVE("bulkhead_rpc_tls", tls_ca_file),
    TEXT_DIRECTIVE("bulkhead_log_level", log_level),
    // The rate limit of a class of calls, and its burst: "100/s burst 200"; "" or "off" for none.
    {.name = ngx_string("bulkhead_rate"),
     .type = NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE2,
     .set = set_rate,
     .conf = NGX_HTTP_MAIN_CONF_OFFSET},
    // How many bytes the bodies that are read or worked on may have together, in all workers. Without it, any.
    {.name = ngx_string("bulkhead_body_bytes"),
     .type = NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1,
     .set = ngx_conf_set_size_slot,
     .conf = NGX_HTTP_MAIN_CONF_OFFSET,
     .offset = offsetof(struct module_conf, body_budget)},
    // How long streams go on in the workers that a reload has replaced; without it, 0.
    {.name = ngx_string("bulkhead_stream_drain"),
     .type = NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1,
     .set = ngx_conf_set_msec_slot,
     .conf = NGX_HTTP_MAIN_CONF_OFFSET,
     .offset = offsetof(struct module_conf, stream_drain)},
    // The origins whose scripts may read the replies of a server, separated by commas; "*" for any, "" for none.
    {.name = ngx_string("bulkhead_cors_origins"),
     .type = NGX_HTTP_SRV_CONF | NGX_CONF_TAKE1,
     .set = cors_set_origins,
     .conf = NGX_HTTP_SRV_CONF_OFFSET},
    // How many connections a client address may have; none are counted in a server without the directive.
    {.name = ngx_string("bulkhead_connections_per_address"),
     .type = NGX_HTTP_SRV_CONF | NGX_CONF_TAKE1,
     .set = ngx_conf_set_num_slot,
     .conf = NGX_HTTP_SRV_CONF_OFFSET,
     .offset = offsetof(struct server_conf, connections_per_address)},
    // The addresses and networks whose connections carry the requests of many clients.
    {.name = ngx_string("bulkhead_trusted_proxies"),
     .type = NGX_HTTP_SRV_CONF | NGX_CONF_1MORE,
     .set = connections_set_proxies,
     .conf = NGX_HTTP_SRV_CONF_OFFSET},
    // Directives that make a location answer with the gateway or one of its pages.
    HANDLER_DIRECTIVE("bulkhead"),
    HANDLER_DIRECTIVE("bulkhead_problem"),
    HANDLER_DIRECTIVE("bulkhead_openapi"),
    HANDLER_DIRECTIVE("bulkhead_metrics"),
    HANDLER_DIRECTIVE("bulkhead_ready"),
    // Names the location whose settings of gzip hold while requests are refused because there are too many.
    {.name = ngx_string("bulkhead_fast_gzip"),
     .type = NGX_HTTP_LOC_CONF | NGX_CONF_NOARGS,
     .set = compression_set_fast,
     .conf = NGX_HTTP_LOC_CONF_OFFSET},
    ngx_null_command,
};

static bool check_texts(ngx_conf_t *cf, const struct module_conf *module)
{
  const struct {
    const char *directive;
    const ngx_str_t *text;
  } required[] = {
      {"bulkhead_protoset", &module->protoset},
      {"bulkhead_issuer", &module->issuer},
      {"bulkhead_audience", &module->audience},
  };
  for (size_t i = 0; i < ARRAY_LEN(required); i++)
    if (required[i].text->len == 0) {
      ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%s is required in http {}", required[i].directive);
      return false;
    }
  if (module->consul_url.len == 0 && module->static_list.len == 0) {
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "bulkhead_consul or bulkhead_static must say where the services are");
    return false;
  }
  if (module->tls_ca_file.len == 0 && (module->service_key.len == 0 || module->service_keys.len == 0)) {
    ngx_conf_log_error(
        NGX_LOG_EMERG, cf, 0,
        "nothing proves the gateway's name to the services; set bulkhead_rpc_tls, or bulkhead_service_key "
        "and bulkhead_service_keys: `deploy/keys FOLDER` makes FOLDER/service_gateway.pem and "
        "FOLDER/service_keys.json");
    return false;
  }
  enum log_level level;
  if (module->log_level.len > 0 && !log_level_parse(to_slice(module->log_level), &level)) {
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "bulkhead_log_level must be debug, info, warn or error");
    return false;
  }
  return true;
}

// Reads the keys once as a worker will. Each worker would end at its start with keys that cannot be used, and leave a
// master that holds the ports; here, a start ends at once and a reload changes nothing.
static bool check_keys(ngx_conf_t *cf, const struct module_conf *module)
{
  struct error error;
  if (module->service_key.len == 0 ||
      upstreams_check_keys(&(struct upstreams_options){.service_key = (const char *)module->service_key.data,
                                                       .service_keys = (const char *)module->service_keys.data},
                           &error) == STATUS_OK)
    return true;
  ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%s", error.message);
  return false;
}

static ngx_int_t init_metrics_zone(ngx_shm_zone_t *zone, void *old)
{
  (void)old;
  const struct module_conf *module = zone->data;
  ngx_slab_pool_t *pool = (ngx_slab_pool_t *)(void *)zone->shm.addr;
  // `pool->data` leads every process to the slots.
  pool->data = ngx_slab_calloc(pool, module->metrics_slots * metrics_slot_size());
  return pool->data == NULL ? NGX_ERROR : NGX_OK;
}

static ngx_uint_t count_workers(const ngx_conf_t *cf)
{
  // The number of workers is known only if worker_processes stands before http {}. Without it, nginx's default is used.
  const ngx_core_conf_t *core = (ngx_core_conf_t *)ngx_get_conf(cf->cycle->conf_ctx, ngx_core_module);
  return core->worker_processes == NGX_CONF_UNSET ? 1 : (ngx_uint_t)core->worker_processes;
}

ngx_shm_zone_t *module_add_zone(ngx_conf_t *cf, ngx_str_t name, size_t bytes, ngx_shm_zone_init_pt init)
{
  // The slab allocator's own tables take less than a 64th, and some pages. The memory comes zeroed from the kernel, and
  // only what is used of it takes room.
  size_t size = ngx_align(bytes + bytes / 64 + 16 * ngx_pagesize, ngx_pagesize);
  ngx_shm_zone_t *zone = ngx_shared_memory_add(cf, &name, size, &ngx_http_bulkhead_module);
  if (zone == NULL)
    return NULL;
  zone->init = init;
  zone->data = ngx_http_conf_get_module_main_conf(cf, ngx_http_bulkhead_module);
  return zone;
}

// Adds shared memory with a slot for each worker. A reload counts from zero in new memory, because the old workers
// still count in theirs.
static bool add_metrics_zone(ngx_conf_t *cf, struct module_conf *module)
{
  ngx_str_t name = ngx_string(METRICS_ZONE);
  size_t bytes = module->metrics_slots * metrics_slot_size();
  module->metrics_zone = module_add_zone(cf, name, bytes, init_metrics_zone);
  if (module->metrics_zone == NULL)
    return false;
  module->metrics_zone->noreuse = 1;
  return true;
}

static void free_api(void *arg)
{
  struct module_conf *module = arg;
  api_free(&module->api);
}

// Lets workers that shut down end every call, and the streams, so that worker_shutdown_timeout need not repeat what the
// contracts say.
static void bound_shutdown(ngx_conf_t *cf, struct module_conf *module)
{
  ngx_core_conf_t *core = (ngx_core_conf_t *)ngx_get_conf(cf->cycle->conf_ctx, ngx_core_module);
  ngx_conf_init_msec_value(module->stream_drain, 0);
  ngx_msec_t longest_ms = api_longest_call_ms(module->api);
  if (module->stream_drain > longest_ms)
    longest_ms = module->stream_drain;
  if (core->shutdown_timeout == NGX_CONF_UNSET_MSEC)
    core->shutdown_timeout = longest_ms + SHUTDOWN_MARGIN_MS;
}

static ngx_int_t load_contracts(ngx_conf_t *cf)
{
  struct module_conf *module = ngx_http_conf_get_module_main_conf(cf, ngx_http_bulkhead_module);
  if (!module->has_handlers)
    return NGX_OK;
  if (!check_texts(cf, module) || !check_keys(cf, module))
    return NGX_ERROR;
  struct error error;
  if (api_load_file((const char *)module->protoset.data, &module->api, &error) != STATUS_OK) {
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%s", error.message);
    return NGX_ERROR;
  }
  ngx_pool_cleanup_t *cleanup = ngx_pool_cleanup_add(cf->pool, 0);
  if (cleanup == NULL)
    return NGX_ERROR;
  cleanup->handler = free_api;
  cleanup->data = module;
  bound_shutdown(cf, module);
  metrics_series(METRIC_BUILD_INFO, (struct slice[]){SLICE("gateway"), SLICE(BULKHEAD_VERSION)}, 2);
  metrics_single(METRIC_START_TIME);
  memory_metrics_make();
  cors_install_filter();
  body_install_filter();
  pace_install_filter();
  handover_install_filter();
  module->metrics_slots = count_workers(cf);
  if (!connections_add_zone(cf, module) || !http2_count_resets(cf))
    return NGX_ERROR;
  return add_metrics_zone(cf, module) ? NGX_OK : NGX_ERROR;
}

// Lets a master in the foreground be upgraded. nginx ignores USR2 in a process whose parent is the one that has started
// it, because a new binary whose predecessor still runs looks like that; and WINCH, which a terminal sends when its
// window changes, in every process that has not become a daemon.
static ngx_int_t master_start(ngx_cycle_t *cycle)
{
  (void)cycle;
  handover_note_load();
  if (ngx_inherited || ngx_process == NGX_PROCESS_SIGNALLER)
    return NGX_OK;
  ngx_parent = -1;
  int terminal = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
  ngx_daemonized = terminal < 0;
  if (terminal >= 0)
    close(terminal);
  return NGX_OK;
}

static ngx_http_module_t http_module = {
    .preconfiguration = variables_add,
    .postconfiguration = load_contracts,
    .create_main_conf = create_main_conf,
    .create_srv_conf = create_server_conf,
};

ngx_module_t ngx_http_bulkhead_module = {
    NGX_MODULE_V1,
    .ctx = &http_module,
    .commands = directives,
    .type = NGX_HTTP_MODULE,
    .init_module = master_start,
    .init_process = worker_start,
    .exit_process = worker_stop,
};

// The symbols that nginx's load_module looks for.
ngx_module_t *ngx_modules[] = {&ngx_bulkhead_error_log_module, &ngx_http_bulkhead_module, NULL};
char *ngx_module_names[] = {"ngx_bulkhead_error_log_module", "ngx_http_bulkhead_module", NULL};
char *ngx_module_order[] = {NULL};
