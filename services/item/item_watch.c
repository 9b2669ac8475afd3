// A watcher first reads what has changed since its resume token, at its own pace, and joins the hub once it has come as
// far as that. Its first message says so.
#include "services/item/item_watch.h"

#include "common/base/arena.h"
#include "common/base/clock.h"
#include "common/runtime/task.h"
#include "common/service/call.h"
#include "common/service/service.h"
#include "common/service/stream.h"
#include "item/queries.bh.h"
#include "services/item/item_hub.h"
#include "services/item/item_state.h"

// How often a watcher hears that there is nothing to tell.
#define QUIET_MS 15000
// A stream ends in good order before its deadline, by a part of its time and by so much at most.
#define END_MAX_MS 2000
#define END_PART 8
#define MS_AS_US 1000

struct watch {
  struct call *call;
  struct stream *stream;
  struct item_hub *hub;
  struct item_filter filter;
  struct item_position position;
  bool has_more;  // of the past, behind the page that was told last
  uint64_t end_us;
  size_t change_bytes;
  struct item_watcher watcher;
};

static enum status fail_expired(struct call *call)
{
  return call_fail(call, STATUS_OUT_OF_RANGE, "RESUME_TOKEN_EXPIRED",
                   "changes after this resume token are no longer kept; watch without one, then list the items");
}

static bool tell_place(struct watch *watch)
{
  char token[ITEM_TOKEN_SIZE];
  Item__V1__WatchItemsResponse response = ITEM__V1__WATCH_ITEMS_RESPONSE__INIT;
  item_position_write(watch->position, token);
  response.resume_token = token;
  return item_v1_item_service_watch_items_write_response(watch->stream, &response);
}

// ---- what has changed since the token ----

// Tells a change that was read with its row.
static enum status tell_row(struct watch *watch, const struct item_db_list_changes_row *row)
{
  struct arena arena;
  Item__V1__Item item = ITEM__V1__ITEM__INIT;
  arena_init(&arena);
  enum status status = item_db_get(query_on(service_pg(call_service(watch->call))), row->item_id, &arena, &item);
  if (status == STATUS_OK || status == STATUS_NOT_FOUND) {
    struct item_change *change = item_change_create(row, status == STATUS_OK ? &item : NULL, &watch->change_bytes);
    Item__V1__ItemChangeKind kind = item_change_judge(change, &watch->filter);
    status = STATUS_OK;
    if (kind != ITEM__V1__ITEM_CHANGE_KIND__ITEM_CHANGE_KIND_NONE && !item_change_tell(change, kind, watch->stream))
      status = stream_status(watch->stream);
    watch->position = item_change_position(change);
    item_change_release(&change);
  }
  arena_free(&arena);
  return status;
}

static enum status check_bounds(const struct watch *watch, const struct item_db_list_changes_row *row)
{
  const struct item_position kept = {row->kept_clock, row->kept_id};
  // A token that is ahead of the server is that of another one.
  if (item_position_compare(watch->position, kept) < 0 || watch->position.clock > row->next)
    return fail_expired(watch->call);
  return STATUS_OK;
}

static enum status tell_page(struct watch *watch, struct arena *arena)
{
  const struct item_db_list_changes_params params = {
      .after_clock = watch->position.clock, .after_change = watch->position.id, .most = ITEM_CHANGES_PAGE};
  struct item_db_list_changes_row *rows = NULL;
  size_t count = 0;
  enum status status =
      item_db_list_changes(query_on(service_pg(call_service(watch->call))), &params, arena, &rows, &count);
  if (status == STATUS_OK)
    status = check_bounds(watch, &rows[0]);
  for (size_t i = 0; i < count && status == STATUS_OK && rows[i].has_clock; i++)
    status = tell_row(watch, &rows[i]);
  const struct item_position settled = {status == STATUS_OK ? rows[0].settled : 0, 0};
  watch->has_more = count == ITEM_CHANGES_PAGE;
  if (status == STATUS_OK && count < ITEM_CHANGES_PAGE && item_position_compare(watch->position, settled) < 0)
    watch->position = settled;
  return status;
}

static enum status tell_past(struct watch *watch)
{
  struct arena arena;
  arena_init(&arena);
  enum status status = tell_page(watch, &arena);
  arena_free(&arena);
  return status;
}

// True while there is more to tell of the past, or the hub is farther than the watcher.
static bool is_behind(const struct watch *watch)
{
  struct item_position position;
  bool hub_is_ahead = item_hub_position(watch->hub, &position) && item_position_compare(watch->position, position) < 0;
  return watch->has_more || hub_is_ahead;
}

