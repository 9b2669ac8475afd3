#include "common/config/settings.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct target {
  const char *address;
  const char *password;
  const char *level;
  const char *note;
  int64_t pool_size;
  int64_t timeout_ms;
  int64_t cache_bytes;
  int64_t offset;
  bool verbose;
};

static const struct setting table[] = {
    {.name = "T_ADDRESS", .type = SETTING_STRING, .help = "Where to listen.", SETTING_TARGET(struct target, address)},
    {.name = "T_PASSWORD",
     .type = SETTING_STRING,
     .optional = true,
     .secret = true,
     .help = "The password.",
     SETTING_TARGET(struct target, password)},
    {.name = "T_LEVEL",
     .type = SETTING_CHOICE,
     .default_value = "info",
     .choices = "debug,info,warn",
     .help = "How much to log.",
     SETTING_TARGET(struct target, level)},
    {.name = "T_NOTE",
     .type = SETTING_STRING,
     .default_value = "",
     .help = "A note.",
     SETTING_TARGET(struct target, note)},
    {.name = "T_POOL_SIZE",
     .type = SETTING_INT,
     .default_value = "8",
     .min = 1,
     .max = 64,
     .help = "Connections.",
     SETTING_TARGET(struct target, pool_size)},
    {.name = "T_TIMEOUT",
     .type = SETTING_DURATION,
     .default_value = "5s",
     .min = 10,
     .max = 3600000,
     .help = "How long to wait.",
     SETTING_TARGET(struct target, timeout_ms)},
    {.name = "T_CACHE",
     .type = SETTING_BYTES,
     .default_value = "64m",
     .help = "Memory for the cache.",
     SETTING_TARGET(struct target, cache_bytes)},
    {.name = "T_OFFSET",
     .type = SETTING_INT,
     .optional = true,
     .min = -10,
     .max = 10,
     .help = "Added to the count.",
     SETTING_TARGET(struct target, offset)},
    {.name = "T_VERBOSE",
     .type = SETTING_BOOL,
     .default_value = "false",
     .help = "Says more.",
     SETTING_TARGET(struct target, verbose)},
};

static struct target target;
static struct arena arena;
static struct error error;

static enum status load(void)
{
  struct strbuf problems;
  strbuf_init(&problems, 0);
  enum status status = settings_load(table, ARRAY_LEN(table), &target, &arena, &problems);
  // One line where one setting is wrong.
  snprintf(error.message, sizeof(error.message), "%s", strbuf_cstring(&problems));
  if (problems.size > 0)
    error.message[strlen(error.message) - 1] = '\0';
  strbuf_free(&problems);
  return status;
}

static void begin(void)
{
  setenv("T_ADDRESS", "tcp://127.0.0.1:1", 1);
}

static void end(void)
{
  arena_free(&arena);
}

TestSuite(settings, .init = begin, .fini = end);

// Makes a file that holds `content`, and returns its name under /proc.
static const char *file_with(const char *content, size_t size)
{
  static char path[64];
  int fd = memfd_create("setting", 0);
  cr_assert_geq(fd, 0);
  cr_assert_eq(write(fd, content, size), (ssize_t)size);
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  return path;
}

static void assert_rejected(const char *name, const char *value, const char *message)
{
  setenv(name, value, 1);
  cr_assert_eq(load(), STATUS_INVALID_ARGUMENT, "%s=%s", name, value);
  cr_assert_str_eq(error.message, message);
  unsetenv(name);
}

Test(settings, defaults_hold_where_nothing_is_set)
{
  memset(&target, 0xff, sizeof target);
  cr_assert_eq(load(), STATUS_OK);
  cr_assert_str_eq(target.address, "tcp://127.0.0.1:1");
  cr_assert_null(target.password);
  cr_assert_str_eq(target.level, "info");
  cr_assert_str_eq(target.note, "");
  cr_assert_eq(target.pool_size, 8);
  cr_assert_eq(target.timeout_ms, 5000);
  cr_assert_eq(target.cache_bytes, 64 << 20);
  cr_assert_eq(target.offset, 0);
  cr_assert_not(target.verbose);
}

