#include "tests/component/service/probe.h"
#include "tests/component/service/probe_jobs.h"
#include "tests/component/service/probe_streams.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "auth/v1/auth.bh.h"
#include "common/base/check.h"
#include "common/observe/log.h"
#include "common/runtime/task.h"
#include "common/service/call_internal.h"
#include "common/service/proto_memory_internal.h"
#include "common/service/resource.h"
#include "common/service/service.h"
#include "item/v1/item.bh.h"
#include "user/v1/user.bh.h"

struct probe_settings {
  const char *greeting;
  const char *secret;
};

static struct {
  int started;
  int cancelled;
  int overdue;
  int ticking;
  int created;
} counters;

// Makes the tag "name=value" of a counter.
static char *counter(struct call *call, const char *name, int value)
{
  return arena_printf(call_arena(call), "%s=%d", name, value);
}

static enum status get_item(struct call *call, const Item__V1__GetItemRequest *request, Item__V1__Item *response)
{
  struct arena *arena = call_arena(call);
  if (strcmp(request->id, PROBE_ABSENT_ID) == 0) {
    call_violation(call, "id", "names nothing");
    return call_fail(call, STATUS_NOT_FOUND, "ITEM_NOT_FOUND", "there is no item %s", request->id);
  }
  response->id = request->id;
  response->owner_id = arena_string(arena, call_caller_id(call));
  response->sku = arena_string(arena, call->context->request_id);
  response->name = arena_string(arena, call->context->peer_service);
  response->description = arena_string(arena, call->context->traceparent);
  response->category = call_caller_has_role(call, "admin") ? "admin" : "";
  response->n_tags = 6;
  response->tags = arena_array(arena, response->n_tags, sizeof(char *));
  response->tags[0] = counter(call, PROBE_STARTED, counters.started);
  response->tags[1] = counter(call, PROBE_CANCELLED, counters.cancelled);
  response->tags[2] = counter(call, PROBE_OVERDUE, counters.overdue);
  response->tags[3] = counter(call, PROBE_TICKING, counters.ticking);
  response->tags[4] = counter(call, PROBE_LEFT, (int)deadline_left_ms(task_deadline_us(), clock_now_us()));
  struct slice session = call_caller_session(call);
  response->tags[5] =
      arena_printf(arena, "session=" SLICE_FMT " at %" PRId64, SLICE_ARG(session), call_caller_auth_time(call));
  return STATUS_OK;
}

static enum status wait_for_the_end(void)
{
  counters.started++;
  enum status status = task_sleep_ms(600000);
  counters.cancelled += status == STATUS_CANCELLED;
  counters.overdue += status == STATUS_DEADLINE_EXCEEDED;
  return status;
}

static bool is_released(struct call *call)
{
  const char *path = arena_printf(call_arena(call), "%s/%s", getenv(PROBE_FOLDER), PROBE_RELEASE_FILE);
  return access(path, F_OK) == 0;
}

static enum status hold(struct call *call)
{
  counters.started++;
  while (!is_released(call)) {
    enum status status = task_sleep_ms(5);
    if (status != STATUS_OK)
      return status;
  }
  return STATUS_OK;
}

static enum status hold_beyond_deadline(struct call *call)
{
  uint64_t before = task_deadline_us();
  task_restore_deadline(DEADLINE_NONE);
  task_shield(true);
  while (!is_released(call))
    CHECK(task_sleep_ms(5) == STATUS_OK);
  task_shield(false);
  task_restore_deadline(before);
  return STATUS_OK;
}

static enum status reply_with_bytes(struct call *call)
{
  Item__V1__ListItemsResponse response = ITEM__V1__LIST_ITEMS_RESPONSE__INIT;
  response.next_page_token = "ready-made";
  call_reply_bytes(call, proto_pack_arena(&response.base, call_arena(call)));
  return STATUS_OK;
}

static enum status fail_with_details(struct call *call)
{
  call_violation(call, "item.sku", "is taken");
  call->retry_after_ms = 42;
  return call_fail(call, STATUS_ALREADY_EXISTS, "SKU_TAKEN", "the sku %d is taken", 7);
}

