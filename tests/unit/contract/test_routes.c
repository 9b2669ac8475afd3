// Which paths lead where.
#include <criterion/criterion.h>

#include "tests/support/contract/fixture.h"

static void expect_route(const struct contract *contract, const char *http_method, const char *path, const char *method,
                         const char *value)
{
  struct contract_route route;
  enum status status = contract_route(contract, slice_from_string(http_method), slice_from_string(path), &route, NULL);
  cr_assert(status == STATUS_OK, "%s %s: %s", http_method, path, status_name(status));
  cr_assert_str_eq(route.binding->method->name, method);
  if (value != NULL)
    cr_assert(slice_equal_string(route.values[0], value), "%s %s: " SLICE_FMT, http_method, path,
              SLICE_ARG(route.values[0]));
}

static void expect_nothing(const struct contract *contract, const char *http_method, const char *path)
{
  struct contract_route route;
  cr_assert(contract_route(contract, slice_from_string(http_method), slice_from_string(path), &route, NULL) ==
                STATUS_NOT_FOUND,
            "%s %s", http_method, path);
}

static void expect_allow(const struct contract *contract, const char *http_method, const char *path,
                         const char *expected)
{
  struct contract_route route;
  uint32_t allowed = 0;
  cr_assert(contract_route(contract, slice_from_string(http_method), slice_from_string(path), &route, &allowed) ==
            STATUS_UNIMPLEMENTED);
  struct arena arena;
  arena_init(&arena);
  cr_assert_str_eq(contract_allow_header(contract, allowed, &arena), expected);
  arena_free(&arena);
}

// Expects the Allow header of a path; NULL: it has none.
static void expect_allow_of(const struct contract *contract, const char *path, const char *expected)
{
  struct arena arena;
  arena_init(&arena);
  const char *allow = contract_allow(contract, slice_from_string(path), &arena);
  cr_expect((allow == NULL) == (expected == NULL), "%s", path);
  if (allow != NULL && expected != NULL)
    cr_expect_str_eq(allow, expected, "%s: %s", path, allow);
  arena_free(&arena);
}

Test(routes, of_the_real_contracts)
{
  const struct contract *contract = fixture_bulkhead();
  expect_route(contract, "GET", "/v1/items/abc", "GetItem", "abc");
  expect_route(contract, "HEAD", "/v1/items/abc", "GetItem", "abc");
  expect_route(contract, "POST", "/v1/items", "CreateItem", NULL);
  expect_route(contract, "POST", "/v1/items:batchCreate", "BatchCreateItems", NULL);
  expect_route(contract, "PATCH", "/v1/items/a%2Fb", "UpdateItem", "a%2Fb");
  expect_route(contract, "GET", "/.well-known/jwks.json", "GetJwks", NULL);
  expect_route(contract, "GET", "/%2Ewell%2dknown/jwks.json", "GetJwks", NULL);
}

Test(routes, literals_beat_variables)
{
  const struct contract *contract = fixture_bulkhead();
  expect_route(contract, "GET", "/v1/users/me", "GetCurrentUser", NULL);
  expect_route(contract, "GET", "/v1/users/m%65", "GetCurrentUser", NULL);
  expect_route(contract, "GET", "/v1/users/mee", "GetUser", "mee");
  expect_route(contract, "GET", "/v1/users/%6D%65", "GetCurrentUser", NULL);
  expect_route(contract, "GET", "/v1/users/%6d%65", "GetCurrentUser", NULL);
  expect_route(contract, "GET", "/v1/users/%6Ee", "GetUser", "%6Ee");
  expect_route(contract, "DELETE", "/v1/users/me", "DeleteCurrentUser", NULL);
  expect_route(fixture_test(), "GET", "/v1/shelves/files/x", "QueryAll", "x");
}

