// Limits the connections of each client address, before anything is read from them: nginx' limit_conn counts only
// requests whose headers were read. The handler of each public listener is replaced by one that counts first; a
// cleanup of the connection's pool gives the count back. HTTP/2 and TLS connections count alike. Where a trusted proxy
// names the client by the PROXY protocol, the connection counts for that client as soon as the name has come.
#include "gateway/nginx/module.h"

#include <netinet/tcp.h>

#include "common/base/clock.h"
#include "common/observe/log.h"
#include "common/observe/log_limit.h"

#define ZONE "bulkhead_addresses"
// Workers of a configuration that was replaced keep their slots until their last connection ends.
#define SLOTS_PER_WORKER 4
#define SPARE_SLOTS 4
// How many bytes of a reply the kernel takes ahead of what it has sent. A client that reads slowly holds no more, and
// its pace is seen soon (pace.c).
#define MAX_UNSENT_BYTES (128 * 1024)
// The second version of the PROXY protocol may have additions behind the addresses.
#define MAX_PROXY_HEADER_BYTES 4096
// New connections that a turn of the loop takes. With one, as nginx does by itself, those of an overload would wait for
// seconds behind what each turn has to do, and no answer would reach them, not even a refusal. With all of them, a
// flood of connections would hold up those that are open.
#define ACCEPTS_A_TURN 16
// The backlog of a listener (nginx.conf.in).
#define MOST_WAITING 4096

// What is kept of a connection until its pool is destroyed.
struct guest {
  bool is_counted;
  uint64_t key;
  ngx_event_handler_pt first_handler;  // nginx' own, for when the PROXY protocol has named the client
};

static struct {
  struct address_counts counts;
  struct metric_series *refused;
  struct log_limit refusals;        // lines about them
  ngx_uint_t accepted;              // counts up with each connection
  ngx_event_handler_pt accept_one;  // nginx' own
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
  ngx_str_t name = ngx_string(ZONE);
  module->address_zone = module_add_zone(cf, name, address_counts_size(module->address_slots), init_zone);
  if (module->address_zone == NULL)
    return false;
  metrics_single(METRIC_CONNECTIONS_REFUSED);
  http2_prepare();
  return true;
}

// ---- connections ----

// Returns the configuration of a listener's address.
static const ngx_http_addr_conf_t *find_address(const ngx_listening_t *listening)
{
  const ngx_http_port_t *port = listening->servers;
  if (listening->sockaddr->sa_family == AF_INET6)
    return &((const ngx_http_in6_addr_t *)port->addrs)->conf;
  return &((const ngx_http_in_addr_t *)port->addrs)->conf;
}

// Returns the configuration of the server that a listener leads to where several share it: the default one.
static const struct server_conf *find_server(const ngx_listening_t *listening)
{
  return find_address(listening)->default_server->ctx->srv_conf[ngx_http_bulkhead_module.ctx_index];
}

static void on_connection_end(void *data)
{
  const struct guest *guest = data;
  if (guest->is_counted)
    address_give_back(&clients.counts, guest->key, ADDRESS_CONNECTIONS, 1);
}

// Returns NULL without memory; the connection is not counted then.
static struct guest *open_guest(ngx_connection_t *connection)
{
  ngx_pool_cleanup_t *cleanup = ngx_pool_cleanup_add(connection->pool, sizeof(struct guest));
  if (cleanup == NULL)
    return NULL;
  *(struct guest *)cleanup->data = (struct guest){0};
  cleanup->handler = on_connection_end;
  return cleanup->data;
}

static struct guest *find_guest(const ngx_connection_t *connection)
{
  const ngx_pool_cleanup_t *cleanup = connection->pool->cleanup;
  while (cleanup->handler != on_connection_end)
    cleanup = cleanup->next;
  return cleanup->data;
}

static void log_refusal(struct slice client, ngx_int_t limit)
{
  uint64_t suppressed;
  if (log_limit_pass(&clients.refusals, clock_now_us(), &suppressed))
    log_warn("connections", "a client address has as many connections as it may have; further ones are closed at once",
             LOG_SLICE("client", client), LOG_INT("limit", limit), LOG_INT("closedSinceLastLine", suppressed + 1));
}

// Closes with a reset, which leaves nothing behind in the kernel.
static void refuse_connection(ngx_connection_t *connection, struct slice client, ngx_int_t limit)
{
  metric_add(clients.refused, 1);
  log_refusal(client, limit);
  const struct linger at_once = {.l_onoff = 1};
  (void)setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
  ngx_http_close_connection(connection);
}

// Counts the connection for an address. False where that has as many as it may have; the connection is closed then.
static bool admit_connection(ngx_connection_t *connection, struct guest *guest, const struct sockaddr *address,
                             struct slice client)
{
  ngx_int_t limit = find_server(connection->listening)->connections_per_address;
  if (limit < 1 || guest == NULL || !address_key(address, &guest->key))
    return true;
  if (address_held(&clients.counts, guest->key, ADDRESS_CONNECTIONS) >= (uint64_t)limit) {
    refuse_connection(connection, client, limit);
    return false;
  }
  guest->is_counted = address_take(&clients.counts, guest->key, ADDRESS_CONNECTIONS, 1);
  return true;
}

