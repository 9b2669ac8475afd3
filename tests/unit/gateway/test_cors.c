// Which origins may read replies, and what the replies say.
#include <criterion/criterion.h>

#include "gateway/cors.h"
#include "tests/unit/gateway/fixture.h"

#define LIST SLICE("https://app.example.com, http://localhost:3000")

static void expect_refused(const char *origins, const char *part)
{
  struct error error;
  cr_assert_eq(cors_check(slice_from_string(origins), &error), STATUS_INVALID_ARGUMENT, "%s", origins);
  cr_assert_not_null(strstr(error.message, part), "%s: %s", origins, error.message);
}

static struct slice find(const struct cors_header *headers, size_t count, const char *name)
{
  for (size_t i = 0; i < count; i++)
    if (slice_equal_string(headers[i].name, name))
      return headers[i].value;
  return (struct slice){0};
}

// Returns the value of a header of a reply to a script of `origin`; NULL data where it is absent.
static struct slice header_for(struct slice origins, const char *origin, bool is_preflight, const char *name)
{
  static struct cors_header headers[CORS_MAX_HEADERS];
  const struct cors_policy policy = {.origins = origins,
                                     .allowed = SLICE("Authorization"),
                                     .exposed = SLICE("ETag"),
                                     .methods = SLICE("GET, OPTIONS")};
  const struct cors_request request = {.origin = slice_from_string(origin), .is_preflight = is_preflight};
  return find(headers, cors_make_headers(&policy, &request, headers), name);
}

static void expect_header(struct slice found, const char *value)
{
  cr_assert(slice_equal_string(found, value), SLICE_FMT " instead of %s", SLICE_ARG(found), value);
}

Test(cors, settings_that_no_browser_matches_are_refused)
{
  struct error error;
  static const char *const GOOD[] = {"",
                                     "*",
                                     "https://app.example.com",
                                     "https://a.example,http://localhost:3000",
                                     "http://[::1]:8080",
                                     "https://xn--bcher-kva.example"};
  for (size_t i = 0; i < ARRAY_LEN(GOOD); i++)
    cr_assert_eq(cors_check(slice_from_string(GOOD[i]), &error), STATUS_OK, "%s", GOOD[i]);
  expect_refused("app.example.com", "\"app.example.com\" must begin with https:// or http://");
  expect_refused("https://a.example,null", "\"null\" must begin with");
  expect_refused("https://a.example,*", "\"*\" must begin with");
  expect_refused("https://", "has no host");
  expect_refused("https://a.example/", "without a path");
  expect_refused("https://A.example", "in lower case");
  expect_refused("https://*.example", "in lower case");
  expect_refused("https://a.example:443", "names the port that browsers leave out");
  expect_refused("http://a.example:80", "names the port that browsers leave out");
  expect_refused("https://a.example,,https://b.example", "\"\" must begin with");
}

Test(cors, an_origin_is_allowed_as_a_whole)
{
  cr_assert(cors_allows(LIST, SLICE("https://app.example.com")));
  cr_assert(cors_allows(LIST, SLICE("http://localhost:3000")));
  static const char *const OTHERS[] = {"https://app.example.com.evil.example",
                                       "https://app.example.co",
                                       "http://app.example.com",
                                       "https://app.example.com:8443",
                                       "null",
                                       "",
                                       "https://app.example.com, http://localhost:3000"};
  for (size_t i = 0; i < ARRAY_LEN(OTHERS); i++)
    cr_assert_not(cors_allows(LIST, slice_from_string(OTHERS[i])), "%s", OTHERS[i]);
  cr_assert_not(cors_allows(SLICE(""), SLICE("https://app.example.com")));
  cr_assert(cors_allows(SLICE("*"), SLICE("https://any.example")));
}

Test(cors, a_reply_names_the_origin_that_may_read_it)
{
  const char *app = "https://app.example.com";
  expect_header(header_for(LIST, app, false, "Access-Control-Allow-Origin"), app);
  expect_header(header_for(LIST, app, false, "Access-Control-Expose-Headers"), "ETag");
  expect_header(header_for(LIST, app, false, "Vary"), "Origin");
  cr_assert_null(header_for(LIST, app, false, "Access-Control-Allow-Methods").data);
}

Test(cors, others_get_no_more_than_vary)
{
  expect_header(header_for(LIST, "https://evil.example", true, "Vary"), "Origin");
  expect_header(header_for(LIST, "", false, "Vary"), "Origin");
  cr_assert_null(header_for(LIST, "https://evil.example", true, "Access-Control-Allow-Origin").data);
  cr_assert_null(header_for(LIST, "https://evil.example", true, "Access-Control-Allow-Methods").data);
  cr_assert_null(header_for(LIST, "", false, "Access-Control-Allow-Origin").data);
}

Test(cors, a_preflight_learns_methods_headers_and_how_long)
{
  const char *app = "https://app.example.com";
  expect_header(header_for(LIST, app, true, "Access-Control-Allow-Methods"), "GET, OPTIONS");
  expect_header(header_for(LIST, app, true, "Access-Control-Allow-Headers"), "Authorization");
  expect_header(header_for(LIST, app, true, "Access-Control-Max-Age"), "7200");
}

Test(cors, any_origin_is_a_star_and_never_comes_with_credentials)
{
  expect_header(header_for(SLICE("*"), "https://any.example", false, "Access-Control-Allow-Origin"), "*");
  cr_assert_null(header_for(SLICE("*"), "https://any.example", false, "Vary").data);
  cr_assert_null(header_for(SLICE("*"), "https://any.example", false, "Access-Control-Allow-Credentials").data);
  cr_assert_null(header_for(LIST, "https://app.example.com", false, "Access-Control-Allow-Credentials").data);
}

Test(cors, nothing_is_sent_without_the_setting)
{
  cr_assert_null(header_for(SLICE(""), "https://app.example.com", false, "Vary").data);
  cr_assert_null(header_for(SLICE(""), "https://app.example.com", true, "Access-Control-Allow-Origin").data);
}

Test(cors, headers_of_the_contracts_may_be_set_and_read)
{
  struct fixture *own =
      fixture_open_with("service S { rpc Get(Q) returns (P) {"
                        " option (google.api.http) = {get: \"/v1/q\"};"
                        " option (bulkhead.v1.method) = {access: ACCESS_PUBLIC}; } }\n"
                        "message Q { string tenant = 1 [(bulkhead.v1.field) = {from_header: \"X-Tenant\"}]; }\n"
                        "message P { string shard = 1 [(bulkhead.v1.field) = {to_header: \"X-Shard\"}]; }\n");
  cr_assert(fixture_contains(strbuf_slice(&own->api->cors_allowed), "Authorization, "));
  cr_assert(fixture_contains(strbuf_slice(&own->api->cors_allowed), ", X-Tenant"));
  cr_assert(fixture_contains(strbuf_slice(&own->api->cors_exposed), "ETag, Location, Retry-After, RateLimit, "));
  cr_assert(fixture_contains(strbuf_slice(&own->api->cors_exposed), ", X-Shard"));
  fixture_close(own);
}
