#include "common/base/strbuf.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <string.h>

static void assert_holds(const struct strbuf *buf, struct slice wanted)
{
  cr_assert(slice_equal(strbuf_slice(buf), wanted), "holds \"%.*s\"", (int)buf->size, buf->data);
}

Test(strbuf, nothing_is_allocated_before_something_is_added)
{
  struct strbuf buf;
  strbuf_init(&buf, 0);
  strbuf_add(&buf, slice_make(NULL, 0));
  strbuf_add_string(&buf, "");
  strbuf_add_string(&buf, NULL);
  cr_assert_null(buf.data);
  cr_assert_str_eq(strbuf_cstring(&buf), "");
  cr_assert_null(strbuf_reserve(&buf, 0));
  cr_assert_not(buf.failed);
  strbuf_free(&buf);
}

Test(strbuf, grows_and_keeps_what_it_holds)
{
  struct strbuf buf = {0};
  for (unsigned i = 0; i < 100000; i++)
    strbuf_add_byte(&buf, (char)(i % 251));
  cr_assert_eq(buf.size, 100000);
  for (unsigned i = 0; i < 100000; i++)
    cr_assert_eq((unsigned char)buf.data[i], i % 251);
  strbuf_free(&buf);
  cr_assert_null(buf.data);
  cr_assert_eq(buf.size, 0);
}

Test(strbuf, fits_exactly_up_to_the_limit_and_fails_stickily_above)
{
  struct strbuf buf;
  strbuf_init(&buf, 5);
  strbuf_add(&buf, SLICE("abcde"));
  cr_assert_not(buf.failed);
  strbuf_add_byte(&buf, 'f');
  cr_assert(buf.failed);
  assert_holds(&buf, SLICE("abcde"));
  strbuf_clear(&buf);
  cr_assert_not(buf.failed);
  strbuf_add(&buf, SLICE("abc"));
  strbuf_add(&buf, SLICE("def"));
  cr_assert(buf.failed);
  strbuf_add(&buf, SLICE("x"));
  assert_holds(&buf, SLICE("abc"));
  cr_assert_null(strbuf_reserve(&buf, 0), "a failed buffer gives no room");
  cr_assert_str_eq(strbuf_cstring(&buf), "abc");
  strbuf_free(&buf);
}

Test(strbuf, every_way_of_adding_respects_the_limit)
{
  struct strbuf buf;
  strbuf_init(&buf, 3);
  strbuf_add_uint(&buf, 1234);
  cr_assert(buf.failed);
  strbuf_clear(&buf);
  strbuf_add_int(&buf, -123);
  cr_assert(buf.failed);
  strbuf_clear(&buf);
  strbuf_printf(&buf, "%s", "abcd");
  cr_assert(buf.failed);
  strbuf_clear(&buf);
  strbuf_printf(&buf, "%1000d", 1);
  cr_assert(buf.failed);
  strbuf_clear(&buf);
  cr_assert_null(strbuf_reserve(&buf, SIZE_MAX));
  cr_assert(buf.failed);
  cr_assert_eq(buf.size, 0);
  strbuf_free(&buf);
}

Test(strbuf, memory_stays_near_the_limit)
{
  struct strbuf buf;
  strbuf_init(&buf, 1000);
  for (int i = 0; i < 1000; i++)
    strbuf_add_byte(&buf, 'x');
  cr_assert_not(buf.failed);
  cr_assert_leq(buf.capacity, 1001);
  cr_assert_eq(strlen(strbuf_cstring(&buf)), 1000, "the terminating zero is not counted");
  strbuf_free(&buf);
}

Test(strbuf, a_size_that_would_wrap_fails)
{
  struct strbuf buf = {0};
  strbuf_add_byte(&buf, 'x');
  cr_assert_null(strbuf_reserve(&buf, SIZE_MAX));
  cr_assert(buf.failed);
  strbuf_free(&buf);
}

Test(strbuf, reserved_room_is_used_by_moving_the_size)
{
  struct strbuf buf = {0};
  strbuf_add(&buf, SLICE("ab"));
  char *room = strbuf_reserve(&buf, 300);
  memset(room, 'c', 300);
  buf.size += 300;
  cr_assert_eq(buf.size, 302);
  cr_assert_eq(buf.data[1], 'b');
  cr_assert_eq(buf.data[301], 'c');
  strbuf_truncate(&buf, 1);
  assert_holds(&buf, SLICE("a"));
  strbuf_free(&buf);
}

