#include "gateway/upstreams.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/arena.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/jsontext_writer.h"
#include "common/base/uuid.h"
#include "common/contract/policy.h"
#include "common/discovery/discovery.h"
#include "common/rpc/rpc_client.h"
#include "common/security/service_identity.h"

// What waits unsent for each kind: together as much as one client has where nothing is said.
#define UNSENT_BYTES ((size_t)32 * 1024 * 1024)

struct upstreams {
  const struct api *api;
  const char *zone;                   // NULL without one
  struct service_identity *identity;  // NULL without a key
  struct rpc_client *clients[UPSTREAMS_KINDS];
  struct discovery *discovery;
};

// `out` stays as it is without a key.
static enum status open_identity(const struct upstreams_options *options, struct service_identity **out,
                                 struct error *error)
{
  if (options->service_key == NULL)
    return STATUS_OK;
  return service_identity_create(&(struct service_identity_options){.service = POLICY_GATEWAY,
                                                                    .private_key = options->service_key,
                                                                    .public_keys = options->service_keys},
                                 out, error);
}

enum status upstreams_check_keys(const struct upstreams_options *options, struct error *error)
{
  struct service_identity *identity = NULL;
  enum status status = open_identity(options, &identity, error);
  service_identity_free(&identity);
  return status;
}

static enum status open_discovery(const struct upstreams_options *options, struct discovery **out, struct error *error)
{
  struct strbuf saved_file;
  strbuf_init(&saved_file, 0);
  if (options->state_dir != NULL)
    strbuf_printf(&saved_file, "%s/gateway.endpoints", options->state_dir);
  const struct discovery_options discovery = {
      .consul_url = options->consul_url,
      .consul_token = options->consul_token,
      .static_list = options->static_list,
      .saved_file = options->state_dir == NULL ? NULL : strbuf_cstring(&saved_file),
  };
  enum status status = discovery_create(&discovery, out, error);
  strbuf_free(&saved_file);
  return status;
}

enum status upstreams_create(const struct upstreams_options *options, struct upstreams **out, struct error *error)
{
  struct upstreams *upstreams = calloc(1, sizeof(*upstreams));
  CHECK(upstreams != NULL);
  upstreams->api = options->api;
  upstreams->zone = options->zone;
  enum status status = open_discovery(options, &upstreams->discovery, error);
  if (status != STATUS_OK) {
    upstreams_free(&upstreams);
    return status;
  }
  status = open_identity(options, &upstreams->identity, error);
  if (status != STATUS_OK) {
    upstreams_free(&upstreams);
    return status;
  }
  for (size_t kind = 0; kind < UPSTREAMS_KINDS; kind++)
    upstreams->clients[kind] = rpc_client_create(&(struct rpc_client_options){
        .identity = upstreams->identity, .max_unsent_bytes = UNSENT_BYTES, .tls = options->tls, .zone = options->zone});
  for (size_t i = 0; i < options->api->service_count; i++)
    discovery_watch(upstreams->discovery, options->api->services[i]);
  *out = upstreams;
  return STATUS_OK;
}

void upstreams_free(struct upstreams **upstreams)
{
  struct upstreams *gone = *upstreams;
  *upstreams = NULL;
  if (gone == NULL)
    return;
  for (size_t kind = 0; kind < UPSTREAMS_KINDS; kind++)
    rpc_client_free(&gone->clients[kind]);
  service_identity_free(&gone->identity);
  discovery_free(&gone->discovery);
  free(gone);
}

static struct rpc_call *backend_call(void *arg, const struct rpc_call_options *options, rpc_done_fn *done,
                                     void *done_arg)
{
  return rpc_client_call(arg, options, done, done_arg);
}

static bool backend_cancel(void *arg, struct rpc_call *call)
{
  (void)arg;
  return rpc_call_cancel(call);
}

static void backend_take(void *arg, struct rpc_call *call, size_t count, size_t size)
{
  (void)arg;
  rpc_call_take_messages(call, count, size);
}

static bool backend_may_write(void *arg, struct rpc_call *call)
{
  (void)arg;
  return rpc_call_may_write(call);
}

static bool backend_write(void *arg, struct rpc_call *call, struct slice message)
{
  (void)arg;
  return rpc_call_write(call, message);
}

static void backend_half_close(void *arg, struct rpc_call *call)
{
  (void)arg;
  rpc_call_half_close(call);
}

static struct slice backend_instance(void *arg, const struct rpc_call *call)
{
  (void)arg;
  return rpc_call_instance(call);
}

struct backend upstreams_backend(const struct upstreams *upstreams, enum upstreams_kind kind)
{
  return (struct backend){.arg = upstreams->clients[kind],
                          .call = backend_call,
                          .cancel = backend_cancel,
                          .take = backend_take,
                          .may_write = backend_may_write,
                          .write = backend_write,
                          .half_close = backend_half_close,
                          .instance = backend_instance};
}

