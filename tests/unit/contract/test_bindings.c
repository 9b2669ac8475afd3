// google.api.http rules as bindings: what a route takes from path and body, and which rules are refused.
#include <criterion/criterion.h>

#include "tests/support/contract/fixture.h"

static struct arena arena;

static void setup(void)
{
  arena_init(&arena);
}

static void teardown(void)
{
  arena_free(&arena);
}

TestSuite(bindings, .init = setup, .fini = teardown);

static const char MESSAGES[] =
    "message R { string id = 1; Part left = 2; Part right = 3; repeated string list = 4;"
    " string note = 5 [(bulkhead.v1.field).from_header = \"X-Note\"]; }\n"
    "message Part { string id = 1; }\n"
    "message U { Part part = 1; google.protobuf.FieldMask update_mask = 2; Part other = 3; }\n"
    "message P { Part part = 1; repeated Part parts = 2; string id = 3;"
    " string hidden = 4 [(bulkhead.v1.field).secret = true]; }\n";

struct declared {
  const char *request;
  const char *rule;
  const char *mistake;  // a part of what is said; NULL where the rule is accepted
};

// Returns a contract whose service has the methods M0, M1 and so on with these rules.
static const char *declare(const struct declared *methods, size_t count)
{
  const char *text = "service S {\n";
  for (size_t i = 0; i < count; i++)
    text = arena_printf(&arena,
                        "%srpc M%zu(%s) returns (P) { option (google.api.http) = {%s};"
                        " option (bulkhead.v1.method) = {access: ACCESS_PUBLIC}; }\n",
                        text, i, methods[i].request, methods[i].rule);
  return arena_printf(&arena, "%s}\n%s", text, MESSAGES);
}

static void expect_mistakes(const struct declared *methods, size_t count)
{
  const char *mistakes = fixture_mistakes(declare(methods, count));
  for (size_t i = 0; i < count; i++) {
    const char *said = fixture_mistake_of(mistakes, arena_printf(&arena, "t.v1.S.M%zu", i));
    bool expected =
        methods[i].mistake == NULL ? said == NULL : said != NULL && strstr(said, methods[i].mistake) != NULL;
    cr_expect(expected, "{%s}:%s", methods[i].rule, said == NULL ? " accepted" : said);
  }
}

#define EXPECT_MISTAKES(...)                                                                                           \
  do {                                                                                                                 \
    static const struct declared METHODS[] = {__VA_ARGS__};                                                            \
    expect_mistakes(METHODS, ARRAY_LEN(METHODS));                                                                      \
  } while (0)

Test(bindings, custom_kinds_are_capital_letters_and_hyphens_or_any)
{
  EXPECT_MISTAKES({"R", "custom: {kind: \"AZAZAZAZAZAZAZAZAZAZAZAZAZAZ-AZA\" path: \"/a\"}", NULL},
                  {"R", "custom: {kind: \"ABCDEFGHIJKLMNOPQRSTUVWXYZ-ABCDEF\" path: \"/b\"}", "write up to 32 capital"},
                  {"R", "custom: {kind: \"\" path: \"/c\"}", "write up to 32 capital letters and hyphens"},
                  {"R", "custom: {kind: \"HEAD\" path: \"/d\"}", "but not HEAD"},
                  {"R", "custom: {kind: \"TRACE\" path: \"/d\"}", "CONNECT or TRACE"},
                  {"R", "custom: {kind: \"CONNECT\" path: \"/d\"}", "CONNECT or TRACE"},
                  {"R", "custom: {kind: \"Get\" path: \"/e\"}", "write up to 32 capital letters and hyphens"},
                  {"R", "custom: {kind: \"A@\" path: \"/f\"}", "write up to 32 capital letters and hyphens"},
                  {"R", "custom: {kind: \"A[\" path: \"/g\"}", "write up to 32 capital letters and hyphens"},
                  {"R", "custom: {kind: \"-A\" path: \"/h\"}", "write up to 32 capital letters and hyphens"},
                  {"R", "custom: {kind: \"**\" path: \"/i\"}", "write up to 32 capital letters and hyphens"},
                  {"R", "custom: {kind: \"*\" path: \"/j\"}", NULL},
                  {"R", "custom: {kind: \"*\" path: \"/j\"}", "has this route already"},
                  {"R", "body: \"*\"", "an HTTP rule has no pattern"});
}

Test(bindings, variables_are_single_scalars_of_the_request_each_once)
{
  EXPECT_MISTAKES({"R", "get: \"/a/{left.id}/{right.id}/{id}\"", NULL},
                  {"R", "get: \"/b/{id}/{id}\"", "{id} is there twice"},
                  {"R", "get: \"/c/{left.id}/x/{left.id}\"", "{left.id} is there twice"},
                  {"R", "get: \"/d/{nothing}\"", "{nothing} is not a field of the request"},
                  {"R", "get: \"/e/{left.nothing}\"", "{left.nothing} is not a field of the request"},
                  {"R", "get: \"/f/{id.id}\"", "{id.id} is not a field of the request"},
                  {"R", "get: \"/g/{left}\"", "{left} is a list or a message"},
                  {"R", "get: \"/h/{list}\"", "{list} is a list or a message"},
                  {"R", "get: \"i/{id}\"", "the path is not a template: it must begin with /"});
}