Test(routes, a_variable_has_what_a_literal_lacks)
{
  const struct contract *contract = fixture_contract("service S { rpc Get(Q) returns (Q) {"
                                                     " option (google.api.http) = {get: \"/v1/q/me\"};"
                                                     " option (bulkhead.v1.method) = {access: ACCESS_PUBLIC}; }\n"
                                                     " rpc Delete(Q) returns (Q) {"
                                                     " option (google.api.http) = {delete: \"/v1/q/{id}\"};"
                                                     " option (bulkhead.v1.method) = {access: ACCESS_PUBLIC}; } }\n"
                                                     "message Q { string id = 1; }\n");
  expect_route(contract, "GET", "/v1/q/me", "Get", NULL);
  expect_route(contract, "DELETE", "/v1/q/me", "Delete", "me");
  expect_allow(contract, "PUT", "/v1/q/me", "GET, HEAD, DELETE, OPTIONS");
}

Test(routes, nothing_there)
{
  const struct contract *contract = fixture_bulkhead();
  static const char *const PATHS[] = {"",           "/",        "/v1",           "/v1/items/",        "//v1/items",
                                      "/v1//items", "v1/items", "/v1/items/a/b", "/v1/items:nothing", "/V1/items",
                                      "/v1/items%"};
  for (size_t i = 0; i < ARRAY_LEN(PATHS); i++)
    expect_nothing(contract, "GET", PATHS[i]);
}

Test(routes, known_paths_say_what_they_allow)
{
  expect_allow(fixture_bulkhead(), "PUT", "/v1/items/abc", "GET, HEAD, PATCH, DELETE, OPTIONS");
  expect_allow(fixture_bulkhead(), "DELETE", "/v1/items", "GET, HEAD, POST, OPTIONS");
  expect_allow(fixture_bulkhead(), "PUT", "/v1/users/me", "GET, HEAD, PATCH, DELETE, OPTIONS");
  expect_allow(fixture_bulkhead(), "GET", "/v1/items:batchCreate", "POST, OPTIONS");
  expect_allow(fixture_test(), "BREW", "/v1/query", "GET, HEAD, REPORT, OPTIONS");
}

