#include "gateway/peers.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/arena.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/jsontext_writer.h"
#include "common/base/uuid.h"
#include "common/discovery/discovery.h"
#include "common/rpc/rpc_client.h"

#define DEREGISTER_WAIT_MS 500

struct peers {
  const struct api *api;
  struct rpc_client *client;
  struct discovery *discovery;
  bool registered;
};

enum status peers_create(const struct peers_options *options, struct peers **out, struct error *error)
{
  struct peers *peers = calloc(1, sizeof(*peers));
  CHECK(peers != NULL);
  peers->api = options->api;
  struct discovery_options discovery = {
      .consul_url = options->consul_url,
      .consul_token = options->consul_token,
      .static_list = options->static_list,
  };
  enum status status = discovery_create(&discovery, &peers->discovery, error);
  if (status != STATUS_OK) {
    peers_free(&peers);
    return status;
  }
  peers->client = rpc_client_create(&(struct rpc_client_options){.peer_service = "gateway", .tls = options->tls});
  for (size_t i = 0; i < options->api->service_count; i++)
    discovery_watch(peers->discovery, options->api->services[i]);
  *out = peers;
  return STATUS_OK;
}

void peers_free(struct peers **peers)
{
  struct peers *gone = *peers;
  *peers = NULL;
  if (gone == NULL)
    return;
  if (gone->client != NULL)
    rpc_client_free(&gone->client);
  if (gone->discovery != NULL)
    discovery_free(&gone->discovery);
  free(gone);
}

static struct rpc_call *backend_call(void *arg, const struct rpc_call_options *options, rpc_done_fn *done,
                                     void *done_arg)
{
  struct peers *peers = arg;
  return rpc_client_call(peers->client, options, done, done_arg);
}

static void backend_cancel(void *arg, struct rpc_call *call)
{
  (void)arg;
  rpc_call_cancel(call);
}

struct backend peers_backend(struct peers *peers)
{
  return (struct backend){.arg = peers, .call = backend_call, .cancel = backend_cancel};
}

enum status peers_register(struct peers *peers, const char *address, const char *health_url, struct error *error)
{
  struct slice whole = slice_from_string(address);
  // The last colon: an IPv6 address has more of them.
  size_t colon = whole.size;
  while (colon > 0 && whole.data[colon - 1] != ':')
    colon--;
  uint64_t port;
  if (colon < 2 || colon - 1 > 255 || !slice_to_uint64(slice_skip(whole, colon), 1, 65535, &port))
    return error_set(error, STATUS_INVALID_ARGUMENT, "\"%s\" is not host:port", address);
  char host[256];
  snprintf(host, sizeof(host), "%.*s", (int)(colon - 1), address);
  // Its own id for each process, so that after a reload the old one takes back only its own registration.
  char uuid[UUID_TEXT_SIZE];
  uuid_v7(uuid);
  char id[sizeof("gateway-") + UUID_TEXT_SIZE];
  snprintf(id, sizeof(id), "gateway-%s", uuid);
  discovery_register(peers->discovery, &(struct discovery_registration){.service = "gateway",
                                                                        .id = id,
                                                                        .address = host,
                                                                        .port = (int)port,
                                                                        .health_url = health_url,
                                                                        .version = BULKHEAD_VERSION});
  peers->registered = true;
  return STATUS_OK;
}

void peers_deregister(struct peers *peers)
{
  if (!peers->registered)
    return;
  peers->registered = false;
  discovery_deregister(peers->discovery, DEREGISTER_WAIT_MS);
}

int peers_rpc_fd(const struct peers *peers)
{
  return rpc_client_fd(peers->client);
}

int peers_discovery_fd(const struct peers *peers)
{
  return discovery_fd(peers->discovery);
}

static void on_endpoints(void *arg, const char *service, const struct discovery_endpoint *endpoints, size_t count)
{
  struct peers *peers = arg;
  struct rpc_endpoint *list = calloc(count == 0 ? 1 : count, sizeof(*list));
  CHECK(list != NULL);
  for (size_t i = 0; i < count; i++)
    list[i] = (struct rpc_endpoint){slice_from_string(endpoints[i].id), slice_from_string(endpoints[i].url)};
  rpc_client_set_endpoints(peers->client, service, list, count);
  free(list);
}

void peers_process_calls(struct peers *peers, uint64_t now_us)
{
  rpc_client_process(peers->client, now_us);
}

void peers_process_lists(struct peers *peers)
{
  discovery_process(peers->discovery, on_endpoints, peers);
}

void peers_flush(struct peers *peers)
{
  rpc_client_flush(peers->client);
}

uint64_t peers_next_timeout_us(const struct peers *peers)
{
  return rpc_client_next_timeout_us(peers->client);
}

void peers_write_health(const struct peers *peers, bool ready, struct strbuf *out)
{
  struct jsontext_writer json;
  jsontext_writer_init(&json, out);
  jsontext_begin_object(&json);
  jsontext_key_bool(&json, "ready", ready);
  jsontext_key_bool(&json, "consul", discovery_consul_up(peers->discovery));
  jsontext_key(&json, SLICE("services"));
  jsontext_begin_object(&json);
  for (size_t i = 0; i < peers->api->service_count; i++)
    jsontext_key_int(&json, peers->api->services[i],
                     (int64_t)rpc_client_ready_endpoints(peers->client, peers->api->services[i]));
  jsontext_end_object(&json);
  jsontext_end_object(&json);
}
