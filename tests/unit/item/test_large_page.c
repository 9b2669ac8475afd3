// A page of megabytes is packed over several turns of the loop.
#include <criterion/criterion.h>
#include <string.h>

#include "common/base/wire.h"
#include "common/runtime/task.h"
#include "common/service/query_list_internal.h"
#include "item/queries.bh.h"

enum { COLUMNS = 14, ROWS = 120, DESCRIPTION_BYTES = 30000 };
// Less than a tenth of a millisecond's work.
#define MOST_BYTES_A_TURN ((size_t)512 * 1024)

static struct arena arena;

static void setup(void)
{
  arena_init(&arena);
}

static void teardown(void)
{
  arena_free(&arena);
}

TestSuite(large_page, .init = setup, .fini = teardown);

static struct pg_result make_result(size_t rows)
{
  const struct slice row[COLUMNS] = {
      SLICE("01936b5e-7c1a-7d3e-9f00-1c2d3e4f5a6b"),
      SLICE("01936b5e-0000-7d3e-9f00-1c2d3e4f5a6b"),
      SLICE("S-1"),
      SLICE("Lamp"),
      slice_from_string(arena_printf(&arena, "%0*d", DESCRIPTION_BYTES, 1)),
      SLICE(""),
      SLICE("{}"),
      {0},
      {0},
      SLICE("1"),
      SLICE("{}"),
      SLICE("1"),
      SLICE("2026-01-01 00:00:00+00"),
      SLICE("2026-01-01 00:00:00+00"),
  };
  struct slice *cells = arena_array(&arena, rows * COLUMNS, sizeof(*cells));
  for (size_t i = 0; i < rows; i++)
    memcpy(&cells[i * COLUMNS], row, sizeof(row));
  return (struct pg_result){.rows = rows, .columns = COLUMNS, .cells = cells};
}

struct packing {
  struct pg_result result;
  struct strbuf *wire;
  enum status status;
  bool is_done;
};

static void pack(void *arg)
{
  struct packing *packing = arg;
  const struct query_packer packer = {.query = &item_db_list.shape, .result = &packing->result, .arena = &arena};
  const struct query_page page = {.size = ROWS};
  packing->status = query_list_pack(&item_db_list, &page, &packer, &packing->wire);
  packing->is_done = true;
}

// Packs a page beside a task that has a turn between two pieces, and returns how many it had.
static size_t count_turns(struct packing *packing)
{
  size_t turns = 0;
  task_start(task_loop(), pack, packing, DEADLINE_NONE, NULL);
  for (; !packing->is_done; turns++)
    cr_assert_eq(task_yield(), STATUS_OK);
  return turns;
}

static size_t count_items(struct slice wire)
{
  struct wire_reader reader = wire_reader_make(wire);
  struct wire_field field;
  size_t count = 0;
  while (wire_read(&reader, &field) == WIRE_FIELD)
    count += field.number == 1;
  return count;
}

static void run_as_task(void (*body)(void *arg))
{
  struct loop *loop = loop_create();
  task_start(loop, body, NULL, DEADLINE_NONE, NULL);
  loop_run(loop);
  loop_free(&loop);
}

static void pack_large_page(void *arg)
{
  (void)arg;
  struct packing packing = {.result = make_result(ROWS)};
  size_t turns = count_turns(&packing);
  cr_assert_eq(packing.status, STATUS_OK);
  cr_assert_eq(count_items(strbuf_slice(packing.wire)), ROWS);
  cr_assert_geq(turns, packing.wire->size / MOST_BYTES_A_TURN, "%zu turns for %zu bytes", turns, packing.wire->size);
  loop_stop(task_loop());
}

Test(large_page, leaves_other_tasks_their_turns)
{
  run_as_task(pack_large_page);
}

static void pack_small_page(void *arg)
{
  (void)arg;
  struct packing packing = {.result = make_result(2)};
  cr_assert_eq(count_turns(&packing), 1);
  cr_assert_eq(count_items(strbuf_slice(packing.wire)), 2);
  loop_stop(task_loop());
}

Test(large_page, small_ones_take_one_turn)
{
  run_as_task(pack_small_page);
}

static void cancel_large_page(void *arg)
{
  (void)arg;
  struct packing packing = {.result = make_result(ROWS)};
  struct task *task = task_start(task_loop(), pack, &packing, DEADLINE_NONE, NULL);
  cr_assert_eq(task_yield(), STATUS_OK);
  cr_assert_not(packing.is_done);
  task_cancel(task);
  cr_assert_eq(task_yield(), STATUS_OK);
  cr_assert(packing.is_done);
  cr_assert_eq(packing.status, STATUS_CANCELLED);
  loop_stop(task_loop());
}

Test(large_page, is_not_packed_to_the_end_for_a_caller_who_has_gone)
{
  run_as_task(cancel_large_page);
}
