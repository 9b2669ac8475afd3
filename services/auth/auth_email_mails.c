// The mails that owners of accounts get about their addresses and devices.
#include "auth/queries.bh.h"
#include "common/service/call.h"
#include "common/service/service.h"
#include "services/auth/account_tokens.h"
#include "services/auth/auth_email.h"
#include "services/auth/auth_links.h"
#include "services/auth/auth_mail.h"
#include "services/auth/auth_peers.h"
#include "services/auth/auth_recovery.h"
#include "services/auth/auth_state.h"
#include "services/auth/auth_transaction.h"
#include "services/auth/settings.h"

// How many mails about logins from new devices an account gets within an hour.
#define DEVICE_MAILS_AN_HOUR 5

enum status auth_email_fail_without_mail(struct call *call)
{
  return call_fail(call, STATUS_UNIMPLEMENTED, "NO_MAIL",
                   "this server sends no mail, so no address can be confirmed; ask its operator");
}

static enum status send_in(struct call *call, struct query_db db, const void *link)
{
  bool sent;
  return auth_link_send(call_state(call), db, link, call_arena(call), &sent);
}

// Sends a link in a transaction of its own, so that its token and its mail are there together.
static enum status send_link(struct call *call, const struct auth_link *link)
{
  const struct auth_state *state = call_state(call);
  return state->mail == NULL ? STATUS_OK : auth_transact_apart(call, send_in, link);
}

struct auth_link auth_email_verification(const struct auth_state *state, const char *user_id, const char *email,
                                         int64_t most)
{
  return (struct auth_link){.purpose = AUTH_VERIFY_PURPOSE,
                            .fragment = "verify",
                            .template = "verify_email",
                            .user_id = user_id,
                            .email = email,
                            .ttl_ms = state->settings->verify_ttl_ms,
                            .most_an_hour = most};
}

enum status auth_email_send_verification(struct call *call, const char *user_id, const char *email, int64_t most)
{
  const struct auth_link link = auth_email_verification(call_state(call), user_id, email, most);
  return send_link(call, &link);
}

struct auth_link auth_email_in_use(const struct auth_state *state, const char *user_id, const char *email)
{
  return (struct auth_link){.purpose = AUTH_RESET_PURPOSE,
                            .fragment = "reset",
                            .template = "address_in_use",
                            .user_id = user_id,
                            .email = email,
                            .ttl_ms = state->settings->reset_ttl_ms,
                            .most_an_hour = AUTH_RECOVERY_AN_HOUR};
}

enum status auth_email_tell_sign_up(struct call *call, const char *user_id, const char *email)
{
  const struct auth_link link = auth_email_in_use(call_state(call), user_id, email);
  return send_link(call, &link);
}

enum status auth_email_remind(struct call *call, const char *user_id, bool *may_enter)
{
  const struct auth_state *state = call_state(call);
  struct account_address address;
  *may_enter = true;
  if (!state->settings->verify_email_first)
    return STATUS_OK;
  enum status status = auth_peers_get_address(call, user_id, &address);
  if (status != STATUS_OK || address.verified)
    return status;
  *may_enter = false;
  return auth_email_send_verification(call, user_id, address.email, AUTH_VERIFICATIONS_AN_HOUR);
}

enum status auth_email_demand(struct call *call, const char *user_id)
{
  bool may_enter;
  enum status status = auth_email_remind(call, user_id, &may_enter);
  if (status != STATUS_OK || may_enter)
    return status;
  return call_fail(call, STATUS_PERMISSION_DENIED, "EMAIL_NOT_VERIFIED",
                   "the address of this account is not confirmed yet; open the link in the mail that was sent to it");
}

enum status auth_email_tell_device(struct call *call, struct query_db db, const char *user_id, const char *device_name)
{
  const struct auth_state *state = call_state(call);
  struct arena *arena = call_arena(call);
  struct auth_db_count_new_device_row row;
  if (state->mail == NULL)
    return STATUS_OK;
  enum status status = auth_db_count_new_device(db, user_id, arena, &row);
  if (status == STATUS_NOT_FOUND)
    return STATUS_OK;
  if (status != STATUS_OK || row.device_mails == 0 || row.device_mails > DEVICE_MAILS_AN_HOUR)
    return status;
  const struct auth_mail_notice notice = {
      .user_id = user_id, .address = call_client_address(call), .detail = device_name};
  return auth_mail_tell(state, db, AUTH_MAIL_NEW_DEVICE, &notice, arena);
}
