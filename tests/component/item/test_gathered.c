// Changes that come at the same time and travel as one statement.
#include <criterion/criterion.h>

#include "tests/component/item/items.h"

static struct items items;

static void setup(void)
{
  items_open(&items);
}

static void teardown(void)
{
  items_close(&items);
}

TestSuite(item_gathered, .init = setup, .fini = teardown);

enum { CALLS = 64 };

// Each call sets a quantity of its own, which is a change that travels with those of other calls.
static void begin_counting(const Item__V1__Item *const *of, size_t count, const char *if_match,
                           struct outcome *outcomes)
{
  for (size_t i = 0; i < CALLS; i++) {
    Item__V1__Item *item = items_make(&items, "", "");
    item->id = of[i % count]->id;
    item->quantity = (int32_t)((if_match[0] == '\0' ? 1000 : 100) + i);
    char *path = "quantity";
    const struct item_update update = {.item = item,
                                       .paths = &path,
                                       .count = 1,
                                       .if_match = items_text(&items, "%s", if_match),
                                       .as = &owner,
                                       .timeout_ms = 30000};
    items_begin_update(&items, &update, &outcomes[i]);
  }
}

Test(item_gathered, changes_that_travel_together_each_reach_their_own_item)
{
  struct outcome outcomes[CALLS];
  const Item__V1__Item *of[CALLS];
  for (size_t i = 0; i < CALLS; i++)
    of[i] = items_created(&items, items_make(&items, items_text(&items, "S%zu", i), "Lamp"), &owner);
  begin_counting(of, CALLS, "1", outcomes);
  cr_expect_eq(items_finish_all(&items, outcomes, CALLS, STATUS_OK), CALLS);
  for (size_t i = 0; i < CALLS; i++) {
    const Item__V1__Item *item = items_get(&items, of[i]->id);
    cr_expect_eq(item->quantity, (int32_t)(100 + i));
    cr_expect_str_eq(item->etag, "2");
    cr_expect_str_eq(item->sku, of[i]->sku);
  }
}

Test(item_gathered, changes_that_travel_together_are_each_made_once)
{
  enum { FEW = 4 };
  struct outcome outcomes[CALLS];
  const Item__V1__Item *of[FEW];
  for (size_t i = 0; i < FEW; i++)
    of[i] = items_created(&items, items_make(&items, items_text(&items, "S%zu", i), "Lamp"), &owner);
  begin_counting(of, FEW, "1", outcomes);
  cr_expect_eq(items_finish_all(&items, outcomes, CALLS, STATUS_ABORTED), FEW);
  begin_counting(of, FEW, "", outcomes);
  cr_expect_eq(items_finish_all(&items, outcomes, CALLS, STATUS_OK), CALLS);
  for (size_t i = 0; i < FEW; i++)
    cr_expect_str_eq(items_get(&items, of[i]->id)->etag, items_text(&items, "%d", 2 + CALLS / FEW));
}
