// What contract_load makes of contracts, and which it refuses.
#include <criterion/criterion.h>

#include "tests/support/contract/fixture.h"

Test(load, methods_have_their_policy)
{
  const struct contract *contract = fixture_bulkhead();
  const struct contract_method *create = contract_method_by_name(contract, SLICE("item.v1.ItemService/CreateItem"));
  cr_assert(create != NULL);
  cr_assert_str_eq(create->service, "item");
  cr_assert_str_eq(create->service_full_name, "item.v1.ItemService");
  cr_assert_str_eq(create->comment, "Creates an item that belongs to the caller.");
  cr_assert(create->policy.access == ACCESS_AUTHENTICATED && create->rate_class == CONTRACT_RATE_WRITE);
  cr_assert(create->success_status == 201 && create->timeout_ms == 5000);
  cr_assert_str_eq(create->location, "/v1/items/{id}");
  const struct contract_method *get = contract_method_by_name(contract, SLICE("item.v1.ItemService/GetItem"));
  cr_assert(get->no_side_effects && get->cache_ttl_ms == 60000 && get->success_status == 200);
  const struct contract_method *list = contract_method_by_name(contract, SLICE("user.v1.UserService/ListUsers"));
  cr_assert(list->policy.access == ACCESS_AUTHENTICATED && !list->policy.every_user);
  cr_assert_str_eq(list->policy.permission, "users:read:any");
  const struct contract_method *remove = contract_method_by_name(contract, SLICE("item.v1.ItemService/DeleteItem"));
  cr_assert(remove->success_status == 204 && !remove->no_side_effects);
  for (size_t i = 0; i < contract_method_count(contract); i++)
    cr_assert(contract_method(contract, i)->index == i);
}

Test(load, methods_have_their_ownership_rule)
{
  const struct contract *contract = fixture_bulkhead();
  const struct policy *update = &contract_method_by_name(contract, SLICE("user.v1.UserService/UpdateUser"))->policy;
  cr_assert(update->owner == POLICY_OWNER_REQUEST && update->every_user && update->owner_depth == 2);
  cr_assert(update->owner_path[0] == 1 && update->owner_path[1] == 1);
  cr_assert_str_eq(update->permission, "users:write");
  cr_assert_str_eq(update->permission_any, "users:write:any");
  cr_assert_str_eq(update->owner_reason, "NOT_YOUR_ACCOUNT");
  const struct policy *remove = &contract_method_by_name(contract, SLICE("item.v1.ItemService/DeleteItem"))->policy;
  cr_assert(remove->owner == POLICY_OWNER_STORED && remove->owner_depth == 0);
  cr_assert_str_eq(remove->owner_reason, "NOT_THE_OWNER");
}

static const struct contract_method *method_named(const char *full_name)
{
  const struct contract_method *method = contract_method_by_name(fixture_bulkhead(), slice_from_string(full_name));
  cr_assert_not_null(method, "%s", full_name);
  return method;
}

Test(load, what_repeats_its_effect_when_it_is_repeated_takes_an_idempotency_key)
{
  cr_expect(method_named("item.v1.ItemService/CreateItem")->takes_idempotency_key);
  cr_expect(method_named("item.v1.ItemService/BatchCreateItems")->takes_idempotency_key);
  cr_expect(method_named("user.v1.UserService/CreateUser")->takes_idempotency_key);
  cr_expect(method_named("auth.v1.AuthService/Login")->takes_idempotency_key);
  cr_expect_not(method_named("auth.v1.AuthService/Logout")->takes_idempotency_key, "it is idempotent");
  cr_expect_not(method_named("auth.v1.AuthService/CreateCredential")->takes_idempotency_key, "it has no route");
  cr_expect_not(method_named("item.v1.ItemService/UpdateItem")->takes_idempotency_key);
  cr_expect_not(method_named("item.v1.ItemService/GetItem")->takes_idempotency_key);
}

Test(load, a_method_says_how_large_a_body_may_be)
{
  cr_expect_eq(method_named("auth.v1.AuthService/Login")->max_body_bytes, 8192);
  cr_expect_eq(method_named("user.v1.UserService/CreateUser")->max_body_bytes, 8192);
  cr_expect_eq(method_named("auth.v1.AuthService/Logout")->max_body_bytes, 8192, "anybody may call it");
  cr_expect_eq(method_named("item.v1.ItemService/UpdateItem")->max_body_bytes, 524288);
  cr_expect_eq(method_named("item.v1.ItemService/BatchCreateItems")->max_body_bytes, 4194304);
}

