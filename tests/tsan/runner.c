// Runs every test in a fresh process (this program again, with the test's name), compares how it ended with what the
// test declares, and prints a summary like Criterion's.
//
//   unit-runtime                       all tests
//   unit-runtime task::name_of_test    one test, here, for a debugger
#include <stdarg.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/tsan/criterion/criterion.h"

enum { DEFAULT_TIMEOUT_S = 120, NAME_SIZE = 256 };

static struct test_case *tests;
static struct test_suite *suites;
static bool failed;

void test_case_add(struct test_case *test)
{
  test->next = tests;
  tests = test;
}

void test_suite_add(struct test_suite *suite)
{
  suite->next = suites;
  suites = suite;
}

void test_failed(bool fatal, const char *file, int line, const char *condition, const char *format, ...)
{
  va_list args;
  va_start(args, format);
  printf("%s:%d: %s:", file, line, condition);
  vprintf(format, args);
  printf("\n");
  fflush(stdout);
  va_end(args);
  failed = true;
  // Without exit handlers: threads of the test may still run.
  if (fatal)
    _exit(1);
}

static void full_name(const struct test_case *test, char out[NAME_SIZE])
{
  snprintf(out, NAME_SIZE, "%s::%s", test->suite, test->name);
}

static void call(void (*function)(void))
{
  if (function != NULL)
    function();
}

static const struct test_suite *suite_of(const struct test_case *test)
{
  static const struct test_suite none;
  for (const struct test_suite *suite = suites; suite != NULL; suite = suite->next)
    if (strcmp(suite->name, test->suite) == 0)
      return suite;
  return &none;
}

const char *__tsan_default_suppressions(void);

// nng frees its dialers on a thread of its own, behind an atomic count that TSan does not see because nng is not
// instrumented.
const char *__tsan_default_suppressions(void)
{
  return "race_top:pthread_mutex_destroy\n";
}

static unsigned timeout_s(const struct test_case *test)
{
  double seconds = test->timeout > 0 ? test->timeout : suite_of(test)->timeout;
  // Everything takes longer here.
  return seconds > 0 ? (unsigned)seconds * 10 + 1 : DEFAULT_TIMEOUT_S;
}

static int run_here(const struct test_case *test)
{
  const struct test_suite *suite = suite_of(test);
  alarm(timeout_s(test));
  call(suite->init);
  call(test->init);
  test->run();
  call(test->fini);
  call(suite->fini);
  return failed ? 1 : 0;
}

static bool run_apart(const struct test_case *test)
{
  char name[NAME_SIZE];
  full_name(test, name);
  pid_t child = fork();
  if (child == 0) {
    execl("/proc/self/exe", "test", name, (char *)NULL);
    _exit(127);
  }
  int result;
  if (child < 0 || waitpid(child, &result, 0) != child)
    return false;
  bool as_declared = test->signal != 0 ? WIFSIGNALED(result) && WTERMSIG(result) == test->signal
                                       : WIFEXITED(result) && WEXITSTATUS(result) == test->exit_code;
  if (!as_declared)
    printf("[FAIL] %s: wait status %#x\n", name, (unsigned)result);
  return as_declared;
}

static int run_all(void)
{
  int count = 0, passed = 0;
  for (const struct test_case *test = tests; test != NULL; test = test->next, count++)
    passed += run_apart(test);
  printf("[====] Synthesis: Tested: %d | Passing: %d | Failing: %d\n", count, passed, count - passed);
  return passed == count && count > 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
  char name[NAME_SIZE];
  // Options are Criterion's.
  if (argc < 2 || argv[1][0] == '-')
    return run_all();
  for (const struct test_case *test = tests; test != NULL; test = test->next) {
    full_name(test, name);
    if (strcmp(name, argv[1]) == 0)
      return run_here(test);
  }
  fprintf(stderr, "there is no test %s\n", argv[1]);
  return 2;
}
