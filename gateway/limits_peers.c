#include "gateway/limits_peers.h"

#include <stdio.h>
#include <stdlib.h>

#include "auth/v1/auth.pb-c.h"
#include "common/base/check.h"
#include "common/base/wire.h"

// The number of LoginRequest.device_token.
#define LOGIN_DEVICE_TOKEN 3

static void pack_limit(const struct gcra_limit *limit, Auth__V1__RateLimit *out)
{
  auth__v1__rate_limit__init(out);
  out->interval_ns = limit->interval_ns;
  out->burst = limit->burst;
}

static struct rpc_call *send_call(const struct limit_call *call, const ProtobufCMessage *request,
                                  struct rpc_call_options *options)
{
  uint8_t small[512];
  size_t size = protobuf_c_message_get_packed_size(request);
  uint8_t *payload = size <= sizeof(small) ? small : malloc(size);
  CHECK(payload != NULL);
  options->service = "auth";
  options->payload = slice_make(payload, protobuf_c_message_pack(request, payload));
  struct rpc_call *sent = call->backend->call(call->backend->arg, options, call->done, call->arg);
  if (payload != small)
    free(payload);
  return sent;
}

static char *unconst(const char *text)
{
  return (char *)(uintptr_t)text;
}

struct rpc_call *limits_peers_take_share(const struct limit_call *call, const char *key, int32_t charge,
                                         uint32_t wanted)
{
  Auth__V1__TakeShareRequest request = AUTH__V1__TAKE_SHARE_REQUEST__INIT;
  Auth__V1__RateLimit limit;
  pack_limit(call->limit, &limit);
  request.key = unconst(key);
  request.limit = &limit;
  request.charge = charge;
  request.wanted = wanted;
  return send_call(call, &request.base,
                   &(struct rpc_call_options){.method = SLICE("auth.v1.RateLimitService/TakeShare"),
                                              .deadline_us = call->now_us + LIMITS_SHARE_TIMEOUT_US});
}

struct rpc_call *limits_peers_begin_attempt(const struct limit_call *call, const char *address, struct slice login,
                                            const struct rpc_context *context)
{
  Auth__V1__BeginAttemptRequest request = AUTH__V1__BEGIN_ATTEMPT_REQUEST__INIT;
  Auth__V1__RateLimit limit;
  pack_limit(call->limit, &limit);
  request.address = unconst(address);
  request.limit = &limit;
  request.login = (ProtobufCBinaryData){.data = (uint8_t *)(uintptr_t)login.data, .len = login.size};
  return send_call(call, &request.base,
                   &(struct rpc_call_options){.method = SLICE("auth.v1.RateLimitService/BeginAttempt"),
                                              .deadline_us = call->now_us + LIMITS_ATTEMPT_TIMEOUT_US,
                                              .context = context});
}

bool limits_peers_names_device(struct slice login)
{
  struct wire_reader reader = wire_reader_make(login);
  struct wire_field field;
  while (wire_read(&reader, &field) == WIRE_FIELD)
    if (field.number == LOGIN_DEVICE_TOKEN && field.type == WIRE_BYTES && field.bytes.size > 0)
      return true;
  return false;
}

static void ignore_end(void *arg, const struct rpc_status *status, struct slice payload)
{
  (void)arg;
  (void)status;
  (void)payload;
}

void limits_peers_forgive_attempt(const struct limit_call *call, const char *source, bool succeeded)
{
  Auth__V1__ForgiveAttemptRequest request = AUTH__V1__FORGIVE_ATTEMPT_REQUEST__INIT;
  Auth__V1__RateLimit limit;
  pack_limit(call->limit, &limit);
  request.source = unconst(source);
  request.limit = &limit;
  request.succeeded = succeeded;
  struct limit_call forgotten = *call;
  forgotten.done = ignore_end;
  forgotten.arg = NULL;
  (void)send_call(&forgotten, &request.base,
                  &(struct rpc_call_options){.method = SLICE("auth.v1.RateLimitService/ForgiveAttempt"),
                                             .deadline_us = call->now_us + LIMITS_ATTEMPT_TIMEOUT_US});
}

bool limits_peers_read_state(const struct rpc_status *status, struct slice payload, struct limit_state *state)
{
  if (status->code != STATUS_OK)
    return false;
  Auth__V1__RateLimitState *answer =
      auth__v1__rate_limit_state__unpack(NULL, payload.size, (const uint8_t *)payload.data);
  if (answer == NULL)
    return false;
  *state = (struct limit_state){.granted = answer->granted,
                                .remaining = answer->remaining,
                                .overdrawn = answer->overdrawn,
                                .retry_after_us = answer->retry_after_us,
                                .reset_us = answer->reset_us};
  snprintf(state->source, sizeof(state->source), "%s", answer->source);
  auth__v1__rate_limit_state__free_unpacked(answer, NULL);
  return true;
}