static void write_through_wild_pointer(void)
{
  volatile uintptr_t address = 8;
  *(volatile int *)address = 1;
}

static enum status list_items(struct call *call, const Item__V1__ListItemsRequest *request,
                              Item__V1__ListItemsResponse *response)
{
  response->next_page_token = "built";
  if (strcmp(request->q, PROBE_WAIT) == 0)
    return wait_for_the_end();
  if (strcmp(request->q, PROBE_HOLD) == 0)
    return hold(call);
  if (strcmp(request->q, PROBE_BYTES) == 0)
    return reply_with_bytes(call);
  if (strcmp(request->q, PROBE_INTERNAL) == 0)
    return STATUS_INTERNAL;
  if (strcmp(request->q, PROBE_CRASH) == 0)
    write_through_wild_pointer();
  CHECK(strcmp(request->q, PROBE_CHECK) != 0);
  if (strcmp(request->q, PROBE_FAIL) != 0)
    return STATUS_OK;
  return fail_with_details(call);
}

// Defines a handler that no test calls. Every method needs one, or the service does not start.
// NOLINTBEGIN(bugprone-macro-parentheses): a type cannot stand in parentheses
#define NOT_TESTED(name, request_type, response_type)                                                                  \
  static enum status name(struct call *call, const request_type *request, response_type *response)                     \
  {                                                                                                                    \
    (void)call, (void)request, (void)response;                                                                         \
    return STATUS_UNIMPLEMENTED;                                                                                       \
  }
// NOLINTEND(bugprone-macro-parentheses)

static enum status create_item(struct call *call, const Item__V1__CreateItemRequest *request, Item__V1__Item *response)
{
  response->name = request->item->name;
  if (strcmp(response->name, PROBE_WAIT) == 0)
    return wait_for_the_end();
  if (strcmp(response->name, PROBE_DEAF) == 0)
    return hold_beyond_deadline(call);
  if (strcmp(response->name, PROBE_CHANGE) == 0)
    task_note_effect(TASK_EFFECT_DONE);
  bool fails = strcmp(response->name, PROBE_CHANGE) == 0 || strcmp(response->name, PROBE_REFUSE) == 0;
  return fails ? STATUS_UNAVAILABLE : STATUS_OK;
}

NOT_TESTED(update_item, Item__V1__UpdateItemRequest, Item__V1__Item)
NOT_TESTED(delete_item, Item__V1__DeleteItemRequest, Google__Protobuf__Empty)
NOT_TESTED(watch_items, Item__V1__WatchItemsRequest, struct stream)

// A word that is written and read back.
struct word {
  const char *text;
};

static const struct query_param word_params[] = {{.kind = QUERY_TEXT}};

static const struct query add_word = {
    .statement = {.name = "probe_add_word", .sql = "INSERT INTO words VALUES ($1)"},
    .params = word_params,
    .param_count = 1,
};

static const struct query refused = {.statement = {.name = "probe_refused", .sql = "SELECT 1 / 0"}};

static const struct query find_word = {
    .statement = {.name = "probe_find_word",
                  .sql = "SELECT word, place FROM unnest($1::text[]) WITH ORDINALITY AS k(key, place)"
                         " JOIN words ON word = key",
                  .lane = PG_LANE_POINT},
    .columns = (const struct query_column[]){{.kind = QUERY_TEXT}},
    .column_count = 1,
    .row_size = sizeof(struct word),
};