Test(settings, values_of_every_type_are_read)
{
  setenv("T_PASSWORD", "s3cret", 1);
  setenv("T_LEVEL", "warn", 1);
  setenv("T_POOL_SIZE", "64", 1);
  setenv("T_CACHE", "3g", 1);
  setenv("T_OFFSET", "-10", 1);
  setenv("T_VERBOSE", "true", 1);
  cr_assert_eq(load(), STATUS_OK);
  cr_assert_str_eq(target.password, "s3cret");
  cr_assert_str_eq(target.level, "warn");
  cr_assert_eq(target.pool_size, 64);
  cr_assert_eq(target.cache_bytes, INT64_C(3) << 30);
  cr_assert_eq(target.offset, -10);
  cr_assert(target.verbose);
}

Test(settings, durations_have_units)
{
  static const struct {
    const char *text;
    int64_t ms;
  } cases[] = {{"10ms", 10}, {"250ms", 250}, {"5s", 5000}, {"2m", 120000}, {"1h", 3600000}};
  for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
    setenv("T_TIMEOUT", cases[i].text, 1);
    cr_assert_eq(load(), STATUS_OK, "%s", cases[i].text);
    cr_assert_eq(target.timeout_ms, cases[i].ms);
  }
}

Test(settings, a_wrong_value_is_named_with_what_is_accepted)
{
  const char *duration = "a duration with its unit (ms, s, m, h) from 10ms to 1h";
  char message[256];
  static const char *const bad_durations[] = {
      "5", "5 s", "s", "5d", "1.5s", "-5s", "9ms", "2h", "9223372036854775807h", "5S", "05s", "5ms5"};
  for (size_t i = 0; i < ARRAY_LEN(bad_durations); i++) {
    snprintf(message, sizeof message, "T_TIMEOUT is \"%s\", but must be %s", bad_durations[i], duration);
    assert_rejected("T_TIMEOUT", bad_durations[i], message);
  }
  assert_rejected("T_POOL_SIZE", "0", "T_POOL_SIZE is \"0\", but must be a whole number from 1 to 64");
  assert_rejected("T_POOL_SIZE", "65", "T_POOL_SIZE is \"65\", but must be a whole number from 1 to 64");
  assert_rejected("T_POOL_SIZE", "8k", "T_POOL_SIZE is \"8k\", but must be a whole number from 1 to 64");
  assert_rejected("T_CACHE", "-1",
                  "T_CACHE is \"-1\", but must be a size in bytes (k, m, g for 1024, 1024^2, 1024^3) of at least 0");
  assert_rejected("T_LEVEL", "inf", "T_LEVEL is \"inf\", but must be one of debug,info,warn");
  assert_rejected("T_LEVEL", "info,warn", "T_LEVEL is \"info,warn\", but must be one of debug,info,warn");
  assert_rejected("T_VERBOSE", "yes", "T_VERBOSE is \"yes\", but must be true or false");
}

Test(settings, what_is_shown_of_a_wrong_value_is_printable_and_short)
{
  char value[200];
  memset(value, 'x', sizeof value - 1);
  value[sizeof value - 1] = '\0';
  memcpy(value, "\x1b[31m\xff", 6);
  setenv("T_LEVEL", value, 1);
  cr_assert_eq(load(), STATUS_INVALID_ARGUMENT);
  cr_assert(strstr(error.message, "\"?[31m?xxxx") != NULL, "%s", error.message);
  cr_assert(strstr(error.message, "xxx...\", but") != NULL, "%s", error.message);
  cr_assert_lt(strlen(error.message), 150);
}

Test(settings, a_required_setting_that_is_missing_is_named)
{
  unsetenv("T_ADDRESS");
  cr_assert_eq(load(), STATUS_INVALID_ARGUMENT);
  cr_assert_str_eq(error.message, "T_ADDRESS (or T_ADDRESS_FILE) must be set: text. Where to listen.");
  setenv("T_ADDRESS", "", 1);
  cr_assert_eq(load(), STATUS_INVALID_ARGUMENT, "empty is as good as none");
}

