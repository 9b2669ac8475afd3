#include "common/base/list.h"

#include <criterion/criterion.h>

#include "common/base/compiler.h"

struct thing {
  int number;
  struct list node;
};

Test(list, things_stay_in_the_order_of_their_coming)
{
  struct list list;
  struct thing things[3] = {{.number = 1}, {.number = 2}, {.number = 3}};
  list_init(&list);
  cr_assert(list_empty(&list));
  for (int i = 0; i < 3; i++)
    list_append(&list, &things[i].node);
  int expected = 1;
  for (struct list *at = list.next; at != &list; at = at->next)
    cr_assert_eq(CONTAINER_OF(at, struct thing, node)->number, expected++);
  cr_assert_eq(expected, 4);
  cr_assert_eq(list.previous, &things[2].node);
}

Test(list, a_thing_is_taken_out_from_anywhere_and_twice_without_harm)
{
  struct list list;
  struct thing things[3] = {{.number = 1}, {.number = 2}, {.number = 3}};
  list_init(&list);
  for (int i = 0; i < 3; i++)
    list_append(&list, &things[i].node);
  list_remove(&things[1].node);
  list_remove(&things[1].node);
  cr_assert(list_empty(&things[1].node));
  cr_assert_eq(list.next->next, &things[2].node);
  cr_assert_eq(things[2].node.previous, &things[0].node);
  list_remove(&things[0].node);
  list_remove(&things[2].node);
  cr_assert(list_empty(&list));
}

Test(list, all_things_of_one_list_are_moved_to_the_end_of_another)
{
  struct list from, to;
  struct thing things[3] = {{.number = 1}, {.number = 2}, {.number = 3}};
  list_init(&from);
  list_init(&to);
  list_append(&to, &things[0].node);
  cr_assert_eq(list_move_all(&from, &to), 0);
  list_append(&from, &things[1].node);
  list_append(&from, &things[2].node);
  cr_assert_eq(list_move_all(&from, &to), 2);
  cr_assert(list_empty(&from));
  int expected = 1;
  for (struct list *at = to.next; at != &to; at = at->next)
    cr_assert_eq(CONTAINER_OF(at, struct thing, node)->number, expected++);
  cr_assert_eq(expected, 4);
}
