#include "services/item/item_hub.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/backoff.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/compiler.h"
#include "common/observe/log_outage.h"
#include "common/runtime/task.h"
#include "common/service/call.h"
#include "common/service/service.h"
#include "common/service/stream.h"
#include "common/storage/pg_channel.h"

enum {
  // A pause after each read, so that many changes cost few reads.
  GAP_MS = 5,
  // How often is read without a message.
  LOOK_MS = 1000,
  // How soon is read again what was not settled.
  UNSETTLED_FIRST_MS = 5,
  UNSETTLED_MAX_MS = 100,
  FAILED_FIRST_MS = 100,
  FAILED_MAX_MS = 1000,
  READ_LIMIT_MS = 5000,
  // How often others are told that somebody watches here, and for how long they believe it.
  WATCHING_EVERY_MS = 5000,
  WATCHED_FOR_MS = 15000,
  // Changes that are handed out before others have their turn.
  DELIVERIES_A_TURN = 2000,
};
// What all changes that wait may take of memory, about.
#define WAITING_MAX_BYTES ((size_t)32 << 20)

#define CHANNEL "item.changes"
// Messages of the channel.
#define SAYS_CHANGED SLICE("changed")
#define SAYS_WATCHING SLICE("watching")

struct item_hub {
  struct service *service;
  struct pg_channel *channel;
  struct list watchers;
  size_t watcher_count;
  struct item_position position;  // while there are watchers
  size_t change_bytes;
  struct completion *asleep;
  uint64_t look_us;     // when to read next
  uint64_t watched_us;  // until when a process may have watchers
  uint64_t say_us;      // when to say next that somebody watches here
  bool has_changed;     // a change of this process was not announced
  bool is_sending;
  uint32_t unsettled_ms;
  uint32_t failed_ms;
  struct log_outage outage;
};

static void wake(struct completion *waiting)
{
  if (waiting != NULL && !waiting->done)
    completion_finish(waiting, STATUS_OK);
}

static void look_at(struct item_hub *hub, uint64_t at_us)
{
  if (at_us >= hub->look_us)
    return;
  hub->look_us = at_us;
  wake(hub->asleep);
}

// ---- the channel ----

static bool is_watched(const struct item_hub *hub)
{
  return hub->watcher_count > 0 || clock_now_us() < hub->watched_us;
}

static void on_message(void *arg, struct slice payload)
{
  struct item_hub *hub = arg;
  if (slice_equal(payload, SAYS_WATCHING))
    hub->watched_us = deadline_after_ms(clock_now_us(), WATCHED_FOR_MS);
  else
    look_at(hub, 0);
}

static void on_hearing(void *arg, bool hearing)
{
  struct item_hub *hub = arg;
  hub->is_sending = false;
  hub->say_us = 0;
  if (hearing)
    look_at(hub, 0);
}

static void on_sent(void *arg, enum status status)
{
  struct item_hub *hub = arg;
  (void)status;
  hub->is_sending = false;
  if (hub->has_changed)
    wake(hub->asleep);
}

// Says what there is to say. One message is on its way at a time, and stands for all changes before it.
static void announce(struct item_hub *hub)
{
  uint64_t now_us = clock_now_us();
  if (hub->watcher_count > 0 && now_us >= hub->say_us && pg_channel_send(hub->channel, SAYS_WATCHING))
    hub->say_us = deadline_after_ms(now_us, WATCHING_EVERY_MS);
  if (!hub->has_changed || hub->is_sending)
    return;
  hub->has_changed = false;
  hub->is_sending = is_watched(hub) && pg_channel_send(hub->channel, SAYS_CHANGED);
}

void item_hub_note(struct item_hub *hub)
{
  if (!is_watched(hub))
    return;
  hub->has_changed = true;
  wake(hub->asleep);
}

// ---- handing out ----

bool item_watcher_take(struct item_watcher *watcher, struct item_told *told)
{
  if (watcher->count == 0)
    return false;
  *told = watcher->queue[watcher->first];
  watcher->first = (watcher->first + 1) % ITEM_WATCHER_QUEUE;
  watcher->count--;
  return true;
}

static void empty_queue(struct item_watcher *watcher)
{
  struct item_told told;
  while (item_watcher_take(watcher, &told))
    item_change_release(&told.change);
}

static void end_watcher(struct item_watcher *watcher, enum item_watcher_end end)
{
  if (watcher->end == ITEM_WATCHER_GOES_ON)
    watcher->end = end;
  empty_queue(watcher);
  wake(watcher->waiting);
  // The watcher may wait for a client that does not read.
  stream_interrupt(watcher->stream, STATUS_UNAVAILABLE);
}

static struct item_watcher *watcher_of(struct list *node)
{
  return CONTAINER_OF(node, struct item_watcher, node);
}