Test(load, replies_with_tokens_are_not_kept)
{
  cr_expect(method_named("auth.v1.AuthService/Login")->secret_reply);
  cr_expect_not(method_named("auth.v1.AuthService/Refresh")->secret_reply, "it takes no key");
  cr_expect_not(method_named("user.v1.UserService/CreateUser")->secret_reply);
}

Test(load, options_in_several_statements_are_one)
{
  const struct contract_method *method = contract_method_by_name(fixture_test(), SLICE("t.v1.TestService/QueryAll"));
  cr_assert(method->policy.access == ACCESS_ROLE && method->policy.role_count == 2);
  cr_assert_str_eq(method->policy.roles[1], "auditor-2");
}

Test(load, fields_by_name_and_number)
{
  const struct contract_message *item = fixture_message("item.v1.Item");
  const struct contract_field *field = contract_field_by_name(item, SLICE("createTime"));
  cr_assert(field != NULL && field->number == 13 && field->rules.output_only);
  cr_assert(contract_field_by_name(item, SLICE("create_time")) == field);
  cr_assert(contract_field_by_number(item, 13) == field);
  cr_assert(field->message->well_known == CONTRACT_TIMESTAMP && field->has_presence);
  cr_assert(contract_field_by_name(item, SLICE("createTimes")) == NULL);
  cr_assert(contract_field_by_name(item, SLICE("")) == NULL);
  cr_assert(contract_field_by_number(item, 0) == NULL && contract_field_by_number(item, 4000000000u) == NULL);
  cr_assert_str_eq(contract_field_by_name(item, SLICE("price"))->comment,
                   "A decimal number in a string, such as \"12.50\"; goes with currency.");
  const struct contract_message *all = fixture_message("t.v1.All");
  for (size_t i = 0; i < all->field_count; i++)
    cr_assert(contract_field_by_name(all, all->fields[i].json_name) == &all->fields[i]);
  cr_assert(contract_field_by_name(all, SLICE("maybe"))->has_presence);
  cr_assert(contract_field_by_name(all, SLICE("maybe"))->oneof_index == -1);
  cr_assert(contract_field_by_name(all, SLICE("counts"))->is_map);
}

Test(load, bindings_follow_their_rules)
{
  const struct contract *contract = fixture_bulkhead();
  size_t seen = 0;
  for (size_t i = 0; i < contract_binding_count(contract); i++) {
    const struct contract_binding *binding = contract_binding(contract, i);
    if (strcmp(binding->method->name, "UpdateItem") != 0)
      continue;
    seen++;
    cr_assert_str_eq(binding->http_method, "PATCH");
    cr_assert_str_eq(binding->path, "/v1/items/{item.id}");
    cr_assert(binding->body == CONTRACT_BODY_FIELD && slice_equal(binding->body_field->name, SLICE("item")));
    cr_assert(binding->variable_count == 1 && binding->variables[0].depth == 2);
    cr_assert(slice_equal(binding->variables[0].path[1]->name, SLICE("id")));
  }
  cr_assert(seen == 1);
}

Test(load, refuses_what_is_no_descriptor_set)
{
  static const struct slice SETS[] = {SLICE_INIT("\x0a\x05 ab"), SLICE_INIT("\x08\x01\x0a"), SLICE_INIT("hello")};
  for (size_t i = 0; i < ARRAY_LEN(SETS); i++) {
    struct contract *contract;
    struct diagnostics diagnostics;
    diagnostics_init(&diagnostics);
    cr_assert(contract_load(SETS[i], &contract, &diagnostics) == STATUS_INVALID_ARGUMENT);
    cr_assert(contract == NULL && diagnostics.count == 1);
    diagnostics_free(&diagnostics);
  }
}

Test(load, an_empty_set_is_an_empty_schema)
{
  struct contract *contract;
  struct diagnostics diagnostics;
  diagnostics_init(&diagnostics);
  cr_assert(contract_load(SLICE(""), &contract, &diagnostics) == STATUS_OK);
  diagnostics_free(&diagnostics);
  cr_assert(contract_method_count(contract) == 0 && contract_binding_count(contract) == 0);
  contract_free(&contract);
  cr_assert(contract == NULL);
  contract_free(&contract);
}
