// The rate limits that the gateways share: shares for most requests, and attempts, each counted, for logins and
// sign-ups.
#include "common/base/source.h"
#include "common/service/call.h"
#include "services/auth/auth_devices.h"
#include "services/auth/auth_handlers.h"
#include "services/auth/auth_limits.h"
#include "services/auth/auth_state.h"
#include "services/auth/settings.h"

// How many successes of one source are given back: 60 a minute.
static const struct gcra_limit free_successes = {.interval_ns = 1000000000, .burst = 60};

static enum status read_limit(struct call *call, const Auth__V1__RateLimit *limit, struct gcra_limit *out)
{
  *out = (struct gcra_limit){.interval_ns = limit->interval_ns, .burst = limit->burst};
  if (gcra_is_in_bounds(out))
    return STATUS_OK;
  return call_fail(call, STATUS_INVALID_ARGUMENT, "INVALID_REQUEST",
                   "a limit holds at most %d units, and is full again within 366 days", GCRA_MAX_UNITS);
}

static void write_state(const struct share_state *state, Auth__V1__RateLimitState *response)
{
  response->granted = state->granted;
  response->remaining = state->remaining;
  response->overdrawn = state->overdrawn;
  response->retry_after_us = state->retry_after_us;
  response->reset_us = state->reset_us;
}

static enum status take(struct call *call, const struct limit_request *request, Auth__V1__RateLimitState *response)
{
  struct auth_state *state = call_state(call);
  struct share_state limit;
  enum status status = auth_limits_take(&state->limits, request, call_arena(call), &limit);
  if (status == STATUS_OK)
    write_state(&limit, response);
  return status;
}

static enum status take_share(struct call *call, const Auth__V1__TakeShareRequest *request,
                              Auth__V1__RateLimitState *response)
{
  struct limit_request share = {.key = arena_printf(call_arena(call), "auth:limit:%s", request->key),
                                .charge = request->charge,
                                .wanted = request->wanted};
  enum status status = read_limit(call, request->limit, &share.limit);
  return status == STATUS_OK ? take(call, &share, response) : status;
}

// Names what an attempt counts against: its address, or, for a login from a device that the account knows, that account
// at that address. All devices of an account share this one bucket, because anybody gets as many devices as he likes by
// logging in to an account of his own.
static char *find_source(struct call *call, const Auth__V1__BeginAttemptRequest *request)
{
  const struct auth_state *state = call_state(call);
  const char *secret = state->stored_secret;
  struct arena *arena = call_arena(call);
  char source[SOURCE_TEXT_SIZE];
  source_of_address(slice_from_string(request->address), source);
  Auth__V1__LoginRequest *login =
      request->login.len == 0 ? NULL : auth__v1__login_request__unpack(NULL, request->login.len, request->login.data);
  if (login == NULL)
    return arena_string(arena, slice_from_string(source));
  const char *account = auth_devices_account(secret, login->email, arena);
  struct device device;
  const struct device_scope devices = auth_state_devices(state, account);
  bool is_known = auth_devices_read(&devices, login->device_token, arena, &device);
  auth__v1__login_request__free_unpacked(login, NULL);
  return is_known ? arena_printf(arena, "%s:%s", account, source) : arena_string(arena, slice_from_string(source));
}

static enum status begin_attempt(struct call *call, const Auth__V1__BeginAttemptRequest *request,
                                 Auth__V1__RateLimitState *response)
{
  response->source = find_source(call, request);
  struct limit_request attempt = {.key = arena_printf(call_arena(call), "auth:attempt:%s", response->source),
                                  .wanted = 1};
  enum status status = read_limit(call, request->limit, &attempt.limit);
  return status == STATUS_OK ? take(call, &attempt, response) : status;
}

static enum status forgive_attempt(struct call *call, const Auth__V1__ForgiveAttemptRequest *request,
                                   Google__Protobuf__Empty *response)
{
  (void)response;
  struct auth_state *state = call_state(call);
  struct arena *arena = call_arena(call);
  struct share_state limit = {.granted = 1};
  struct limit_request attempt = {.key = arena_printf(arena, "auth:attempt:%s", request->source), .charge = -1};
  enum status status = read_limit(call, request->limit, &attempt.limit);
  const struct limit_request success = {
      .key = arena_printf(arena, "auth:success:%s", request->source), .limit = free_successes, .wanted = 1};
  if (status == STATUS_OK && request->succeeded)
    status = auth_limits_take(&state->limits, &success, arena, &limit);
  if (status == STATUS_OK && limit.granted == 1)
    status = auth_limits_take(&state->limits, &attempt, arena, &limit);
  return status;
}

const struct auth_v1_rate_limit_service_handlers auth_limit_handlers = {
    .take_share = take_share,
    .begin_attempt = begin_attempt,
    .forgive_attempt = forgive_attempt,
};
