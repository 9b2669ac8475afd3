// A resource whose parts do not fit each other is refused when its service starts, and not by a client's call.
#include <criterion/criterion.h>
#include <string.h>

#include "common/service/resource_shape_internal.h"
#include "item/queries.bh.h"
#include "services/item/item_handlers.h"
#include "user/v1/user.pb-c.h"

static enum status check(const struct resource *resource, struct error *error)
{
  const struct resource *resources[] = {resource, NULL};
  return resource_check_shapes(resources, error);
}

static void expect_refused(const struct resource *resource, const char *mistake)
{
  struct error error = {0};
  cr_expect_eq(check(resource, &error), STATUS_FAILED_PRECONDITION, "%s", mistake);
  cr_expect_not_null(strstr(error.message, mistake), "\"%s\" lacks \"%s\"", error.message, mistake);
}

// A copy of the item's resource, to break.
static struct resource copy_item(void)
{
  struct resource copy = item_resource;
  copy.get_request = &item__v1__get_item_request__descriptor;
  return copy;
}

Test(item_shape, sound_resources_are_accepted)
{
  struct error error;
  struct resource sound = copy_item();
  cr_expect_eq(check(&item_resource, &error), STATUS_OK);
  cr_expect_eq(check(&sound, &error), STATUS_OK, "%s", error.message);
  cr_expect_eq(resource_check_shapes(NULL, &error), STATUS_OK);
}

Test(item_shape, requests_without_the_fields_that_are_read_are_refused)
{
  struct resource broken = copy_item();
  broken.get_request = &item__v1__list_items_request__descriptor;
  expect_refused(&broken, "item.v1.ListItemsRequest needs a field \"string id\"");
  broken = copy_item();
  broken.update_request = &item__v1__delete_item_request__descriptor;
  expect_refused(&broken, "item.v1.DeleteItemRequest needs a field \"item.v1.Item item\"");
  expect_refused(&broken, "item.v1.DeleteItemRequest needs a field \"google.protobuf.FieldMask update_mask\"");
  broken.update_request = &item__v1__create_item_request__descriptor;
  expect_refused(&broken, "item.v1.CreateItemRequest needs a field \"string if_match\"");
  broken = copy_item();
  broken.delete_request = &item__v1__get_item_request__descriptor;
  expect_refused(&broken, "item.v1.GetItemRequest needs a field \"string if_match\"");
  broken.delete_request = &item__v1__update_item_request__descriptor;
  expect_refused(&broken, "item.v1.UpdateItemRequest needs a field \"string id\"");
}

Test(item_shape, a_resource_of_another_name_than_the_field_is_refused)
{
  struct resource broken = copy_item();
  broken.name = "thing";
  expect_refused(&broken, "the resource \"thing\" cannot be served");
  expect_refused(&broken, "item.v1.UpdateItemRequest needs a field \"item.v1.Item thing\"");
}

Test(item_shape, rows_of_another_message_are_refused)
{
  struct resource broken = copy_item();
  struct query get = item_db_get_query;
  get.message = &user__v1__user__descriptor;
  broken.get = &get;
  expect_refused(&broken, "user.v1.User needs a field \"string owner_id\"");
  expect_refused(&broken, "item.v1.UpdateItemRequest needs a field \"user.v1.User item\"");
  expect_refused(&broken, "lock must give a row of user.v1.User");
  expect_refused(&broken, "update must give a row of user.v1.User");
  expect_refused(&broken, "update_part must give a row of user.v1.User");
  get.message = NULL;
  expect_refused(&broken, "it needs the query get");
  broken.get = NULL;
  expect_refused(&broken, "it needs the query get");
}

