// Rules of items that the contract cannot say.
#include <criterion/criterion.h>
#include <string.h>

#include "common/base/compiler.h"
#include "services/item/item_rules.h"

static Item__V1__Item item_of(char *sku, char *name, char *price, char *currency)
{
  Item__V1__Item item = ITEM__V1__ITEM__INIT;
  item.sku = sku;
  item.name = name;
  item.price = price;
  item.currency = currency;
  return item;
}

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
    Item__V1__Item item = item_of("S", "N", cases[i].price, cases[i].currency);
    struct item_problem problems[ITEM_MAX_PROBLEMS];
    size_t count = item_rules_check(&item, problems);
    for (size_t k = 0; k < count; k++) {
      cr_assert_not_null(cases[i].fields[k], "case %zu: %s %s", i, problems[k].field, problems[k].text);
      cr_expect_str_eq(problems[k].field, cases[i].fields[k], "case %zu", i);
    }
    cr_expect(count == ITEM_MAX_PROBLEMS || cases[i].fields[count] == NULL, "case %zu: only %zu problems", i, count);
  }
}
