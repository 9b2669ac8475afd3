#include "common/observe/log.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/base/jsontext_reader.h"
#include "tests/support/common/read_metric.h"

enum { LINE_MAX_BYTES = 16 * 1024 };

static int captured_fd = -1;

static void capture_begin(void)
{
  captured_fd = memfd_create("log", MFD_CLOEXEC);
  cr_assert_geq(captured_fd, 0);
  // The file appends, as a log file does: a memfd has no lock on its position, so threads would write over one another.
  cr_assert_eq(fcntl(captured_fd, F_SETFL, O_APPEND), 0);
  cr_assert_geq(dup2(captured_fd, STDERR_FILENO), 0);
}

// Returns all that was logged since capture_begin.
static struct slice captured(void)
{
  off_t size = lseek(captured_fd, 0, SEEK_END);
  cr_assert_geq(size, 0);
  char *text = malloc((size_t)size + 1);
  cr_assert_eq(pread(captured_fd, text, (size_t)size, 0), size);
  text[size] = '\0';
  return slice_make(text, (size_t)size);
}

static void forget(struct slice text)
{
  free((char *)text.data);
}

// Cuts the first line off; false at the end.
static bool next_line(struct slice *rest, struct slice *line)
{
  if (rest->size == 0)
    return false;
  size_t end = slice_find(*rest, '\n', 0);
  cr_assert_lt(end, rest->size, "every line ends");
  *line = slice_make(rest->data, end);
  *rest = slice_skip(*rest, end + 1);
  return true;
}

static bool is_json_object(struct slice line)
{
  struct arena arena = {0};
  struct jsontext_reader reader;
  jsontext_reader_init(&reader, line, 4, &arena);
  bool ok = line.size > 0 && line.data[0] == '{' && jsontext_skip_value(&reader, NULL) &&
            jsontext_read(&reader) == JSONTEXT_END;
  arena_free(&arena);
  return ok;
}

static bool has(struct slice text, const char *part)
{
  return text.size > 0 && memmem(text.data, text.size, part, strlen(part)) != NULL;
}

// Returns the one line of one call, as JSON.
static struct slice only_line(struct slice text)
{
  struct slice rest = text, line;
  cr_assert(next_line(&rest, &line));
  cr_assert_eq(rest.size, 0, "one call, one line");
  cr_assert(is_json_object(line), SLICE_FMT, SLICE_ARG(line));
  return line;
}

static int64_t lines_counted(const char *level)
{
  struct slice label = slice_from_string(level);
  return read_metric(METRIC_LOG_LINES, &label, 1);
}

Test(log, a_line_says_who_what_and_which_request)
{
  capture_begin();
  log_init("item", LOG_INFO);
  struct log_context context = {.request_id = SLICE("req-1"), .trace_id = SLICE("0af7651916cd43dd8448eb211c80319c")};
  log_set_context(&context);
  log_warn("consul", "registration failed", LOG_STRING("reason", "refused"), LOG_INT("retryMs", -500),
           LOG_BOOL("last", false), LOG_STATUS(STATUS_UNAVAILABLE));
  struct slice text = captured();
  struct slice line = only_line(text);
  cr_assert(has(line, "\"level\":\"warn\",\"service\":\"item\",\"pid\":"));
  cr_assert(has(line, "\"subject\":\"consul\",\"message\":\"registration failed\",\"requestId\":\"req-1\","
                      "\"traceId\":\"0af7651916cd43dd8448eb211c80319c\",\"reason\":\"refused\",\"retryMs\":-500,"
                      "\"last\":false,\"status\":\"UNAVAILABLE\"}"));
  forget(text);
}

Test(log, the_time_always_has_six_digits)
{
  capture_begin();
  for (int i = 0; i < 50; i++)
    log_info("test", "tick");
  struct slice text = captured(), rest = text, line;
  while (next_line(&rest, &line)) {
    cr_assert(slice_starts_with(line, SLICE("{\"time\":\"20")));
    cr_assert_eq(line.data[28], '.', SLICE_FMT, SLICE_ARG(line));
    cr_assert(slice_starts_with(slice_skip(line, 35), SLICE("Z\",\"level\"")), SLICE_FMT, SLICE_ARG(line));
  }
  forget(text);
}

Test(log, without_init_and_context_a_line_is_complete)
{
  capture_begin();
  log_info("start", "hello");
  struct slice text = captured();
  struct slice line = only_line(text);
  cr_assert(has(line, "\"service\":\"bulkhead\""));
  cr_assert(has(line, "\"message\":\"hello\"}"));
  cr_assert_not(has(line, "requestId"));
  forget(text);
}

Test(log, lines_below_the_level_are_not_written)
{
  capture_begin();
  log_init("item", LOG_WARN);
  log_debug("test", "no");
  log_info("test", "no");
  log_warn("test", "yes");
  log_error("test", "yes");
  struct slice text = captured();
  cr_assert(has(text, "\"warn\"") && has(text, "\"error\""));
  cr_assert_not(has(text, "\"no\""));
  cr_assert_eq(lines_counted("info"), 0);
  cr_assert_eq(lines_counted("warn"), 1);
  cr_assert_eq(lines_counted("error"), 1);
  forget(text);
}

