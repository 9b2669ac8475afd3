// Addresses: "host:port" taken apart and put together, and what others reach this process by.
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

// "host", "host:port", "[::1]:port", "::1". False when it is none of them.
bool host_port_parse(struct slice text, struct host_port *out) MUST_CHECK;
// "host:port" with brackets where they are needed.
const char *host_port_format(struct slice host, int port, struct arena *arena);
// An address that means all of the machine's: "", "*", "0.0.0.0", "::".
bool host_is_wildcard(struct slice host);

// What other machines reach this one by: its first address that is up and not loopback, IPv4 before IPv6; "127.0.0.1"
// when there is none.
const char *host_primary_address(struct arena *arena);

// What is told to Consul: `advertise`, else the host listened on, else `primary` where that is a wildcard. ipc:// stays
// as it is.
struct advertised {
  const char *listen_url;
  int port;               // that the listener got
  const char *advertise;  // host or host:port; NULL for none
  const char *primary;    // host_primary_address
};
enum status advertise_url(const struct advertised *what, struct arena *arena, const char **out,
                          struct error *error) MUST_CHECK;
// The host of another listener (the admin port) of the same process, seen from outside.
struct slice advertise_host(struct slice listen_host, const char *advertise, const char *primary);

#endif
