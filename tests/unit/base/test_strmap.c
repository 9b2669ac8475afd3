#include "common/base/strmap.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>

Test(strmap, an_empty_map_has_nothing)
{
  struct strmap map = {0};
  cr_assert_null(strmap_get(&map, SLICE("a")));
  cr_assert_null(strmap_get(&map, SLICE("")));
  strmap_free(&map);
}

Test(strmap, many_keys_are_all_found_and_others_are_not)
{
  enum { COUNT = 5000 };
  static char keys[2 * COUNT][16];
  static int values[COUNT];
  struct strmap map = {0};
  for (int i = 0; i < 2 * COUNT; i++)
    snprintf(keys[i], sizeof(keys[i]), "key-%d", i);
  for (int i = 0; i < COUNT; i++) {
    cr_assert(strmap_add(&map, slice_from_string(keys[i]), &values[i]));
  }
  for (int i = 0; i < 2 * COUNT; i++)
    cr_assert_eq(strmap_get(&map, slice_from_string(keys[i])), i < COUNT ? &values[i] : NULL, "%s", keys[i]);
  strmap_free(&map);
  cr_assert_null(strmap_get(&map, slice_from_string(keys[0])));
}

Test(strmap, a_key_that_is_there_keeps_its_value)
{
  struct strmap map = {0};
  int first, second;
  cr_assert(strmap_add(&map, SLICE("a"), &first));
  cr_assert_not(strmap_add(&map, SLICE("a"), &second));
  cr_assert_eq(strmap_get(&map, SLICE("a")), &first);
  strmap_free(&map);
}

Test(strmap, keys_are_bytes_and_may_be_empty)
{
  struct strmap map = {0};
  int empty, zero, zeros;
  cr_assert(strmap_add(&map, SLICE(""), &empty));
  cr_assert(strmap_add(&map, SLICE("\0"), &zero));
  cr_assert(strmap_add(&map, SLICE("\0\0"), &zeros));
  cr_assert_eq(strmap_get(&map, slice_make(NULL, 0)), &empty);
  cr_assert_eq(strmap_get(&map, SLICE("\0")), &zero);
  cr_assert_eq(strmap_get(&map, SLICE("\0\0")), &zeros);
  strmap_free(&map);
}

Test(strmap, a_value_of_null_aborts, .signal = SIGABRT)
{
  struct strmap map = {0};
  strmap_add(&map, SLICE("a"), NULL);
}
