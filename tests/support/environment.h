// Reads what tests/run and tests/with-servers put into the environment of tests.
#ifndef BULKHEAD_TESTS_SUPPORT_ENVIRONMENT_H
#define BULKHEAD_TESTS_SUPPORT_ENVIRONMENT_H

#include <criterion/criterion.h>
#include <stdlib.h>

// Returns the value of a variable; fails the test where it is not set.
static inline const char *need_variable(const char *name)
{
  const char *value = getenv(name);
  cr_assert_not_null(value, "%s must be set; run component tests by tests/with-servers, others by tests/run", name);
  return value;
}

#endif
