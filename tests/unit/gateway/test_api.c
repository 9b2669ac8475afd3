// Loading the contracts: what the gateway learns from them, and what it says about a file that it cannot use.
#include <criterion/criterion.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/unit/gateway/fixture.h"

static size_t count_service(const struct api *api, const char *name)
{
  size_t count = 0;
  for (size_t i = 0; i < api->service_count; i++)
    count += strcmp(api->services[i], name) == 0;
  return count;
}

Test(api, each_service_is_known_once)
{
  struct fixture *fixture = fixture_open();
  cr_assert_eq(count_service(fixture->api, "auth"), 1);
  cr_assert_eq(count_service(fixture->api, "item"), 1);
  cr_assert_eq(count_service(fixture->api, "user"), 1);
  // Whatever other services there are.
  for (size_t i = 0; i < fixture->api->service_count; i++)
    cr_expect_eq(count_service(fixture->api, fixture->api->services[i]), 1);
  fixture_close(fixture);
}

// A worker that shuts down waits for as long.
Test(api, the_longest_call_is_known)
{
  struct fixture *fixture = fixture_open();
  cr_assert_eq(api_longest_call_ms(fixture->api), 30000);
  fixture_close(fixture);
}

Test(api, the_document_has_a_strong_etag)
{
  struct fixture *fixture = fixture_open();
  struct slice etag = slice_from_string(fixture->api->openapi_etag);
  cr_assert_eq(etag.size, 18);
  cr_assert(etag.data[0] == '"' && etag.data[17] == '"');
  fixture_close(fixture);
}

Test(api, a_missing_file_is_named)
{
  struct api *api = NULL;
  struct error error;
  cr_assert_eq(api_load_file("/nowhere/bulkhead.protoset", &api, &error), STATUS_NOT_FOUND);
  cr_assert_not_null(strstr(error.message, "/nowhere/bulkhead.protoset"), "%s", error.message);
  cr_assert_null(api);
}

Test(api, a_file_that_is_no_protoset_is_refused)
{
  char path[] = "/tmp/bulkhead-protoset-XXXXXX";
  int fd = mkstemp(path);
  cr_assert_geq(fd, 0);
  cr_assert_eq(write(fd, "no protoset", 11), 11);
  close(fd);
  struct api *api = NULL;
  struct error error;
  enum status status = api_load_file(path, &api, &error);
  unlink(path);
  cr_assert_eq(status, STATUS_INVALID_ARGUMENT);
  cr_assert_not_null(strstr(error.message, path), "%s", error.message);
}

Test(api, contracts_without_the_method_that_gives_keys_are_refused)
{
  struct api *api = NULL;
  struct error error;
  // An empty set is a contract without any method.
  cr_assert_eq(api_load(SLICE(""), &api, &error), STATUS_INVALID_ARGUMENT);
  cr_expect_not_null(strstr(error.message, KEYS_METHOD), "%s", error.message);
  cr_expect_null(api);
}

Test(api, what_was_never_made_can_be_freed)
{
  struct api *api = NULL;
  api_free(&api);
  cr_expect_null(api);
  struct gateway *gateway = NULL;
  gateway_free(&gateway);
  cr_expect_null(gateway);
}
