// HTTP requests to messages, on the real contracts and on test.proto.
#include <criterion/criterion.h>

#include "tests/unit/schema/contract.h"

#define ID "01936b5e-7c1a-7d3e-9f00-1c2d3e4f5a6b"

static void expect_json(struct exchange exchange, const char *json)
{
  struct outcome outcome = contract_request(contract_bulkhead(), exchange);
  cr_assert(outcome.status == STATUS_OK, "%s", outcome.violations);
  cr_assert_str_eq(outcome.json, json);
}

static void expect_violations(struct exchange exchange, const char *violations)
{
  struct outcome outcome = contract_request(contract_bulkhead(), exchange);
  cr_assert(outcome.status == STATUS_INVALID_ARGUMENT);
  cr_assert_str_eq(outcome.violations, violations);
}

Test(request, path_variable_fills_its_field)
{
  expect_json((struct exchange){.http_method = "GET", .path = "/v1/items/" ID}, "{\"id\":\"" ID "\"}");
}

Test(request, path_variable_is_percent_decoded)
{
  expect_json((struct exchange){.http_method = "GET",
                                .path = "/v1/items/%30"
                                        "1936b5e-7c1a-7d3e-9f00-1c2d3e4f5a6b"},
              "{\"id\":\"" ID "\"}");
}

Test(request, path_variable_keeps_its_rules)
{
  expect_violations((struct exchange){.http_method = "GET", .path = "/v1/items/7"},
                    "id: must be a UUID, such as 01936b5e-7c1a-7d3e-9f00-1c2d3e4f5a6b");
  expect_violations((struct exchange){.http_method = "GET", .path = "/v1/items/%zz"},
                    "id: has a broken percent escape\nid: is required");
}
