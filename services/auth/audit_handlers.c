#include "services/auth/audit_handlers.h"

#include "auth/queries.bh.h"
#include "common/service/call.h"
#include "common/service/resource.h"
#include "services/auth/audit.h"

// The last second of the year 9999.
#define LATEST_S INT64_C(253402300799)

static int64_t micros_of(const Google__Protobuf__Timestamp *time, int64_t otherwise_s)
{
  return time == NULL ? otherwise_s * 1000000 : time->seconds * 1000000 + time->nanos / 1000;
}

static enum status list_audit_events(struct call *call, const Auth__V1__ListAuditEventsRequest *request,
                                     Auth__V1__ListAuditEventsResponse *response)
{
  (void)response;
  const struct auth_db_list_audit_events_params params = {.start_time = micros_of(request->start_time, 0),
                                                          .end_time = micros_of(request->end_time, LATEST_S)};
  enum status status = audit_check_action(call, request->action);
  if (status != STATUS_OK)
    return status;
  if (params.start_time > params.end_time) {
    call_violation(call, "startTime", "is after endTime");
    return call_fail(call, STATUS_INVALID_ARGUMENT, "INVALID_TIME_RANGE",
                     "startTime is after endTime, so no event can match; exchange them");
  }
  return resource_list(call, &auth_db_list_audit_events, &params, &request->base);
}

static enum status list_own_audit_events(struct call *call, const Auth__V1__ListOwnAuditEventsRequest *request,
                                         Auth__V1__ListAuditEventsResponse *response)
{
  (void)response;
  const struct auth_db_list_own_audit_events_params params = {.user_id = resource_caller(call)};
  enum status status = audit_check_action(call, request->action);
  return status == STATUS_OK ? resource_list(call, &auth_db_list_own_audit_events, &params, &request->base) : status;
}

const struct auth_v1_audit_service_handlers auth_audit_handlers = {
    .list_audit_events = list_audit_events,
    .list_own_audit_events = list_own_audit_events,
};