static void end_all(struct item_hub *hub, enum item_watcher_end end)
{
  for (struct list *node = hub->watchers.next; node != &hub->watchers; node = node->next)
    end_watcher(watcher_of(node), end);
}

static void offer(struct item_watcher *watcher, struct item_change *change)
{
  if (watcher->end != ITEM_WATCHER_GOES_ON || item_position_compare(item_change_position(change), watcher->from) <= 0)
    return;
  Item__V1__ItemChangeKind kind = item_change_judge(change, watcher->filter);
  if (kind == ITEM__V1__ITEM_CHANGE_KIND__ITEM_CHANGE_KIND_NONE)
    return;
  if (watcher->count == ITEM_WATCHER_QUEUE) {
    end_watcher(watcher, ITEM_WATCHER_TOO_SLOW);
    return;
  }
  size_t place = (watcher->first + watcher->count++) % ITEM_WATCHER_QUEUE;
  watcher->queue[place] = (struct item_told){item_change_share(change), kind};
  wake(watcher->waiting);
}

// Ends the watcher for whom most changes wait. False where none waits for anybody.
static bool end_slowest(struct item_hub *hub)
{
  struct item_watcher *slowest = NULL;
  for (struct list *node = hub->watchers.next; node != &hub->watchers; node = node->next)
    if (slowest == NULL || watcher_of(node)->count > slowest->count)
      slowest = watcher_of(node);
  if (slowest == NULL || slowest->count == 0)
    return false;
  end_watcher(slowest, ITEM_WATCHER_TOO_SLOW);
  return true;
}

// Hands out a change, which the hub has one use of.
static void deliver(struct item_hub *hub, struct item_change *change)
{
  for (struct list *node = hub->watchers.next; node != &hub->watchers; node = node->next)
    offer(watcher_of(node), change);
  hub->position = item_change_position(change);
  item_change_release(&change);
  while (hub->change_bytes > WAITING_MAX_BYTES && end_slowest(hub))
    ;
}

// ---- reading ----

struct page {
  struct item_db_list_changes_row *rows;
  size_t count;
  Item__V1__Item **items;
  size_t item_count;
};

static enum status read_page(struct item_hub *hub, struct arena *arena, struct page *page)
{
  const struct item_db_list_changes_params params = {
      .after_clock = hub->position.clock, .after_change = hub->position.id, .most = ITEM_CHANGES_PAGE};
  struct query_db db = query_on(service_pg(hub->service));
  enum status status = item_db_list_changes(db, &params, arena, &page->rows, &page->count);
  if (status != STATUS_OK || !page->rows[0].has_clock)
    return status;
  const char **ids = arena_array(arena, page->count, sizeof(*ids));
  for (size_t i = 0; i < page->count; i++)
    ids[i] = page->rows[i].item_id;
  const struct item_db_list_changed_params changed = {.ids = ids, .ids_count = page->count};
  return item_db_list_changed(db, &changed, arena, &page->items, &page->item_count);
}

static const Item__V1__Item *find_item(const struct page *page, const char *id)
{
  for (size_t i = 0; i < page->item_count; i++)
    if (strcmp(page->items[i]->id, id) == 0)
      return page->items[i];
  return NULL;
}

static enum status deliver_page(struct item_hub *hub, const struct page *page)
{
  enum status status = STATUS_OK;
  size_t deliveries = 0;
  for (size_t i = 0; i < page->count && page->rows[i].has_clock && status == STATUS_OK; i++) {
    const struct item_db_list_changes_row *row = &page->rows[i];
    deliver(hub, item_change_create(row, find_item(page, row->item_id), &hub->change_bytes));
    deliveries += hub->watcher_count;
    if (deliveries < DELIVERIES_A_TURN)
      continue;
    deliveries = 0;
    status = task_yield();
  }
  return status;
}

static bool is_lost(const struct item_hub *hub, const struct item_db_list_changes_row *row)
{
  const struct item_position kept = {row->kept_clock, row->kept_id};
  return item_position_compare(hub->position, kept) < 0 || hub->position.clock > row->next;
}

// Moves on behind the last transaction that has ended before all others.
static void settle(struct item_hub *hub, int64_t settled)
{
  const struct item_position position = {settled, 0};
  if (item_position_compare(hub->position, position) < 0)
    hub->position = position;
}

// Decides when to read again after a page.
static void plan_next(struct item_hub *hub, const struct page *page)
{
  const struct item_db_list_changes_row *first = &page->rows[0];
  uint32_t pause_ms = LOOK_MS;
  if (first->waiting)
    pause_ms = backoff_next_ms(&hub->unsettled_ms, UNSETTLED_FIRST_MS, UNSETTLED_MAX_MS);
  else
    hub->unsettled_ms = 0;
  look_at(hub, page->count == ITEM_CHANGES_PAGE ? 0 : deadline_after_ms(clock_now_us(), pause_ms));
}

