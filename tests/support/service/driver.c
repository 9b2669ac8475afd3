#include "tests/support/service/driver.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "common/service/proto_memory_internal.h"
#include "tests/support/common/service_keys.h"
#include "tests/support/service/process.h"

// How long one turn waits at most. The callers check their own deadlines between turns.
#define MAX_TURN_MS 1000

// How long after its deadline a call waits for what the service says of it.
#define REPLY_WAIT_MS 10000

// The services that driver_know was told of.
static struct {
  char url[128];
  char service[32];
} known[16];

void driver_know(const char *url, const char *service)
{
  size_t i = 0;
  while (known[i].url[0] != '\0' && strcmp(known[i].url, url) != 0)
    cr_assert_lt(++i, ARRAY_LEN(known));
  snprintf(known[i].url, sizeof(known[i].url), "%s", url);
  snprintf(known[i].service, sizeof(known[i].service), "%s", service);
}

static const char *find_service(const char *url)
{
  for (size_t i = 0; i < ARRAY_LEN(known); i++)
    if (strcmp(known[i].url, url) == 0)
      return known[i].service;
  cr_assert_fail("nothing was started at %s", url);
  return NULL;
}

void driver_turn(struct driver *driver)
{
  uint64_t next_us = rpc_client_next_timeout_us(driver->client);
  uint32_t wait_ms = next_us == DEADLINE_NONE ? MAX_TURN_MS : deadline_left_ms(next_us, clock_now_us());
  struct pollfd ready = {.fd = rpc_client_fd(driver->client), .events = POLLIN};
  poll(&ready, 1, (int)(wait_ms > MAX_TURN_MS ? MAX_TURN_MS : wait_ms));
  // This comes last, so that the caller sees which calls have ended before it waits again.
  rpc_client_process(driver->client, clock_now_us());
  rpc_client_flush(driver->client);
}

void driver_open(struct driver *driver, const char *url, const char *as)
{
  arena_init(&driver->arena);
  driver->service = find_service(url);
  driver->user = driver->token = driver->user_session = (struct slice){0};
  (void)service_keys_public(driver->service);
  driver->identity = service_keys_identity(as);
  const struct rpc_client_options options = {.identity = driver->identity};
  driver->client = rpc_client_create(&options);
  const struct rpc_endpoint endpoint = {
      .id = SLICE("only"),
      .url = slice_from_string(url),
  };
  rpc_client_set_endpoints(driver->client, driver->service, &endpoint, 1);
  uint64_t end_us = patience_end_us();
  while (rpc_client_ready_endpoints(driver->client, driver->service) == 0) {
    cr_assert_lt(clock_now_us(), end_us, "nobody can be connected to at %s", url);
    driver_turn(driver);
  }
}

void driver_close(struct driver *driver)
{
  rpc_client_free(&driver->client);
  service_identity_free(&driver->identity);
  arena_free(&driver->arena);
}

static void on_done(void *arg, const struct rpc_status *status, struct slice payload)
{
  struct outcome *outcome = arg;
  struct arena *arena = &outcome->driver->arena;
  outcome->done = true;
  outcome->status = status->code;
  outcome->message = arena_copy(arena, status->message);
  outcome->reason = arena_copy(arena, status->reason);
  outcome->retry_after_ms = status->retry_after_ms;
  outcome->violation_count = status->violation_count;
  if (status->violation_count > 0) {
    outcome->violation_field = arena_copy(arena, status->violations[0].field);
    outcome->violation_description = arena_copy(arena, status->violations[0].description);
  }
  outcome->payload = arena_copy(arena, payload);
}

// Returns a token of the context's user: the last one, where it is the same user's. Who is given no role has the one
// that every account has.
static struct slice find_token(struct driver *driver, const struct rpc_context *context)
{
  static const struct slice USER = SLICE_INIT("user");
  bool has_roles = context->caller_role_count > 0;
  if (!slice_equal(driver->user, context->caller_id) || driver->user_roles != context->caller_role_count ||
      driver->user_auth_time != context->caller_auth_time ||
      !slice_equal(driver->user_session, context->caller_session)) {
    driver->user = arena_copy(&driver->arena, context->caller_id);
    driver->user_roles = context->caller_role_count;
    driver->user_auth_time = context->caller_auth_time;
    driver->user_session = arena_copy(&driver->arena, context->caller_session);
    driver->token = service_keys_token(context->caller_id, has_roles ? context->caller_roles : &USER,
                                       has_roles ? context->caller_role_count : 1, context->caller_auth_time,
                                       context->caller_session);
  }
  return driver->token;
}

struct rpc_context driver_authenticate(struct driver *driver, const struct rpc_context *context)
{
  struct rpc_context with_token = context == NULL ? (struct rpc_context){0} : *context;
  if (with_token.access_token.size == 0 && with_token.caller_id.size != 0)
    with_token.access_token = find_token(driver, context);
  return with_token;
}

void driver_begin(struct driver *driver, const char *method, struct slice payload, const struct rpc_context *context,
                  uint64_t timeout_ms, struct outcome *outcome)
{
  *outcome = (struct outcome){.driver = driver};
  struct rpc_context with_token = driver_authenticate(driver, context);
  const struct rpc_call_options options = {
      .service = driver->service,
      .method = slice_from_string(method),
      .payload = payload,
      .deadline_us = deadline_after_ms(clock_now_us(), timeout_ms),
      .reply_wait_ms = REPLY_WAIT_MS,
      .context = context == NULL ? NULL : &with_token,
  };
  outcome->call = rpc_client_call(driver->client, &options, on_done, outcome);
  rpc_client_flush(driver->client);
}

void driver_finish(struct driver *driver, const struct outcome *outcome)
{
  uint64_t end_us = patience_end_us();
  while (!outcome->done) {
    cr_assert_lt(clock_now_us(), end_us, "the call did not end");
    driver_turn(driver);
  }
}

void driver_wait_lost(struct driver *driver)
{
  uint64_t end_us = patience_end_us();
  while (rpc_client_ready_endpoints(driver->client, driver->service) > 0) {
    cr_assert_lt(clock_now_us(), end_us, "the connection stays");
    driver_turn(driver);
  }
}

struct slice driver_pack(struct driver *driver, const ProtobufCMessage *message)
{
  return proto_pack_arena(message, &driver->arena);
}

struct prepared_call driver_prepare(struct driver *driver, const char *method, const ProtobufCMessage *request,
                                    const struct rpc_context *context)
{
  return (struct prepared_call){
      .driver = driver, .method = method, .request = driver_pack(driver, request), .context = *context};
}

void driver_begin_prepared(const struct prepared_call *call, struct outcome *outcome)
{
  driver_begin(call->driver, call->method, call->request, &call->context, 30000, outcome);
}

struct outcome driver_call(struct driver *driver, const char *method, const ProtobufCMessage *request,
                           const struct rpc_context *context)
{
  struct outcome outcome;
  driver_begin(driver, method, driver_pack(driver, request), context, 10000, &outcome);
  driver_finish(driver, &outcome);
  return outcome;
}

ProtobufCMessage *driver_reply(const struct outcome *outcome, const ProtobufCMessageDescriptor *descriptor)
{
  cr_assert_eq(outcome->status, STATUS_OK, "%s: " SLICE_FMT, status_name(outcome->status), SLICE_ARG(outcome->message));
  ProtobufCMessage *message = proto_unpack(descriptor, outcome->payload, &outcome->driver->arena);
  cr_assert_not_null(message);
  return message;
}
