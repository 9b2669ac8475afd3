// Calls into a running service: who is let in, what is checked before a handler, how a call ends.
#include <criterion/criterion.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/rpc/link_internal.h"
#include "common/rpc/packet_internal.h"
#include "common/rpc/packet_stream_internal.h"
#include "item/v1/item.bh.h"
#include "item/v1/item.pb-c.h"
#include "tests/component/service/probe.h"
#include "tests/component/service/probe_process.h"
#include "tests/support/common/service_keys.h"
#include "user/v1/user.pb-c.h"

#define ANY_ID "01936b5e-7c1a-7d3e-9f00-1c2d3e4f5a6b"
#define GET_ITEM "item.v1.ItemService/GetItem"
#define LIST_ITEMS "item.v1.ItemService/ListItems"
#define TRACE "0af7651916cd43dd8448eb211c80319c"

static struct process probe;
static struct driver gateway;

static const struct slice admin_role = SLICE_INIT("admin");
static const struct rpc_context anonymous = {.request_id = SLICE_INIT("r-0")};
static const struct rpc_context someone = {
    .request_id = SLICE_INIT("r-1"),
    .traceparent = SLICE_INIT("00-" TRACE "-b7ad6b7169203331-01"),
    .caller_id = SLICE_INIT("caller-1"),
};
// Whom the contract lets read the accounts of others.
static const struct rpc_context someone_in_charge = {
    .request_id = SLICE_INIT("r-1"),
    .traceparent = SLICE_INIT("00-" TRACE "-b7ad6b7169203331-01"),
    .caller_id = SLICE_INIT("caller-1"),
    .caller_roles = &admin_role,
    .caller_role_count = 1,
};
static const struct rpc_context admin = {.request_id = SLICE_INIT("r-2"),
                                         .caller_id = SLICE_INIT("caller-2"),
                                         .caller_roles = &admin_role,
                                         .caller_role_count = 1};

static void setup(void)
{
  probe_open_connected(&probe, &gateway);
}

static void teardown(void)
{
  probe_close(&probe, &gateway);
}

TestSuite(calls, .init = setup, .fini = teardown);

#define EXPECT_SLICE(slice, text)                                                                                      \
  cr_expect(slice_equal_string((slice), (text)), "got \"" SLICE_FMT "\"", SLICE_ARG(slice))

static Item__V1__Item *get_item(struct driver *driver, const struct rpc_context *context)
{
  Item__V1__GetItemRequest request = ITEM__V1__GET_ITEM_REQUEST__INIT;
  request.id = ANY_ID;
  struct outcome outcome = driver_call(driver, GET_ITEM, &request.base, context);
  return (Item__V1__Item *)(void *)driver_reply(&outcome, &item__v1__item__descriptor);
}

static struct outcome list_items(char *what)
{
  Item__V1__ListItemsRequest request = ITEM__V1__LIST_ITEMS_REQUEST__INIT;
  request.q = what;
  return driver_call(&gateway, LIST_ITEMS, &request.base, &someone);
}

static void begin_list_items(char *what, uint64_t timeout_ms, struct outcome *outcome)
{
  Item__V1__ListItemsRequest request = ITEM__V1__LIST_ITEMS_REQUEST__INIT;
  request.q = what;
  driver_begin(&gateway, LIST_ITEMS, driver_pack(&gateway, &request.base), &someone, timeout_ms, outcome);
}

// Returns the number in the item's tag "name=number"; -1 when it has no such tag.
static int get_counter(const Item__V1__Item *item, const char *name)
{
  size_t length = strlen(name);
  for (size_t i = 0; i < item->n_tags; i++)
    if (strncmp(item->tags[i], name, length) == 0 && item->tags[i][length] == '=')
      return (int)strtol(item->tags[i] + length + 1, NULL, 10);
  return -1;
}

// Asks the probe until the counter has this value; fails the test after a minute.
static void wait_counter(struct driver *driver, const char *name, int value)
{
  uint64_t end_us = patience_end_us();
  while (get_counter(get_item(driver, &someone), name) != value)
    cr_assert_lt(clock_now_us(), end_us, "%s is not %d", name, value);
}

