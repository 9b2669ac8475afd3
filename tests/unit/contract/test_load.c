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
  cr_assert(create->success_status == 201 && create->timeout_ms == 5000 && !create->idempotent);
  cr_assert_str_eq(create->location, "/v1/items/{id}");
  const struct contract_method *get = contract_method_by_name(contract, SLICE("item.v1.ItemService/GetItem"));
  cr_assert(get->no_side_effects && get->idempotent && get->cache_ttl_ms == 60000 && get->success_status == 200);
  const struct contract_method *list = contract_method_by_name(contract, SLICE("user.v1.UserService/ListUsers"));
  cr_assert(list->policy.access == ACCESS_ROLE && list->policy.role_count == 1);
  cr_assert_str_eq(list->policy.roles[0], "admin");
  const struct contract_method *remove = contract_method_by_name(contract, SLICE("item.v1.ItemService/DeleteItem"));
  cr_assert(remove->success_status == 204 && remove->idempotent && !remove->no_side_effects);
  for (size_t i = 0; i < contract_method_count(contract); i++)
    cr_assert(contract_method(contract, i)->index == i);
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

// ---- refusals ----

#define POLICY "option (bulkhead.v1.method) = {access: ACCESS_PUBLIC};"
#define EMPTY "google.protobuf.Empty"
// A service with one method M of `In` to Empty, with `options`.
#define SERVICE(options) "service S { rpc M(In) returns (" EMPTY ") { " options " } }\n"
#define GET(path) "option (google.api.http) = {get: \"" path "\"};"
#define MESSAGE(fields) SERVICE(POLICY) "message In { " fields " }"
#define RULES(type, rules) MESSAGE(type " f = 1 [(bulkhead.v1.field) = {" rules "}];")

