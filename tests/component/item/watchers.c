#include "tests/component/item/watchers.h"

#include <criterion/criterion.h>
#include <stdio.h>

#include "tests/component/item/items.h"

static void keep(struct watcher *watcher, const Item__V1__WatchItemsResponse *response)
{
  cr_assert_str_neq(response->resume_token, "");
  snprintf(watcher->token, sizeof(watcher->token), "%s", response->resume_token);
  if (response->kind == ITEM__V1__ITEM_CHANGE_KIND__ITEM_CHANGE_KIND_NONE)
    return;
  cr_assert_not_null(response->item);
  cr_assert_not_null(response->time);
  if (watcher->count < WATCHER_KEEPS) {
    struct told *told = &watcher->told[watcher->count];
    *told = (struct told){.kind = response->kind, .revision = response->revision};
    snprintf(told->id, sizeof(told->id), "%s", response->item->id);
    snprintf(told->name, sizeof(told->name), "%s", response->item->name);
  }
  watcher->count++;
}

static void on_message(void *arg, struct slice payload)
{
  struct watcher *watcher = arg;
  Item__V1__WatchItemsResponse *response =
      item__v1__watch_items_response__unpack(NULL, payload.size, (const uint8_t *)payload.data);
  cr_assert_not_null(response);
  watcher->messages++;
  keep(watcher, response);
  item__v1__watch_items_response__free_unpacked(response, NULL);
  if (watcher->reads_nothing)
    watcher->unread += payload.size;
  else
    rpc_call_take_messages(watcher->call, 1, payload.size);
}

static void on_done(void *arg, const struct rpc_status *status, struct slice payload)
{
  struct watcher *watcher = arg;
  (void)payload;
  watcher->done = true;
  watcher->status = status->code;
  snprintf(watcher->reason, sizeof(watcher->reason), SLICE_FMT, SLICE_ARG(status->reason));
}

static void open_stream(struct watcher *watcher, struct driver *driver, const Item__V1__WatchItemsRequest *request)
{
  static const struct rpc_stream_events events = {.on_message = on_message};
  struct rpc_context context = driver_authenticate(driver, &owner);
  const struct rpc_call_options options = {
      .service = driver->service,
      .method = SLICE(WATCH_ITEMS),
      .payload = driver_pack(driver, &request->base),
      .deadline_us = deadline_after_ms(clock_now_us(), 600000),
      .context = &context,
      .stream = &events,
  };
  watcher->driver = driver;
  watcher->call = rpc_client_call(driver->client, &options, on_done, watcher);
}

void watcher_open(struct watcher *watcher, struct driver *driver, const Item__V1__WatchItemsRequest *request)
{
  *watcher = (struct watcher){0};
  open_stream(watcher, driver, request);
  for (uint64_t end_us = patience_end_us(); watcher->messages == 0; driver_turn(driver))
    cr_assert(!watcher->done && clock_now_us() < end_us, "%s", watcher->reason);
}

void watcher_begin(struct watcher *watcher, struct driver *driver, const char *token)
{
  Item__V1__WatchItemsRequest request = ITEM__V1__WATCH_ITEMS_REQUEST__INIT;
  request.resume_token = (char *)(uintptr_t)token;
  open_stream(watcher, driver, &request);
}

void watcher_await(struct watcher *watcher, size_t count)
{
  for (uint64_t end_us = patience_end_us(); watcher->count < count; driver_turn(watcher->driver))
    cr_assert(!watcher->done && clock_now_us() < end_us, "%zu changes of %zu, then: %s %s", watcher->count, count,
              status_name(watcher->status), watcher->reason);
}

void watcher_await_end(struct watcher *watcher, enum status status, const char *reason)
{
  for (uint64_t end_us = patience_end_us(); !watcher->done; driver_turn(watcher->driver))
    cr_assert_lt(clock_now_us(), end_us);
  cr_assert_eq(watcher->status, status, "%s: %s", status_name(watcher->status), watcher->reason);
  cr_expect_str_eq(watcher->reason, reason);
}

void watcher_cancel(struct watcher *watcher)
{
  if (!watcher->done)
    rpc_call_cancel(watcher->call);
  watcher->done = true;
  rpc_client_flush(watcher->driver->client);
}

void watcher_expect(const struct watcher *watcher, size_t index, Item__V1__ItemChangeKind kind, const char *name)
{
  cr_assert_lt(index, watcher->count);
  cr_expect_eq(watcher->told[index].kind, kind, "change %zu is of kind %d", index, (int)watcher->told[index].kind);
  cr_expect_str_eq(watcher->told[index].name, name);
}