Test(calls, handler_sees_the_verified_context)
{
  const Item__V1__Item *item = get_item(&gateway, &someone);
  cr_expect_str_eq(item->owner_id, "caller-1");
  cr_expect_str_eq(item->sku, "r-1");
  cr_expect_str_eq(item->name, "gateway");
  cr_expect_str_eq(item->category, "");
  cr_expect_str_eq(get_item(&gateway, &admin)->category, "admin");
}

Test(calls, policy_is_enforced_in_the_service_too)
{
  Item__V1__GetItemRequest get = ITEM__V1__GET_ITEM_REQUEST__INIT;
  get.id = ANY_ID;
  cr_expect_eq(driver_call(&gateway, GET_ITEM, &get.base, &anonymous).status, STATUS_UNAUTHENTICATED);
  cr_expect_eq(driver_call(&gateway, GET_ITEM, &get.base, NULL).status, STATUS_UNAUTHENTICATED);

  User__V1__ListUsersRequest list = USER__V1__LIST_USERS_REQUEST__INIT;
  static const char method[] = "user.v1.UserService/ListUsers";
  cr_expect_eq(driver_call(&gateway, method, &list.base, &someone).status, STATUS_PERMISSION_DENIED);
  cr_expect_eq(driver_call(&gateway, method, &list.base, &admin).status, STATUS_OK);
}

Test(calls, internal_methods_are_closed_to_the_gateway)
{
  static const char method[] = "user.v1.UserService/FindUserByEmail";
  User__V1__FindUserByEmailRequest find = USER__V1__FIND_USER_BY_EMAIL_REQUEST__INIT;
  find.email = "ada@example.com";
  struct outcome refused = driver_call(&gateway, method, &find.base, &admin);
  cr_expect_eq(refused.status, STATUS_PERMISSION_DENIED);
  EXPECT_SLICE(refused.reason, "SERVICE_NOT_ADMITTED");
  struct driver service;
  driver_open(&service, probe.url, "auth");
  cr_expect_eq(driver_call(&service, method, &find.base, &anonymous).status, STATUS_OK);
  driver_close(&service);
}

Test(calls, public_methods_need_nobody)
{
  User__V1__CreateUserRequest create = USER__V1__CREATE_USER_REQUEST__INIT;
  create.email = "ada@example.com";
  create.password = "correct horse battery";
  create.display_name = "Ada";
  cr_expect_eq(driver_call(&gateway, "user.v1.UserService/CreateUser", &create.base, &anonymous).status, STATUS_OK);
}

Test(calls, requests_are_validated_before_the_handler)
{
  Item__V1__GetItemRequest get = ITEM__V1__GET_ITEM_REQUEST__INIT;
  get.id = "no-uuid";
  struct outcome outcome = driver_call(&gateway, GET_ITEM, &get.base, &someone);
  cr_expect_eq(outcome.status, STATUS_INVALID_ARGUMENT);
  cr_assert_eq(outcome.violation_count, 1);
  EXPECT_SLICE(outcome.violation_field, "id");
  cr_expect_gt(outcome.violation_description.size, 0);
}

Test(calls, policy_is_asked_before_the_request_is_looked_at)
{
  Item__V1__GetItemRequest get = ITEM__V1__GET_ITEM_REQUEST__INIT;
  get.id = "no-uuid";
  struct outcome outcome = driver_call(&gateway, GET_ITEM, &get.base, &anonymous);
  cr_expect_eq(outcome.status, STATUS_UNAUTHENTICATED);
  cr_expect_eq(outcome.violation_count, 0);
}

Test(calls, bytes_that_are_no_request_are_refused)
{
  struct outcome outcome;
  driver_begin(&gateway, GET_ITEM, SLICE("\x0a\xff\xff"), &someone, 10000, &outcome);
  driver_finish(&gateway, &outcome);
  cr_expect_eq(outcome.status, STATUS_INVALID_ARGUMENT);
  EXPECT_SLICE(outcome.reason, "MALFORMED_REQUEST");
}

