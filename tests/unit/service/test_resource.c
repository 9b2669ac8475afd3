// Preconditions of changes. Masks are tested with the fields of a real resource (tests/unit/item), the rest with real
// servers (tests/component/item, user).
#include <criterion/criterion.h>

#include "common/service/resource.h"

Test(resource, an_etag_fits_where_the_caller_names_it_or_nothing)
{
  static const struct {
    const char *if_match;
    const char *body_etag;
    bool fits;
    bool conditional;
  } cases[] = {
      {"", "", true, false},
      {"*", "", true, false},
      {"7", "", true, true},
      {"", "7", true, true},
      {"7", "7", true, true},
      {"*", "7", true, true},
      {"8", "", false, true},
      {"", "8", false, true},
      {"7", "8", false, true},
      {"8", "7", false, true},
      {"*", "8", false, true},
      {"77", "", false, true},
      // As HTTP writes lists and weak tags (RFC 9110, section 13.1.1).
      {"\"6\", \"7\"", "", true, true},
      {"\"7\", \"8\"", "8", false, true},
      {"\"6\", \"8\"", "", false, true},
      {"W/\"7\"", "", false, true},
      {"W/\"7\", \"7\"", "", true, true},
      {"\"\"", "", false, true},
  };
  for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
    cr_expect_eq(resource_etag_fits("7", cases[i].if_match, cases[i].body_etag), cases[i].fits, "\"%s\" \"%s\"",
                 cases[i].if_match, cases[i].body_etag);
    cr_expect_eq(resource_is_conditional(cases[i].if_match, cases[i].body_etag), cases[i].conditional, "\"%s\" \"%s\"",
                 cases[i].if_match, cases[i].body_etag);
  }
}

Test(resource, a_state_is_excluded_by_its_etag_or_a_star)
{
  static const struct {
    const char *if_none_match;
    bool allowed;
  } cases[] = {
      {"", true},         {"*", false},     {"\"7\"", false},        {"\"8\"", true},
      {"W/\"7\"", false}, {"\"77\"", true}, {"\"6\", \"7\"", false}, {"\"6\", W/\"8\"", true},
  };
  for (size_t i = 0; i < ARRAY_LEN(cases); i++)
    cr_expect_eq(resource_etag_allowed("7", cases[i].if_none_match), cases[i].allowed, "%s", cases[i].if_none_match);
}
