#include "services/user/removal_handlers.h"

#include "common/service/call.h"
#include "common/service/resource.h"
#include "services/user/user_jobs.h"
#include "user/queries.bh.h"

static enum status remove_account_data(struct call *call, const User__V1__RemoveAccountDataRequest *request,
                                       Google__Protobuf__Empty *response)
{
  (void)response;
  User__V1__User account;
  enum status status = user_db_get(resource_db(call), request->user_id, call_arena(call), &account);
  if (status == STATUS_OK)
    return call_fail(call, STATUS_FAILED_PRECONDITION, "ACCOUNT_EXISTS", "there is a user %s, whose data stay",
                     request->user_id);
  if (status != STATUS_NOT_FOUND)
    return status;
  const struct job_request job = {.kind = USER_REMOVE_DATA, .key = request->user_id};
  return jobs_add(resource_db(call), &job, call_arena(call));
}

const struct user_v1_removal_service_handlers user_removal_handlers = {
    .remove_account_data = remove_account_data,
};
