// Everything that an operator restarts in good order: no request may be lost.
#include <criterion/criterion.h>

#include "common/base/compiler.h"
#include "tests/fault/drill.h"
#include "tests/support/stack.h"

static const struct drill_goal unharmed = {.text = "0 failed, p99 <= 3 x", .p99_times = 3};

// In the long form all is done twice.
static size_t count_rounds(void)
{
  return drill_is_long() ? 2 : 1;
}

// auth and user have one instance only.
Test(drill_01_restarts, services_in_turn)
{
  static const char *const instances[] = {"auth-1", "item-1", "user-1", "item-2"};
  struct drill *drill = drill_start("every service restarted in turn");
  drill_break(drill);
  for (size_t i = 0; i < count_rounds() * ARRAY_LEN(instances); i++) {
    stack("restart", instances[i % ARRAY_LEN(instances)]);
    drill_endure(drill, 2);
  }
  drill_end(&drill, &unharmed);
}

Test(drill_01_restarts, gateway)
{
  static const char *const actions[] = {"reload", "restart", "upgrade"};
  struct drill *drill = drill_start("gateway reloaded, restarted, and upgraded to another binary");
  drill_break(drill);
  for (size_t i = 0; i < count_rounds() * ARRAY_LEN(actions); i++) {
    stack(actions[i % ARRAY_LEN(actions)], "gateway");
    drill_endure(drill, 2);
  }
  drill_end(&drill, &unharmed);
}
