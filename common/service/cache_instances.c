#include "common/service/cache_instances_internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/memory.h"
#include "common/runtime/task.h"
#include "common/service/call_internal.h"
#include "common/service/proto_memory_internal.h"
#include "common/service/service_internal.h"

struct known_cache {
  struct list node;
  struct cache *cache;
  char *name;
};

// A connection to one other instance. It is not the balanced channel of a service, which may pick any of them.
struct instance_connection {
  struct list node;
  char *url;
  uint64_t used_us;
  struct rpc_client *client;
  struct rpc_pump pump;
};

enum {
  MAX_CONNECTIONS = 256,
  // A connection that nobody has used for so long is closed.
  IDLE_MS = 60000,
};

// ---- answering ----

static struct cache *find_cache(const struct cache_instances *instances, const char *name)
{
  for (const struct list *node = instances->caches.next; node != &instances->caches; node = node->next) {
    const struct known_cache *known = CONTAINER_OF(node, const struct known_cache, node);
    if (strcmp(known->name, name) == 0)
      return known->cache;
  }
  return NULL;
}

static enum status ask(struct call *call, const Process__Cache__V1__AskRequest *request,
                       Process__Cache__V1__AskResponse *response)
{
  const struct service *service = call_service(call);
  const char *own = service->definition->name;
  struct slice peer = call->context->peer_service;
  // Without proof of names, in development, whoever reaches the port may ask.
  if (peer.size > 0 && !slice_equal_string(peer, own))
    return call_fail(call, STATUS_PERMISSION_DENIED, "ANOTHER_SERVICE", "only instances of %s may ask that", own);
  struct cache *cache = find_cache(&service->cache_instances, request->cache);
  if (cache == NULL)
    return call_fail(call, STATUS_NOT_FOUND, "CACHE_UNKNOWN", "this process has no cache %s", request->cache);
  struct cache_reply *reply = arena_alloc(call_arena(call), sizeof(*reply));
  const struct cache_question question = {.cache = request->cache,
                                          .asker = request->asker,
                                          .generation = request->generation,
                                          .is_telling = request->is_telling,
                                          .has_left = request->has_left};
  cache_answer(cache, &question, reply);
  response->instance = reply->instance;
  response->agreed = reply->agreed;
  return STATUS_OK;
}

const struct process_cache_v1_instances_handlers cache_instances_handlers = {.ask = ask};

// ---- asking ----

static void free_connection(struct instance_connection *connection)
{
  list_remove(&connection->node);
  rpc_pump_end(&connection->pump);
  rpc_client_free(&connection->client);
  free(connection->url);
  free(connection);
}

static struct instance_connection *open_connection(struct service *service, const char *url)
{
  struct instance_connection *connection = calloc(1, sizeof(*connection));
  CHECK(connection != NULL);
  connection->url = memory_copy_string(url);
  connection->client = service_make_client(service);
  rpc_pump_client(&connection->pump, service->loop, connection->client);
  const struct rpc_endpoint endpoint = {.id = slice_from_string(url), .url = slice_from_string(url)};
  rpc_client_set_endpoints(connection->client, service->definition->name, &endpoint, 1);
  return connection;
}

static struct instance_connection *search_connection(struct list *all, const char *url, size_t *count)
{
  struct instance_connection *found = NULL;
  *count = 0;
  for (struct list *node = all->next; node != all; node = node->next, ++*count) {
    struct instance_connection *connection = CONTAINER_OF(node, struct instance_connection, node);
    if (strcmp(connection->url, url) == 0)
      found = connection;
  }
  return found;
}

// Returns the connection, the last of all by use. Closes the first where it is one too many, or was idle for long.
static struct instance_connection *find_connection(struct service *service, const char *url)
{
  struct list *all = &service->cache_instances.connections;
  size_t count;
  struct instance_connection *found = search_connection(all, url, &count);
  if (found != NULL)
    list_remove(&found->node);
  else
    found = open_connection(service, url);
  found->used_us = clock_now_us();
  list_append(all, &found->node);
  struct instance_connection *first = CONTAINER_OF(all->next, struct instance_connection, node);
  bool is_idle = first->used_us + IDLE_MS * UINT64_C(1000) < found->used_us;
  if (first != found && (is_idle || count > MAX_CONNECTIONS))
    free_connection(first);
  return found;
}

struct asking {
  struct completion done;
  struct arena arena;
  struct slice payload;
};