// Writes the name of the first item among the words, as the name says, and counts its runs.
static enum status batch_create_items(struct call *call, const Item__V1__BatchCreateItemsRequest *request,
                                      Item__V1__BatchCreateItemsResponse *response)
{
  const char *name = request->items[0]->name;
  struct arena *arena = call_arena(call);
  response->items = request->items;
  response->n_items = 1;
  response->items[0]->sku = arena_printf(arena, "%d", ++counters.created);
  if (strcmp(name, PROBE_ELSEWHERE) == 0)
    return STATUS_OK;
  if (strcmp(name, PROBE_LATE) == 0) {
    enum status held = hold(call);
    return held == STATUS_OK ? fail_with_details(call) : held;
  }
  enum status status = query_exec(resource_db(call), &add_word, &(struct word){name}, arena, NULL);
  if (status == STATUS_ABORTED)
    return call_fail(call, status, "WORDS_LOCKED", "another call has locked the words");
  struct word word = {0};
  if (status == STATUS_OK)
    status = query_gathered(resource_db(call), &find_word, name, arena, &word);
  response->items[0]->description = arena_printf(arena, "%s", word.text == NULL ? "" : word.text);
  if (strcmp(name, PROBE_CARELESS) == 0) {
    enum status ignored = query_exec(resource_db(call), &refused, NULL, arena, NULL);
    CHECK(ignored == STATUS_INVALID_ARGUMENT);
  }
  return status == STATUS_OK && strcmp(name, PROBE_REGRET) == 0 ? STATUS_NOT_FOUND : status;
}

static const struct item_v1_item_service_handlers item_handlers = {.create_item = create_item,
                                                                   .get_item = get_item,
                                                                   .list_items = list_items,
                                                                   .update_item = update_item,
                                                                   .delete_item = delete_item,
                                                                   .batch_create_items = batch_create_items,
                                                                   .import_items = probe_import_items,
                                                                   .watch_items = watch_items};

// The methods of item.v1 as the probe serves them, made before become_the_probe: under its name, and open to itself.
static struct rpc_method own_methods[16];
static struct rpc_service own_items = {.methods = own_methods};

__attribute__((constructor(101))) static void make_own_methods(void)
{
  static const char *const any[] = {POLICY_ANY_SERVICE};
  own_items = item_v1_item_service;
  own_items.methods = own_methods;
  own_items.service = "probe";
  CHECK(own_items.method_count <= ARRAY_LEN(own_methods));
  for (size_t i = 0; i < own_items.method_count; i++) {
    own_methods[i] = item_v1_item_service.methods[i];
    own_methods[i].service = "probe";
    own_methods[i].policy.callers = any;
    own_methods[i].policy.caller_count = ARRAY_LEN(any);
    // A list that is held must outlast what a test does meanwhile, a debugger's start on a busy machine for one.
    if (strcmp(own_methods[i].full_name, "item.v1.ItemService/ListItems") == 0)
      own_methods[i].timeout_ms = 30000;
    if (strcmp(own_methods[i].full_name, PROBE_RECENT_LOGIN) == 0)
      own_methods[i].policy.max_auth_age_s = PROBE_MAX_AUTH_AGE_S;
  }
}

static enum status call_itself(struct call *call, const char *full_name, const ProtobufCMessage *request,
                               ProtobufCMessage **reply)
{
  return call_peer(call_service(call), call, probe_item_method(full_name), request, call_arena(call), reply);
}

// Handlers of user.v1.
static enum status call_peer_named(struct call *call, char *name)
{
  enum status status;
  ProtobufCMessage *reply;
  if (strcmp(name, PROBE_LOOK) == 0) {
    Item__V1__ListItemsRequest list = ITEM__V1__LIST_ITEMS_REQUEST__INIT;
    status = call_itself(call, "item.v1.ItemService/ListItems", &list.base, &reply);
  } else {
    Item__V1__Item item = ITEM__V1__ITEM__INIT;
    item.sku = "sku";
    item.name = name;
    Item__V1__CreateItemRequest create = ITEM__V1__CREATE_ITEM_REQUEST__INIT;
    create.item = &item;
    status = call_itself(call, "item.v1.ItemService/CreateItem", &create.base, &reply);
  }
  return status == STATUS_OK ? STATUS_UNAVAILABLE : call_fail_as_peer(call, status);
}

static enum status create_user(struct call *call, const User__V1__CreateUserRequest *request, User__V1__User *response)
{
  response->email = request->email;
  size_t length = sizeof(PROBE_PEER) - 1;
  if (strncmp(request->display_name, PROBE_PEER, length) == 0)
    return call_peer_named(call, request->display_name + length);
  return STATUS_OK;
}

