// Limits the connections of each client address, before anything is read from them: nginx' limit_conn counts only
// requests whose headers were read. The handler of each public listener is replaced by one that counts first; a cleanup
// of the connection's pool gives the count back. HTTP/2 and TLS connections count alike.
#include "gateway/nginx/module.h"

#include <netinet/tcp.h>

#include "common/base/clock.h"
#include "common/observe/log.h"

#define ZONE "bulkhead_addresses"
// Workers of a configuration that was replaced keep their slots until their last connection ends.
#define SLOTS_PER_WORKER 4
#define SPARE_SLOTS 4
// How many bytes of a reply the kernel takes ahead of what it has sent. A client that reads slowly holds no more, and
// its pace is seen soon (pace.c).
#define MAX_UNSENT_BYTES (128 * 1024)
#define LOG_INTERVAL_US UINT64_C(1000000)

static struct {
  struct address_counts counts;
  struct metric_series *refused;
  uint64_t logged_us;         // when the latest refusal was logged
  uint64_t refused_unlogged;  // since then
} clients;

struct address_counts *connections_counts(void)
{
  return &clients.counts;
}

// ---- configuration ----

char *connections_set_proxies(ngx_conf_t *cf, ngx_command_t *command, void *conf)
{
  (void)command;
  struct server_conf *server = conf;
  ngx_str_t *args = cf->args->elts;
  if (server->trusted_proxies != NULL)
    return "is duplicate";
  server->trusted_proxies = ngx_array_create(cf->pool, cf->args->nelts, sizeof(ngx_cidr_t));
  for (ngx_uint_t i = 1; server->trusted_proxies != NULL && i < cf->args->nelts; i++) {
    ngx_cidr_t *cidr = ngx_array_push(server->trusted_proxies);
    if (cidr == NULL)
      return NGX_CONF_ERROR;
    if (ngx_ptocidr(&args[i], cidr) != NGX_ERROR)
      continue;
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "bulkhead_trusted_proxies: \"%V\" is no address and no network; write 10.0.0.1, 10.0.0.0/8 or "
                       "2001:db8::/32",
                       &args[i]);
    return NGX_CONF_ERROR;
  }
  return server->trusted_proxies == NULL ? NGX_CONF_ERROR : NGX_CONF_OK;
}

static ngx_int_t init_zone(ngx_shm_zone_t *zone, void *old)
{
  struct module_conf *module = zone->data;
  ngx_slab_pool_t *pool = (ngx_slab_pool_t *)(void *)zone->shm.addr;
  // After a reload with as many workers as before, the memory is the same, and the old workers count on in it.
  if (old == NULL)
    pool->data = ngx_slab_alloc(pool, address_counts_size(module->address_slots));
  return pool->data == NULL ? NGX_ERROR : NGX_OK;
}

bool connections_add_zone(ngx_conf_t *cf, struct module_conf *module)
{
  module->address_slots = SLOTS_PER_WORKER * module->metrics_slots + SPARE_SLOTS;
  size_t bytes = address_counts_size(module->address_slots);
  // The memory comes zeroed from the kernel, and only what is used of it takes room.
  size_t size = ngx_align(bytes + bytes / 64 + 16 * ngx_pagesize, ngx_pagesize);
  ngx_str_t name = ngx_string(ZONE);
  module->address_zone = ngx_shared_memory_add(cf, &name, size, &ngx_http_bulkhead_module);
  if (module->address_zone == NULL)
    return false;
  module->address_zone->init = init_zone;
  module->address_zone->data = module;
  metrics_single(METRIC_CONNECTIONS_REFUSED);
  return true;
}

// ---- connections ----

// Returns the configuration of the server that a listener leads to where several share it: the default one.
static const struct server_conf *find_server(const ngx_listening_t *listening)
{
  const ngx_http_port_t *port = listening->servers;
  const ngx_http_addr_conf_t *address;
  if (listening->sockaddr->sa_family == AF_INET6)
    address = &((const ngx_http_in6_addr_t *)port->addrs)->conf;
  else
    address = &((const ngx_http_in_addr_t *)port->addrs)->conf;
  return address->default_server->ctx->srv_conf[ngx_http_bulkhead_module.ctx_index];
}

static void on_connection_end(void *data)
{
  const uint64_t *key = data;
  address_give_back(&clients.counts, *key, ADDRESS_CONNECTIONS, 1);
}

// Counts the connection until its pool is destroyed. Without memory it is not counted.
static void count_connection(ngx_connection_t *connection, uint64_t key)
{
  ngx_pool_cleanup_t *cleanup = ngx_pool_cleanup_add(connection->pool, sizeof(key));
  if (cleanup == NULL || !address_take(&clients.counts, key, ADDRESS_CONNECTIONS, 1))
    return;
  *(uint64_t *)cleanup->data = key;
  cleanup->handler = on_connection_end;
}

static void log_refusal(const ngx_connection_t *connection, uint64_t limit)
{
  clients.refused_unlogged++;
  uint64_t now_us = clock_now_us();
  if (now_us - clients.logged_us < LOG_INTERVAL_US)
    return;
  log_warn("connections", "a client address has as many connections as it may have; further ones are closed at once",
           LOG_SLICE("client", to_slice(connection->addr_text)), LOG_INT("limit", limit),
           LOG_INT("closedSinceLastLine", clients.refused_unlogged));
  clients.logged_us = now_us;
  clients.refused_unlogged = 0;
}

// Closes with a reset, which leaves nothing behind in the kernel.
static void refuse_connection(ngx_connection_t *connection, uint64_t limit)
{
  metric_add(clients.refused, 1);
  log_refusal(connection, limit);
  const struct linger at_once = {.l_onoff = 1};
  (void)setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
  ngx_http_close_connection(connection);
}

// A trusted proxy's connections are those of many clients. limit_conn counts their requests, by the client that the
// proxy names.
static bool is_trusted_proxy(const struct server_conf *server, struct sockaddr *address)
{
  return server->trusted_proxies != NULL && ngx_cidr_match(address, server->trusted_proxies) == NGX_OK;
}

static void on_accept(ngx_connection_t *connection)
{
  const struct server_conf *server = find_server(connection->listening);
  uint64_t limit = (uint64_t)server->connections_per_address;
  uint64_t key;
  if (address_key(connection->sockaddr, &key) && !is_trusted_proxy(server, connection->sockaddr)) {
    if (address_held(&clients.counts, key, ADDRESS_CONNECTIONS) >= limit) {
      refuse_connection(connection, limit);
      return;
    }
    count_connection(connection, key);
  }
  ngx_http_init_connection(connection);
}

void connections_start(ngx_cycle_t *cycle, const struct module_conf *module)
{
  ngx_slab_pool_t *pool = (ngx_slab_pool_t *)(void *)module->address_zone->shm.addr;
  clients.refused = metrics_single(METRIC_CONNECTIONS_REFUSED);
  if (!address_counts_attach(&clients.counts, pool->data, module->address_slots))
    log_warn("connections",
             "too many workers of earlier configurations still serve; this worker limits no address until the next "
             "reload",
             LOG_INT("slots", module->address_slots));
  ngx_listening_t *listening = cycle->listening.elts;
  for (ngx_uint_t i = 0; i < cycle->listening.nelts; i++) {
    if (listening[i].handler != ngx_http_init_connection || find_server(&listening[i])->connections_per_address < 1)
      continue;
    listening[i].handler = on_accept;
    const int unsent = MAX_UNSENT_BYTES;
    (void)setsockopt(listening[i].fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent));
  }
}

void connections_stop(void)
{
  address_counts_detach(&clients.counts);
}
