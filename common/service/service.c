// Builds the parts of a service process and frees them in reverse order; the accessors of struct service.
#include "common/service/service_internal.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/uuid.h"
#include "common/contract/descriptor_set.h"
#include "common/observe/log.h"
#include "common/security/service_identity.h"

const void *service_settings(const struct service *service)
{
  return service->settings;
}

const struct resource *const *service_resources(const struct service *service)
{
  return service->definition->resources;
}

struct loop *service_loop(struct service *service)
{
  return service->loop;
}

struct pg *service_pg(struct service *service)
{
  return service->pg;
}

struct redis *service_redis(struct service *service)
{
  return service->redis;
}

void *service_state(const struct service *service)
{
  return service->state;
}

const char *service_token_issuer(const struct service *service)
{
  return service->common.auth_issuer;
}

const char *service_token_audience(const struct service *service)
{
  return service->common.auth_audience;
}

static void check_names(const struct service_definition *definition)
{
  for (size_t i = 0; i < definition->setting_count; i++) {
    for (size_t k = 0; k < common_settings_count; k++)
      CHECK(!slice_equal_string(slice_from_string(definition->settings[i].name), common_settings_table[k].name));
  }
}

enum status service_load_settings(struct service *service, const struct service_definition *definition,
                                  struct strbuf *problems)
{
  check_names(definition);
  service->definition = definition;
  service->settings = arena_zalloc(&service->arena, definition->settings_size);
  enum status common =
      settings_load(common_settings_table, common_settings_count, &service->common, &service->arena, problems);
  enum status own =
      settings_load(definition->settings, definition->setting_count, service->settings, &service->arena, problems);
  if (common != STATUS_OK || own != STATUS_OK)
    return STATUS_INVALID_ARGUMENT;
  if (service->common.instance_id == NULL) {
    char uuid[UUID_TEXT_SIZE];
    uuid_v7(uuid);
    service->common.instance_id = arena_printf(&service->arena, "%s-%s", definition->name, uuid);
  }
  return STATUS_OK;
}

const char *service_migrate_conninfo(const struct service *service)
{
  const struct common_settings *common = &service->common;
  return common->pg_migrate_conninfo == NULL ? common->pg_conninfo : common->pg_migrate_conninfo;
}

// ---- discovery ----

static void on_endpoints(void *arg, const char *name, const struct discovery_endpoint *endpoints, size_t count)
{
  struct service *service = arg;
  struct rpc_endpoint *list = calloc(count + 1, sizeof(*list));
  CHECK(list != NULL);
  for (size_t i = 0; i < count; i++) {
    list[i].id = slice_from_string(endpoints[i].id);
    list[i].url = slice_from_string(endpoints[i].url);
    list[i].zone = slice_from_string(endpoints[i].zone);
  }
  rpc_client_set_endpoints(service->client, name, list, count);
  free(list);
}

static void on_discovery(void *arg, int events)
{
  (void)events;
  struct service *service = arg;
  discovery_process(service->discovery, on_endpoints, service);
}

void service_follow_peer(struct service *service, const char *peer)
{
  if (strmap_add(&service->watched, slice_from_string(peer), service))
    discovery_watch(service->discovery, peer);
}

static const char *saved_file(struct service *service)
{
  const char *folder = service->common.state_dir;
  if (folder == NULL || folder[0] == '\0')
    return NULL;
  return arena_printf(&service->arena, "%s/%s.endpoints", folder, service->definition->name);
}

static enum status open_discovery(struct service *service, struct error *error)
{
  const struct discovery_options options = {
      .consul_url = service->common.consul_url,
      .consul_token = service->common.consul_token,
      .static_list = service->common.rpc_static,
      .saved_file = saved_file(service),
  };
  enum status status = discovery_create(&options, &service->discovery, error);
  if (status != STATUS_OK)
    return status;
  service->discovery_watch =
      loop_watch_fd(service->loop, discovery_fd(service->discovery), LOOP_READABLE, on_discovery, service);
  for (size_t i = 0; i < service->definition->peer_count; i++)
    service_follow_peer(service, service->definition->peers[i]);
  return STATUS_OK;
}

// ---- open and close ----

enum status service_make_identity(const struct service *service, struct service_identity **out, struct error *error)
{
  const struct common_settings *common = &service->common;
  if (common->service_key == NULL)
    return STATUS_OK;
  if (common->service_keys == NULL)
    return error_set(error, STATUS_INVALID_ARGUMENT,
                     "SERVICE_KEY is set and SERVICE_KEYS is not; name the file with the public keys of all services, "
                     "which `deploy/keys FOLDER` writes beside SERVICE_KEY");
  const struct service_identity_options options = {
      .service = service->definition->name, .private_key = common->service_key, .public_keys = common->service_keys};
  return service_identity_create(&options, out, error);
}