enum status upstreams_register(struct upstreams *upstreams, const char *address, const char *health_url,
                               struct error *error)
{
  struct slice whole = slice_from_string(address);
  // The last colon separates the port, because an IPv6 address has colons too.
  size_t colon = whole.size;
  while (colon > 0 && whole.data[colon - 1] != ':')
    colon--;
  uint64_t port;
  if (colon < 2 || colon - 1 > 255 || !slice_to_uint64(slice_skip(whole, colon), 1, 65535, &port))
    return error_set(error, STATUS_INVALID_ARGUMENT,
                     "\"%s\" is not host:port, such as 10.0.0.5:8080: look at bulkhead_advertise", address);
  char host[256];
  snprintf(host, sizeof(host), "%.*s", (int)(colon - 1), address);
  // Each process registers an id of its own, so that after a reload the old process deregisters only itself.
  char uuid[UUID_TEXT_SIZE];
  uuid_v7(uuid);
  char id[sizeof("gateway-") + UUID_TEXT_SIZE];
  snprintf(id, sizeof(id), "gateway-%s", uuid);
  discovery_register(upstreams->discovery, &(struct discovery_registration){.service = "gateway",
                                                                            .id = id,
                                                                            .address = host,
                                                                            .port = (int)port,
                                                                            .health_url = health_url,
                                                                            .version = BULKHEAD_VERSION,
                                                                            .zone = upstreams->zone});
  return STATUS_OK;
}

void upstreams_deregister(struct upstreams *upstreams)
{
  discovery_deregister(upstreams->discovery, 0);
}

int upstreams_rpc_fd(const struct upstreams *upstreams, enum upstreams_kind kind)
{
  return rpc_client_fd(upstreams->clients[kind]);
}

int upstreams_discovery_fd(const struct upstreams *upstreams)
{
  return discovery_fd(upstreams->discovery);
}

// Tells whether a service needs connections for calls of a kind.
static bool is_called(const struct upstreams *upstreams, const char *service, enum upstreams_kind kind)
{
  if (kind == UPSTREAMS_USUAL)
    return true;
  for (size_t i = 0; i < contract_method_count(upstreams->api->contract); i++) {
    const struct contract_method *method = contract_method(upstreams->api->contract, i);
    if (method->rate_class == CONTRACT_RATE_EXPENSIVE && strcmp(method->service, service) == 0)
      return true;
  }
  return false;
}

static void on_endpoints(void *arg, const char *service, const struct discovery_endpoint *endpoints, size_t count)
{
  struct upstreams *upstreams = arg;
  struct rpc_endpoint *list = calloc(count == 0 ? 1 : count, sizeof(*list));
  CHECK(list != NULL);
  for (size_t i = 0; i < count; i++)
    list[i] = (struct rpc_endpoint){.id = slice_from_string(endpoints[i].id),
                                    .url = slice_from_string(endpoints[i].url),
                                    .zone = slice_from_string(endpoints[i].zone)};
  for (enum upstreams_kind kind = 0; kind < UPSTREAMS_KINDS; kind++)
    if (is_called(upstreams, service, kind))
      rpc_client_set_endpoints(upstreams->clients[kind], service, list, count);
  free(list);
}

void upstreams_process_calls(const struct upstreams *upstreams, enum upstreams_kind kind, uint64_t now_us)
{
  rpc_client_process(upstreams->clients[kind], now_us);
}

void upstreams_process_lists(struct upstreams *upstreams)
{
  discovery_process(upstreams->discovery, on_endpoints, upstreams);
}

void upstreams_flush(const struct upstreams *upstreams)
{
  for (size_t kind = 0; kind < UPSTREAMS_KINDS; kind++)
    rpc_client_flush(upstreams->clients[kind]);
}

uint64_t upstreams_next_timeout_us(const struct upstreams *upstreams)
{
  uint64_t next_us = DEADLINE_NONE;
  for (size_t kind = 0; kind < UPSTREAMS_KINDS; kind++)
    next_us = deadline_min(next_us, rpc_client_next_timeout_us(upstreams->clients[kind]));
  return next_us;
}

// Returns how many endpoints of a service take calls of every kind that it has.
static size_t count_ready(const struct upstreams *upstreams, const char *service)
{
  size_t ready = SIZE_MAX;
  for (enum upstreams_kind kind = 0; kind < UPSTREAMS_KINDS; kind++) {
    size_t count =
        is_called(upstreams, service, kind) ? rpc_client_ready_endpoints(upstreams->clients[kind], service) : SIZE_MAX;
    ready = count < ready ? count : ready;
  }
  return ready;
}

bool upstreams_is_ready(const struct upstreams *upstreams, const char *service)
{
  return count_ready(upstreams, service) > 0;
}

bool upstreams_are_ready(const struct upstreams *upstreams)
{
  for (size_t i = 0; i < upstreams->api->service_count; i++)
    if (!upstreams_is_ready(upstreams, upstreams->api->services[i]))
      return false;
  return true;
}

void upstreams_write_health(const struct upstreams *upstreams, bool ready, struct strbuf *out)
{
  struct jsontext_writer json;
  jsontext_writer_init(&json, out);
  jsontext_begin_object(&json);
  jsontext_key_bool(&json, "ready", ready);
  jsontext_key_bool(&json, "consul", discovery_consul_up(upstreams->discovery));
  jsontext_key(&json, SLICE("services"));
  jsontext_begin_object(&json);
  for (size_t i = 0; i < upstreams->api->service_count; i++)
    jsontext_key_int(&json, upstreams->api->services[i], (int64_t)count_ready(upstreams, upstreams->api->services[i]));
  jsontext_end_object(&json);
  jsontext_end_object(&json);
}