Test(calls, unknown_and_missing_methods_are_unimplemented)
{
  Item__V1__GetItemRequest get = ITEM__V1__GET_ITEM_REQUEST__INIT;
  cr_expect_eq(driver_call(&gateway, "item.v1.ItemService/Nothing", &get.base, &admin).status, STATUS_UNIMPLEMENTED);
  Item__V1__DeleteItemRequest remove = ITEM__V1__DELETE_ITEM_REQUEST__INIT;
  remove.id = ANY_ID;
  cr_expect_eq(driver_call(&gateway, "item.v1.ItemService/DeleteItem", &remove.base, &admin).status,
               STATUS_UNIMPLEMENTED);
}

Test(calls, failures_carry_their_details)
{
  struct outcome outcome = list_items(PROBE_FAIL);
  cr_expect_eq(outcome.status, STATUS_ALREADY_EXISTS);
  EXPECT_SLICE(outcome.message, "the sku 7 is taken");
  EXPECT_SLICE(outcome.reason, "SKU_TAKEN");
  cr_expect_eq(outcome.retry_after_ms, 42);
  cr_assert_eq(outcome.violation_count, 1);
  EXPECT_SLICE(outcome.violation_field, "item.sku");
}

Test(calls, internal_errors_are_logged_with_the_request_id)
{
  cr_expect_eq(list_items(PROBE_INTERNAL).status, STATUS_INTERNAL);
  process_wait_output(&probe, "\"a call failed\"");
  const char *line = strstr(strbuf_cstring(&probe.output), "\"a call failed\"");
  cr_expect_not_null(strstr(line, "\"requestId\":\"r-1\""));
  cr_expect_not_null(strstr(line, "\"traceId\":\"" TRACE "\""));
  cr_expect_not_null(strstr(line, LIST_ITEMS));
}

Test(calls, replies_may_be_ready_made_bytes)
{
  struct outcome ready = list_items(PROBE_BYTES);
  struct outcome built = list_items("");
  const Item__V1__ListItemsResponse *response =
      (void *)driver_reply(&ready, &item__v1__list_items_response__descriptor);
  cr_expect_str_eq(response->next_page_token, "ready-made");
  response = (void *)driver_reply(&built, &item__v1__list_items_response__descriptor);
  cr_expect_str_eq(response->next_page_token, "built");
}

// The client that asked is not run meanwhile, so it is the service itself that ends the handler.
Test(calls, the_callers_deadline_ends_the_handler)
{
  struct driver other;
  struct outcome outcome;
  driver_open(&other, probe.url, "gateway");
  get_item(&gateway, &someone);
  begin_list_items(PROBE_WAIT, 50, &outcome);
  wait_counter(&other, PROBE_OVERDUE, 1);
  driver_finish(&gateway, &outcome);
  cr_expect_eq(outcome.status, STATUS_DEADLINE_EXCEEDED);
  driver_close(&other);
}

// The caller would wait an hour; the method's own timeout holds all the same.
Test(calls, the_methods_timeout_bounds_the_handler)
{
  Item__V1__GetItemRequest request = ITEM__V1__GET_ITEM_REQUEST__INIT;
  request.id = ANY_ID;
  struct outcome outcome;
  driver_begin(&gateway, GET_ITEM, driver_pack(&gateway, &request.base), &someone, 3600000, &outcome);
  driver_finish(&gateway, &outcome);
  const Item__V1__Item *item = (void *)driver_reply(&outcome, &item__v1__item__descriptor);
  int left_ms = get_counter(item, PROBE_LEFT);
  cr_expect_gt(left_ms, 0);
  cr_expect_leq(left_ms, (int)probe_item_method(GET_ITEM)->timeout_ms);
}

Test(calls, the_methods_timeout_bounds_a_call_to_a_peer)
{
  User__V1__GetUserRequest request = USER__V1__GET_USER_REQUEST__INIT;
  request.id = PROBE_HURRIED_ID;
  struct outcome outcome = driver_call(&gateway, "user.v1.UserService/GetUser", &request.base, &someone_in_charge);
  const User__V1__User *user = (void *)driver_reply(&outcome, &user__v1__user__descriptor);
  cr_assert_eq(strncmp(user->id, PROBE_LEFT "=", sizeof(PROBE_LEFT)), 0, "%s", user->id);
  long left_ms = strtol(user->id + sizeof(PROBE_LEFT), NULL, 10);
  cr_expect_gt(left_ms, 0);
  cr_expect_leq(left_ms, (long)probe_item_method(GET_ITEM)->timeout_ms / 2);
}

