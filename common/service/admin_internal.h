// The admin port: GET and HEAD of /healthz, /readyz and /metrics for Consul, Kubernetes and Prometheus, and of
// /debug/tasks for people. libmicrohttpd on the service's loop, without a thread. It has neither TLS nor login, so it
// must be reachable from inside only.
#ifndef BULKHEAD_SERVICE_ADMIN_INTERNAL_H
#define BULKHEAD_SERVICE_ADMIN_INTERNAL_H

#include <stdbool.h>

#include "common/base/status.h"
#include "common/base/strbuf.h"
#include "common/runtime/loop.h"

struct admin;
struct host_port;

struct admin_options {
  const char *listen;  // host:port, such as "127.0.0.1:0"
  // Appends the JSON of /readyz; true for the answer 200, false for 503.
  bool (*render_ready)(void *arg, struct strbuf *out);
  void *arg;
};

// Reads the host and port of `listen`, which must outlive `out`. Otherwise `error` names the setting.
enum status admin_parse_address(const char *listen, struct host_port *out, struct error *error) MUST_CHECK;
enum status admin_create(struct loop *loop, const struct admin_options *options, struct admin **out,
                         struct error *error) MUST_CHECK;
// Frees the port and closes open connections. Nulls the pointer and accepts NULL in it.
void admin_free(struct admin **admin);
int admin_port(const struct admin *admin);

#endif