Test(settings, a_file_holds_the_value_without_its_line_ends)
{
  setenv("T_PASSWORD_FILE", file_with("pass word\r\n\n", 12), 1);
  cr_assert_eq(load(), STATUS_OK);
  cr_assert_str_eq(target.password, "pass word");
}

Test(settings, a_file_that_has_changed_is_read_again)
{
  struct error again;
  struct strbuf text;
  cr_assert_eq(settings_read_again("T_PASSWORD", &text, &again), STATUS_NOT_FOUND);
  strbuf_free(&text);
  setenv("T_PASSWORD_FILE", file_with("first\n", 6), 1);
  cr_assert_eq(load(), STATUS_OK);
  setenv("T_PASSWORD_FILE", file_with("second\n", 7), 1);
  cr_assert_eq(settings_read_again("T_PASSWORD", &text, &again), STATUS_OK);
  cr_expect_str_eq(strbuf_cstring(&text), "second");
  strbuf_free(&text);
  setenv("T_PASSWORD_FILE", "/dev/zero", 1);
  cr_expect_eq(settings_read_again("T_PASSWORD", &text, &again), STATUS_INVALID_ARGUMENT);
  strbuf_free(&text);
}

Test(settings, a_value_and_a_file_at_once_are_refused)
{
  setenv("T_PASSWORD", "hunter2", 1);
  setenv("T_PASSWORD_FILE", file_with("x", 1), 1);
  cr_assert_eq(load(), STATUS_INVALID_ARGUMENT);
  cr_assert_str_eq(error.message, "T_PASSWORD and T_PASSWORD_FILE are both set; keep one");
}

Test(settings, a_file_that_cannot_be_read_is_named)
{
  setenv("T_PASSWORD_FILE", "/nonexistent/secret", 1);
  cr_assert_eq(load(), STATUS_INVALID_ARGUMENT);
  cr_assert_str_eq(error.message,
                   "T_PASSWORD_FILE names /nonexistent/secret, which cannot be used: No such file or directory");
  setenv("T_PASSWORD_FILE", "/", 1);
  cr_assert_eq(load(), STATUS_INVALID_ARGUMENT);
  cr_assert(strstr(error.message, "Is a directory") != NULL);
}

Test(settings, files_that_are_empty_too_large_or_hold_zero_bytes_are_refused)
{
  static char large[65 * 1024];
  memset(large, 'x', sizeof large);
  setenv("T_PASSWORD_FILE", file_with("\n", 1), 1);
  cr_assert_eq(load(), STATUS_INVALID_ARGUMENT);
  setenv("T_PASSWORD_FILE", file_with(large, sizeof large), 1);
  cr_assert_eq(load(), STATUS_INVALID_ARGUMENT);
  cr_assert(strstr(error.message, "File too large") != NULL, "%s", error.message);
  setenv("T_PASSWORD_FILE", file_with("ab\0cd", 5), 1);
  cr_assert_eq(load(), STATUS_INVALID_ARGUMENT);
}

Test(settings, an_endless_file_does_not_hang_the_start)
{
  setenv("T_PASSWORD_FILE", "/dev/zero", 1);
  cr_assert_eq(load(), STATUS_INVALID_ARGUMENT);
}

Test(settings, a_secret_is_in_no_message)
{
  static const struct setting secret = {.name = "T_PIN",
                                        .type = SETTING_INT,
                                        .secret = true,
                                        .min = 1000,
                                        .max = 9999,
                                        .help = "The number.",
                                        SETTING_TARGET(struct target, offset)};
  setenv("T_PIN", "12345", 1);
  struct strbuf problems;
  strbuf_init(&problems, 0);
  cr_assert_eq(settings_load(&secret, 1, &target, &arena, &problems), STATUS_INVALID_ARGUMENT);
  cr_assert_str_eq(strbuf_cstring(&problems), "T_PIN must be a whole number from 1000 to 9999\n");
  strbuf_free(&problems);
}

