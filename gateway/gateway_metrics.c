#include "gateway/gateway_metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/compiler.h"
#include "common/rpc/rpc_client.h"
#include "gateway/admission.h"
#include "gateway/own_services.h"

// The statuses that the gateway answers with; every other one is counted as "other".
static const int http_codes[] = {200, 201, 202, 204, 304, 400, 401, 403, 404, 405, 406, 408, 409, 411, 412, 413,
                                 414, 415, 416, 421, 422, 429, 431, 499, 500, 501, 502, 503, 504, 505, 507};
#define CODE_COUNT (ARRAY_LEN(http_codes) + 1)

static size_t find_code_place(int http_status)
{
  size_t place = 0;
  while (place < ARRAY_LEN(http_codes) && http_codes[place] != http_status)
    place++;
  return place;
}

const char *protocol_name(enum protocol_number protocol)
{
  static const char *const names[PROTOCOL_COUNT] = {
      [PROTOCOL_REST] = "rest",         [PROTOCOL_GRPC] = "grpc",
      [PROTOCOL_GRPC_WEB] = "grpc-web", [PROTOCOL_GRPC_WEB_TEXT] = "grpc-web-text",
      [PROTOCOL_CONNECT] = "connect",
  };
  return names[protocol];
}

// Creates a series for each HTTP status, whose other label has the value `first`.
static void create_code_series(struct metric_series **row, enum metric metric, struct slice first)
{
  for (size_t place = 0; place < CODE_COUNT; place++) {
    char text[16] = "other";
    if (place < ARRAY_LEN(http_codes))
      snprintf(text, sizeof(text), "%d", http_codes[place]);
    struct slice values[] = {first, slice_from_string(text)};
    row[place] = metrics_series(metric, values, ARRAY_LEN(values));
  }
}

static void create_http_series(struct gateway_metrics *metrics, struct slice method, size_t row)
{
  create_code_series(&metrics->requests[row * CODE_COUNT], METRIC_HTTP_REQUESTS, method);
  metrics->durations[row] = metrics_series(METRIC_HTTP_DURATION, &method, 1);
}

