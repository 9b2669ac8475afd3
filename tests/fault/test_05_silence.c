// The history checker notices what it should: instances whose caches hear of no change are found out by the same
// clients and the same checker. The Makefile links them for this purpose.
#include <criterion/criterion.h>

#include "common/base/clock.h"
#include "tests/fault/load.h"
#include "tests/support/http.h"
#include "tests/support/stack.h"

enum { NOTICED_WITHIN_S = 60 };

static bool contradicts_itself(const struct account *owner)
{
  struct load *load = load_start(owner);
  load_await(load, LOAD_ALL_ITEMS, 100, 20, "with instances that announce no change");
  load_stop(load);
  struct strbuf why;
  strbuf_init(&why, 0);
  bool contradicts = !load_is_linearizable(load, &why);
  strbuf_free(&why);
  load_free(load);
  return contradicts;
}

Test(fault_05_silence, instances_that_announce_no_change_are_noticed)
{
  const char *own = stack_programs();
  struct account owner = account_create();
  stack_restart_items_from(text("%s/silent", own));
  wait_until_caching();
  uint64_t end = clock_now_us() + NOTICED_WITHIN_S * UINT64_C(1000000);
  bool noticed = false;
  while (!noticed && clock_now_us() < end)
    noticed = contradicts_itself(&owner);
  stack_restart_items_from(own);
  cr_assert(noticed, "nothing was noticed within %d s", NOTICED_WITHIN_S);
}
