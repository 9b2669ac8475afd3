#include "tests/component/service/probe_streams.h"

#include <string.h>

#include "common/base/compiler.h"
#include "common/runtime/task.h"
#include "common/service/service.h"
#include "common/service/stream.h"
#include "item/v1/item.bh.h"

// As protoc-gen-bulkhead writes them.
static const struct rpc_method methods[9];
enum { COUNT, SUM, ECHO, RELAY, ADD, WATCH, HURRY, HASTY, BOTH };

static bool read_request(struct stream *stream, const Item__V1__ListItemsRequest **request)
{
  const ProtobufCMessage *message;
  bool is_there = stream_read(stream, &message);
  *request = (const Item__V1__ListItemsRequest *)(const void *)message;
  return is_there;
}

static bool read_item(struct stream *stream, const Item__V1__Item **item)
{
  const ProtobufCMessage *message;
  bool is_there = stream_read(stream, &message);
  *item = (const Item__V1__Item *)(const void *)message;
  return is_there;
}

static bool write_item(struct stream *stream, const char *name, int32_t quantity)
{
  Item__V1__Item item = ITEM__V1__ITEM__INIT;
  item.name = (char *)(uintptr_t)name;
  item.quantity = quantity;
  return stream_write(stream, &item.base);
}

static bool write_request(struct stream *stream, const char *q, uint32_t page_size)
{
  Item__V1__ListItemsRequest request = ITEM__V1__LIST_ITEMS_REQUEST__INIT;
  request.q = (char *)(uintptr_t)q;
  request.page_size = (int32_t)page_size;
  return stream_write(stream, &request.base);
}

// ---- handlers ----

static enum status count(struct call *call, const Item__V1__ListItemsRequest *request)
{
  struct stream *stream = call_stream(call);
  for (int32_t i = 1; i <= request->page_size; i++)
    if (!write_item(stream, "", i))
      return stream_status(stream);
  return strcmp(request->q, PROBE_STREAM_FAILS) == 0 ? call_fail(call, STATUS_ALREADY_EXISTS, "COUNTED", "so it is")
                                                     : STATUS_OK;
}

static enum status sum(struct call *call, Item__V1__Item *response)
{
  const Item__V1__ListItemsRequest *request;
  while (read_request(call_stream(call), &request))
    response->quantity += request->page_size;
  return stream_status(call_stream(call));
}

static enum status take_first(struct call *call, Item__V1__Item *response)
{
  const Item__V1__ListItemsRequest *request;
  if (read_request(call_stream(call), &request))
    response->quantity = 1000 + request->page_size;
  return stream_status(call_stream(call));
}

static enum status echo(struct call *call)
{
  struct stream *stream = call_stream(call);
  const Item__V1__ListItemsRequest *request;
  while (read_request(stream, &request)) {
    if (strcmp(request->q, PROBE_STREAM_FAILS) == 0)
      return call_fail(call, STATUS_ALREADY_EXISTS, "ECHOED", "it was said before");
    if (!write_item(stream, request->q, 0))
      break;
  }
  return stream_status(stream);
}

static enum status relay(struct call *call)
{
  struct stream *stream = call_stream(call), *peer;
  const Item__V1__ListItemsRequest *request;
  const Item__V1__Item *item;
  stream_open(call_service(call), call, &methods[ECHO], NULL, &peer);
  while (read_request(stream, &request))
    if (!write_request(peer, request->q, 0) || !read_item(peer, &item) || !write_item(stream, item->name, 0))
      break;
  stream_end_writes(peer);
  enum status status = stream_status(stream);
  if (status == STATUS_OK && stream_status(peer) == STATUS_OK && read_item(peer, &item))
    status = STATUS_INTERNAL;
  if (status == STATUS_OK)
    status = call_fail_as_peer(call, stream_status(peer));
  stream_close(&peer);
  return status;
}

// Returns the sum of what PROBE_COUNT of the peer counts.
static enum status count_at_peer(struct call *call, Item__V1__ListItemsRequest *request, struct stream *sums)
{
  struct stream *counts;
  const Item__V1__Item *item;
  stream_open(call_service(call), call, &methods[COUNT], &request->base, &counts);
  // A peer that has replied wants no more, and that is well. The pauses let its reply come in between.
  enum status pause = STATUS_OK;
  while (pause == STATUS_OK && read_item(counts, &item) && write_request(sums, "", (uint32_t)item->quantity))
    pause = item->quantity % 50 == 0 ? task_sleep_ms(1) : STATUS_OK;
  enum status status = stream_status(counts);
  stream_close(&counts);
  return status;
}

static enum status add(struct call *call, const Item__V1__ListItemsRequest *request, Item__V1__Item *response)
{
  struct stream *sums;
  ProtobufCMessage *reply = NULL;
  Item__V1__ListItemsRequest same = *request;
  bool is_hasty = strcmp(request->q, PROBE_HASTY_PEER) == 0;
  stream_open(call_service(call), call, &methods[is_hasty ? HASTY : SUM], NULL, &sums);
  enum status status = count_at_peer(call, &same, sums);
  if (status == STATUS_OK)
    status = stream_finish(sums, call_arena(call), &reply);
  if (status == STATUS_OK)
    response->quantity = ((const Item__V1__Item *)(const void *)reply)->quantity;
  stream_close(&sums);
  return status == STATUS_OK ? status : call_fail_as_peer(call, status);
}

