// One worker's ways to the services: the RPC client, fed with endpoints by discovery. It belongs to no event loop: the
// host watches both fds, calls peers_process when one is readable or the timeout has come, and peers_flush at the end
// of each turn. Starts threads (nng, discovery): not before a fork. One thread calls.
#ifndef BULKHEAD_GATEWAY_PEERS_H
#define BULKHEAD_GATEWAY_PEERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/base/strbuf.h"
#include "gateway/api.h"
#include "gateway/backend.h"

struct peers;

struct peers_options {
  const struct api *api;     // names the services to follow; must outlive the peers
  const char *consul_url;    // NULL: static_list only
  const char *consul_token;  // NULL: none
  const char *static_list;   // as discovery_options has it; NULL: Consul only
  struct rpc_tls tls;
};

enum status peers_create(const struct peers_options *options, struct peers **out, struct error *error) MUST_CHECK;
// Calls in flight end with CANCELLED. A registration is taken back.
void peers_free(struct peers **peers);

struct backend peers_backend(struct peers *peers);

// This gateway in Consul, so that others see it: `address` "10.0.0.5:8080", the health check's full URL.
enum status peers_register(struct peers *peers, const char *address, const char *health_url,
                           struct error *error) MUST_CHECK;
// Before a drain; waits for Consul's answer for a moment. No-op when not registered.
void peers_deregister(struct peers *peers);

int peers_rpc_fd(const struct peers *peers);
// Callbacks of calls run from here.
void peers_process_calls(struct peers *peers, uint64_t now_us);
int peers_discovery_fd(const struct peers *peers);
void peers_process_lists(struct peers *peers);
void peers_flush(struct peers *peers);
uint64_t peers_next_timeout_us(const struct peers *peers);

// {"ready":true,"consul":true,"services":{"auth":1,"item":2}} with the number of connected endpoints; `ready` is what
// the caller found.
void peers_write_health(const struct peers *peers, bool ready, struct strbuf *out);

#endif
