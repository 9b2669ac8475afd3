// A token that was verified once costs a lookup of its text afterwards (token.h).
#include "common/service/callers_internal.h"

#include "common/base/clock.h"
#include "common/observe/metrics.h"
#include "common/rpc/rpc_client.h"
#include "common/runtime/task.h"
#include "common/service/call_internal.h"
#include "common/service/service_internal.h"

// ---- keys ----

static struct rpc_call *call_by_client(void *arg, const struct rpc_call_options *options, rpc_done_fn *done,
                                       void *done_arg)
{
  struct service *service = arg;
  return rpc_client_call(service->client, options, done, done_arg);
}

static bool cancel_by_client(void *arg, struct rpc_call *call)
{
  (void)arg;
  return rpc_call_cancel(call);
}

static void on_timer(void *arg)
{
  struct callers *callers = arg;
  callers->armed_us = DEADLINE_NONE;
  keys_process(&callers->keys, clock_now_us());
}

static void on_turn_end(void *arg)
{
  struct callers *callers = arg;
  uint64_t next_us = keys_next_timeout_us(&callers->keys);
  // A timer that fires too early does no harm, because it is set again then.
  if (next_us >= callers->armed_us)
    return;
  callers->armed_us = next_us;
  loop_timer_start(callers->timer, deadline_left_ms(next_us, clock_now_us()));
}

static const struct rpc_method *find_keys_method(const struct service_definition *definition)
{
  const struct rpc_service *issuer = definition->token_issuer;
  for (size_t i = 0; issuer != NULL && i < issuer->method_count; i++)
    if (slice_equal_string(slice_skip(slice_from_string(issuer->methods[i].full_name), strlen(issuer->full_name) + 1),
                           definition->token_keys_method))
      return &issuer->methods[i];
  return NULL;
}

static void start_fetching(struct callers *callers, struct service *service, const struct rpc_method *method)
{
  callers->fetches = true;
  callers->backend = (struct backend){.arg = service, .call = call_by_client, .cancel = cancel_by_client};
  const struct keys_options options = {
      .source = {.service = method->service, .method = slice_from_string(method->full_name), .reply = method->output},
      .verifier = callers->verifier,
      .backend = &callers->backend,
      .ok = metrics_series(METRIC_KEYS_REFRESHED, &SLICE("ok"), 1),
      .failed = metrics_series(METRIC_KEYS_REFRESHED, &SLICE("failed"), 1),
      .now_us = clock_now_us,
  };
  keys_init(&callers->keys, &options);
  callers->timer = loop_timer_create(callers->loop, on_timer, callers);
  callers->armed_us = DEADLINE_NONE;
  callers->hook = (struct loop_hook){.run = on_turn_end, .arg = callers};
  loop_hook_add(callers->loop, &callers->hook);
}

struct token_verifier *callers_make_verifier(const struct common_settings *common)
{
  return token_verifier_create(&(struct token_verifier_options){
      .issuer = common->auth_issuer, .audience = common->auth_audience, .extra_leeway_s = CALLERS_EXTRA_LEEWAY_S});
}

enum status callers_open(struct callers *callers, struct service *service, struct error *error)
{
  const struct common_settings *common = &service->common;
  callers->loop = service->loop;
  callers->verifier = callers_make_verifier(common);
  if (common->token_keys != NULL) {
    callers->is_fixed = true;
    enum status status = token_verifier_read_keys(callers->verifier, common->token_keys, error);
    if (status == STATUS_OK)
      return STATUS_OK;
    error_prefix(error, "TOKEN_KEYS");
    return STATUS_INVALID_ARGUMENT;
  }
  const struct rpc_method *method = find_keys_method(service->definition);
  if (method == NULL)
    return STATUS_OK;
  service_follow_peer(service, method->service);
  start_fetching(callers, service, method);
  return STATUS_OK;
}

void callers_close(struct callers *callers)
{
  if (callers->fetches) {
    keys_stop(&callers->keys);
    loop_hook_remove(&callers->hook);
    loop_timer_free(&callers->timer);
  }
  token_verifier_free(&callers->verifier);
  *callers = (struct callers){0};
}

bool callers_need_keys(const struct callers *callers)
{
  return callers->fetches || callers_know_keys(callers);
}

bool callers_know_keys(const struct callers *callers)
{
  return token_verifier_key_count(callers->verifier) > 0;
}

enum status service_set_token_keys(struct service *service, const struct token_public_key *keys, size_t count,
                                   struct error *error)
{
  struct callers *callers = &service->callers;
  // A command of the service serves no calls.
  if (callers->is_fixed || callers->verifier == NULL)
    return STATUS_OK;
  return token_verifier_set_keys(callers->verifier, keys, count, error);
}

static void on_keys(void *arg)
{
  completion_finish(arg, STATUS_OK);
}

enum status callers_wait(struct callers *callers, struct key_wait *wait)
{
  struct completion done = {0};
  *wait = (struct key_wait){.wake = on_keys, .arg = &done};
  keys_wait(&callers->keys, wait);
  enum status status = completion_wait(&done);
  keys_stop_waiting(wait);
  return status;
}

// ---- tokens ----

static const struct slice *copy_texts(struct arena *arena, const struct slice *texts, size_t count)
{
  struct slice *copies = arena_array(arena, count, sizeof(*copies));
  for (size_t i = 0; i < count; i++)
    copies[i] = arena_copy(arena, texts[i]);
  return copies;
}

// Copies the claims, because the verifier overwrites them in its next call.
static void take_claims(struct call *call, const struct token_claims *claims)
{
  call->verified.caller_id = arena_copy(call->arena, claims->subject);
  call->verified.caller_roles = copy_texts(call->arena, claims->roles, claims->role_count);
  call->verified.caller_role_count = claims->role_count;
  call->verified.caller_permissions = copy_texts(call->arena, claims->permissions, claims->permission_count);
  call->verified.caller_permission_count = claims->permission_count;
  call->verified.caller_is_limited = claims->is_limited;
  call->verified.caller_session = arena_copy(call->arena, claims->session);
  call->verified.caller_generation = claims->generation;
  call->verified.caller_auth_time = claims->auth_time;
}

enum callers_result callers_identify(struct callers *callers, struct call *call, const struct key_wait *waited)
{
  struct slice token = call->context->access_token;
  if (token.size == 0)
    return CALLERS_OK;
  const struct token_claims *claims = NULL;
  enum token_result result = token_verify(callers->verifier, token, clock_wall_us() / 1000000, &claims, NULL);
  if (result == TOKEN_VALID) {
    take_claims(call, claims);
    return CALLERS_OK;
  }
  if (result == TOKEN_UNKNOWN_KEY && waited == NULL && callers->fetches)
    return CALLERS_WAIT;
  bool may_be_new = result == TOKEN_UNKNOWN_KEY && waited != NULL && !keys_fetched_since(&callers->keys, waited);
  if (!callers_know_keys(callers) || may_be_new)
    call->refusal =
        call_fail(call, STATUS_UNAVAILABLE, RPC_NOT_APPLIED, "tokens cannot be verified right now; try again later");
  else
    call->refusal = call_fail(call, STATUS_UNAUTHENTICATED, result == TOKEN_EXPIRED ? "TOKEN_EXPIRED" : "INVALID_TOKEN",
                              "%s", token_result_text(result));
  return CALLERS_REFUSED;
}