static const struct {
  const char *contract;
  const char *error;  // part of it
} REFUSED[] = {
    {SERVICE("") "message In {}", "method t.v1.S/M: it has no access policy"},
    {SERVICE("option (bulkhead.v1.method) = {timeout_ms: 5};") "message In {}", "it has no access policy"},
    {SERVICE("option (bulkhead.v1.method) = {access: ACCESS_ROLE};") "message In {}", "needs at least one role"},
    {SERVICE("option (bulkhead.v1.method) = {access: ACCESS_PUBLIC roles: \"a\"};") "message In {}",
     "no other access may name any"},
    {SERVICE("option (bulkhead.v1.method) = {access: ACCESS_ROLE roles: \"Admin\"};") "message In {}",
     "a role is a lower-case letter"},
    {SERVICE("option (bulkhead.v1.method) = {access: ACCESS_PUBLIC success_status: 302};") "message In {}",
     "success_status"},
    {SERVICE("option (bulkhead.v1.method) = {access: ACCESS_PUBLIC location: \"/x/{id}\"};") "message In {}",
     "location names no string field"},
    {SERVICE("option (bulkhead.v1.method) = {access: ACCESS_INTERNAL}; " GET("/x")) "message In {}",
     "an internal method cannot have an HTTP binding"},
    {"service S { rpc M(stream In) returns (" EMPTY ") { " POLICY GET("/x") " } } message In {}",
     "a streaming method cannot have an HTTP binding"},
    {SERVICE(POLICY GET("/x/{id}")) "message In {}", "GET /x/{id}: a path variable names no field"},
    {SERVICE(POLICY GET("/x/{id}")) "message In { repeated string id = 1; }", "must be a single scalar field"},
    {SERVICE(POLICY GET("/x/{id}")) "message In { In2 id = 1; } message In2 {}", "must be a single scalar field"},
    {SERVICE(POLICY GET("/x/{id}/{id}")) "message In { string id = 1; }", "two path variables name the same field"},
    {SERVICE(POLICY GET("x")) "message In {}", "it must begin with /"},
    {SERVICE(POLICY GET("/x//y")) "message In {}", "a segment is empty"},
    {SERVICE(POLICY GET("/**/y")) "message In {}", "** must be the last segment"},
    {SERVICE(POLICY GET("/{id=a/{id}}")) "message In { string id = 1; }", "a segment is empty or has a character"},
    {SERVICE(POLICY GET("/{id")) "message In { string id = 1; }", "no closing brace"},
    {SERVICE(POLICY GET("/x:")) "message In {}", "its verb is empty"},
    {SERVICE(POLICY "option (google.api.http) = {get: \"/x\" body: \"*\"};") "message In {}", "GET has no body"},
    {SERVICE(POLICY "option (google.api.http) = {post: \"/x\" body: \"y\"};") "message In {}",
     "body names no field of the request"},
    {SERVICE(POLICY "option (google.api.http) = {put: \"/x/{id}\" body: \"id\"};") "message In { string id = 1; }",
     "the body names a field that the path fills"},
    {SERVICE(POLICY "option (google.api.http) = {get: \"/x\" response_body: \"y\"};") "message In {}",
     "response_body names no field"},
    {SERVICE(POLICY "option (google.api.http) = {custom: {kind: \"head\" path: \"/x\"}};") "message In {}",
     "a custom kind must be"},
    {SERVICE(POLICY "option (google.api.http) = {body: \"*\"};") "message In {}", "an HTTP rule has no pattern"},
    {SERVICE(POLICY "option (google.api.http) = {get: \"/x\" additional_bindings {get: \"/y\" additional_bindings "
                    "{get: \"/z\"}}};") "message In {}",
     "additional_bindings must not hold further ones"},
    {"service S { rpc M(In) returns (" EMPTY
     ") { " POLICY GET("/x/{a}") " } rpc N(In) returns (" EMPTY
                                 ") { " POLICY GET("/x/{b}") " } } message In { string a = 1; string b = 2; }",
     "methods t.v1.S/M and t.v1.S/N share this route"},
    {MESSAGE("In again = 1;"), "t.v1.In holds itself"},
    {SERVICE(POLICY) "message In { A a = 1; } message A { repeated B b = 1; } message B { map<string, A> a = 1; }",
     "t.v1.A holds itself"},
    {MESSAGE("google.protobuf.Any any = 1;"), "google.protobuf.Any is not supported"},
    {RULES("int32", "max_length: 3"), "t.v1.In.f: a length needs a string or bytes field"},
    {RULES("string", "min_length: 4 max_length: 3"), "min_length is above max_length"},
    {RULES("string", "max_items: 3"), "a number of items needs a list"},
    {RULES("string", "unique_items: true"), "unique_items needs a list"},
    {RULES("string", "minimum: {value: 1}"), "minimum and maximum need a number"},
    {RULES("int32", "minimum: {value: 2} maximum: {value: 1}"), "minimum is above maximum"},
    {RULES("int32", "format: FORMAT_UUID"), "a format needs a string field"},
    {RULES("int32", "one_of: \"a\""), "one_of needs a string field"},
    {RULES("string", "output_only: true required: true"), "output_only and required"},
    {RULES("int32", "from_header: \"X\""), "a header needs a single string field"},
    {RULES("string", "from_header: \"X Y\""), "from_header is no header name"},
    {RULES("string", "format: FORMAT_UUID example: \"1\""), "its example must be a UUID"},
};

Test(load, refuses_what_a_contract_may_not_say)
{
  for (size_t i = 0; i < ARRAY_LEN(REFUSED); i++) {
    struct contract *contract;
    struct error error;
    enum status status = contract_load(fixture_compile(REFUSED[i].contract), &contract, &error);
    cr_expect(status == STATUS_INVALID_ARGUMENT && contract == NULL, "accepted: %s", REFUSED[i].contract);
    if (status != STATUS_OK)
      cr_expect(strstr(error.message, REFUSED[i].error) != NULL, "%s: %s", REFUSED[i].contract, error.message);
  }
}

Test(load, refuses_what_is_no_descriptor_set)
{
  static const struct slice SETS[] = {SLICE_INIT("\x0a\x05 ab"), SLICE_INIT("\x08\x01\x0a"), SLICE_INIT("hello")};
  for (size_t i = 0; i < ARRAY_LEN(SETS); i++) {
    struct contract *contract;
    struct error error;
    cr_assert(contract_load(SETS[i], &contract, &error) == STATUS_INVALID_ARGUMENT);
  }
}

Test(load, an_empty_set_is_an_empty_schema)
{
  struct contract *contract;
  struct error error;
  cr_assert(contract_load(SLICE(""), &contract, &error) == STATUS_OK);
  cr_assert(contract_method_count(contract) == 0 && contract_binding_count(contract) == 0);
  contract_free(&contract);
  cr_assert(contract == NULL);
  contract_free(&contract);
}