static void on_done(void *arg, const struct rpc_status *status, struct slice payload)
{
  struct asking *asking = arg;
  if (status->code == STATUS_OK)
    asking->payload = arena_copy(&asking->arena, payload);
  completion_finish(&asking->done, status->code);
}

static enum status read_reply(struct asking *asking, struct cache_reply *reply)
{
  const ProtobufCMessage *message =
      proto_unpack(&process__cache__v1__ask_response__descriptor, asking->payload, &asking->arena);
  if (message == NULL)
    return STATUS_INTERNAL;
  const Process__Cache__V1__AskResponse *response = (const Process__Cache__V1__AskResponse *)message;
  struct slice name = slice_from_string(response->instance);
  if (name.size >= sizeof(reply->instance))
    return STATUS_INTERNAL;
  memcpy(reply->instance, name.data, name.size);
  reply->instance[name.size] = '\0';
  reply->agreed = response->agreed;
  return STATUS_OK;
}

static enum status send_and_wait(struct service *service, const struct cache_question *question, struct slice payload,
                                 struct asking *asking)
{
  const struct rpc_context context = {.traceparent = {0}};
  const struct rpc_call_options options = {
      .service = service->definition->name,
      .method = SLICE("process.cache.v1.Instances/Ask"),
      .payload = payload,
      .deadline_us = deadline_min(task_deadline_us(), deadline_after_ms(clock_now_us(), question->timeout_ms)),
      .context = &context,
  };
  struct instance_connection *connection = find_connection(service, question->address);
  struct rpc_call *call = rpc_client_call(connection->client, &options, on_done, asking);
  enum status status = completion_wait(&asking->done);
  if (!asking->done.done)
    (void)rpc_call_cancel(call);
  return status;
}

enum status cache_instances_ask(void *arg, const struct cache_question *question, struct cache_reply *reply)
{
  struct service *service = arg;
  Process__Cache__V1__AskRequest request = PROCESS__CACHE__V1__ASK_REQUEST__INIT;
  request.cache = (char *)question->cache;
  request.asker = (char *)question->asker;
  request.generation = question->generation;
  request.is_telling = question->is_telling;
  request.has_left = question->has_left;
  struct asking asking = {.done = {.what = "another instance of the cache"}};
  struct slice payload = proto_pack_arena(&request.base, &asking.arena);
  enum status status = send_and_wait(service, question, payload, &asking);
  if (status == STATUS_OK)
    status = read_reply(&asking, reply);
  arena_free(&asking.arena);
  return status;
}

// ---- the caches ----

void cache_instances_init(struct cache_instances *instances)
{
  *instances = (struct cache_instances){.url = NULL};
  list_init(&instances->caches);
  list_init(&instances->connections);
}

void cache_instances_add(struct cache_instances *instances, struct cache *cache, const char *name)
{
  struct known_cache *known = calloc(1, sizeof(*known));
  CHECK(known != NULL);
  *known = (struct known_cache){.cache = cache, .name = memory_copy_string(name)};
  list_append(&instances->caches, &known->node);
  if (instances->url != NULL)
    cache_set_address(cache, instances->url);
}

static void forget_cache(struct known_cache *known)
{
  list_remove(&known->node);
  free(known->name);
  free(known);
}

void cache_instances_remove(struct cache_instances *instances, const struct cache *cache)
{
  for (struct list *node = instances->caches.next; node != &instances->caches; node = node->next) {
    struct known_cache *known = CONTAINER_OF(node, struct known_cache, node);
    if (known->cache != cache)
      continue;
    forget_cache(known);
    return;
  }
}

void cache_instances_set_url(struct cache_instances *instances, const char *url)
{
  instances->url = url;
  for (struct list *node = instances->caches.next; node != &instances->caches; node = node->next)
    cache_set_address(CONTAINER_OF(node, struct known_cache, node)->cache, url);
}

void cache_instances_retire(struct cache_instances *instances)
{
  while (!list_empty(&instances->caches)) {
    struct known_cache *known = CONTAINER_OF(instances->caches.next, struct known_cache, node);
    cache_retire(known->cache);
    forget_cache(known);
  }
}

void cache_instances_clear(struct cache_instances *instances)
{
  if (instances->connections.next == NULL)
    return;
  cache_instances_retire(instances);
  while (!list_empty(&instances->connections))
    free_connection(CONTAINER_OF(instances->connections.next, struct instance_connection, node));
}
