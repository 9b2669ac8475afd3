#include "services/user/address_handlers.h"

#include "common/observe/log.h"
#include "common/service/call.h"
#include "common/service/service.h"
#include "services/user/user_handlers.h"
#include "user/queries.bh.h"

static struct query_db own_db(struct call *call)
{
  return query_on(service_pg(call_service(call)));
}

static enum status get_address(struct call *call, const User__V1__GetAddressRequest *request,
                               User__V1__Address *response)
{
  enum status status = user_db_get_address(own_db(call), request->user_id, call_arena(call), response);
  return status == STATUS_NOT_FOUND ? resource_fail_not_found(call, &user_resource, request->user_id) : status;
}

static enum status fail_changed(struct call *call)
{
  return call_fail(call, STATUS_FAILED_PRECONDITION, "ADDRESS_CHANGED", "the account has another address by now");
}

// Judges a statement that has changed nothing: where the account is as it should be, it was a repeat, and no error.
static enum status judge_repeat(struct call *call, const char *user_id, const char *email, int64_t least_version)
{
  User__V1__Address now = USER__V1__ADDRESS__INIT;
  enum status status = user_db_get_address(own_db(call), user_id, call_arena(call), &now);
  if (status == STATUS_NOT_FOUND)
    return fail_changed(call);
  if (status != STATUS_OK)
    return status;
  bool is_so = slice_equal_ignore_case(slice_from_string(now.email), slice_from_string(email));
  return is_so && now.version >= least_version ? STATUS_OK : fail_changed(call);
}

static enum status confirm_address(struct call *call, const User__V1__ConfirmAddressRequest *request,
                                   Google__Protobuf__Empty *response)
{
  (void)response;
  const struct user_db_confirm_address_params params = {.id = request->user_id, .email = request->email};
  int64_t confirmed = 0;
  enum status status = user_db_confirm_address(own_db(call), &params, call_arena(call), &confirmed);
  if (status != STATUS_OK || confirmed > 0)
    return status;
  return judge_repeat(call, request->user_id, request->email, 0);
}

static enum status make_change(struct call *call, const User__V1__ChangeAddressRequest *request, int64_t *changed)
{
  const struct user_db_restore_address_params restore = {
      .id = request->user_id, .email = request->email, .version = request->version, .cause = request->cause};
  const struct user_db_change_address_params change = {.id = request->user_id,
                                                       .email = request->email,
                                                       .version = request->version,
                                                       .hold_ms = request->hold_ms,
                                                       .cause = request->cause};
  return request->undo ? user_db_restore_address(own_db(call), &restore, call_arena(call), changed)
                       : user_db_change_address(own_db(call), &change, call_arena(call), changed);
}

static enum status change_address(struct call *call, const User__V1__ChangeAddressRequest *request,
                                  Google__Protobuf__Empty *response)
{
  (void)response;
  int64_t changed = 0;
  enum status status = make_change(call, request, &changed);
  if (status == STATUS_ALREADY_EXISTS)
    return call_fail(call, status, "EMAIL_TAKEN", "an account with this address exists");
  if (status != STATUS_OK)
    return status;
  if (changed == 0)
    return judge_repeat(call, request->user_id, request->email, request->version + 1);
  if (user_db_forget_held_addresses(own_db(call), call_arena(call)) != STATUS_OK)
    log_info("addresses", "could not forget addresses that are held no more; the next change does");
  return STATUS_OK;
}

const struct user_v1_address_service_handlers user_address_handlers = {
    .get_address = get_address,
    .confirm_address = confirm_address,
    .change_address = change_address,
};
