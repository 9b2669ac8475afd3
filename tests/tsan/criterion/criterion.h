// Criterion's macros, as far as the unit tests use them, for ThreadSanitizer: Criterion itself cannot start under it
// (https://github.com/Snaipe/Criterion/issues/274). runner.c runs each test in a process of its own.
#ifndef BULKHEAD_TESTS_TSAN_CRITERION_H
#define BULKHEAD_TESTS_TSAN_CRITERION_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct test_case {
  const char *suite;
  const char *name;
  void (*run)(void);
  void (*init)(void);
  void (*fini)(void);
  int signal;      // that it must end with
  int exit_code;   // likewise
  double timeout;  // seconds; 0 for the runner's own
  struct test_case *next;
};

struct test_suite {
  const char *name;
  void (*init)(void);
  void (*fini)(void);
  double timeout;
  struct test_suite *next;
};

void test_case_add(struct test_case *test);
void test_suite_add(struct test_suite *suite);
// Prints; a fatal one ends the test.
void test_failed(bool fatal, const char *file, int line, const char *condition, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

#define Test(suite_, name_, ...)                                                                                       \
  static void suite_##_##name_##_impl(void);                                                                           \
  static struct test_case suite_##_##name_##_case = {                                                                  \
      .suite = #suite_, .name = #name_, .run = suite_##_##name_##_impl, ##__VA_ARGS__};                                \
  __attribute__((constructor)) static void suite_##_##name_##_add(void)                                                \
  {                                                                                                                    \
    test_case_add(&suite_##_##name_##_case);                                                                           \
  }                                                                                                                    \
  static void suite_##_##name_##_impl(void)

#define TestSuite(name_, ...)                                                                                          \
  static struct test_suite name_##_suite = {.name = #name_, ##__VA_ARGS__};                                            \
  __attribute__((constructor)) static void name_##_suite_add(void)                                                     \
  {                                                                                                                    \
    test_suite_add(&name_##_suite);                                                                                    \
  }                                                                                                                    \
  struct test_suite

// The message, if any, begins with a literal.
#define TEST_CHECK(fatal, condition, text, ...)                                                                        \
  ((condition) ? (void)0 : test_failed(fatal, __FILE__, __LINE__, text, " " __VA_ARGS__))
#define TEST_COMPARE(fatal, a, operation, b, ...)                                                                      \
  TEST_CHECK(fatal, (a)operation(b), #a " " #operation " " #b, ##__VA_ARGS__)
#define TEST_STRING(fatal, a, operation, b, ...)                                                                       \
  TEST_CHECK(fatal, strcmp(a, b) operation 0, #a " " #operation " " #b, ##__VA_ARGS__)
#define TEST_BYTES(fatal, a, operation, b, size, ...)                                                                  \
  TEST_CHECK(fatal, memcmp(a, b, size) operation 0, #a " " #operation " " #b, ##__VA_ARGS__)

#define cr_assert(condition, ...) TEST_CHECK(true, condition, #condition, ##__VA_ARGS__)
#define cr_assert_not(condition, ...) TEST_CHECK(true, !(condition), "not " #condition, ##__VA_ARGS__)
#define cr_assert_fail(...) TEST_CHECK(true, false, "fail", ##__VA_ARGS__)
#define cr_assert_eq(a, b, ...) TEST_COMPARE(true, a, ==, b, ##__VA_ARGS__)
#define cr_assert_neq(a, b, ...) TEST_COMPARE(true, a, !=, b, ##__VA_ARGS__)
#define cr_assert_lt(a, b, ...) TEST_COMPARE(true, a, <, b, ##__VA_ARGS__)
#define cr_assert_leq(a, b, ...) TEST_COMPARE(true, a, <=, b, ##__VA_ARGS__)
#define cr_assert_gt(a, b, ...) TEST_COMPARE(true, a, >, b, ##__VA_ARGS__)
#define cr_assert_geq(a, b, ...) TEST_COMPARE(true, a, >=, b, ##__VA_ARGS__)
#define cr_assert_null(a, ...) TEST_COMPARE(true, a, ==, NULL, ##__VA_ARGS__)
#define cr_assert_not_null(a, ...) TEST_COMPARE(true, a, !=, NULL, ##__VA_ARGS__)
#define cr_assert_str_eq(a, b, ...) TEST_STRING(true, a, ==, b, ##__VA_ARGS__)
#define cr_assert_str_neq(a, b, ...) TEST_STRING(true, a, !=, b, ##__VA_ARGS__)
#define cr_assert_str_empty(a, ...) TEST_CHECK(true, (a)[0] == '\0', #a " is empty", ##__VA_ARGS__)
#define cr_assert_str_not_empty(a, ...) TEST_CHECK(true, (a)[0] != '\0', #a " is not empty", ##__VA_ARGS__)
#define cr_assert_arr_eq(a, b, size, ...) TEST_BYTES(true, a, ==, b, size, ##__VA_ARGS__)
#define cr_assert_arr_neq(a, b, size, ...) TEST_BYTES(true, a, !=, b, size, ##__VA_ARGS__)

#define cr_expect(condition, ...) TEST_CHECK(false, condition, #condition, ##__VA_ARGS__)
#define cr_expect_not(condition, ...) TEST_CHECK(false, !(condition), "not " #condition, ##__VA_ARGS__)
#define cr_expect_eq(a, b, ...) TEST_COMPARE(false, a, ==, b, ##__VA_ARGS__)
#define cr_expect_neq(a, b, ...) TEST_COMPARE(false, a, !=, b, ##__VA_ARGS__)
#define cr_expect_lt(a, b, ...) TEST_COMPARE(false, a, <, b, ##__VA_ARGS__)
#define cr_expect_leq(a, b, ...) TEST_COMPARE(false, a, <=, b, ##__VA_ARGS__)
#define cr_expect_gt(a, b, ...) TEST_COMPARE(false, a, >, b, ##__VA_ARGS__)
#define cr_expect_geq(a, b, ...) TEST_COMPARE(false, a, >=, b, ##__VA_ARGS__)
#define cr_expect_null(a, ...) TEST_COMPARE(false, a, ==, NULL, ##__VA_ARGS__)
#define cr_expect_not_null(a, ...) TEST_COMPARE(false, a, !=, NULL, ##__VA_ARGS__)
#define cr_expect_str_eq(a, b, ...) TEST_STRING(false, a, ==, b, ##__VA_ARGS__)
#define cr_expect_str_neq(a, b, ...) TEST_STRING(false, a, !=, b, ##__VA_ARGS__)
#define cr_expect_arr_eq(a, b, size, ...) TEST_BYTES(false, a, ==, b, size, ##__VA_ARGS__)

#endif