Test(settings, all_that_is_wrong_is_named_at_once)
{
  unsetenv("T_ADDRESS");
  setenv("T_LEVEL", "loud", 1);
  setenv("T_VERBOSE", "maybe", 1);
  cr_assert_eq(load(), STATUS_INVALID_ARGUMENT);
  cr_expect_str_eq(error.message, "T_ADDRESS (or T_ADDRESS_FILE) must be set: text. Where to listen.\n"
                                  "T_LEVEL is \"loud\", but must be one of debug,info,warn\n"
                                  "T_VERBOSE is \"maybe\", but must be true or false");
}

// Returns what is said of the environment, without the variables that the test runner has.
static const char *find_unknown(void)
{
  static char text[1024];
  const struct setting_table tables[] = {{.settings = table, .count = 3},
                                         {.settings = table + 3, .count = ARRAY_LEN(table) - 3}};
  struct strbuf out;
  strbuf_init(&out, 0);
  settings_find_unknown("T_", tables, ARRAY_LEN(tables), &out);
  snprintf(text, sizeof(text), "%s", strbuf_cstring(&out));
  strbuf_free(&out);
  return text;
}

Test(settings, known_names_and_foreign_ones_are_no_mistakes)
{
  setenv("T_PASSWORD_FILE", "/nonexistent", 1);
  setenv("T_VERBOSE", "true", 1);
  setenv("OTHER_SETTING", "1", 1);
  cr_expect_str_eq(find_unknown(), "");
}

Test(settings, a_misspelt_name_is_found_with_the_one_that_is_meant)
{
  setenv("T_POOL_SIZ", "4", 1);
  cr_expect_str_eq(find_unknown(), "T_POOL_SIZ is not a setting and has no effect; T_POOL_SIZE may be meant;"
                                   " the command help lists all settings\n");
  unsetenv("T_POOL_SIZ");
  setenv("TPASSWORT_FILE", "/run/secrets/x", 1);
  cr_expect_str_eq(find_unknown(), "TPASSWORT_FILE is not a setting and has no effect; T_PASSWORD_FILE may be meant;"
                                   " the command help lists all settings\n");
  unsetenv("TPASSWORT_FILE");
  // The name is three letters away, but has the prefix of the service.
  setenv("T_WORKERS", "4", 1);
  cr_expect_str_eq(find_unknown(),
                   "T_WORKERS is not a setting and has no effect; the command help lists all settings\n");
}

Test(settings, what_holds_is_printed_with_secrets_masked)
{
  setenv("T_PASSWORD", "s3cret", 1);
  setenv("T_TIMEOUT", "90s", 1);
  setenv("T_CACHE", "1536", 1);
  cr_assert_eq(load(), STATUS_OK);
  struct strbuf out;
  strbuf_init(&out, 0);
  settings_print(table, ARRAY_LEN(table), &target, &out);
  cr_assert_str_eq(strbuf_cstring(&out), "T_ADDRESS=tcp://127.0.0.1:1\n"
                                         "T_PASSWORD=***\n"
                                         "T_LEVEL=info\n"
                                         "T_NOTE=\n"
                                         "T_POOL_SIZE=8\n"
                                         "T_TIMEOUT=90s\n"
                                         "T_CACHE=1536\n"
                                         "T_OFFSET=0\n"
                                         "T_VERBOSE=false\n");
  strbuf_free(&out);
}

Test(settings, the_help_tells_type_range_and_default)
{
  struct strbuf out;
  strbuf_init(&out, 0);
  settings_describe(table, ARRAY_LEN(table), &out);
  const char *text = strbuf_cstring(&out);
  cr_assert(strstr(text, "T_ADDRESS\n    Where to listen.\n    text; required\n") != NULL, "%s", text);
  cr_assert(strstr(text, "T_PASSWORD\n    The password.\n    text; optional; secret\n") != NULL, "%s", text);
  cr_assert(strstr(text, "T_POOL_SIZE\n    Connections.\n    a whole number from 1 to 64; default \"8\"\n") != NULL);
  cr_assert(strstr(text, "one of debug,info,warn; default \"info\"\n") != NULL);
  cr_assert(strstr(text, "from 10ms to 1h; default \"5s\"\n") != NULL);
  strbuf_free(&out);
}