static enum status watch(struct call *call)
{
  if (!write_item(call_stream(call), "", 0))
    return stream_status(call_stream(call));
  enum status status = STATUS_OK;
  while (status == STATUS_OK && !call_is_draining(call))
    status = task_sleep_ms(20);
  return status == STATUS_OK ? call_fail(call, STATUS_UNAVAILABLE, "DRAINING", "it ends") : status;
}

// The task that writes while its handler reads.
struct writing {
  struct stream *stream;
  struct completion ended;
};

static void write_items(void *arg)
{
  static char name[20001];
  struct writing *writing = arg;
  memset(name, 'x', sizeof(name) - 1);
  for (size_t i = 0; i < PROBE_BOTH_ITEMS && write_item(writing->stream, name, 0); i++)
    ;
  completion_finish(&writing->ended, STATUS_OK);
}

static enum status both(struct call *call)
{
  const Item__V1__ListItemsRequest *request;
  struct writing writing = {.stream = call_stream(call)};
  int32_t sum = 0;
  task_start(service_loop(call_service(call)), write_items, &writing, DEADLINE_NONE, NULL);
  while (read_request(writing.stream, &request))
    sum += request->page_size;
  // The other task uses what lies on this one's stack, so neither cancellation nor the deadline may end this wait.
  uint64_t deadline_us = task_deadline_us();
  task_shield(true);
  task_restore_deadline(DEADLINE_NONE);
  enum status status = completion_wait(&writing.ended);
  task_restore_deadline(deadline_us);
  task_shield(false);
  if (status == STATUS_OK)
    status = stream_status(writing.stream);
  return status == STATUS_OK && !write_item(writing.stream, "sum", sum) ? stream_status(writing.stream) : status;
}

// ---- the table ----

static enum status invoke_count(const void *handlers, struct call *call, const ProtobufCMessage *request,
                                ProtobufCMessage *response)
{
  (void)handlers, (void)response;
  return count(call, (const Item__V1__ListItemsRequest *)(const void *)request);
}

static enum status invoke_sum(const void *handlers, struct call *call, const ProtobufCMessage *request,
                              ProtobufCMessage *response)
{
  (void)handlers, (void)request;
  return sum(call, (Item__V1__Item *)(void *)response);
}

static enum status invoke_echo(const void *handlers, struct call *call, const ProtobufCMessage *request,
                               ProtobufCMessage *response)
{
  (void)handlers, (void)request, (void)response;
  return echo(call);
}

static enum status invoke_relay(const void *handlers, struct call *call, const ProtobufCMessage *request,
                                ProtobufCMessage *response)
{
  (void)handlers, (void)request, (void)response;
  return relay(call);
}

static enum status invoke_add(const void *handlers, struct call *call, const ProtobufCMessage *request,
                              ProtobufCMessage *response)
{
  (void)handlers;
  return add(call, (const Item__V1__ListItemsRequest *)(const void *)request, (Item__V1__Item *)(void *)response);
}

static enum status invoke_watch(const void *handlers, struct call *call, const ProtobufCMessage *request,
                                ProtobufCMessage *response)
{
  (void)handlers, (void)request, (void)response;
  return watch(call);
}

static enum status invoke_both(const void *handlers, struct call *call, const ProtobufCMessage *request,
                               ProtobufCMessage *response)
{
  (void)handlers, (void)request, (void)response;
  return both(call);
}

static enum status invoke_hasty(const void *handlers, struct call *call, const ProtobufCMessage *request,
                                ProtobufCMessage *response)
{
  (void)handlers, (void)request;
  return take_first(call, (Item__V1__Item *)(void *)response);
}

#define METHOD(name, called, ...)                                                                                      \
  {                                                                                                                    \
    .full_name = (name), .service = "probe", .input = &item__v1__list_items_request__descriptor,                       \
    .output = &item__v1__item__descriptor, .input_rules = &item_v1_list_items_request_rules,                           \
    .policy = {.access = ACCESS_PUBLIC, .callers = any, .caller_count = 1}, .timeout_ms = 30000, .invoke = (called),   \
    __VA_ARGS__                                                                                                        \
  }

static const char *const any[] = {POLICY_ANY_SERVICE};

static const struct rpc_method methods[9] = {
    [COUNT] = METHOD(PROBE_COUNT, invoke_count, .server_streams = true, .no_side_effects = true),
    [SUM] = METHOD(PROBE_SUM, invoke_sum, .client_streams = true),
    [ECHO] = METHOD(PROBE_ECHO, invoke_echo, .client_streams = true, .server_streams = true),
    [RELAY] = METHOD(PROBE_RELAY, invoke_relay, .client_streams = true, .server_streams = true),
    [ADD] = METHOD(PROBE_ADD, invoke_add),
    [WATCH] = METHOD(PROBE_WATCH, invoke_watch, .server_streams = true),
    [HASTY] = METHOD(PROBE_HASTY, invoke_hasty, .client_streams = true),
    [BOTH] = METHOD(PROBE_BOTH, invoke_both, .client_streams = true, .server_streams = true),
    [HURRY] = METHOD(PROBE_HURRY, invoke_sum, .client_streams = true, .message_timeout_ms = 100),
};

const struct rpc_service probe_streams = {
    .full_name = "probe.v1.Streams", .service = "probe", .methods = methods, .method_count = ARRAY_LEN(methods)};
// Each method says that its handler is at the offset 0.
void (*const probe_stream_handlers[])(void) = {(void (*)(void))count};

enum status probe_import_items(struct call *call, struct stream *stream, Item__V1__ImportItemsResponse *response)
{
  (void)call, (void)stream, (void)response;
  return STATUS_UNIMPLEMENTED;
}
