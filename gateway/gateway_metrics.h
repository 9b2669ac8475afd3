// The gateway's own metric series, all made before nginx forks its workers so that every worker counts in shared
// memory.
#ifndef BULKHEAD_GATEWAY_METRICS_H
#define BULKHEAD_GATEWAY_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include "common/contract/contract.h"
#include "common/observe/metrics.h"

// The series of a method whose calls have a limit (admission.h); all NULL for other methods.
struct admission_series {
  struct metric_series *limit;
  struct metric_series *in_flight;
  struct metric_series *crowded;
  struct metric_series *late;
};

// The protocols that clients speak. Connect is one, whatever its messages are written in.
enum protocol_number {
  PROTOCOL_REST,
  PROTOCOL_GRPC,
  PROTOCOL_GRPC_WEB,
  PROTOCOL_GRPC_WEB_TEXT,
  PROTOCOL_CONNECT,
  PROTOCOL_COUNT,
};

// The series of the streams of a protocol. What clients send is received.
struct stream_series {
  struct metric_series *open;
  struct metric_series *messages_received;
  struct metric_series *messages_sent;
  struct metric_series *bytes_received;
  struct metric_series *bytes_sent;
};

struct gateway_metrics {
  struct metric_series **requests;  // [method index or method_count for "none"][place of the HTTP status]
  struct metric_series **durations;
  struct metric_series **by_protocol;  // [protocol_number][place of the HTTP status]
  struct stream_series streams[PROTOCOL_COUNT];
  size_t method_count;
  struct metric_series *in_flight;
  struct metric_series *token_hits;
  struct metric_series *token_misses;
  struct metric_series *keys_ok;
  struct metric_series *keys_failed;
  struct metric_series *api_keys_ok;
  struct metric_series *api_keys_refused;
  struct metric_series *api_keys_failed;
  struct metric_series *limited[5];    // by limit_class (limits.h)
  struct admission_series *admission;  // by the method's index
  struct metric_series *leases_ok;
  struct metric_series *leases_failed;
};

// Creates the gateway's series, and those in which the RPC client and discovery count for the given services.
void gateway_metrics_create(struct gateway_metrics *metrics, const struct contract *contract,
                            const char *const *services, size_t service_count);
void gateway_metrics_free(struct gateway_metrics *metrics);

// Returns the name of a protocol in logs and metrics: "grpc-web".
const char *protocol_name(enum protocol_number protocol);

// Counts one answered request. `method` is NULL where no route matched.
void gateway_metrics_count(const struct gateway_metrics *metrics, enum protocol_number protocol,
                           const struct contract_method *method, int http_status, uint64_t duration_us);

#endif
