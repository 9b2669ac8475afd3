// Requests to Consul and its answers as text, without any network. https://developer.hashicorp.com/consul/api-docs
#ifndef BULKHEAD_DISCOVERY_CONSUL_FORMAT_INTERNAL_H
#define BULKHEAD_DISCOVERY_CONSUL_FORMAT_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/slice.h"
#include "common/base/strbuf.h"
#include "common/discovery/discovery.h"
#include "common/discovery/endpoint_list_internal.h"

// An answer about the instances of a service. Both lists are sorted.
struct consul_answer {
  struct endpoint_list passing;
  struct endpoint_list failing;  // registered, but a health check does not pass
  size_t skipped;                // registered, but with an address that cannot be dialled
  uint64_t index;                // X-Consul-Index
  bool is_after_outage;          // the request before has failed
};

// Reads the answer of /v1/health/service/<name> into the lists and `skipped` of `out`, which the caller frees. False
// when the text is not the JSON that Consul documents; then there is nothing to free.
bool consul_read_health(struct slice json, struct consul_answer *out);
void consul_answer_free(struct consul_answer *answer);

// Tells whether the answer of /v1/agent/service/<id> shows another registration than that with this check: one of an
// earlier process with the same id, which Consul has carried out late, names the places of a process that has ended.
bool consul_has_other_registration(struct slice json, const char *check_id);

// Writes "<base>/v1/health/service/<service>?index=..&wait=..ms". With index 0, Consul answers at once.
void consul_health_url(struct strbuf *out, const char *base, const char *service, uint64_t index, uint32_t wait_ms);
// Writes "<base>/v1/agent/service/<id>", with "deregister/" before the id if `deregister` is set.
void consul_service_url(struct strbuf *out, const char *base, const char *id, bool deregister);
// Writes the URL that a registration is put to.
void consul_register_url(struct strbuf *out, const char *base);
// Writes the body of a registration as JSON. `check_id` must be new for each registration: Consul gives a check the
// state of an earlier check with the same id, whose instance may have crashed.
void consul_write_registration(struct strbuf *out, const struct discovery_registration *registration,
                               const char *check_id);

// Returns the index of the next query after an answer with the index `received`. Consul's index may go backwards, and
// its documentation asks to start again at 0 then.
// https://developer.hashicorp.com/consul/api-docs/features/blocking
uint64_t consul_next_index(uint64_t current, uint64_t received);

#endif
