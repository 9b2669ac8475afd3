// Decides by blocks. A stage is a value: its write and the reads that saw it. A conditional write comes directly after
// the write of the value that it expects, so stages that expect each other form a block, which nothing can come
// between. An unconditional write begins a block.
//
// An operation comes before another if it was answered before the other was invoked. So block A cannot come before
// block B if the first answer in B was given before the last invocation in A. A history is linearizable if each block
// is consistent inside and no two blocks must each come before the other; longer circles of blocks always hold such a
// pair. With its first answer F and its last invocation L, a block with F < L must hold the register from F to L (a
// forward zone). Two blocks contradict each other if their forward zones overlap, or if the operations of one, all of
// which overlap each other, lie within the forward zone of the other.
//
// A write with an unknown outcome counts if somebody has seen its value or a write that expects its value counts; its
// answer then comes at the end of time. Otherwise leaving it out changes nothing, because whoever could have seen it
// has not.
#include "tests/support/history/history.h"

#include <stdlib.h>

#include "common/base/check.h"

enum { EXCERPT = 30 };

struct stage {
  const struct history_operation *write;
  const struct history_operation *first_answered_read;  // NULL without reads
  const struct history_operation *last_invoked_read;
  struct stage *next;  // the conditional write that comes directly after this stage
  bool counts;         // the write has taken effect
  bool placed;         // in a block
};

struct block {
  const struct history_operation *first_answered;
  const struct history_operation *last_invoked;
};

// The operations of one item.
struct item_history {
  const struct history_operation **operations;
  size_t count;
  struct stage *stages;  // ordered by value
  size_t stage_count;
  struct block *forward;  // blocks with a forward zone, ordered by first answer
  size_t forward_count;
  struct block *backward;
  size_t backward_count;
  struct strbuf *why;
};

static void *allocate(size_t count, size_t size)
{
  void *memory = calloc(count + 1, size);
  CHECK(memory != NULL);
  return memory;
}

void history_free(struct history *history)
{
  free(history->operations);
  *history = (struct history){0};
}

void history_add(struct history *history, const struct history_operation *operation)
{
  if (history->count == history->capacity) {
    history->capacity = history->capacity == 0 ? 256 : 2 * history->capacity;
    history->operations = realloc(history->operations, history->capacity * sizeof(*history->operations));
    CHECK(history->operations != NULL);
  }
  history->operations[history->count++] = *operation;
}

void history_add_all(struct history *history, const struct history *more)
{
  for (size_t i = 0; i < more->count; i++)
    history_add(history, &more->operations[i]);
}

static int compare(uint64_t a, uint64_t b)
{
  return (a > b) - (a < b);
}

// Returns when the operation has certainly taken effect.
static uint64_t end_us(const struct history_operation *operation)
{
  return operation->outcome == HISTORY_DONE ? operation->answered_us : UINT64_MAX;
}

// ---- telling why ----

static uint64_t earliest_us(const struct item_history *item)
{
  uint64_t earliest = UINT64_MAX;
  for (size_t i = 0; i < item->count; i++)
    if (item->operations[i]->invoked_us < earliest)
      earliest = item->operations[i]->invoked_us;
  return earliest;
}

static const char *outcome_text(const struct history_operation *operation)
{
  if (operation->outcome == HISTORY_DONE)
    return "";
  return operation->outcome == HISTORY_UNKNOWN ? ", answered without an outcome" : ", answered as not applied";
}

static void tell_operation(const struct item_history *item, const struct history_operation *operation)
{
  uint64_t start = earliest_us(item);
  strbuf_printf(item->why, "  %10.3f to %10.3f ms: client %u %s %llu", (double)(operation->invoked_us - start) / 1000,
                (double)(operation->answered_us - start) / 1000, operation->client,
                operation->kind == HISTORY_READ ? "read " : "wrote", (unsigned long long)operation->value);
  if (operation->expected != 0)
    strbuf_printf(item->why, " expecting %llu", (unsigned long long)operation->expected);
  strbuf_printf(item->why, "%s\n", outcome_text(operation));
}

static bool is_within(const struct history_operation *operation, uint64_t from_us, uint64_t to_us)
{
  return operation->invoked_us <= to_us && operation->answered_us >= from_us;
}

// Tells what happened to the item between two times: the last EXCERPT reads and as many writes.
static void tell_excerpt(const struct item_history *item, uint64_t from_us, uint64_t to_us)
{
  size_t left[] = {[HISTORY_READ] = 0, [HISTORY_WRITE] = 0};
  strbuf_add_string(item->why, "what else happened to this item meanwhile:\n");
  for (size_t i = 0; i < item->count; i++)
    left[item->operations[i]->kind] += is_within(item->operations[i], from_us, to_us);
  for (size_t i = 0; i < item->count; i++)
    if (is_within(item->operations[i], from_us, to_us) && left[item->operations[i]->kind]-- <= EXCERPT)
      tell_operation(item, item->operations[i]);
}