static enum status hand_out(struct item_hub *hub, struct arena *arena)
{
  struct page page = {0};
  hub->look_us = DEADLINE_NONE;
  enum status status = read_page(hub, arena, &page);
  if (status != STATUS_OK)
    return status;
  if (is_lost(hub, &page.rows[0])) {
    end_all(hub, ITEM_WATCHER_EXPIRED);
    hub->position = (struct item_position){page.rows[0].settled, 0};
    return STATUS_OK;
  }
  status = deliver_page(hub, &page);
  if (status == STATUS_OK && page.count < ITEM_CHANGES_PAGE)
    settle(hub, page.rows[0].settled);
  plan_next(hub, &page);
  return status;
}

static void look(struct item_hub *hub)
{
  struct arena arena;
  arena_init(&arena);
  uint64_t before_us = task_tighten_deadline(deadline_after_ms(clock_now_us(), READ_LIMIT_MS));
  enum status status = hand_out(hub, &arena);
  task_restore_deadline(before_us);
  arena_free(&arena);
  bool failed = status != STATUS_OK && status != STATUS_CANCELLED;
  log_outage_note(&hub->outage, failed, (const struct log_field[]){LOG_STATUS(status)}, 1);
  if (failed)
    look_at(hub, deadline_after_ms(clock_now_us(), backoff_next_ms(&hub->failed_ms, FAILED_FIRST_MS, FAILED_MAX_MS)));
  else
    hub->failed_ms = 0;
}

static void sleep_until_woken(struct item_hub *hub)
{
  struct completion woken = {.what = "changes of items"};
  hub->asleep = &woken;
  uint64_t before_us = task_tighten_deadline(hub->watcher_count > 0 ? hub->look_us : DEADLINE_NONE);
  enum status ignored = completion_wait(&woken);
  (void)ignored;
  task_restore_deadline(before_us);
  hub->asleep = NULL;
}

static void run_hub(void *arg)
{
  struct item_hub *hub = arg;
  while (task_check() == STATUS_OK) {
    announce(hub);
    if (hub->watcher_count > 0 && call_is_draining(watcher_of(hub->watchers.next)->call))
      end_all(hub, ITEM_WATCHER_DRAINED);
    if (hub->watcher_count > 0 && clock_now_us() >= hub->look_us)
      look(hub);
    enum status pause = task_sleep_ms(GAP_MS);
    bool is_due = hub->has_changed && !hub->is_sending;
    if (pause == STATUS_OK && !is_due && (hub->watcher_count == 0 || clock_now_us() < hub->look_us))
      sleep_until_woken(hub);
  }
}

// ---- watchers ----

bool item_hub_position(const struct item_hub *hub, struct item_position *position)
{
  *position = hub->position;
  return hub->watcher_count > 0;
}

void item_hub_join(struct item_hub *hub, struct item_watcher *watcher, struct item_position from)
{
  if (hub->watcher_count == 0) {
    hub->position = from;
    hub->say_us = 0;
  }
  CHECK(item_position_compare(from, hub->position) >= 0);
  watcher->from = from;
  list_append(&hub->watchers, &watcher->node);
  hub->watcher_count++;
  // Without watchers the hub sleeps also where it has been told of a change.
  hub->look_us = 0;
  wake(hub->asleep);
}

void item_hub_leave(struct item_hub *hub, struct item_watcher *watcher)
{
  if (list_empty(&watcher->node))
    return;
  list_remove(&watcher->node);
  hub->watcher_count--;
  empty_queue(watcher);
}

// ---- the hub ----

struct item_hub *item_hub_create(struct service *service)
{
  struct item_hub *hub = calloc(1, sizeof(*hub));
  CHECK(hub != NULL);
  hub->service = service;
  hub->look_us = DEADLINE_NONE;
  hub->outage = (struct log_outage){
      .subject = "item",
      .failure = "could not read changes of items; those who watch hear nothing until it works again, and miss nothing",
      .recovery = "changes of items can be read again",
  };
  list_init(&hub->watchers);
  const struct pg_channel_events events = {.message = on_message, .hearing = on_hearing, .sent = on_sent, .arg = hub};
  hub->channel = pg_channel_create(service_pg(service), CHANNEL, &events);
  service_background(service, run_hub, hub);
  return hub;
}

void item_hub_free(struct item_hub **hub_pointer)
{
  struct item_hub *hub = *hub_pointer;
  *hub_pointer = NULL;
  if (hub == NULL)
    return;
  CHECK(list_empty(&hub->watchers));
  pg_channel_free(&hub->channel);
  free(hub);
}
