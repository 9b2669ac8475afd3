// Parses and formats "host:port", and finds the address at which others reach this process.
#ifndef BULKHEAD_SERVICE_HOST_PORT_INTERNAL_H
#define BULKHEAD_SERVICE_HOST_PORT_INTERNAL_H

#include <stdbool.h>

#include "common/base/arena.h"
#include "common/base/slice.h"
#include "common/base/status.h"

struct host_port {
  struct slice host;  // IPv6 without brackets
  bool has_port;
  int port;  // 0 to 65535
};

// Parses "host", "host:port", "[::1]:port" or "::1"; false for anything else.
bool host_port_parse(struct slice text, struct host_port *out) MUST_CHECK;
// Formats "host:port", with brackets around IPv6.
const char *host_port_format(struct slice host, int port, struct arena *arena);
// True for a host that means all addresses of the machine: "", "*", "0.0.0.0", "::".
bool host_is_wildcard(struct slice host);

// The address at which other machines reach this one: the first that is up and not loopback, IPv4 before IPv6;
// "127.0.0.1" if there is none.
const char *host_primary_address(struct arena *arena);

// Makes the URL that is registered in Consul: from `advertise`, else from the host of `listen_url`, else, if that is a
// wildcard, from `primary`. An ipc:// URL stays as it is.
struct advertised {
  const char *listen_url;
  int port;               // the port that the listener got
  const char *advertise;  // host or host:port; NULL for none
  const char *primary;    // host_primary_address
};
enum status advertise_url(const struct advertised *what, struct arena *arena, const char **out,
                          struct error *error) MUST_CHECK;
// The host at which others reach another listener of this process, such as the admin port.
struct slice advertise_host(struct slice listen_host, const char *advertise, const char *primary);

#endif