static int by_invocation(const void *a, const void *b)
{
  const struct history_operation *const *left = a, *const *right = b;
  int order = compare((*left)->invoked_us, (*right)->invoked_us);
  return order != 0 ? order : compare((*left)->answered_us, (*right)->answered_us);
}

// Describes a contradiction between `count` operations. Returns false, because the history is not linearizable.
static bool refute(const struct item_history *item, const char *what, const struct history_operation **operations,
                   size_t count)
{
  uint64_t to_us = 0;
  qsort(operations, count, sizeof(struct history_operation *), by_invocation);
  strbuf_printf(item->why, "item %u: %s:\n", operations[0]->item, what);
  for (size_t i = 0; i < count; i++) {
    if (i == 0 || operations[i] != operations[i - 1])
      tell_operation(item, operations[i]);
    if (operations[i]->answered_us > to_us)
      to_us = operations[i]->answered_us;
  }
  tell_excerpt(item, operations[0]->invoked_us, to_us);
  return false;
}

static bool refute_one(const struct item_history *item, const char *what, const struct history_operation *operation)
{
  return refute(item, what, &operation, 1);
}

static bool refute_two(const struct item_history *item, const char *what, const struct history_operation *a,
                       const struct history_operation *b)
{
  return refute(item, what, (const struct history_operation *[]){a, b}, 2);
}

// ---- stages ----

static int by_value(const void *a, const void *b)
{
  const struct stage *left = a, *right = b;
  return compare(left->write->value, right->write->value);
}

static struct stage *find_stage(const struct item_history *item, uint64_t value)
{
  if (item->stage_count == 0)
    return NULL;
  const struct history_operation write = {.value = value};
  const struct stage key = {.write = &write};
  return bsearch(&key, item->stages, item->stage_count, sizeof(key), by_value);
}

static void collect_writes(struct item_history *item)
{
  for (size_t i = 0; i < item->count; i++)
    if (item->operations[i]->kind == HISTORY_WRITE)
      item->stages[item->stage_count++] =
          (struct stage){.write = item->operations[i], .counts = item->operations[i]->outcome == HISTORY_DONE};
  qsort(item->stages, item->stage_count, sizeof(struct stage), by_value);
  for (size_t i = 1; i < item->stage_count; i++)
    CHECK(item->stages[i - 1].write->value != item->stages[i].write->value);
}

static void add_read(struct stage *stage, const struct history_operation *read)
{
  if (stage->first_answered_read == NULL || read->answered_us < stage->first_answered_read->answered_us)
    stage->first_answered_read = read;
  if (stage->last_invoked_read == NULL || read->invoked_us > stage->last_invoked_read->invoked_us)
    stage->last_invoked_read = read;
}

static bool collect_reads(struct item_history *item)
{
  for (size_t i = 0; i < item->count; i++) {
    const struct history_operation *read = item->operations[i];
    if (read->kind != HISTORY_READ)
      continue;
    struct stage *stage = find_stage(item, read->value);
    if (stage == NULL)
      return refute_one(item, "a value was read that nobody has written", read);
    if (stage->write->outcome == HISTORY_NOT_APPLIED)
      return refute_two(item, "a value was read whose write was answered as not applied", stage->write, read);
    stage->counts = true;
    add_read(stage, read);
  }
  return true;
}

// Joins a conditional write that counts, and those that it builds on, to the stages that they expect.
static bool link_stage(struct item_history *item, struct stage *stage)
{
  while (stage->write->expected != 0) {
    struct stage *before = find_stage(item, stage->write->expected);
    if (before == NULL)
      return refute_one(item, "a write took effect that expects a value that nobody has written", stage->write);
    if (before->write->outcome == HISTORY_NOT_APPLIED)
      return refute_two(item, "a write took effect that expects the value of one answered as not applied",
                        before->write, stage->write);
    if (before->next == stage)
      return true;
    if (before->next != NULL)
      return refute_two(item, "an update was lost, because two took effect that expect the same value",
                        before->next->write, stage->write);
    before->next = stage;
    before->counts = true;
    stage = before;
  }
  return true;
}

static bool link_stages(struct item_history *item)
{
  for (size_t i = 0; i < item->stage_count; i++)
    if (item->stages[i].counts && !link_stage(item, &item->stages[i]))
      return false;
  return true;
}

// ---- blocks ----

// Adds an operation to a block, which it comes after; `last_invoked` of the block is never NULL afterwards.
static void extend_block(struct block *block, const struct history_operation *first_answered,
                         const struct history_operation *last_invoked)
{
  if (block->first_answered == NULL || end_us(first_answered) < end_us(block->first_answered))
    block->first_answered = first_answered;
  if (block->last_invoked == NULL || last_invoked->invoked_us > block->last_invoked->invoked_us)
    block->last_invoked = last_invoked;
}

