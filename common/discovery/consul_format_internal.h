// What is said to Consul and what it answers, as text: no network here. https://developer.hashicorp.com/consul/api-docs
#ifndef BULKHEAD_DISCOVERY_CONSUL_FORMAT_INTERNAL_H
#define BULKHEAD_DISCOVERY_CONSUL_FORMAT_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/slice.h"
#include "common/base/strbuf.h"
#include "common/discovery/discovery.h"
#include "common/discovery/endpoint_list_internal.h"

// Reads the answer of /v1/health/service/<name>. An instance that cannot be dialled is left out and counted in
// `skipped`; false when the text is not the JSON that Consul documents. The list comes sorted and is the caller's.
bool consul_read_health(struct slice json, struct endpoint_list *out, size_t *skipped);

// "<base>/v1/health/service/<service>?passing&index=..&wait=..ms"; index 0 asks for an answer at once.
void consul_health_url(struct strbuf *out, const char *base, const char *service, uint64_t index, uint32_t wait_ms);
// "<base>/v1/agent/service/<id>", with "deregister/" before the id if `deregister`.
void consul_service_url(struct strbuf *out, const char *base, const char *id, bool deregister);
void consul_register_url(struct strbuf *out, const char *base);
// The body of a registration.
void consul_write_registration(struct strbuf *out, const struct discovery_registration *registration);

// The index to ask with after an answer that came with `received`: Consul's may go backwards, then we start over.
// https://developer.hashicorp.com/consul/api-docs/features/blocking
uint64_t consul_next_index(uint64_t current, uint64_t received);

#endif
