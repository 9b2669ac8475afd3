// How one worker reaches the services: RPC clients whose endpoints come from discovery. It belongs to no event loop:
// the host watches all fds, calls the matching upstreams_process_... function when one is readable or the timeout has
// come, and upstreams_flush at the end of each turn. It starts threads (nng, discovery), so it must be created after
// any fork. All functions must be called on one thread.
#ifndef BULKHEAD_GATEWAY_UPSTREAMS_H
#define BULKHEAD_GATEWAY_UPSTREAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/base/strbuf.h"
#include "common/rpc/backend.h"
#include "gateway/api.h"

struct upstreams;

// Expensive calls have connections of their own, because their replies may be large, and a reply of megabytes holds up
// all that come behind it on its connection.
enum upstreams_kind { UPSTREAMS_USUAL, UPSTREAMS_EXPENSIVE, UPSTREAMS_KINDS };

struct upstreams_options {
  const struct api *api;     // names the services to follow; must outlive the upstreams
  const char *consul_url;    // NULL when only static_list is used
  const char *consul_token;  // NULL without one
  const char *static_list;   // services without Consul, as discovery_options has it; NULL when only Consul is used
  const char *state_dir;     // where the last known places are kept for a start without Consul; NULL: they are not
  // Where this gateway runs: instances there are preferred; NULL without one. Must outlive the upstreams.
  const char *zone;
  struct rpc_tls tls;
  // The gateway's private key (PEM) and the public keys of all services, see service_identity_options; NULL where all
  // connections have TLS.
  const char *service_key;
  const char *service_keys;
};

// Tells whether upstreams_create can use the keys: reads the files and starts no thread, so it may come before a fork.
enum status upstreams_check_keys(const struct upstreams_options *options, struct error *error) MUST_CHECK;
enum status upstreams_create(const struct upstreams_options *options, struct upstreams **out,
                             struct error *error) MUST_CHECK;
// Ends calls in flight with CANCELLED, deregisters, and sets the pointer to NULL. A NULL pointer is accepted.
void upstreams_free(struct upstreams **upstreams);

// Returns the gateway's interface to the services for calls of a kind. It must not be used after upstreams_free.
struct backend upstreams_backend(const struct upstreams *upstreams, enum upstreams_kind kind);

// Registers this gateway in Consul, so that operators see it. `address` is "10.0.0.5:8080"; `health_url` is the full
// URL of the health check.
enum status upstreams_register(struct upstreams *upstreams, const char *address, const char *health_url,
                               struct error *error) MUST_CHECK;
// Begins to deregister, and returns at once, because calls are at work; upstreams_free waits for Consul's answer. To be
// called before a drain; does nothing when not registered.
void upstreams_deregister(struct upstreams *upstreams);

// Tells whether every service has an endpoint that takes calls.
bool upstreams_are_ready(const struct upstreams *upstreams);
// Tells whether this one has.
bool upstreams_is_ready(const struct upstreams *upstreams, const char *service);

int upstreams_rpc_fd(const struct upstreams *upstreams, enum upstreams_kind kind);
// Receives replies and expires calls of a kind; callbacks of calls run inside.
void upstreams_process_calls(const struct upstreams *upstreams, enum upstreams_kind kind, uint64_t now_us);
// Returns the fd that is readable when the endpoints of a service have changed.
int upstreams_discovery_fd(const struct upstreams *upstreams);
// Applies changed endpoints to the RPC client.
void upstreams_process_lists(struct upstreams *upstreams);
// Sends the frames that were queued in this turn.
void upstreams_flush(const struct upstreams *upstreams);
// Returns when upstreams_process_calls must run next for both kinds even if their fds stay quiet; DEADLINE_NONE for
// never.
uint64_t upstreams_next_timeout_us(const struct upstreams *upstreams);

// Writes {"ready":true,"consul":true,"services":{"auth":1,"item":2}}: for each service the number of its connected
// endpoints. `ready` is the caller's verdict and is written as it is.
void upstreams_write_health(const struct upstreams *upstreams, bool ready, struct strbuf *out);

#endif