const struct rpc_method *probe_item_method(const char *full_name)
{
  for (size_t i = 0; i < own_items.method_count; i++)
    if (strcmp(own_methods[i].full_name, full_name) == 0)
      return &own_methods[i];
  return NULL;
}

static enum status get_item_hurriedly(struct call *call, const Item__V1__GetItemRequest *question,
                                      User__V1__User *response)
{
  struct rpc_method hurried = *probe_item_method("item.v1.ItemService/GetItem");
  hurried.timeout_ms /= 2;
  ProtobufCMessage *reply;
  enum status status = call_peer(call_service(call), call, &hurried, &question->base, call_arena(call), &reply);
  if (status != STATUS_OK)
    return call_fail_as_peer(call, status);
  const Item__V1__Item *item = (const void *)reply;
  response->id = item->tags[4];
  return STATUS_OK;
}

static enum status get_user(struct call *call, const User__V1__GetUserRequest *request, User__V1__User *response)
{
  Item__V1__GetItemRequest question = ITEM__V1__GET_ITEM_REQUEST__INIT;
  question.id = request->id;
  if (strcmp(request->id, PROBE_HURRIED_ID) == 0)
    return get_item_hurriedly(call, &question, response);
  ProtobufCMessage *reply;
  enum status status = call_itself(call, "item.v1.ItemService/GetItem", &question.base, &reply);
  if (status != STATUS_OK)
    return call_fail_as_peer(call, status);
  const Item__V1__Item *item = (const void *)reply;
  response->id = item->owner_id;
  response->display_name = item->name;
  response->email = item->sku;
  response->etag = item->description;
  return STATUS_OK;
}

static enum status list_users(struct call *call, const User__V1__ListUsersRequest *request,
                              User__V1__ListUsersResponse *response)
{
  (void)call, (void)request, (void)response;
  return STATUS_OK;
}

static enum status find_user(struct call *call, const User__V1__FindUserByEmailRequest *request,
                             User__V1__User *response)
{
  (void)call;
  response->email = request->email;
  return STATUS_OK;
}

NOT_TESTED(get_current_user, User__V1__GetCurrentUserRequest, User__V1__User)
NOT_TESTED(update_current_user, User__V1__UpdateCurrentUserRequest, User__V1__User)
NOT_TESTED(delete_current_user, User__V1__DeleteCurrentUserRequest, Google__Protobuf__Empty)
NOT_TESTED(update_user, User__V1__UpdateUserRequest, User__V1__User)
NOT_TESTED(delete_user, User__V1__DeleteUserRequest, Google__Protobuf__Empty)
NOT_TESTED(find_user_by_id, User__V1__FindUserByIdRequest, User__V1__User)

static const struct user_v1_user_service_handlers user_handlers = {.create_user = create_user,
                                                                   .get_current_user = get_current_user,
                                                                   .update_current_user = update_current_user,
                                                                   .delete_current_user = delete_current_user,
                                                                   .get_user = get_user,
                                                                   .list_users = list_users,
                                                                   .update_user = update_user,
                                                                   .delete_user = delete_user,
                                                                   .find_user_by_email = find_user,
                                                                   .find_user_by_id = find_user_by_id};

// A background task that shows in the counters while it runs, and logs its end.
static void tick(void *arg)
{
  (void)arg;
  counters.ticking = 1;
  while (task_sleep_ms(20) == STATUS_OK)
    continue;
  counters.ticking = 0;
  log_info("probe", "the background task has ended");
}

static enum status start(struct service *service, void **state, struct error *error)
{
  const struct probe_settings *settings = service_settings(service);
  if (strcmp(settings->greeting, "fail") == 0)
    return error_set(error, STATUS_FAILED_PRECONDITION, "the greeting is not liked");
  *state = &counters;
  service_background(service, tick, NULL);
  return STATUS_OK;
}