Test(log, level_names_are_read)
{
  enum log_level level;
  cr_assert(log_level_parse(SLICE("debug"), &level) && level == LOG_DEBUG);
  cr_assert(log_level_parse(SLICE("error"), &level) && level == LOG_ERROR);
  cr_assert_not(log_level_parse(SLICE("verbose"), &level));
  cr_assert_not(log_level_parse(SLICE("Info"), &level));
  cr_assert_not(log_level_parse(SLICE(""), &level));
}

Test(log, text_from_outside_cannot_break_the_line)
{
  capture_begin();
  log_info("test", "quote \" backslash \\ newline \n", LOG_SLICE("bell", slice_make("\a\0\t\x1f", 4)));
  struct slice text = captured();
  struct slice line = only_line(text);
  cr_assert(has(line, "\"message\":\"quote \\\" backslash \\\\ newline \\n\""));
  cr_assert(has(line, "\"bell\":\"\\u0007\\u0000\\t\\u001f\""));
  forget(text);
}

Test(log, broken_utf8_is_replaced_and_good_utf8_kept)
{
  static const struct {
    const char *in, *out;
  } cases[] = {
      {"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80", "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80"},
      {"a\xff"
       "b",
       "a\xef\xbf\xbd"
       "b"},
      {"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"},
      {"cut \xe2\x82", "cut \xef\xbf\xbd\xef\xbf\xbd"},
      {"\xed\xa0\x80.", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd."},
  };
  for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
    capture_begin();
    log_info("test", "text", LOG_STRING("v", cases[i].in));
    struct slice text = captured();
    struct slice line = only_line(text);
    cr_assert(has(line, cases[i].out), "case %zu: " SLICE_FMT, i, SLICE_ARG(line));
    cr_assert_not(has(line, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"));
    forget(text);
  }
}

// Values of every length around the limit, so that the cut falls on each of the pieces of a line.
Test(log, a_line_that_is_too_long_is_cut_and_still_json)
{
  static char value[LINE_MAX_BYTES + 1000];
  memset(value, 'x', sizeof value);
  for (size_t size = LINE_MAX_BYTES - 400; size < LINE_MAX_BYTES + 100; size++) {
    capture_begin();
    log_info("test", "long", LOG_SLICE("big", slice_make(value, size)), LOG_INT("number", 123456789),
             LOG_STRING("after", "\xe2\x82\xac\n"), LOG_BOOL("flag", true));
    struct slice text = captured();
    struct slice line = only_line(text);
    cr_assert_leq(line.size + 1, LINE_MAX_BYTES);
    bool whole = has(line, "\"after\":\"\xe2\x82\xac\\n\"") && has(line, "\"flag\":true") && has(line, "\"number\"");
    cr_assert_neq(whole, has(line, "\"truncated\":true}"), "value of %zu: a cut is told", size);
    forget(text);
    close(captured_fd);
  }
}

Test(log, a_long_message_leaves_room_for_the_fields)
{
  capture_begin();
  static char message[100000];
  memset(message, '"', sizeof message - 1);
  log_error("test", message, LOG_INT("code", 7));
  struct slice text = captured();
  struct slice line = only_line(text);
  cr_assert(has(line, "\"code\":7,\"truncated\":true}"));
  forget(text);
}

Test(log, a_cut_does_not_split_a_character)
{
  capture_begin();
  static char message[9000];
  for (size_t i = 0; i + 3 < sizeof message; i += 3)
    memcpy(message + i, "\xe2\x82\xac", 3);
  log_error("test", message);
  struct slice text = captured();
  cr_assert_not(has(only_line(text), "\xef\xbf\xbd"));
  forget(text);
}

static void *log_many(void *arg)
{
  struct log_context context = {.request_id = slice_from_string(arg)};
  log_set_context(&context);
  for (int i = 0; i < 200; i++)
    log_info("thread", "line", LOG_STRING("mine", arg), LOG_INT("i", i));
  return NULL;
}

Test(log, threads_write_whole_lines_with_their_own_context_and_all_are_counted)
{
  static char names[4][2] = {"a", "b", "c", "d"};
  capture_begin();
  log_init("item", LOG_INFO);
  pthread_t threads[ARRAY_LEN(names)];
  for (size_t i = 0; i < ARRAY_LEN(names); i++)
    cr_assert_eq(pthread_create(&threads[i], NULL, log_many, names[i]), 0);
  for (size_t i = 0; i < ARRAY_LEN(names); i++)
    pthread_join(threads[i], NULL);
  struct slice text = captured(), rest = text, line;
  int64_t count = 0;
  for (; next_line(&rest, &line); count++) {
    cr_assert(is_json_object(line));
    const char *id = memmem(line.data, line.size, "\"requestId\":\"", 13);
    const char *mine = memmem(line.data, line.size, "\"mine\":\"", 8);
    cr_assert(id != NULL && mine != NULL && id[13] == mine[8]);
  }
  cr_assert_eq(count, 800);
  cr_assert_eq(lines_counted("info"), 800);
  cr_assert_null(log_get_context());
  forget(text);
}
