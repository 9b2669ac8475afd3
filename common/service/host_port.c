#include "common/service/host_port_internal.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <string.h>

static bool parse_port(struct slice text, struct host_port *out)
{
  uint64_t port;
  if (!slice_to_uint64(text, 0, 65535, &port))
    return false;
  out->has_port = true;
  out->port = (int)port;
  return true;
}

static bool parse_bracketed(struct slice text, struct host_port *out)
{
  size_t end = slice_find(text, ']', 0);
  if (end == text.size || end == 1)
    return false;
  out->host = slice_make(text.data + 1, end - 1);
  struct slice rest = slice_skip(text, end + 1);
  if (rest.size == 0)
    return true;
  return rest.data[0] == ':' && parse_port(slice_skip(rest, 1), out);
}

bool host_port_parse(struct slice text, struct host_port *out)
{
  *out = (struct host_port){0};
  if (text.size > 0 && text.data[0] == '[')
    return parse_bracketed(text, out);
  size_t colon = slice_find(text, ':', 0);
  bool bare_ipv6 = colon < text.size && slice_find(text, ':', colon + 1) < text.size;
  if (colon == text.size || bare_ipv6) {
    out->host = text;
    return text.size > 0;
  }
  out->host = slice_make(text.data, colon);
  return parse_port(slice_skip(text, colon + 1), out);
}

const char *host_port_format(struct slice host, int port, struct arena *arena)
{
  if (slice_find(host, ':', 0) < host.size)
    return arena_printf(arena, "[" SLICE_FMT "]:%d", SLICE_ARG(host), port);
  return arena_printf(arena, SLICE_FMT ":%d", SLICE_ARG(host), port);
}

bool host_is_wildcard(struct slice host)
{
  return host.size == 0 || slice_equal(host, SLICE("*")) || slice_equal(host, SLICE("0.0.0.0")) ||
         slice_equal(host, SLICE("::"));
}

static const char *address_text(const struct ifaddrs *entry, int family, struct arena *arena)
{
  if (entry->ifa_addr == NULL || entry->ifa_addr->sa_family != family)
    return NULL;
  if ((entry->ifa_flags & IFF_UP) == 0 || (entry->ifa_flags & IFF_LOOPBACK) != 0)
    return NULL;
  const void *address = &((const struct sockaddr_in *)(const void *)entry->ifa_addr)->sin_addr;
  if (family == AF_INET6) {
    const struct in6_addr *six = &((const struct sockaddr_in6 *)(const void *)entry->ifa_addr)->sin6_addr;
    // A link-local address cannot be used without the name of an interface.
    if (IN6_IS_ADDR_LINKLOCAL(six))
      return NULL;
    address = six;
  }
  char text[INET6_ADDRSTRLEN];
  if (inet_ntop(family, address, text, sizeof(text)) == NULL)
    return NULL;
  return arena_string(arena, slice_from_string(text));
}

const char *host_primary_address(struct arena *arena)
{
  struct ifaddrs *all = NULL;
  const char *found = NULL;
  if (getifaddrs(&all) != 0)
    return "127.0.0.1";
  for (const struct ifaddrs *entry = all; entry != NULL && found == NULL; entry = entry->ifa_next)
    found = address_text(entry, AF_INET, arena);
  for (const struct ifaddrs *entry = all; entry != NULL && found == NULL; entry = entry->ifa_next)
    found = address_text(entry, AF_INET6, arena);
  freeifaddrs(all);
  return found == NULL ? "127.0.0.1" : found;
}

struct slice advertise_host(struct slice listen_host, const char *advertise, const char *primary)
{
  struct host_port own;
  if (!host_is_wildcard(listen_host))
    return listen_host;
  if (advertise != NULL && host_port_parse(slice_from_string(advertise), &own))
    return own.host;
  return slice_from_string(primary);
}

static enum status choose_address(const struct advertised *what, struct slice listen_address, struct host_port *chosen,
                                  struct error *error)
{
  struct host_port listen;
  if (!host_port_parse(listen_address, &listen) || !listen.has_port)
    return error_set(
        error, STATUS_INVALID_ARGUMENT,
        "RPC_LISTEN: \"%s\" holds no host:port; write it like tcp://127.0.0.1:0, where port 0 picks a free "
        "one",
        what->listen_url);
  if (what->advertise != NULL) {
    if (host_port_parse(slice_from_string(what->advertise), chosen) && !host_is_wildcard(chosen->host))
      return STATUS_OK;
    return error_set(error, STATUS_INVALID_ARGUMENT, "RPC_ADVERTISE: \"%s\" is no host or host:port", what->advertise);
  }
  *chosen = (struct host_port){.host = advertise_host(listen.host, NULL, what->primary)};
  return STATUS_OK;
}

enum status advertise_url(const struct advertised *what, struct arena *arena, const char **out, struct error *error)
{
  const char *listen_url = what->listen_url;
  const char *mark = strstr(listen_url, "://");
  if (mark == NULL)
    return error_set(error, STATUS_INVALID_ARGUMENT, "RPC_LISTEN: \"%s\" must be a URL such as tcp://127.0.0.1:0",
                     listen_url);
  struct slice scheme = slice_make(listen_url, (size_t)(mark - listen_url));
  if (!slice_equal(scheme, SLICE("tcp")) && !slice_equal(scheme, SLICE("tls+tcp"))) {
    *out = listen_url;
    return slice_equal(scheme, SLICE("ipc"))
               ? STATUS_OK
               : error_set(error, STATUS_INVALID_ARGUMENT,
                           "RPC_LISTEN: \"%s\" must begin with tcp://, tls+tcp:// or ipc://", listen_url);
  }
  struct host_port chosen;
  enum status status = choose_address(what, slice_from_string(mark + 3), &chosen, error);
  if (status != STATUS_OK)
    return status;
  int port = chosen.has_port && chosen.port != 0 ? chosen.port : what->port;
  *out = arena_printf(arena, SLICE_FMT "://%s", SLICE_ARG(scheme), host_port_format(chosen.host, port, arena));
  return STATUS_OK;
}
