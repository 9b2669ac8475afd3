// The messages between the instances of a cache: what is written is read again, and nothing else is.
#include <criterion/criterion.h>
#include <string.h>

#include "common/storage/cache_message_internal.h"

#define NAME "0123456789abcdef"

static struct strbuf message;

static void begin(void)
{
  strbuf_init(&message, 0);
}

static void end(void)
{
  strbuf_free(&message);
}

TestSuite(cache_message, .init = begin, .fini = end);

Test(cache_message, lines_are_read_as_they_were_written)
{
  cache_message_add_head(&message, NAME, 7, true);
  cache_message_add_ack(&message, "fedcba9876543210", UINT64_MAX);
  cache_message_add_ended(&message, 3, 4);
  cache_message_add_quit(&message);
  struct slice rest = strbuf_slice(&message);
  struct cache_line line;
  cr_assert(cache_message_next(&rest, &line));
  cr_assert_eq(line.kind, CACHE_LINE_HEAD);
  cr_assert(slice_equal_string(line.instance, NAME));
  cr_assert(line.first == 7 && line.last == 1);
  cr_assert(cache_message_next(&rest, &line));
  cr_assert_eq(line.kind, CACHE_LINE_ACK);
  cr_assert(slice_equal_string(line.instance, "fedcba9876543210"));
  cr_assert_eq(line.first, UINT64_MAX);
  cr_assert(cache_message_next(&rest, &line));
  cr_assert_eq(line.kind, CACHE_LINE_ENDED);
  cr_assert(line.first == 3 && line.last == 4);
  cr_assert(cache_message_next(&rest, &line));
  cr_assert_eq(line.kind, CACHE_LINE_QUIT);
  cr_assert_not(cache_message_next(&rest, &line));
  cr_assert_eq(rest.size, 0);
}

// Every byte survives, and the size of a key is what it takes.
Test(cache_message, keys_of_any_bytes_travel)
{
  char bytes[256];
  char key[256];
  size_t size;
  for (size_t i = 0; i < sizeof(bytes); i++)
    bytes[i] = (char)i;
  cache_message_begin_change(&message, 9);
  size_t before = message.size;
  cache_message_add_key(&message, slice_make(bytes, sizeof(bytes)));
  cr_assert_eq(message.size - before, cache_message_key_size(slice_make(bytes, sizeof(bytes))));
  cache_message_add_key(&message, SLICE("second"));
  cache_message_end_change(&message);
  for (size_t i = 0; i + 1 < message.size; i++)
    cr_assert(message.data[i] >= ' ' && message.data[i] < 0x7f, "NOTIFY carries text");
  struct slice rest = strbuf_slice(&message);
  struct cache_line line;
  cr_assert(cache_message_next(&rest, &line));
  cr_assert(line.kind == CACHE_LINE_CHANGE && line.first == 9);
  cr_assert(cache_message_next_key(&line.keys, key, sizeof(key), &size));
  cr_assert(slice_equal(slice_make(key, size), slice_make(bytes, sizeof(bytes))));
  cr_assert(cache_message_next_key(&line.keys, key, sizeof(key), &size));
  cr_assert(slice_equal(slice_make(key, size), SLICE("second")));
  cr_assert_not(cache_message_next_key(&line.keys, key, sizeof(key), &size));
  cr_assert_eq(line.keys.size, 0);
}

Test(cache_message, what_is_no_line_is_refused)
{
  static const char *const texts[] = {"\n",
                                      NAME "\n",
                                      NAME " 1\n",
                                      NAME " 1 2\n",
                                      NAME " 1 1 1\n",
                                      NAME " -1 1\n",
                                      NAME " 1 1",
                                      NAME "0 1 1\n",
                                      "0123456789abcdeF 1 1\n",
                                      "i\n",
                                      "i x key\n",
                                      "r 1\n",
                                      "r 1 2 3\n",
                                      "a " NAME "\n",
                                      "a x 1\n",
                                      "a " NAME " 1 1\n",
                                      "q 1\n",
                                      "z\n",
                                      "i 18446744073709551616 key\n"};
  for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
    struct slice rest = slice_from_string(texts[i]);
    struct cache_line line;
    cr_expect_not(cache_message_next(&rest, &line), "%s", texts[i]);
    cr_expect_gt(rest.size, 0);
  }
}

Test(cache_message, what_is_no_key_is_refused)
{
  static const char *const texts[] = {"%", "%0", "%0g", "%G0", "a\x7f", "a\tb", "too-long"};
  for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
    struct slice keys = slice_from_string(texts[i]);
    char key[7];
    size_t size;
    cr_expect_not(cache_message_next_key(&keys, key, sizeof(key), &size), "%s", texts[i]);
    cr_expect_gt(keys.size, 0);
  }
}