Test(item_shape, queries_with_other_parameters_are_refused)
{
  struct resource broken = copy_item();
  broken.lock = &item_db_delete_query;
  expect_refused(&broken, "lock must give a row of item.v1.Item, and have one parameter");
  broken.lock = NULL;
  expect_refused(&broken, "an update needs the queries lock and update");
  broken = copy_item();
  broken.update = &item_db_lock_query;
  expect_refused(&broken, "update must give a row of item.v1.Item");
  broken = copy_item();
  struct query narrow = item_db_update_query;
  narrow.column_count--;
  broken.update = &narrow;
  expect_refused(&broken, "update must give the same columns in the same order as get");
  broken.cache = NULL;
  struct error error;
  cr_expect_eq(check(&broken, &error), STATUS_OK, "only a cache asks for the same columns");
  broken = copy_item();
  broken.remove = &item_db_lock_query;
  expect_refused(&broken, "remove must have the parameters");
  broken.remove = NULL;
  expect_refused(&broken, "remove must have the parameters");
}

static struct slice describe_nobody(struct call *call)
{
  (void)call;
  return (struct slice){0};
}

Test(item_shape, a_remove_takes_who_removes_exactly_where_that_is_described)
{
  struct resource described = copy_item();
  described.describe_remover = describe_nobody;
  expect_refused(&described, "with describe_remover, remove must have a third parameter");
  const struct query_param *params = item_db_delete_query.params;
  struct query_param three[] = {params[0], params[1], params[0]};
  three[2].offset = 2 * sizeof(char *);
  struct query remove = item_db_delete_query;
  remove.params = three;
  remove.param_count = 3;
  described.remove = &remove;
  expect_refused(&described, "with describe_remover, remove must have a third parameter");
  struct error error;
  three[2].kind = QUERY_BYTES;
  cr_expect_eq(check(&described, &error), STATUS_OK, "%s", error.message);
  described.describe_remover = NULL;
  expect_refused(&described, "there is no describe_remover");
}

Test(item_shape, a_row_needs_id_and_etag_to_be_updated)
{
  struct resource broken = copy_item();
  struct query get = item_db_get_query;
  get.message = &item__v1__create_item_request__descriptor;
  broken.get = &get;
  broken.delete_request = NULL;
  expect_refused(&broken, "item.v1.CreateItemRequest needs a field \"string id\"; ");
  expect_refused(&broken, "item.v1.CreateItemRequest needs a field \"string etag\"; ");
}

// Each of these is not the parameter that a resource's remove has.
Test(item_shape, a_remove_with_a_parameter_of_another_shape_is_refused)
{
  const struct query_param *right = item_db_delete_query.params;
  for (size_t i = 0; i < 2; i++) {
    struct query_param wrong[] = {right[i], right[i], right[i], right[i]};
    wrong[0].kind = QUERY_INT64;
    wrong[1].from = QUERY_FROM_MESSAGE;
    wrong[2].offset += sizeof(char *);
    wrong[3].nullable = false;
    for (size_t k = 0; k < (i == 1 ? 4 : 3); k++) {
      struct query_param params[] = {right[0], right[1]};
      params[i] = wrong[k];
      struct query remove = item_db_delete_query;
      remove.params = params;
      struct resource broken = copy_item();
      broken.remove = &remove;
      expect_refused(&broken, "remove must have the parameters");
    }
  }
}

Test(item_shape, a_cache_needs_the_same_columns_in_the_same_order)
{
  struct query update = item_db_update_query;
  struct query_column columns[64];
  cr_assert_leq(update.column_count, ARRAY_LEN(columns));
  memcpy(columns, update.columns, update.column_count * sizeof(columns[0]));
  columns[0] = update.columns[1];
  columns[1] = update.columns[0];
  update.columns = columns;
  struct resource broken = copy_item();
  broken.update = &update;
  expect_refused(&broken, "update must give the same columns in the same order as get");
}

Test(item_shape, only_what_a_resource_answers_is_checked)
{
  const struct resource reads = {
      .name = "item", .get = &item_db_get_query, .get_request = &item__v1__get_item_request__descriptor};
  struct error error;
  cr_expect_eq(check(&reads, &error), STATUS_OK);
}