// ---- the beginning ----

// Finds where a watcher without a token begins.
static enum status begin_now(struct watch *watch)
{
  if (item_hub_position(watch->hub, &watch->position))
    return STATUS_OK;
  struct item_db_find_changes_bounds_row bounds = {0};
  enum status status =
      item_db_find_changes_bounds(query_on(service_pg(call_service(watch->call))), call_arena(watch->call), &bounds);
  watch->position = (struct item_position){bounds.settled, 0};
  return status;
}

static enum status begin_at(struct watch *watch, const char *token)
{
  if (!item_position_read(slice_from_string(token), &watch->position))
    return call_fail(watch->call, STATUS_INVALID_ARGUMENT, "INVALID_RESUME_TOKEN",
                     "the resume token is not one of this method's; watch without one, then list the items");
  return tell_past(watch);
}

static enum status join(struct watch *watch, const char *token)
{
  enum status status = token[0] == '\0' ? begin_now(watch) : begin_at(watch, token);
  while (status == STATUS_OK && is_behind(watch))
    status = tell_past(watch);
  if (status != STATUS_OK)
    return status;
  item_hub_join(watch->hub, &watch->watcher, watch->position);
  return tell_place(watch) ? STATUS_OK : stream_status(watch->stream);
}

// ---- what changes from now on ----

static enum status fail_ended(struct call *call, enum item_watcher_end end)
{
  switch (end) {
  case ITEM_WATCHER_EXPIRED:
    return fail_expired(call);
  case ITEM_WATCHER_DRAINED:
    return call_fail(call, STATUS_UNAVAILABLE, "UNAVAILABLE",
                     "this instance is about to end; watch again with the last resume token");
  default:
    return call_fail(call, STATUS_RESOURCE_EXHAUSTED, "WATCH_TOO_SLOW",
                     "changes came faster than they were read; watch again with the last resume token");
  }
}

// Waits until there is something to tell. Where nothing comes, the end of the quiet time is it.
static enum status wait_for_news(struct watch *watch)
{
  struct completion news = {.what = "a change of an item"};
  watch->watcher.waiting = &news;
  uint64_t quiet_us = deadline_min(deadline_after_ms(clock_now_us(), QUIET_MS), watch->end_us);
  uint64_t before_us = task_tighten_deadline(quiet_us);
  enum status status = completion_wait(&news);
  task_restore_deadline(before_us);
  watch->watcher.waiting = NULL;
  if (status != STATUS_DEADLINE_EXCEEDED)
    return status;
  struct item_position position;
  if (item_hub_position(watch->hub, &position) && item_position_compare(watch->position, position) < 0)
    watch->position = position;
  return tell_place(watch) ? STATUS_OK : stream_status(watch->stream);
}

static enum status tell(struct watch *watch, struct item_told *told)
{
  bool sent = item_change_tell(told->change, told->kind, watch->stream);
  watch->position = item_change_position(told->change);
  item_change_release(&told->change);
  return sent ? STATUS_OK : stream_status(watch->stream);
}

static enum status tell_news(struct watch *watch)
{
  struct item_told told;
  enum status status = STATUS_OK;
  while (status == STATUS_OK && clock_now_us() < watch->end_us) {
    status = item_watcher_take(&watch->watcher, &told) ? tell(watch, &told) : wait_for_news(watch);
    if (watch->watcher.end != ITEM_WATCHER_GOES_ON)
      status = fail_ended(watch->call, watch->watcher.end);
  }
  return status;
}

enum status item_watch(struct call *call, const Item__V1__WatchItemsRequest *request, struct stream *stream)
{
  const struct item_state *state = call_state(call);
  struct watch *watch = arena_zalloc(call_arena(call), sizeof(*watch));
  watch->call = watch->watcher.call = call;
  watch->stream = watch->watcher.stream = stream;
  watch->hub = state->hub;
  watch->filter = (struct item_filter){request->category, request->tag, request->owner_id};
  watch->watcher.filter = &watch->filter;
  list_init(&watch->watcher.node);
  uint64_t early_ms = deadline_left_ms(task_deadline_us(), clock_now_us()) / END_PART;
  watch->end_us = task_deadline_us() - (early_ms < END_MAX_MS ? early_ms : END_MAX_MS) * MS_AS_US;
  bool is_reopened = *request->last_event_id != '\0';
  enum status status = join(watch, is_reopened ? request->last_event_id : request->resume_token);
  if (status == STATUS_OK)
    status = tell_news(watch);
  item_hub_leave(watch->hub, &watch->watcher);
  return status;
}