static void stop(struct service *service, void *state)
{
  (void)service;
  log_info("probe", "stop was called", LOG_BOOL("withState", state == &counters), LOG_INT("ticking", counters.ticking));
}

// The statement of the command that asks PostgreSQL and the peer.
static const struct pg_statement add = {.name = "probe_add", .sql = "SELECT $1::bigint + 1"};

static enum status run_add(struct service *service, int argc, char **argv, struct error *error)
{
  (void)argc;
  int64_t number;
  if (!slice_to_int64(slice_from_string(argv[0]), 0, 1000, &number))
    return error_set(error, STATUS_INVALID_ARGUMENT, "\"%s\" is no number", argv[0]);
  struct arena arena;
  arena_init(&arena);
  struct pg_params params;
  pg_params_init(&params, &arena);
  pg_add_int(&params, number);
  struct pg_result result;
  enum status status = pg_query(service_pg(service), &add, &params, &arena, &result);
  if (status == STATUS_OK)
    printf("%lld\n", (long long)pg_int(&result, 0, 0));
  arena_free(&arena);
  return status;
}

static const struct setting settings[] = {
    {.name = "PROBE_GREETING",
     .type = SETTING_STRING,
     .default_value = "hello",
     .help = "What to say.",
     SETTING_TARGET(struct probe_settings, greeting)},
    {.name = "PROBE_SECRET",
     .type = SETTING_STRING,
     .optional = true,
     .secret = true,
     .help = "What not to say.",
     SETTING_TARGET(struct probe_settings, secret)},
};

static const struct rpc_binding bindings[] = {
    {.service = &user_v1_user_service, .handlers = &user_handlers},
    {.service = &own_items, .handlers = &item_handlers},
    {.service = &probe_streams, .handlers = probe_stream_handlers},
};

static const char *const peers[] = {"probe"};

static const struct migration migrations[] = {
    {.version = 1,
     .name = "words",
     .up = SLICE_INIT("CREATE TABLE words (word text)"),
     .down = SLICE_INIT("DROP TABLE words")},
};
static const struct migration_set migration_set = {.schema = "probe", .migrations = migrations, .count = 1};

static const struct service_command commands[] = {
    {.name = "add",
     .arguments = "<number>",
     .help = "Adds one.",
     .min_arguments = 1,
     .max_arguments = 1,
     .run = run_add},
    {.name = "add-job", .arguments = "", .help = "", .min_arguments = 3, .max_arguments = 4, .run = probe_add_job},
};

static const struct service_definition definition = {
    .name = "probe",
    .settings = settings,
    .setting_count = ARRAY_LEN(settings),
    .settings_size = sizeof(struct probe_settings),
    .bindings = bindings,
    .binding_count = ARRAY_LEN(bindings),
    .peers = peers,
    .peer_count = ARRAY_LEN(peers),
    .token_issuer = &auth_v1_auth_service,
    .token_keys_method = "GetJwks",
    .migrations = &migration_set,
    .commands = commands,
    .command_count = ARRAY_LEN(commands),
    .jobs = probe_jobs,
    .job_count = PROBE_JOB_KINDS,
    .start = start,
    .stop = stop,
};

static void redirect_standard_error(void)
{
  const char *text = getenv(PROBE_STDERR);
  int64_t fd;
  if (text == NULL)
    return;
  CHECK(slice_to_int64(slice_from_string(text), 0, INT32_MAX, &fd));
  CHECK(dup2((int)fd, STDERR_FILENO) == STDERR_FILENO);
  close((int)fd);
}

// Becomes the probe before criterion's main runs, so that the probe starts and ends like a real service.
__attribute__((constructor)) static void become_the_probe(int argc, char **argv)
{
  if (getenv("BULKHEAD_PROBE") == NULL)
    return;
  // The debugger that a test starts is not an ancestor of this process, so it needs permission to attach.
  prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
  // A crash on purpose must not leave a core file.
  setrlimit(RLIMIT_CORE, &(struct rlimit){0});
  redirect_standard_error();
  exit(service_main(&definition, argc, argv));
}
