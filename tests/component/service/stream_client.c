#include "tests/component/service/stream_client.h"

#include <criterion/criterion.h>

#include "common/base/clock.h"
#include "tests/support/service/process.h"

static void on_message(void *arg, struct slice payload)
{
  struct stream_client *client = arg;
  cr_assert_lt(client->count, ARRAY_LEN(client->messages));
  client->messages[client->count++] = arena_copy(&client->driver->arena, payload);
  rpc_call_take_messages(client->call, 1, payload.size);
}

static void on_writable(void *arg)
{
  (void)arg;
}

static void on_done(void *arg, const struct rpc_status *status, struct slice payload)
{
  struct stream_client *client = arg;
  (void)payload;
  client->done = true;
  client->status = status->code;
  client->reason = arena_copy(&client->driver->arena, status->reason);
}

void stream_client_open(struct stream_client *client, struct driver *driver, const char *method,
                        const ProtobufCMessage *request)
{
  static const struct rpc_stream_events events = {on_message, on_writable};
  *client = (struct stream_client){.driver = driver};
  const struct rpc_call_options options = {
      .service = driver->service,
      .method = slice_from_string(method),
      .payload = request == NULL ? (struct slice){0} : driver_pack(driver, request),
      .deadline_us = patience_end_us(),
      .stream = &events,
      .writes_messages = request == NULL,
  };
  client->call = rpc_client_call(driver->client, &options, on_done, client);
}

void stream_client_write(struct stream_client *client, const ProtobufCMessage *message)
{
  for (uint64_t end_us = patience_end_us(); !rpc_call_may_write(client->call); driver_turn(client->driver))
    cr_assert(!client->done && clock_now_us() < end_us);
  cr_assert(rpc_call_write(client->call, driver_pack(client->driver, message)));
}

ProtobufCMessage *stream_client_await(struct stream_client *client, size_t count,
                                      const ProtobufCMessageDescriptor *descriptor)
{
  for (uint64_t end_us = patience_end_us(); client->count < count; driver_turn(client->driver))
    cr_assert(!client->done && clock_now_us() < end_us, "%zu messages, then %s: " SLICE_FMT, client->count,
              status_name(client->status), SLICE_ARG(client->reason));
  const struct outcome outcome = {.driver = client->driver, .payload = client->messages[count - 1]};
  return driver_reply(&outcome, descriptor);
}

void stream_client_await_end(struct stream_client *client, enum status status)
{
  for (uint64_t end_us = patience_end_us(); !client->done; driver_turn(client->driver))
    cr_assert_lt(clock_now_us(), end_us);
  cr_assert_eq(client->status, status, "%s: " SLICE_FMT, status_name(client->status), SLICE_ARG(client->reason));
}
