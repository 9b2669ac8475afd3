// Where the instances of services listen. One background thread talks to Consul, because its blocking queries hold a
// connection for minutes, and hands over finished lists through an fd, so that any event loop can use it. Services of a
// static list need no Consul. A name of that list may stand for all instances of a service: then a second thread asks
// DNS for its addresses every two seconds.
//
// While Consul is away, its last answer holds. A Consul that may have lost its memory, or suddenly names nobody,
// empties no list: the instances that it does not name stay for two minutes, because they register again by themselves.
// Where no instance passes its check, all that are registered are listed. Lists are sorted by id.
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
  const char *url;   // "tcp://127.0.0.1:4711"
  const char *zone;  // where the instance runs, as it has registered; "" when it has not said
};

struct discovery_options {
  const char *consul_url;    // "http://127.0.0.1:8500"; NULL: no Consul
  const char *consul_token;  // ACL token or NULL; never logged
  // Names endpoints of services that Consul is not asked for: "item=tcp://a:1,tcp://b:1;user=tcp://c:1". With dns+ in
  // front of a URL, "user=dns+tcp://c:1", all addresses of its host are followed. NULL: there are none.
  const char *static_list;
  // A file that keeps the last known endpoints of watched services, for a start without Consul or DNS; NULL for none.
  // Its folder must exist. Where it cannot be written, this is logged and nothing else follows.
  const char *saved_file;
  uint32_t wait_ms;  // how long Consul waits for a change before it answers; 0: 60,000
};

// Checks the options and starts the thread, which blocks all signals. Must be called after any fork.
enum status discovery_create(const struct discovery_options *options, struct discovery **out,
                             struct error *error) MUST_CHECK;
// Deregisters, waiting at most 2 s for Consul, ends the thread and frees everything. Nulls the pointer and accepts NULL
// in it.
void discovery_free(struct discovery **discovery);

// Starts watching a service; further calls do nothing. Its first list comes like every change: through the fd. It is
// the one that was saved, where there is one, until Consul or DNS has answered.
void discovery_watch(struct discovery *discovery, const char *service);

// Returns the fd to watch: it is readable (level-triggered) when discovery_process has something to do. It belongs to
// the discovery.
int discovery_fd(const struct discovery *discovery);
// Takes the endpoints of a service, which are valid only during the call; runs inside discovery_process.
typedef void discovery_changed_fn(void *arg, const char *service, const struct discovery_endpoint *endpoints,
                                  size_t count);
// Calls `changed` for each service whose endpoints have changed since the last call.
void discovery_process(struct discovery *discovery, discovery_changed_fn *changed, void *arg);

struct discovery_registration {
  const char *service;     // "item"
  const char *id;          // unique per process: "item-<uuid>"
  const char *url;         // of the RPC server, "tcp://10.0.0.7:4711"; NULL: there is none, address and port are set
  const char *address;     // that Consul shows; NULL: the one in url
  int port;                // that Consul shows; 0: the one in url
  const char *health_url;  // HTTP check, every 2 s: "http://10.0.0.7:4712/readyz"
  const char *version;     // that Consul shows in Meta
  const char *zone;        // where this instance runs, which others find in Meta; NULL: it does not say
};
// Registers this instance now, and again whenever Consul has lost the registration, which is checked every few seconds
// and as soon as Consul is back.
// Strings are copied. Consul removes an instance whose health check has failed for a minute.
void discovery_register(struct discovery *discovery, const struct discovery_registration *registration);
// Deregisters this instance, and waits at most `timeout_ms` for Consul's answer. Must be called before a drain, so that
// others stop sending calls first. Does nothing when not registered. After a call with no time, discovery_free waits.
void discovery_deregister(struct discovery *discovery, uint32_t timeout_ms);

// Returns whether the last request to Consul worked; true when no Consul is used. /readyz shows it.
bool discovery_consul_up(const struct discovery *discovery);

#endif
