// All services of a process have one status: they share its phase and its keys. /readyz answers by the same state.
#include "common/service/health_internal.h"

#include <string.h>

#include "common/runtime/task.h"
#include "common/service/service_internal.h"

// How often a watch looks for a change.
enum { WATCH_EVERY_MS = 100 };

#define SERVING GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING
#define NOT_SERVING GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING
#define SERVICE_UNKNOWN GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN

static Grpc__Health__V1__HealthCheckResponse__ServingStatus find_process_status(const struct service *service)
{
  const struct readiness readiness = service_readiness(service);
  return readiness_is_ready(&readiness) ? SERVING : NOT_SERVING;
}

// Returns the status of a proto service by its full name, or of the process by "".
static Grpc__Health__V1__HealthCheckResponse__ServingStatus find_status(const struct service *service, const char *name)
{
  if (name[0] == '\0')
    return find_process_status(service);
  for (size_t i = 0; i < service->binding_count; i++)
    if (strcmp(service->bindings[i].service->full_name, name) == 0)
      return find_process_status(service);
  return SERVICE_UNKNOWN;
}

static enum status check(struct call *call, const Grpc__Health__V1__HealthCheckRequest *request,
                         Grpc__Health__V1__HealthCheckResponse *response)
{
  response->status = find_status(call_service(call), request->service);
  if (response->status != SERVICE_UNKNOWN)
    return STATUS_OK;
  return call_fail(call, STATUS_NOT_FOUND, "SERVICE_UNKNOWN", "this process does not serve %s", request->service);
}

static Grpc__Health__V1__HealthListResponse__StatusesEntry *make_entry(struct call *call, const char *name)
{
  Grpc__Health__V1__HealthListResponse__StatusesEntry *entry = arena_alloc(call_arena(call), sizeof(*entry));
  Grpc__Health__V1__HealthCheckResponse *value = arena_alloc(call_arena(call), sizeof(*value));
  grpc__health__v1__health_list_response__statuses_entry__init(entry);
  grpc__health__v1__health_check_response__init(value);
  value->status = find_process_status(call_service(call));
  entry->key = (char *)name;
  entry->value = value;
  return entry;
}

static enum status list(struct call *call, const Grpc__Health__V1__HealthListRequest *request,
                        Grpc__Health__V1__HealthListResponse *response)
{
  (void)request;
  const struct service *service = call_service(call);
  response->n_statuses = service->binding_count + 1;
  response->statuses = arena_array(call_arena(call), response->n_statuses, sizeof(*response->statuses));
  response->statuses[0] = make_entry(call, "");
  for (size_t i = 0; i < service->binding_count; i++)
    response->statuses[i + 1] = make_entry(call, service->bindings[i].service->full_name);
  return STATUS_OK;
}

static bool send_status(struct stream *stream, Grpc__Health__V1__HealthCheckResponse__ServingStatus status)
{
  Grpc__Health__V1__HealthCheckResponse response = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
  response.status = status;
  return grpc_health_v1_health_watch_write_response(stream, &response);
}

static enum status watch(struct call *call, const Grpc__Health__V1__HealthCheckRequest *request, struct stream *stream)
{
  enum status status = STATUS_OK;
  Grpc__Health__V1__HealthCheckResponse__ServingStatus sent =
      GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__UNKNOWN;
  while (status == STATUS_OK) {
    // Asked first, because a drain that begins later must still be sent as a change.
    bool is_last = call_is_draining(call);
    Grpc__Health__V1__HealthCheckResponse__ServingStatus now = find_status(call_service(call), request->service);
    if (now != sent && !send_status(stream, now))
      return stream_status(stream);
    sent = now;
    if (is_last)
      return call_fail(call, STATUS_UNAVAILABLE, "DRAINING", "this instance is about to end; watch another one");
    status = task_sleep_ms(WATCH_EVERY_MS);
  }
  return status;
}

const struct grpc_health_v1_health_handlers health_handlers = {.check = check, .list = list, .watch = watch};
