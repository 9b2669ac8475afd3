#include "services/user/export_handlers.h"

#include "common/service/call.h"
#include "common/service/resource.h"
#include "services/user/user_handlers.h"
#include "services/user/user_peers.h"
#include "user/queries.bh.h"

static enum status export_current_user(struct call *call, const User__V1__ExportCurrentUserRequest *request,
                                       User__V1__UserExport *response)
{
  const char *id = resource_caller(call);
  response->account = arena_alloc(call_arena(call), sizeof(*response->account));
  user__v1__user__init(response->account);
  enum status status = user_db_get(resource_db(call), id, call_arena(call), response->account);
  if (status == STATUS_NOT_FOUND)
    return resource_fail_not_found(call, &user_resource, id);
  if (status != STATUS_OK)
    return status;
  status = user_peers_export_sessions(call, id, response);
  if (status == STATUS_OK)
    status = user_peers_export_items(call, id, request->page_token, response);
  return status == STATUS_OK ? status : call_fail_as_peer(call, status);
}

const struct user_v1_export_service_handlers user_export_handlers = {.export_current_user = export_current_user};
