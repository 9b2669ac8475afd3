// Fields that are `optional`: absent, zero and taken away are three things.
#include <criterion/criterion.h>

#include "tests/support/contract/fixture.h"

static struct outcome patch(const char *body)
{
  return fixture_request(fixture_test(),
                         (struct exchange){.http_method = "PATCH", .path = "/v1/things/7", .body = body});
}

Test(presence, zero_is_a_value)
{
  struct outcome outcome = patch("{\"weight\":0}");
  cr_assert_eq(outcome.status, STATUS_OK, "%s", outcome.violations);
  cr_expect_not_null(strstr(outcome.json, "\"weight\":0"), "%s", outcome.json);
  cr_expect_not_null(strstr(outcome.json, "\"updateMask\":\"weight\""), "%s", outcome.json);
}

Test(presence, null_takes_the_field_away)
{
  struct outcome outcome = patch("{\"weight\":null}");
  cr_assert_eq(outcome.status, STATUS_OK, "%s", outcome.violations);
  cr_expect_null(strstr(outcome.json, "\"weight\":"), "%s", outcome.json);
  cr_expect_not_null(strstr(outcome.json, "\"updateMask\":\"weight\""), "%s", outcome.json);
}

Test(presence, what_is_left_out_stays)
{
  struct outcome outcome = patch("{\"longName\":\"x\"}");
  cr_assert_eq(outcome.status, STATUS_OK, "%s", outcome.violations);
  cr_expect_null(strstr(outcome.json, "weight"), "%s", outcome.json);
  cr_expect_not_null(strstr(outcome.json, "\"updateMask\":\"longName\""), "%s", outcome.json);
}

Test(presence, rules_hold_for_what_is_there)
{
  cr_expect_str_eq(patch("{\"weight\":10}").violations, "weight: must be at most 9");
}