Test(routes, a_path_tells_all_its_methods)
{
  const struct contract *contract = fixture_bulkhead();
  expect_allow_of(contract, "/v1/items/abc", "GET, HEAD, PATCH, DELETE, OPTIONS");
  expect_allow_of(contract, "/v1/items:batch%43reate", "POST, OPTIONS");
  expect_allow_of(contract, "*", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
  expect_allow_of(contract, "/v1/nothing", NULL);
  expect_allow_of(contract, "/v1/items/..", NULL);
  const struct contract *own =
      fixture_contract("service S { rpc Get(Q) returns (Q) {"
                       " option (google.api.http) = {custom: {kind: \"OPTIONS\" path: \"/v1/q\"}};"
                       " option (bulkhead.v1.method) = {access: ACCESS_PUBLIC}; } }\n"
                       "message Q {}\n");
  expect_allow_of(own, "/v1/q", "OPTIONS");
}

Test(routes, a_verb_may_be_percent_encoded_but_not_its_colon)
{
  expect_route(fixture_bulkhead(), "POST", "/v1/items:batch%43reate", "BatchCreateItems", NULL);
  expect_route(fixture_bulkhead(), "POST", "/v1/items:%62atchCreat%65", "BatchCreateItems", NULL);
  expect_nothing(fixture_bulkhead(), "POST", "/v1/items%3AbatchCreate");
  expect_nothing(fixture_bulkhead(), "POST", "/v1/items:batch%63reate");
  expect_nothing(fixture_bulkhead(), "POST", "/v1/items:batchCreate%");
  expect_nothing(fixture_bulkhead(), "GET", "/v1%2Fitems");
}

Test(routes, no_path_with_a_dot_segment_leads_anywhere)
{
  static const char *const PATHS[] = {"/v1/files/..",
                                      "/v1/files/a/../b",
                                      "/v1/files/%2e%2e/b",
                                      "/v1/files/.%2E",
                                      "/v1/files/./b",
                                      "/v1/files/%2e",
                                      "/v1/files//b",
                                      "/v1/files/a/",
                                      "/v1/shelves/../books",
                                      "/v1/../v1/files/a",
                                      "/v1/shelves/s/books/..:read"};
  for (size_t i = 0; i < ARRAY_LEN(PATHS); i++)
    expect_nothing(fixture_test(), "GET", PATHS[i]);
  expect_route(fixture_test(), "GET", "/v1/files/..a/...", "QueryAll", "..a/...");
  expect_route(fixture_test(), "GET", "/v1/files/a%2F..%2Fb", "QueryAll", "a%2F..%2Fb");
  expect_route(fixture_test(), "GET", "/v1/files/%2e%2ea", "QueryAll", "%2e%2ea");
}

Test(routes, verbs_and_colons)
{
  expect_route(fixture_bulkhead(), "GET", "/v1/items/a:b", "GetItem", "a:b");
  expect_route(fixture_bulkhead(), "GET", "/v1/items/a:", "GetItem", "a:");
  expect_route(fixture_test(), "GET", "/v1/shelves/s/books/b:read", "QueryAll", "shelves/s/books/b");
  expect_route(fixture_test(), "POST", "/v1/wait:long", "Wait", NULL);
  expect_nothing(fixture_test(), "GET", "/v1/shelves/s/books/b");
}

Test(routes, wildcards)
{
  expect_route(fixture_test(), "GET", "/v1/files", "QueryAll", "");
  expect_route(fixture_test(), "GET", "/v1/files/a/b/c", "QueryAll", "a/b/c");
  expect_route(fixture_test(), "GET", "/v1/shelves/x/y", "QueryAll", "y");
  expect_nothing(fixture_test(), "GET", "/v1/shelves//y");
  expect_route(fixture_test(), "REPORT", "/v1/query", "QueryAll", NULL);
}

// ---- any HTTP method ----

Test(routes, for_any_method_stand_behind_those_for_one)
{
  const struct contract *contract = fixture_contract(
      "service S { rpc Get(Q) returns (Q) { option (bulkhead.v1.method) = {access: ACCESS_PUBLIC};"
      " option (google.api.http) = {get: \"/v1/q/{id}\" additional_bindings {custom: {kind: \"OPTIONS\" path: "
      "\"/v1/o\"}} additional_bindings {custom: {kind: \"VERSION-CONTROL\" path: \"/v1/q/{id}\"}}}; }\n"
      " rpc Any(Q) returns (Q) { option (bulkhead.v1.method) = {access: ACCESS_PUBLIC};"
      " option (google.api.http) = {custom: {kind: \"*\" path: \"/v1/q/{id}\"} additional_bindings {custom: {kind: "
      "\"*\" path: \"/v1/o\"}} additional_bindings {custom: {kind: \"*\" path: \"/v1/q/me\"}}"
      " additional_bindings {custom: {kind: \"*\" path: \"/v1/{id=files/**}:do\"}}}; } }\n"
      "message Q { string id = 1; }\n");
  expect_route(contract, "GET", "/v1/q/x", "Get", "x");
  expect_route(contract, "HEAD", "/v1/q/x", "Get", "x");
  expect_route(contract, "VERSION-CONTROL", "/v1/q/x", "Get", "x");
  expect_route(contract, "POST", "/v1/q/x", "Any", "x");
  expect_route(contract, "BREW-TEA", "/v1/q/x", "Any", "x");
  expect_route(contract, "OPTIONS", "/v1/o", "Get", NULL);
  expect_route(contract, "HEAD", "/v1/o", "Any", NULL);
  expect_route(contract, "BREW", "/v1/files/a/b:do", "Any", "files/a/b");
  // A template that says more of the path counts, also where one that says less has the method.
  expect_route(contract, "GET", "/v1/q/me", "Any", NULL);
  static const char ALL[] = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, VERSION-CONTROL";
  expect_allow(contract, "OPTIONS", "/v1/q/x", ALL);
  expect_allow_of(contract, "/v1/q/x", ALL);
  expect_allow_of(contract, "/v1/q/me", ALL);
  expect_allow_of(contract, "/v1/files:do", ALL);
  expect_allow_of(contract, "*", ALL);
  expect_nothing(contract, "POST", "/v1/files/a");
}

// ---- "**" in the middle ----

// Returns a contract whose method is at all these templates, which have the variables {a} and {b}.
static const struct contract *declare_paths(const char *const *paths, size_t count)
{
  struct strbuf text;
  strbuf_init(&text, 0);
  strbuf_add_string(&text, "service S { ");
  for (size_t i = 0; i < count; i++)
    strbuf_printf(&text,
                  "rpc M%zu(Q) returns (Q) { option (bulkhead.v1.method) = {access: ACCESS_PUBLIC};"
                  " option (google.api.http) = {get: \"%s\"}; }\n",
                  i, paths[i]);
  strbuf_add_string(&text, "}\nmessage Q { string a = 1; string b = 2; }\n");
  const struct contract *contract = fixture_contract(strbuf_cstring(&text));
  strbuf_free(&text);
  return contract;
}

static void expect_second_value(const struct contract *contract, const char *path, const char *value)
{
  struct contract_route route;
  cr_assert_eq(contract_route(contract, SLICE("GET"), slice_from_string(path), &route, NULL), STATUS_OK, "%s", path);
  cr_expect(slice_equal_string(route.values[1], value), "%s: " SLICE_FMT, path, SLICE_ARG(route.values[1]));
}

Test(routes, a_rest_takes_what_the_segments_around_it_leave)
{
  static const char *const PATHS[] = {"/v1/{a=x/*/y/**}/z", "/{a=k/**/l}/m", "/n/{a=*}/{b=**}/o", "/p/{a=**}/{b=q/*}"};
  const struct contract *contract = declare_paths(PATHS, ARRAY_LEN(PATHS));
  expect_route(contract, "GET", "/v1/x/1/y/2/3/z", "M0", "x/1/y/2/3");
  expect_route(contract, "GET", "/v1/x/1/y/z", "M0", "x/1/y");
  expect_route(contract, "GET", "/v1/x/1/y/z/z", "M0", "x/1/y/z");
  expect_nothing(contract, "GET", "/v1/x/1/y/2");
  expect_nothing(contract, "GET", "/v1/x/y/z");
  expect_route(contract, "GET", "/k/l/m", "M1", "k/l");
  expect_route(contract, "GET", "/k/l/l/m", "M1", "k/l/l");
  expect_route(contract, "GET", "/k/1/2/3/%6C/%6d", "M1", "k/1/2/3/%6C");
  expect_nothing(contract, "GET", "/k/m");
  expect_nothing(contract, "GET", "/k/l");
  expect_nothing(contract, "GET", "/k/l/1/m");
  expect_route(contract, "GET", "/n/1/2/3/o", "M2", "1");
  expect_second_value(contract, "/n/1/2/3/o", "2/3");
  expect_second_value(contract, "/n/1/o", "");
  expect_nothing(contract, "GET", "/n/o");
  expect_route(contract, "GET", "/p/1/2/q/3", "M3", "1/2");
  expect_second_value(contract, "/p/1/2/q/3", "q/3");
  expect_route(contract, "GET", "/p/q/3", "M3", "");
}

Test(routes, of_several_rests_the_one_with_more_behind_it_counts)
{
  static const char *const PATHS[] = {"/v1/{a=x/**}",       "/v1/{a=x/**}/z", "/v1/{a=x/**}/y/z", "/v1/{a=x/**}:go",
                                      "/v1/{a=x/**}/z:go",  "/v1/{a=**}",     "/{a=**}/y/z",      "/v1/x/{a}",
                                      "/v1/{a=x/**/*}/w/z", "/{a=**}"};
  const struct contract *contract = declare_paths(PATHS, ARRAY_LEN(PATHS));
  expect_route(contract, "GET", "/v1/x/1/2", "M0", "x/1/2");
  expect_route(contract, "GET", "/v1/x/1/z", "M1", "x/1");
  expect_route(contract, "GET", "/v1/x/1/y/z", "M2", "x/1");
  expect_route(contract, "GET", "/v1/x/y/z", "M2", "x");
  expect_route(contract, "GET", "/v1/x/1/2:go", "M3", "x/1/2");
  expect_route(contract, "GET", "/v1/x/1/z:go", "M4", "x/1");
  expect_route(contract, "GET", "/v1/u/1/z", "M5", "u/1/z");
  expect_route(contract, "GET", "/v1", "M5", "");
  expect_route(contract, "GET", "/v2/x/y/z", "M6", "v2/x");
  expect_route(contract, "GET", "/v1/x/z", "M7", "z");
  expect_route(contract, "GET", "/v1/x/1/w/z", "M8", "x/1");
  expect_route(contract, "GET", "/v1/x/w/z", "M1", "x/w");
  expect_route(contract, "GET", "/v2:go", "M9", "v2:go");
  expect_route(contract, "GET", "/", "M9", "");
  expect_nothing(contract, "GET", "//");
  expect_nothing(contract, "GET", "/v1/x/1/");
}

Test(routes, a_path_of_very_many_segments_ends)
{
  struct strbuf path = {0};
  for (unsigned i = 0; i < 10000; i++)
    strbuf_add_string(&path, "/v1");
  expect_nothing(fixture_test(), "GET", strbuf_cstring(&path));
  strbuf_free(&path);
}

// ---- many routes ----

enum { MANY = 10000 };

// Makes a contract with so many routes, whose paths differ in their second segment.
static const struct contract *make_many(void)
{
  struct strbuf text;
  strbuf_init(&text, 0);
  strbuf_add_string(&text,
                    "service S { rpc Get(Q) returns (Q) { option (bulkhead.v1.method) = {access: ACCESS_PUBLIC};\n"
                    "option (google.api.http) = {get: \"/v1/{name}\"\n");
  for (int i = 0; i < MANY; i++)
    strbuf_printf(&text, "additional_bindings {get: \"/v1/kind-%d/{name}\"}\n", i);
  strbuf_add_string(&text, "}; } }\nmessage Q { string name = 1; }\n");
  const struct contract *contract = fixture_contract(strbuf_cstring(&text));
  strbuf_free(&text);
  return contract;
}

Test(routes, are_found_among_many)
{
  const struct contract *contract = make_many();
  cr_assert_eq(contract_binding_count(contract), MANY + 1);
  for (int i = 0; i < MANY; i += 7) {
    char path[64];
    snprintf(path, sizeof(path), "/v1/kind-%d/lamp", i);
    expect_route(contract, "GET", path, "Get", "lamp");
    snprintf(path, sizeof(path), "/v1/k%%69nd%%2d%d/lamp", i);
    expect_route(contract, "GET", path, "Get", "lamp");
  }
  expect_route(contract, "GET", "/v1/kind-10000", "Get", "kind-10000");
  expect_nothing(contract, "GET", "/v1/kind-10000/lamp");
  expect_nothing(contract, "GET", "/v1/kind-%3/lamp");
  expect_nothing(contract, "GET", "/v1/kind-%/lamp");
}

// A segment that is longer when decoded than any buffer for it is still compared.
Test(routes, with_long_literals_are_found)
{
  char literal[601], path[2000] = "/v1/";
  memset(literal, 'a', sizeof(literal) - 1);
  literal[sizeof(literal) - 1] = 0;
  struct strbuf text;
  strbuf_init(&text, 0);
  strbuf_printf(&text,
                "service S { rpc Get(Q) returns (Q) { option (bulkhead.v1.method) = {access: ACCESS_PUBLIC};\n"
                "option (google.api.http) = {get: \"/v1/%s/{name}\"\n",
                literal);
  for (int i = 0; i < 10; i++)
    strbuf_printf(&text, "additional_bindings {get: \"/v1/b%d/{name}\"}\n", i);
  strbuf_add_string(&text, "}; } }\nmessage Q { string name = 1; }\n");
  const struct contract *contract = fixture_contract(strbuf_cstring(&text));
  strbuf_free(&text);
  for (size_t i = 0; i < sizeof(literal) - 1; i++)
    memcpy(path + 4 + 3 * i, "%61", 4);
  memcpy(path + 4 + 3 * (sizeof(literal) - 1), "/x", 3);
  expect_route(contract, "GET", path, "Get", "x");
}