// Creates the RPC client's series for one method. The gateway calls methods that have a route, and those that name it
// as their caller.
static void create_rpc_series(struct slice method)
{
#define STATUS_SERIES(name, code, http)                                                                                \
  metrics_series(METRIC_RPC_CLIENT_CALLS, (struct slice[]){method, SLICE(#name)}, 2);
  STATUS_LIST(STATUS_SERIES)
#undef STATUS_SERIES
  metrics_series(METRIC_RPC_CLIENT_DURATION, &method, 1);
}

static struct metric_series *direction_series(enum metric metric, struct slice protocol, const char *direction)
{
  struct slice values[] = {protocol, slice_from_string(direction)};
  return metrics_series(metric, values, ARRAY_LEN(values));
}

static void create_protocol_series(struct gateway_metrics *metrics)
{
  metrics->by_protocol = calloc(PROTOCOL_COUNT * CODE_COUNT, sizeof(struct metric_series *));
  CHECK(metrics->by_protocol != NULL);
  for (size_t i = 0; i < PROTOCOL_COUNT; i++) {
    struct slice name = slice_from_string(protocol_name((enum protocol_number)i));
    create_code_series(&metrics->by_protocol[i * CODE_COUNT], METRIC_HTTP_PROTOCOL_REQUESTS, name);
    metrics->streams[i] = (struct stream_series){
        .open = metrics_series(METRIC_HTTP_STREAMS, &name, 1),
        .messages_received = direction_series(METRIC_STREAM_MESSAGES, name, "received"),
        .messages_sent = direction_series(METRIC_STREAM_MESSAGES, name, "sent"),
        .bytes_received = direction_series(METRIC_STREAM_BYTES, name, "received"),
        .bytes_sent = direction_series(METRIC_STREAM_BYTES, name, "sent"),
    };
  }
}

static void create_shared_series(const char *const *services, size_t service_count)
{
  for (size_t i = 0; i < service_count; i++) {
    struct slice service = slice_from_string(services[i]);
    metrics_series(METRIC_DISCOVERY_UPDATES, &service, 1);
    rpc_client_make_series(services[i]);
  }
  static const char *const levels[] = {"debug", "info", "warn", "error"};
  for (size_t i = 0; i < ARRAY_LEN(levels); i++) {
    struct slice level = slice_from_string(levels[i]);
    metrics_series(METRIC_LOG_LINES, &level, 1);
  }
  metrics_single(METRIC_RPC_MALFORMED);
  metrics_single(METRIC_DISCOVERY_ERRORS);
  metrics_single(METRIC_CONSUL_UP);
}

static bool names_gateway(const struct policy *policy)
{
  for (size_t i = 0; i < policy->caller_count; i++)
    if (strcmp(policy->callers[i], POLICY_GATEWAY) == 0)
      return true;
  return false;
}

// Creates the series of the rate limits, in the order of limit_class.
static void create_limit_series(struct gateway_metrics *metrics)
{
  static const char *const classes[] = {"read", "write", "expensive", "credential", "key"};
  for (size_t i = 0; i < ARRAY_LEN(classes); i++) {
    struct slice class = slice_from_string(classes[i]);
    metrics->limited[i] = metrics_series(METRIC_RATE_LIMITED, &class, 1);
  }
  metrics->leases_ok = metrics_series(METRIC_RATE_LEASES, &SLICE("ok"), 1);
  metrics->leases_failed = metrics_series(METRIC_RATE_LEASES, &SLICE("failed"), 1);
}

static struct metric_series *shed_series(struct slice method, const char *reason)
{
  struct slice values[] = {method, slice_from_string(reason)};
  return metrics_series(METRIC_SHED, values, ARRAY_LEN(values));
}

static void create_admission_series(struct gateway_metrics *metrics, const struct contract *contract)
{
  metrics->admission = calloc(metrics->method_count + 1, sizeof(*metrics->admission));
  CHECK(metrics->admission != NULL);
  for (size_t i = 0; i < metrics->method_count; i++) {
    const struct contract_method *method = contract_method(contract, i);
    if (method->policy.access == ACCESS_INTERNAL || !admission_limits(method))
      continue;
    metrics->admission[method->index] = (struct admission_series){
        .limit = metrics_series(METRIC_CALL_LIMIT, &method->full_name, 1),
        .in_flight = metrics_series(METRIC_CALLS_ADMITTED, &method->full_name, 1),
        .crowded = shed_series(method->full_name, "crowded"),
        .late = shed_series(method->full_name, "late"),
    };
  }
}

void gateway_metrics_create(struct gateway_metrics *metrics, const struct contract *contract,
                            const char *const *services, size_t service_count)
{
  size_t methods = contract_method_count(contract);
  metrics->method_count = methods;
  metrics->requests = calloc((methods + 1) * CODE_COUNT, sizeof(struct metric_series *));
  metrics->durations = calloc(methods + 1, sizeof(struct metric_series *));
  CHECK(metrics->requests != NULL && metrics->durations != NULL);
  for (size_t i = 0; i < methods; i++) {
    const struct contract_method *method = contract_method(contract, i);
    if (method->policy.access != ACCESS_INTERNAL || names_gateway(&method->policy))
      create_rpc_series(method->full_name);
    // The rows of other internal methods stay NULL, because nothing counts in them.
    if (method->policy.access != ACCESS_INTERNAL || own_services_offer(method->full_name))
      create_http_series(metrics, method->full_name, method->index);
  }
  create_http_series(metrics, SLICE("none"), methods);
  create_protocol_series(metrics);
  create_shared_series(services, service_count);
  create_limit_series(metrics);
  create_admission_series(metrics, contract);
  metrics->in_flight = metrics_single(METRIC_HTTP_IN_FLIGHT);
  metrics->token_hits = metrics_single(METRIC_TOKEN_CACHE_HITS);
  metrics->token_misses = metrics_single(METRIC_TOKEN_CACHE_MISSES);
  metrics->keys_ok = metrics_series(METRIC_KEYS_REFRESHED, &SLICE("ok"), 1);
  metrics->keys_failed = metrics_series(METRIC_KEYS_REFRESHED, &SLICE("failed"), 1);
  metrics->api_keys_ok = metrics_series(METRIC_API_KEY_EXCHANGES, &SLICE("ok"), 1);
  metrics->api_keys_refused = metrics_series(METRIC_API_KEY_EXCHANGES, &SLICE("refused"), 1);
  metrics->api_keys_failed = metrics_series(METRIC_API_KEY_EXCHANGES, &SLICE("failed"), 1);
}

void gateway_metrics_free(struct gateway_metrics *metrics)
{
  free(metrics->requests);
  free(metrics->durations);
  free(metrics->by_protocol);
  free(metrics->admission);
  *metrics = (struct gateway_metrics){0};
}

void gateway_metrics_count(const struct gateway_metrics *metrics, enum protocol_number protocol,
                           const struct contract_method *method, int http_status, uint64_t duration_us)
{
  size_t row = method == NULL || method->policy.access == ACCESS_INTERNAL ? metrics->method_count : method->index;
  size_t place = find_code_place(http_status);
  metric_add(metrics->requests[row * CODE_COUNT + place], 1);
  metric_add(metrics->by_protocol[(size_t)protocol * CODE_COUNT + place], 1);
  metric_observe_us(metrics->durations[row], duration_us);
}