// ---- clients behind the PROXY protocol ----

// Admits the client that the proxy has named. A proxy that names itself, as some do to see whether the gateway lives,
// may have any number of connections. False when the connection is closed.
static bool admit_named_client(ngx_connection_t *connection, struct guest *guest)
{
  ngx_addr_t client;
  if (connection->proxy_protocol == NULL)
    return true;
  ngx_str_t name = connection->proxy_protocol->src_addr;
  if (ngx_parse_addr(connection->pool, &client, name.data, name.len) != NGX_OK ||
      ngx_cmp_sockaddr(client.sockaddr, client.socklen, connection->sockaddr, connection->socklen, 0) == NGX_OK)
    return true;
  return admit_connection(connection, guest, client.sockaddr, to_slice(name));
}

// Reads what the proxy says ahead of nginx, whose handler reads it again and perhaps a whole request behind it. False
// when the connection is closed.
static bool read_client_name(ngx_connection_t *connection, struct guest *guest)
{
  u_char bytes[MAX_PROXY_HEADER_BYTES];
  ssize_t size = recv(connection->fd, bytes, sizeof(bytes), MSG_PEEK);
  // nginx' handler sees the same end or error, or goes on waiting.
  if (size <= 0)
    return true;
  connection->read->handler = guest->first_handler;
  if (ngx_proxy_protocol_read(connection, bytes, bytes + size) != NULL)
    return admit_named_client(connection, guest);
  ngx_http_close_connection(connection);
  return false;
}

static void on_first_bytes(ngx_event_t *read)
{
  ngx_connection_t *connection = read->data;
  struct guest *guest = find_guest(connection);
  bool ends = read->timedout || connection->close;
  if (ends || read_client_name(connection, guest))
    guest->first_handler(read);
}

static void await_client_name(ngx_connection_t *connection, struct guest *guest)
{
  guest->first_handler = connection->read->handler;
  connection->read->handler = on_first_bytes;
}

// ---- listeners ----

static bool is_trusted_proxy(const struct server_conf *server, struct sockaddr *address)
{
  return server->trusted_proxies != NULL && ngx_cidr_match(address, server->trusted_proxies) == NGX_OK;
}

// A trusted proxy's connections are those of many clients. Where it names them only in headers, limit_conn counts their
// requests.
static void on_accept(ngx_connection_t *connection)
{
  clients.accepted++;
  struct guest *guest = open_guest(connection);
  bool is_proxy = is_trusted_proxy(find_server(connection->listening), connection->sockaddr);
  if (!is_proxy && !admit_connection(connection, guest, connection->sockaddr, to_slice(connection->addr_text)))
    return;
  bool is_named = is_proxy && guest != NULL && find_address(connection->listening)->proxy_protocol;
  ngx_http_init_connection(connection);
  if (connection->destroyed)
    return;
  if (find_address(connection->listening)->http2)
    http2_guard(connection, find_address(connection->listening)->ssl);
  if (is_named)
    await_client_name(connection, guest);
}

static void accept_up_to(ngx_event_t *event, ngx_uint_t most)
{
  ngx_uint_t before;
  ngx_uint_t end = clients.accepted + most;
  do {
    before = clients.accepted;
    clients.accept_one(event);
  } while (clients.accepted != before && clients.accepted != end);
}

void connections_accept_some(ngx_event_t *event)
{
  accept_up_to(event, ACCEPTS_A_TURN);
}

void connections_accept_waiting(ngx_event_t *event)
{
  accept_up_to(event, MOST_WAITING);
}

// The listener for operators has neither.
bool connections_is_public(const ngx_listening_t *listening)
{
  return find_server(listening)->connections_per_address >= 1 || find_address(listening)->http2;
}

void connections_start(ngx_cycle_t *cycle, const struct module_conf *module)
{
  ngx_slab_pool_t *pool = (ngx_slab_pool_t *)(void *)module->address_zone->shm.addr;
  clients.refused = metrics_single(METRIC_CONNECTIONS_REFUSED);
  http2_prepare();
  if (!address_counts_attach(&clients.counts, pool->data, module->address_slots))
    log_warn("connections",
             "too many workers of earlier configurations still serve; this worker limits no address until the next "
             "reload",
             LOG_INT("slots", module->address_slots));
  ngx_listening_t *listening = cycle->listening.elts;
  for (ngx_uint_t i = 0; i < cycle->listening.nelts; i++) {
    if (listening[i].handler != ngx_http_init_connection || !connections_is_public(&listening[i]))
      continue;
    listening[i].handler = on_accept;
    clients.accept_one = listening[i].connection->read->handler;
    listening[i].connection->read->handler = connections_accept_some;
    const int unsent = MAX_UNSENT_BYTES;
    (void)setsockopt(listening[i].fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent));
  }
}

void connections_stop(void)
{
  address_counts_detach(&clients.counts);
}
