// An import reads lines into a batch and writes it with one statement. It takes the memory of one batch and of the
// failures that it reports, however long it is.
#include "services/item/item_import.h"

#include <inttypes.h>
#include <string.h>

#include "common/base/uuid.h"
#include "common/contract/validate.h"
#include "common/service/call.h"
#include "common/service/resource.h"
#include "common/service/stream.h"
#include "item/queries.bh.h"
#include "services/item/item_rules.h"
#include "services/item/item_state.h"

enum {
  BATCH_LINES = 1000,
  BATCH_BYTES = 1 << 20,
  MAX_FAILURES = 1000,
};

struct import {
  struct call *call;
  struct stream *stream;
  Item__V1__ImportItemsResponse *response;
  int64_t done;  // the last line of those whose outcome is known
  // The batch, in whose arena all of it lies.
  struct arena arena;
  size_t line_count;
  size_t bytes;
  size_t item_count;  // of its lines that are right
  Item__V1__Item *items[BATCH_LINES];
  size_t lines[BATCH_LINES];                       // which line of the batch an item is
  Item__V1__ImportFailure *failures[BATCH_LINES];  // what is wrong with a line; NULL: nothing
  struct arena checks;                             // of one line
};

// ---- failures ----

// Notes why there is no item of a line of the batch. `reason` is static.
static void note_failure(struct import *import, size_t line, enum status status, const char *reason,
                         const struct violation *violation)
{
  Item__V1__ImportFailure *failure = arena_alloc(&import->arena, sizeof(*failure));
  item__v1__import_failure__init(failure);
  failure->line = import->done + (int64_t)line + 1;
  failure->code = (char *)(uintptr_t)status_name(status);
  failure->reason = (char *)(uintptr_t)reason;
  failure->field = arena_string(&import->arena, violation->field);
  failure->message = arena_string(&import->arena, violation->description);
  import->failures[line] = failure;
}

// Adds a failure of the batch to the response, which lives longer.
static void report(struct import *import, const Item__V1__ImportFailure *failure)
{
  Item__V1__ImportItemsResponse *response = import->response;
  struct arena *arena = call_arena(import->call);
  response->failed++;
  if (response->n_failures == MAX_FAILURES)
    return;
  if (response->failures == NULL)
    response->failures = arena_array(arena, MAX_FAILURES, sizeof(*response->failures));
  Item__V1__ImportFailure *kept = arena_alloc(arena, sizeof(*kept));
  *kept = *failure;
  kept->field = arena_string(arena, slice_from_string(failure->field));
  kept->message = arena_string(arena, slice_from_string(failure->message));
  response->failures[response->n_failures++] = kept;
}

// ---- reading ----

static Item__V1__Item make_item(const Item__V1__ImportItemsRequest *line)
{
  Item__V1__Item item = ITEM__V1__ITEM__INIT;
  item.sku = line->sku;
  item.name = line->name;
  item.description = line->description;
  item.category = line->category;
  item.tags = line->tags;
  item.n_tags = line->n_tags;
  item.price = line->price;
  item.currency = line->currency;
  item.quantity = line->quantity;
  item.attributes = line->attributes;
  return item;
}

// Checks an item as CreateItem does. False where it is wrong, which was noted.
static bool check_line(struct import *import, const Item__V1__Item *item)
{
  struct violations violations;
  struct item_problem problems[ITEM_MAX_PROBLEMS];
  arena_reset(&import->checks);
  violations_init(&violations, &import->checks);
  validate_message(&item_v1_item_rules, &item->base, &violations);
  if (violations.count > 0) {
    note_failure(import, import->line_count, STATUS_INVALID_ARGUMENT, "INVALID_REQUEST", &violations.items[0]);
    return false;
  }
  if (item_rules_check(item, problems) == 0)
    return true;
  const struct violation broken = {slice_from_string(problems[0].field), slice_from_string(problems[0].text)};
  note_failure(import, import->line_count, STATUS_INVALID_ARGUMENT, "INVALID_ITEM", &broken);
  return false;
}

static char *copy_text(struct import *import, const char *text)
{
  struct slice slice = slice_from_string(text);
  import->bytes += slice.size;
  return arena_string(&import->arena, slice);
}

// The line is valid until the next one is read, so the batch has a copy.
static void add_item(struct import *import, const Item__V1__Item *item)
{
  Item__V1__Item *copy = arena_alloc(&import->arena, sizeof(*copy));
  *copy = *item;
  char **texts[] = {&copy->sku,   &copy->name,     &copy->description, &copy->category,
                    &copy->price, &copy->currency, &copy->attributes};
  for (size_t i = 0; i < ARRAY_LEN(texts); i++)
    *texts[i] = copy_text(import, *texts[i]);
  copy->tags = arena_array(&import->arena, item->n_tags, sizeof(*copy->tags));
  for (size_t i = 0; i < item->n_tags; i++)
    copy->tags[i] = copy_text(import, item->tags[i]);
  import->lines[import->item_count] = import->line_count;
  import->items[import->item_count++] = copy;
}