Test(strbuf, truncate_cannot_lengthen, .signal = SIGABRT)
{
  struct strbuf buf = {0};
  strbuf_add(&buf, SLICE("ab"));
  strbuf_truncate(&buf, 3);
}

Test(strbuf, numbers_are_exact_at_their_ends)
{
  static const struct {
    int64_t value;
    const char *text;
  } ROWS[] = {
      {0, "0"},
      {9, "9"},
      {10, "10"},
      {99, "99"},
      {100, "100"},
      {101, "101"},
      {-1, "-1"},
      {-10, "-10"},
      {-100, "-100"},
      {1234567, "1234567"},
      {99999, "99999"},
      {100000, "100000"},
      {INT64_MAX, "9223372036854775807"},
      {INT64_MIN, "-9223372036854775808"},
  };
  struct strbuf buf = {0};
  for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
    strbuf_clear(&buf);
    strbuf_add_int(&buf, ROWS[i].value);
    cr_assert_str_eq(strbuf_cstring(&buf), ROWS[i].text);
  }
  strbuf_clear(&buf);
  strbuf_add_uint(&buf, UINT64_MAX);
  cr_assert_str_eq(strbuf_cstring(&buf), "18446744073709551615");
  strbuf_free(&buf);
}

Test(strbuf, printf_takes_any_length)
{
  struct strbuf buf = {0};
  for (int width = 505; width < 520; width++) {
    strbuf_clear(&buf);
    strbuf_printf(&buf, "<%*d>", width, 7);
    cr_assert_eq(buf.size, (size_t)width + 2);
    cr_assert_eq(buf.data[width], '7');
    cr_assert_eq(buf.data[width + 1], '>');
  }
  strbuf_free(&buf);
}

Test(strbuf, a_long_printf_fits_exactly_at_the_limit)
{
  struct strbuf buf;
  strbuf_init(&buf, 600);
  strbuf_printf(&buf, "%600d", 1);
  cr_assert_not(buf.failed);
  cr_assert_eq(buf.size, 600);
  strbuf_free(&buf);
}

// ---- files ----

// Writes `size` bytes to a file that is gone when it is closed.
static FILE *make_stream(size_t size)
{
  FILE *stream = tmpfile();
  cr_assert_not_null(stream);
  for (size_t i = 0; i < size; i++)
    putc((char)(i % 251), stream);
  rewind(stream);
  return stream;
}

Test(strbuf, a_stream_is_read_to_its_end)
{
  static const size_t SIZES[] = {0, 1, 4095, 4096, 4097, 100000};
  for (size_t i = 0; i < sizeof(SIZES) / sizeof(SIZES[0]); i++) {
    FILE *stream = make_stream(SIZES[i]);
    struct strbuf buf = {0};
    strbuf_add_string(&buf, "x");
    cr_assert(strbuf_read_stream(&buf, stream));
    cr_assert_eq(buf.size, 1 + SIZES[i]);
    for (size_t at = 0; at < SIZES[i]; at++)
      cr_assert_eq(buf.data[1 + at], (char)(at % 251), "byte %zu of %zu", at, SIZES[i]);
    strbuf_free(&buf);
    fclose(stream);
  }
}

Test(strbuf, a_stream_may_fill_the_buffer_but_not_overflow_it)
{
  for (size_t more = 0; more < 2; more++) {
    FILE *stream = make_stream(10000 + more);
    struct strbuf buf;
    strbuf_init(&buf, 10000);
    errno = 0;
    cr_assert_eq(strbuf_read_stream(&buf, stream), more == 0);
    cr_assert_eq(errno, more == 0 ? 0 : EFBIG);
    strbuf_free(&buf);
    fclose(stream);
  }
}

Test(strbuf, a_file_that_cannot_be_read_says_why)
{
  struct strbuf buf = {0};
  cr_assert_not(strbuf_read_file(&buf, "/nowhere/at/all"));
  cr_assert_eq(errno, ENOENT);
  cr_assert_not(strbuf_read_file(&buf, "/"));
  cr_assert_eq(errno, EISDIR);
  strbuf_free(&buf);
}