// A connection that sends frames as a client of ours would not.
struct raw_client {
  struct transport transport;
  struct rpc_link *link;
  struct packet_stream *stream;
};

static void ignore_packets(void *arg)
{
  (void)arg;
}

static void take_connection(void *arg)
{
  struct raw_client *raw = arg;
  size_t count;
  struct pipe_event *events = transport_take_events(&raw->transport, &count);
  cr_assert_eq(count, 1);
  cr_assert_eq(events[0].kind, PIPE_OPENED);
  const struct packet_stream_options options = {
      .transport = &raw->transport, .max_message_bytes = RPC_MAX_MESSAGE_BYTES, .on_readable = ignore_packets};
  raw->stream = packet_stream_open(&events[0].opened, &options);
  free(events);
}

// Appends the hello of a gateway that connects to the probe.
static void append_hello(struct strbuf *packet)
{
  struct service_identity *identity = service_keys_identity("gateway");
  struct service_greeting greeting;
  struct arena arena;
  arena_init(&arena);
  cr_assert_eq(service_identity_greet(identity, "probe", probe.url, &arena, &greeting), STATUS_OK);
  rpc_hello_append(packet, greeting.hello);
  arena_free(&arena);
  service_identity_free(&identity);
}

// Connects, and sends a hello and the frames in one packet.
static void raw_send(struct raw_client *raw, const struct rpc_frame *frames, size_t count)
{
  struct error error;
  *raw = (struct raw_client){0};
  transport_init(&raw->transport);
  transport_watch_events(&raw->transport, take_connection, raw);
  const struct rpc_link_options options = {.url = probe.url, .events = &raw->transport.events};
  cr_assert_eq(rpc_link_dial(&options, &raw->link, &error), STATUS_OK, "%s", error.message);
  while (raw->stream == NULL) {
    struct pollfd fd = {.fd = raw->transport.epoll_fd, .events = POLLIN};
    cr_assert_eq(poll(&fd, 1, 60000), 1, "no connection within a minute");
    (void)transport_poll(&raw->transport);
  }
  struct strbuf packet;
  strbuf_init(&packet, 0);
  append_hello(&packet);
  for (size_t i = 0; i < count; i++)
    rpc_frame_append(&packet, &frames[i]);
  const struct outbox_packet sent = {.bytes = strbuf_slice(&packet), .frame_count = count};
  cr_assert(raw->stream->port.transmit(&raw->stream->port, &sent, 0));
  strbuf_free(&packet);
}

static void raw_close(struct raw_client *raw)
{
  packet_stream_close(&raw->stream);
  rpc_link_close(&raw->link);
  transport_free(&raw->transport);
}

// Returns the request of a call whose handler waits until the call ends.
static struct rpc_frame waiting_call(uint32_t timeout_ms)
{
  Item__V1__ListItemsRequest request = ITEM__V1__LIST_ITEMS_REQUEST__INIT;
  request.q = PROBE_WAIT;
  struct rpc_frame call = {.call_id = 1,
                           .kind = RPC_FRAME_REQUEST,
                           .method = SLICE(LIST_ITEMS),
                           .timeout_ms = timeout_ms,
                           .payload = driver_pack(&gateway, &request.base),
                           .has_context = true,
                           .context = someone};
  const struct slice role = SLICE("user");
  call.context.access_token = service_keys_token(someone.caller_id, &role, 1, 0, SLICE(""));
  return call;
}

// Request and CANCEL come in one packet, so the cancellation comes before the handler's task has begun. A third call in
// the same packet shows that the packet has come.
Test(calls, a_call_that_is_cancelled_before_it_begins_never_begins)
{
  struct rpc_frame call = waiting_call(60000);
  struct rpc_frame frames[] = {call, {.call_id = 1, .kind = RPC_FRAME_CANCEL}, call, call};
  frames[2].call_id = 2;
  frames[3].call_id = 3;
  struct raw_client raw;
  raw_send(&raw, frames, 4);
  wait_counter(&gateway, PROBE_STARTED, 2);
  raw_close(&raw);
  wait_counter(&gateway, PROBE_CANCELLED, 2);
}