// Tells whether the operation may come after all that are in the block.
static bool may_follow(const struct item_history *item, const struct block *block,
                       const struct history_operation *operation)
{
  if (block->last_invoked == NULL || end_us(operation) >= block->last_invoked->invoked_us)
    return true;
  return refute_two(item, "the first of these has seen what came only after the second", operation,
                    block->last_invoked);
}

static bool make_block(const struct item_history *item, struct stage *first, struct block *block)
{
  *block = (struct block){0};
  for (struct stage *stage = first; stage != NULL; stage = stage->next) {
    stage->placed = true;
    if (!may_follow(item, block, stage->write))
      return false;
    extend_block(block, stage->write, stage->write);
    if (stage->first_answered_read == NULL)
      continue;
    if (!may_follow(item, block, stage->first_answered_read))
      return false;
    extend_block(block, stage->first_answered_read, stage->last_invoked_read);
  }
  return true;
}

static bool is_forward(const struct block *block)
{
  return end_us(block->first_answered) < block->last_invoked->invoked_us;
}

static int by_first_answer(const void *a, const void *b)
{
  const struct block *left = a, *right = b;
  return compare(end_us(left->first_answered), end_us(right->first_answered));
}

static bool make_blocks(struct item_history *item)
{
  for (size_t i = 0; i < item->stage_count; i++) {
    struct block block;
    if (!item->stages[i].counts || item->stages[i].write->expected != 0)
      continue;
    if (!make_block(item, &item->stages[i], &block))
      return false;
    if (is_forward(&block))
      item->forward[item->forward_count++] = block;
    else
      item->backward[item->backward_count++] = block;
  }
  for (size_t i = 0; i < item->stage_count; i++)
    if (item->stages[i].counts && !item->stages[i].placed)
      return refute_one(item, "writes took effect that expect each other in a circle", item->stages[i].write);
  qsort(item->forward, item->forward_count, sizeof(struct block), by_first_answer);
  return true;
}

// ---- contradictions ----

static bool contradict(const struct block *a, const struct block *b)
{
  return end_us(a->first_answered) < b->last_invoked->invoked_us &&
         end_us(b->first_answered) < a->last_invoked->invoked_us;
}

static bool refute_blocks(const struct item_history *item, const struct block *a, const struct block *b)
{
  const struct history_operation *operations[] = {a->first_answered, a->last_invoked, b->first_answered,
                                                  b->last_invoked};
  return refute(item, "no order of effects explains these", operations, 4);
}

// Returns the last forward zone that begins before `us`; NULL if there is none.
static const struct block *last_forward_before(const struct item_history *item, uint64_t us)
{
  size_t low = 0, high = item->forward_count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (end_us(item->forward[middle].first_answered) < us)
      low = middle + 1;
    else
      high = middle;
  }
  return low == 0 ? NULL : &item->forward[low - 1];
}

static bool check_blocks(const struct item_history *item)
{
  for (size_t i = 1; i < item->forward_count; i++)
    if (contradict(&item->forward[i - 1], &item->forward[i]))
      return refute_blocks(item, &item->forward[i - 1], &item->forward[i]);
  // Forward zones do not overlap, so only the last that begins before a block can reach beyond the block.
  for (size_t i = 0; i < item->backward_count; i++) {
    const struct block *around = last_forward_before(item, item->backward[i].last_invoked->invoked_us);
    if (around != NULL && contradict(around, &item->backward[i]))
      return refute_blocks(item, around, &item->backward[i]);
  }
  return true;
}

static bool check_register(const struct history_operation **operations, size_t count, struct strbuf *why)
{
  struct item_history item = {
      .operations = operations,
      .count = count,
      .stages = allocate(count, sizeof(struct stage)),
      .forward = allocate(count, sizeof(struct block)),
      .backward = allocate(count, sizeof(struct block)),
      .why = why,
  };
  collect_writes(&item);
  bool linearizable = collect_reads(&item) && link_stages(&item) && make_blocks(&item) && check_blocks(&item);
  free(item.stages);
  free(item.forward);
  free(item.backward);
  return linearizable;
}

static int by_item(const void *a, const void *b)
{
  const struct history_operation *const *left = a, *const *right = b;
  int order = compare((*left)->item, (*right)->item);
  return order != 0 ? order : by_invocation(a, b);
}

bool history_is_linearizable(const struct history *history, struct strbuf *why)
{
  const struct history_operation **sorted = allocate(history->count, sizeof(struct history_operation *));
  for (size_t i = 0; i < history->count; i++)
    sorted[i] = &history->operations[i];
  qsort(sorted, history->count, sizeof(struct history_operation *), by_item);
  bool linearizable = true;
  for (size_t from = 0, to; from < history->count && linearizable; from = to) {
    for (to = from + 1; to < history->count && sorted[to]->item == sorted[from]->item; to++)
      continue;
    linearizable = check_register(sorted + from, to - from, why);
  }
  free(sorted);
  return linearizable;
}
