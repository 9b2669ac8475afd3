// Releases rolled out and back across a change of the schema, under load: expand, migrate, contract. The releases
// differ in their migrations only (tests/support/releases).
#include <criterion/criterion.h>
#include <stdlib.h>

#include "common/base/compiler.h"
#include "tests/fault/drill.h"
#include "tests/support/environment.h"
#include "tests/support/stack.h"

// The first is the release that the stack runs.
static const char *const releases[] = {"..", "../release-0005", "../release-0006", "../release-0007"};

static void use_release(size_t number)
{
  cr_assert_eq(setenv("OUT", text("%s/%s", need_variable("BULKHEAD_BIN"), releases[number]), 1), 0);
}

// Gives the migrations of a release, as an operator does before its instances start.
static void migrate(size_t number, const char *direction, const char *count)
{
  use_release(number);
  (void)output_of((const char *const[]){"deploy/local/stack", "exec", "item", "migrate", direction, count, NULL});
}

static void roll(const struct drill *drill, size_t number)
{
  use_release(number);
  stack("restart", "item-1");
  drill_endure(drill, 2);
  stack("restart", "item-2");
  drill_endure(drill, 2);
}

// Each release is rolled out beside the one before it, back to that, and out again; at the end, all the way back.
static void roll_out_and_back(const struct drill *drill, size_t last)
{
  for (size_t number = 1; number <= last; number++) {
    migrate(number, "up", NULL);
    roll(drill, number);
    roll(drill, number - 1);
    if (number < last)
      roll(drill, number);
  }
}

Test(drill_07_releases, rolled_out_and_back)
{
  const size_t last = ARRAY_LEN(releases) - 1;
  if (!drill_is_long())
    cr_skip_test(
        "component-service roll_back shows in less time that an older release starts; the releases are not built");
  struct drill *drill = drill_start("releases with a changed schema rolled out and back: expand, migrate, contract");
  drill_break(drill);
  roll_out_and_back(drill, last);
  // The schema of today again, with the release that runs.
  migrate(last, "down", text("%zu", last));
  roll(drill, 0);
  drill_end(&drill, &(struct drill_goal){.text = "0 failed, p99 <= 3 x", .p99_times = 3});
}