struct rpc_client *service_make_client(struct service *service)
{
  const struct rpc_client_options options = {
      .identity = service->identity,
      .tls = {.ca_file = service->common.rpc_tls_ca, .cert_key_file = service->common.rpc_tls_cert_key},
      .zone = service->common.zone,
  };
  return rpc_client_create(&options);
}

static void open_client(struct service *service)
{
  service->client = service_make_client(service);
  rpc_pump_client(&service->client_pump, service->loop, service->client);
}

static void open_postgres(struct service *service)
{
  const struct common_settings *common = &service->common;
  const struct pg_options options = {
      .conninfo = common->pg_conninfo,
      .conninfo_setting = "PG_CONNINFO",
      .pipelined_connections = (size_t)common->pg_shared_connections,
      .write_connections = (size_t)common->pg_pool_size,
      .scan_connections = (size_t)common->pg_scan_connections,
      .statement_timeout_ms = (uint32_t)common->pg_statement_timeout_ms,
      .application_name = service->definition->name,
  };
  service->pg = pg_create(service->loop, &options);
}

// How long after this instance was last heard by the others it may begin a write that was confirmed, and how much
// faster their clocks may be.
enum { CACHE_BEGIN_MS = 2000, CACHE_HOLD_MARGIN_MS = 100 };

struct cache *service_cache_create(struct service *service, const struct cache_options *options)
{
  // Redis lets a service have the keys that begin with its own name only.
  size_t size = strlen(service->definition->name);
  CHECK(strncmp(options->name, service->definition->name, size) == 0 && options->name[size] == '.');
  struct cache_options all = *options;
  all.pg = service->pg;
  all.redis = service->redis;
  all.begin_ms = CACHE_BEGIN_MS;
  all.hold_ms = CACHE_BEGIN_MS + pg_effect_ms(service->pg) + CACHE_HOLD_MARGIN_MS;
  // The instances know each other by a table, which migrations make.
  if (service->definition->migrations != NULL) {
    all.ask = cache_instances_ask;
    all.ask_arg = service;
  }
  struct cache *cache = cache_create(service->loop, &all);
  cache_instances_add(&service->cache_instances, cache, options->name);
  return cache;
}

void service_cache_free(struct service *service, struct cache **cache)
{
  cache_instances_remove(&service->cache_instances, *cache);
  cache_free(cache);
}

enum status service_open(struct service *service, void (*on_signal)(void *service, int number), struct error *error)
{
  list_init(&service->backgrounds);
  jobs_declare(service->definition);
  cache_instances_init(&service->cache_instances);
  service->loop = loop_create();
  loop_on_signal(service->loop, SIGTERM, on_signal, service);
  loop_on_signal(service->loop, SIGINT, on_signal, service);
  open_postgres(service);
  const struct redis_options redis = {
      .url = service->common.redis_url,
      .user = service->common.redis_user,
      .password = service->common.redis_password,
      .password_setting = "REDIS_PASSWORD",
  };
  enum status status = redis_create(service->loop, &redis, &service->redis, error);
  if (status != STATUS_OK)
    return status;
  status = service_make_identity(service, &service->identity, error);
  if (status != STATUS_OK)
    return status;
  open_client(service);
  status = open_discovery(service, error);
  return status == STATUS_OK ? callers_open(&service->callers, service, error) : status;
}

void service_close(struct service *service)
{
  admin_free(&service->admin);
  rpc_pump_end(&service->server_pump);
  rpc_server_free(&service->server);
  if (service->dispatch.service != NULL)
    dispatch_free(&service->dispatch);
  descriptor_set_free(&service->descriptors);
  loop_watch_end(&service->discovery_watch);
  discovery_free(&service->discovery);
  strmap_free(&service->watched);
  callers_close(&service->callers);
  jobs_free(service);
  cache_instances_clear(&service->cache_instances);
  rpc_pump_end(&service->client_pump);
  if (service->client != NULL)
    rpc_client_free(&service->client);
  service_identity_free(&service->identity);
  redis_free(&service->redis);
  if (service->pg != NULL)
    pg_free(&service->pg);
  loop_timer_free(&service->trim_timer);
  if (service->loop != NULL)
    loop_free(&service->loop);
  arena_free(&service->arena);
}