// The caller's clock may reach the deadline a moment before the service's does. The log says all the same why the call
// was late.
Test(calls, a_call_that_is_cancelled_at_its_deadline_is_late)
{
  struct rpc_frame frames[] = {waiting_call(20), {.call_id = 1, .kind = RPC_FRAME_CANCEL}};
  struct raw_client raw;
  raw_send(&raw, frames, 2);
  process_wait_output(&probe, "\"message\":\"a call could not be done\"");
  EXPECT_OUTPUT(probe, "\"status\":\"DEADLINE_EXCEEDED\"");
  raw_close(&raw);
}

Test(calls, cancelling_ends_the_handler)
{
  struct outcome outcome;
  begin_list_items(PROBE_WAIT, 60000, &outcome);
  wait_counter(&gateway, PROBE_STARTED, 1);
  rpc_call_cancel(outcome.call);
  wait_counter(&gateway, PROBE_CANCELLED, 1);
  cr_expect_not(outcome.done);
}

Test(calls, a_client_that_goes_away_cancels_its_calls)
{
  struct driver other;
  driver_open(&other, probe.url, "gateway");
  Item__V1__ListItemsRequest request = ITEM__V1__LIST_ITEMS_REQUEST__INIT;
  request.q = PROBE_WAIT;
  struct outcome waiting;
  driver_begin(&other, LIST_ITEMS, driver_pack(&other, &request.base), &someone, 60000, &waiting);
  // This call follows on the same connection: when it is answered, the first one has arrived.
  Item__V1__GetItemRequest get = ITEM__V1__GET_ITEM_REQUEST__INIT;
  get.id = ANY_ID;
  cr_assert_eq(driver_call(&other, GET_ITEM, &get.base, &someone).status, STATUS_OK);
  driver_close(&other);
  wait_counter(&gateway, PROBE_CANCELLED, 1);
}

// The context goes along to the peer: the same request, caller and trace, a new span, and our own name.
Test(calls, peers_see_the_request_behind_the_call)
{
  User__V1__GetUserRequest request = USER__V1__GET_USER_REQUEST__INIT;
  request.id = ANY_ID;
  struct outcome outcome = driver_call(&gateway, "user.v1.UserService/GetUser", &request.base, &someone_in_charge);
  const User__V1__User *user = (void *)driver_reply(&outcome, &user__v1__user__descriptor);
  cr_expect_str_eq(user->id, "caller-1");
  cr_expect_str_eq(user->email, "r-1");
  cr_expect_str_eq(user->display_name, "probe");
  cr_expect_eq(strncmp(user->etag, "00-" TRACE "-", 36), 0, "%s", user->etag);
  cr_expect_null(strstr(user->etag, "b7ad6b7169203331"));
}

Test(calls, a_peers_failure_reaches_the_caller_whole)
{
  User__V1__GetUserRequest request = USER__V1__GET_USER_REQUEST__INIT;
  request.id = PROBE_ABSENT_ID;
  struct outcome outcome = driver_call(&gateway, "user.v1.UserService/GetUser", &request.base, &someone_in_charge);
  cr_expect_eq(outcome.status, STATUS_NOT_FOUND);
  EXPECT_SLICE(outcome.reason, "ITEM_NOT_FOUND");
  EXPECT_SLICE(outcome.message, "there is no item " PROBE_ABSENT_ID);
  EXPECT_SLICE(outcome.violation_field, "id");
}

Test(calls, many_calls_run_side_by_side)
{
  enum { CALLS = 200 };
  static struct outcome waiting[CALLS];
  for (size_t i = 0; i < CALLS; i++)
    begin_list_items(PROBE_HOLD, 60000, &waiting[i]);
  wait_counter(&gateway, PROBE_STARTED, CALLS);
  probe_release(&probe);
  for (size_t i = 0; i < CALLS; i++) {
    driver_finish(&gateway, &waiting[i]);
    cr_expect_eq(waiting[i].status, STATUS_OK);
  }
}
