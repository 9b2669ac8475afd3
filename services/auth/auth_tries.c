#include "services/auth/auth_tries.h"

#include "common/observe/log.h"
#include "common/observe/metrics.h"
#include "common/service/call.h"
#include "services/auth/auth_passwords.h"
#include "services/auth/auth_state.h"

static void log_refusal(const char *message, const struct login_try *try)
{
  log_warn("login", message, LOG_STRING("account", try->account), LOG_STRING("source", try->source),
           LOG_BOOL("knownDevice", try->device != NULL));
}

// Refuses a try before the password is compared.
static enum status refuse(struct call *call, const struct login_try *try)
{
  struct auth_state *state = call_state(call);
  metric_add(state->logins[LOGIN_LIMITED], 1);
  log_refusal("a login was refused: too many to this account have failed", try);
  call_retry_after(call, try->retry_after_ms);
  return call_fail(call, STATUS_RESOURCE_EXHAUSTED, GCRA_FAILURES_REASON,
                   "too many logins to this account have failed; try again later, or from a device that it knows");
}

enum status auth_tries_begin(struct call *call, const char *email, const char *device_token, struct device *device,
                             struct login_try *try)
{
  struct auth_state *state = call_state(call);
  struct arena *arena = call_arena(call);
  const char *secret = state->stored_secret;
  *try =
      (struct login_try){.account = auth_devices_account(secret, email, arena), .address = call_client_address(call)};
  const struct device_scope devices = auth_state_devices(state, try->account);
  if (auth_devices_read(&devices, device_token, arena, device))
    try->device = device;
  try->source = auth_limits_name_source(try, arena);
  if (!auth_passwords_have_room(call)) {
    metric_add(state->logins[LOGIN_BUSY], 1);
    return auth_passwords_fail_busy(call);
  }
  auth_limits_begin_try(&state->limits, try, arena);
  return try->kind == LOGIN_TRY_REFUSED ? refuse(call, try) : STATUS_OK;
}

void auth_tries_settle(struct call *call, const struct login_try *try, enum status status)
{
  struct auth_state *state = call_state(call);
  switch (status) {
  case STATUS_OK:
    metric_add(state->logins[LOGIN_OK], 1);
    auth_limits_reset_tries(&state->limits, try, call_arena(call));
    return;
  case STATUS_UNAUTHENTICATED:
    metric_add(state->logins[LOGIN_WRONG], 1);
    log_refusal("a login failed: the address or the password is wrong", try);
    return;
  case STATUS_CANCELLED:
    return;
  case STATUS_RESOURCE_EXHAUSTED:
    metric_add(state->logins[LOGIN_BUSY], 1);
    break;
  default:
    break;
  }
  auth_limits_return_try(&state->limits, try, call_arena(call));
}
