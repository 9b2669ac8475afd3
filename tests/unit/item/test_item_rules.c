// Rules of items that the contract cannot say.
#include <criterion/criterion.h>
#include <string.h>

#include "common/base/compiler.h"
#include "common/contract/validate.h"
#include "item/v1/item.bh.h"
#include "services/item/item_rules.h"

// ---- soundness ----

Test(item_rules, price_and_currency_go_together_and_no_price_is_negative)
{
  static const struct {
    char *price, *currency;
    const char *fields[ITEM_MAX_PROBLEMS];  // at fault, all of them
  } cases[] = {
      {"", "", {NULL}},         {"12.50", "EUR", {NULL}},    {"0", "EUR", {NULL}},
      {"0.00", "JPY", {NULL}},  {"1", "", {"currency"}},     {"", "EUR", {"price"}},
      {"-1", "EUR", {"price"}}, {"-0.01", "EUR", {"price"}}, {"-1", "", {"price", "currency"}},
  };
  for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
    Item__V1__Item item = ITEM__V1__ITEM__INIT;
    item.price = cases[i].price;
    item.currency = cases[i].currency;
    struct item_problem problems[ITEM_MAX_PROBLEMS];
    size_t count = item_rules_check(&item, problems);
    for (size_t k = 0; k < count; k++) {
      cr_assert_not_null(cases[i].fields[k], "case %zu: %s %s", i, problems[k].field, problems[k].text);
      cr_expect_str_eq(problems[k].field, cases[i].fields[k], "case %zu", i);
    }
    cr_expect(count == ITEM_MAX_PROBLEMS || cases[i].fields[count] == NULL, "case %zu: only %zu problems", i, count);
  }
}

// The gateway says "If-Match" where it refuses the header itself, so the service must not call it "ifMatch".
Test(item_rules, a_field_that_a_header_fills_is_named_by_the_header)
{
  char etag[2000];
  memset(etag, '7', sizeof(etag) - 1);
  etag[sizeof(etag) - 1] = '\0';
  Item__V1__DeleteItemRequest request = ITEM__V1__DELETE_ITEM_REQUEST__INIT;
  request.id = "01936b5e-7c1a-7d3e-9f00-1c2d3e4f5a6b";
  request.if_match = etag;
  struct arena arena;
  arena_init(&arena);
  struct violations violations;
  violations_init(&violations, &arena);
  validate_message(&item_v1_delete_item_request_rules, &request.base, &violations);
  cr_assert_eq(violations.count, 1);
  cr_expect(slice_equal_string(violations.items[0].field, "If-Match"), SLICE_FMT, SLICE_ARG(violations.items[0].field));
  arena_free(&arena);
}