Test(bindings, a_body_is_the_message_or_a_field_that_nothing_else_fills)
{
  EXPECT_MISTAKES({"R", "post: \"/a\" body: \"*\"", NULL}, {"R", "post: \"/b\" body: \"left\"", NULL},
                  {"R", "post: \"/c\" body: \"list\"", NULL}, {"R", "post: \"/d/{left.id}\" body: \"left\"", NULL},
                  {"R", "post: \"/e/{id}\" body: \"id\"", "names a field that the path fills"},
                  {"R", "post: \"/f\" body: \"note\"", "names a field that a header fills"},
                  {"R", "post: \"/g\" body: \"nothing\"", "body \"nothing\" is not a field of the request"},
                  {"R", "get: \"/h\" body: \"left\"", "GET has no body"}, {"R", "delete: \"/i\" body: \"*\"", NULL},
                  {"google.protobuf.Empty", "post: \"/j\" body: \"*\"", NULL},
                  {"google.protobuf.Timestamp", "post: \"/l\" body: \"*\"", NULL},
                  {"google.protobuf.Timestamp", "post: \"/m\" body: \"seconds\"", "whose JSON comes as a whole"},
                  {"google.protobuf.Timestamp", "post: \"/n/{seconds}\" body: \"*\"", "write a path without {}"},
                  {"google.protobuf.Empty", "post: \"/k\"", NULL});
}

Test(bindings, the_body_of_a_patch_is_what_its_mask_is_about)
{
  EXPECT_MISTAKES({"U", "patch: \"/a\" body: \"part\"", NULL}, {"U", "patch: \"/b\" body: \"*\"", NULL},
                  {"U", "patch: \"/c\" body: \"other\"", "let the body be \"part\""},
                  {"U", "put: \"/d\" body: \"other\"", NULL},
                  {"R", "patch: \"/e\" body: \"right\"", "the body holds the message \"right\""},
                  {"R", "patch: \"/f\" body: \"*\"", "the body holds the message \"left\""},
                  // Without a message in the body, there is nothing of which parts could be left out.
                  {"R", "patch: \"/g\" body: \"id\"", NULL}, {"R", "patch: \"/h\" body: \"list\"", NULL},
                  {"R", "patch: \"/i/{left.id}\"", NULL}, {"Part", "patch: \"/j\" body: \"*\"", NULL});
}

Test(bindings, a_response_body_is_a_field_that_replies_show)
{
  EXPECT_MISTAKES({"R", "get: \"/a\" response_body: \"part\"", NULL},
                  {"R", "get: \"/b\" response_body: \"parts\"", NULL}, {"R", "get: \"/c\" response_body: \"id\"", NULL},
                  {"R", "get: \"/d\" response_body: \"nothing\"", "is not a field of the response"},
                  {"R", "get: \"/e\" response_body: \"part.id\"", "is not a field of the response"},
                  {"R", "get: \"/f\" response_body: \"hidden\"", "is a secret, which replies leave out"});
}

Test(bindings, follow_each_other_as_they_are_written)
{
  static const struct declared METHODS[] = {
      {"R",
       "get: \"/a/{left.id}/{id=x/**}\" additional_bindings {put: \"/b\" body: \"left\" response_body: \"part\"}"
       " additional_bindings {custom: {kind: \"REPORT\" path: \"/c\"}}",
       NULL},
      {"R", "delete: \"/d/{right.id}\" body: \"*\"", NULL}};
  const struct contract *contract = fixture_contract(declare(METHODS, ARRAY_LEN(METHODS)));
  cr_assert_eq(contract_binding_count(contract), 4);
  const struct contract_binding *get = contract_binding(contract, 0);
  cr_expect_str_eq(get->http_method, "GET");
  cr_expect_eq(get->body, CONTRACT_BODY_NONE);
  cr_assert_eq(get->variable_count, 2);
  cr_expect_eq(get->variables[0].depth, 2);
  cr_expect(slice_equal_string(get->variables[0].path[0]->name, "left"));
  cr_expect_not(get->variables[0].multi_segment);
  cr_expect_eq(get->variables[1].depth, 1);
  cr_expect(get->variables[1].multi_segment);
  const struct contract_binding *put = contract_binding(contract, 1);
  cr_expect_str_eq(put->http_method, "PUT");
  cr_expect_str_eq(put->path, "/b");
  cr_expect_eq(put->method, get->method);
  cr_expect_eq(put->body, CONTRACT_BODY_FIELD);
  cr_expect(slice_equal_string(put->body_field->name, "left"));
  cr_expect(slice_equal_string(put->response_body_field->name, "part"));
  cr_expect_str_eq(contract_binding(contract, 2)->http_method, "REPORT");
  const struct contract_binding *remove = contract_binding(contract, 3);
  cr_expect_str_eq(remove->method->name, "M1");
  cr_expect_eq(remove->body, CONTRACT_BODY_ALL);
  cr_expect_null(remove->body_field);
  cr_expect_null(remove->response_body_field);
}
