// Who is alive, and where. One background thread talks to Consul (blocking queries hold a connection for minutes) and
// hands over finished lists through an fd, so it serves any event loop. Without Consul, a static list.
//
// The last good list is kept while Consul is away. Lists come sorted by id, so that equal lists compare equal.
#ifndef BULKHEAD_DISCOVERY_DISCOVERY_H
#define BULKHEAD_DISCOVERY_DISCOVERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/slice.h"
#include "common/base/status.h"

struct discovery;

struct discovery_endpoint {
  const char *id;
  const char *url;  // "tcp://127.0.0.1:4711"
};

struct discovery_options {
  const char *consul_url;    // "http://127.0.0.1:8500"; NULL: no Consul
  const char *consul_token;  // ACL token or NULL; never logged
  // "item=tcp://a:1,tcp://b:1;user=tcp://c:1": services named here are not asked of Consul. NULL for none.
  const char *static_list;
  uint32_t wait_ms;  // of a blocking query; 0: 60,000
};

// Checks the options, starts the thread (not before a fork; all signals blocked in it).
enum status discovery_create(const struct discovery_options *options, struct discovery **out,
                             struct error *error) MUST_CHECK;
// Deregisters if registered (waits at most 2 s for Consul), ends the thread.
void discovery_free(struct discovery **discovery);

// Follow a service. Its first list comes like every change: through the fd.
void discovery_watch(struct discovery *discovery, const char *service);

// Readable when lists have changed.
int discovery_fd(const struct discovery *discovery);
// Calls `changed` for each service whose list has changed since the last call.
typedef void discovery_changed_fn(void *arg, const char *service, const struct discovery_endpoint *endpoints,
                                  size_t count);
void discovery_process(struct discovery *discovery, discovery_changed_fn *changed, void *arg);

struct discovery_registration {
  const char *service;  // "item"
  const char *id;       // unique per process: "item-<uuid>"
  const char
      *url;  // where the RPC server listens, "tcp://10.0.0.7:4711"; may be NULL (the gateway): address and port below
  const char *address;     // that Consul shows; from url when NULL
  int port;                // from url when 0
  const char *health_url;  // HTTP check, every 2 s: "http://10.0.0.7:4712/readyz"
  const char *version;     // goes into Meta
};
// Registers now and again whenever Consul has lost it (it is looked for every few seconds). Strings are copied.
// An instance whose check has been critical for a minute is removed by Consul itself.
void discovery_register(struct discovery *discovery, const struct discovery_registration *registration);
// Before a drain: takes the registration back and waits at most `timeout_ms` for Consul's answer.
void discovery_deregister(struct discovery *discovery, uint32_t timeout_ms);

// For /readyz: whether the last request to Consul worked (true without Consul).
bool discovery_consul_up(const struct discovery *discovery);

#endif
