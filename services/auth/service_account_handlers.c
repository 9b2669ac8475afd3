#include "services/auth/service_account_handlers.h"

#include "auth/queries.bh.h"
#include "common/service/call.h"
#include "common/service/resource.h"
#include "services/auth/auth_roles.h"
#include "services/auth/service_accounts.h"

static enum status create_service_account(struct call *call, const Auth__V1__CreateServiceAccountRequest *request,
                                          Auth__V1__ServiceAccount *response)
{
  return service_accounts_create(call, request, response);
}

static enum status get_service_account(struct call *call, const Auth__V1__GetServiceAccountRequest *request,
                                       Auth__V1__ServiceAccount *response)
{
  (void)response;
  return resource_get(call, &service_account_resource, &request->base);
}

static enum status list_service_accounts(struct call *call, const Auth__V1__ListServiceAccountsRequest *request,
                                         Auth__V1__ListServiceAccountsResponse *response)
{
  (void)response;
  return resource_list(call, &auth_db_list_service_accounts, NULL, &request->base);
}

static enum status update_service_account(struct call *call, const Auth__V1__UpdateServiceAccountRequest *request,
                                          Auth__V1__ServiceAccount *response)
{
  (void)response;
  const char *id = request->service_account->id;
  enum status status = auth_roles_check_target(call, resource_db(call), id);
  if (status == STATUS_NOT_FOUND)
    return resource_fail_not_found(call, &service_account_resource, id);
  return status == STATUS_OK ? resource_update(call, &service_account_resource, &request->base) : status;
}

static enum status delete_service_account(struct call *call, const Auth__V1__DeleteServiceAccountRequest *request,
                                          Google__Protobuf__Empty *response)
{
  (void)response;
  return service_accounts_delete(call, request);
}

const struct auth_v1_service_account_service_handlers auth_service_account_handlers = {
    .create_service_account = create_service_account,
    .get_service_account = get_service_account,
    .list_service_accounts = list_service_accounts,
    .update_service_account = update_service_account,
    .delete_service_account = delete_service_account,
};