static void begin_batch(struct import *import)
{
  arena_reset(&import->arena);
  memset(import->failures, 0, sizeof(import->failures));
  import->line_count = 0;
  import->item_count = 0;
  import->bytes = 0;
}

// Reads lines until the batch is full. False where no more come.
static bool read_batch(struct import *import)
{
  const Item__V1__ImportItemsRequest *line;
  while (import->line_count < BATCH_LINES && import->bytes < BATCH_BYTES) {
    if (!item_v1_item_service_import_items_read_request(import->stream, &line))
      return false;
    const Item__V1__Item item = make_item(line);
    if (check_line(import, &item))
      add_item(import, &item);
    import->line_count++;
  }
  return true;
}

// ---- writing ----

static enum status insert(struct import *import, size_t first, size_t count)
{
  struct arena *arena = &import->arena;
  const char **ids = arena_array(arena, count, sizeof(*ids));
  char(*texts)[UUID_TEXT_SIZE] = arena_array(arena, count, sizeof(*texts));
  for (size_t i = 0; i < count; i++) {
    uuid_v7(texts[i]);
    ids[i] = texts[i];
  }
  const struct item_db_insert_new_params params = {
      .owner_id = resource_caller(import->call),
      .ids = ids,
      .ids_count = count,
      .items = import->items + first,
      .items_count = count,
  };
  struct item_db_insert_new_row *rows = NULL;
  size_t taken = 0;
  enum status status = item_db_insert_new(resource_db(import->call), &params, arena, &rows, &taken);
  if (status != STATUS_OK)
    return status;
  static const struct violation same = {SLICE_INIT("sku"), SLICE_INIT("another item of yours has this sku")};
  for (size_t i = 0; i < taken; i++)
    note_failure(import, import->lines[first + (size_t)rows[i].place - 1], STATUS_ALREADY_EXISTS, "SKU_TAKEN", &same);
  import->response->created += (int64_t)(count - taken);
  return STATUS_OK;
}

static bool is_about_data(enum status status)
{
  return status == STATUS_INVALID_ARGUMENT || status == STATUS_OUT_OF_RANGE || status == STATUS_FAILED_PRECONDITION;
}

// Writes a part of the batch. Where PostgreSQL refuses what the rules let pass, the halves are tried by themselves
// until the line is found.
static enum status write_part(struct import *import, size_t first, size_t count)
{
  static const struct violation refused = {.description = SLICE_INIT("the database does not take this item")};
  enum status status = count == 0 ? STATUS_OK : insert(import, first, count);
  if (!is_about_data(status))
    return status;
  if (count == 1) {
    note_failure(import, import->lines[first], STATUS_INVALID_ARGUMENT, "INVALID_ITEM", &refused);
    return STATUS_OK;
  }
  status = write_part(import, first, count / 2);
  return status == STATUS_OK ? write_part(import, first + count / 2, count - count / 2) : status;
}

static enum status write_batch(struct import *import)
{
  enum status status = write_part(import, 0, import->item_count);
  if (import->item_count > 0)
    item_tell_now(import->call);
  if (status != STATUS_OK)
    return status;
  for (size_t i = 0; i < import->line_count; i++)
    if (import->failures[i] != NULL)
      report(import, import->failures[i]);
  import->done += (int64_t)import->line_count;
  import->response->lines = import->done;
  begin_batch(import);
  return STATUS_OK;
}

// Says what was done of an import that ends early. The batch is what may have been written.
static enum status fail_early(struct import *import, enum status status)
{
  const Item__V1__ImportItemsResponse *response = import->response;
  const char *perhaps = "";
  if (import->item_count > 0)
    perhaps = arena_printf(call_arena(import->call), ", and those to %" PRId64 " perhaps",
                           import->done + (int64_t)import->line_count);
  return call_fail(import->call, status, "IMPORT_INTERRUPTED",
                   "the import ended early: all lines to %" PRId64 " are done%s (%" PRId64 " items created, %" PRId64
                   " lines refused); send the lines from %" PRId64 " on again",
                   import->done, perhaps, response->created, response->failed, import->done + 1);
}

static enum status run(struct import *import)
{
  for (;;) {
    bool goes_on = read_batch(import);
    enum status status = goes_on ? STATUS_OK : stream_status(import->stream);
    bool is_lost = status != STATUS_OK;
    if (!is_lost)
      status = write_batch(import);
    if (status == STATUS_OK && !goes_on)
      return STATUS_OK;
    if (status == STATUS_OK && call_is_draining(import->call))
      status = STATUS_UNAVAILABLE;
    if (status == STATUS_OK)
      continue;
    // What a client has sent before it was lost is not written behind its back.
    if (is_lost)
      begin_batch(import);
    return fail_early(import, status);
  }
}

enum status item_import(struct call *call, struct stream *stream, Item__V1__ImportItemsResponse *response)
{
  struct import *import = arena_zalloc(call_arena(call), sizeof(*import));
  import->call = call;
  import->stream = stream;
  import->response = response;
  arena_init(&import->arena);
  arena_init(&import->checks);
  enum status status = run(import);
  arena_free(&import->checks);
  arena_free(&import->arena);
  return status;
}
