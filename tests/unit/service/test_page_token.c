// Page tokens, and the times in them.
#include <criterion/criterion.h>
#include <string.h>

#include "common/base/codec.h"
#include "common/service/page_token_internal.h"

#define ID "01936b5e-7c1a-7d3e-9f00-1c2d3e4f5a6b"

static struct arena arena;

static void setup(void)
{
  arena_init(&arena);
}

static void teardown(void)
{
  arena_free(&arena);
}

TestSuite(page_token, .init = setup, .fini = teardown);

static bool reads(const char *token, uint64_t query, const char *value, const char *id)
{
  struct slice read_value, read_id;
  if (!page_token_read(token, query, &arena, &read_value, &read_id))
    return false;
  cr_expect(slice_equal_string(read_value, value), "value " SLICE_FMT, SLICE_ARG(read_value));
  cr_expect(slice_equal_string(read_id, id), "id " SLICE_FMT, SLICE_ARG(read_id));
  // Handed to SQL as C strings.
  cr_expect_eq(read_value.data[read_value.size], '\0');
  cr_expect_eq(read_id.data[read_id.size], '\0');
  return true;
}

Test(page_token, it_gives_back_what_went_in)
{
  static const char *const values[] = {"", "0", "Desk lamp", "Лампа", "a\"b\\c\n"};
  for (size_t i = 0; i < ARRAY_LEN(values); i++) {
    const char *token = page_token_write(42, slice_from_string(values[i]), SLICE(ID), &arena);
    cr_expect(reads(token, 42, values[i], ID), "%s", values[i]);
    cr_expect_eq(strspn(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"), strlen(token));
  }
}

Test(page_token, it_holds_for_its_query_only)
{
  const char *token = page_token_write(42, SLICE("v"), SLICE(ID), &arena);
  cr_expect_not(reads(token, 43, "v", ID));
  cr_expect_not(reads(token, 0, "v", ID));
  cr_expect(reads(token, 42, "v", ID));
}

Test(page_token, it_cut_anywhere_is_refused)
{
  const char *token = page_token_write(42, SLICE("value"), SLICE(ID), &arena);
  for (size_t size = 0; size < strlen(token); size++)
    cr_expect_not(reads(arena_string(&arena, slice_make(token, size)), 42, "value", ID), "%zu", size);
}

// Whatever comes in, what is read is fit for SQL: an id that is a UUID and of the same query.
Test(page_token, every_bit_of_it_may_be_flipped)
{
  struct strbuf wire, text;
  strbuf_init(&wire, 0);
  strbuf_init(&text, 0);
  cr_assert(base64_decode(slice_from_string(page_token_write(42, SLICE("v"), SLICE(ID), &arena)), &wire));
  size_t read = 0;
  for (size_t bit = 0; bit < wire.size * 8; bit++) {
    wire.data[bit / 8] = (char)(wire.data[bit / 8] ^ (1 << bit % 8));
    strbuf_clear(&text);
    base64url_encode(strbuf_slice(&wire), &text);
    struct slice value, id;
    if (page_token_read(strbuf_cstring(&text), 42, &arena, &value, &id)) {
      read++;
      cr_expect_eq(id.size, strlen(ID));
      cr_expect_eq(strspn(id.data, "0123456789abcdefABCDEF-"), strlen(ID));
      cr_expect_leq(value.size, wire.size);
      // Field 1 is the fingerprint: a tag and eight bytes.
      cr_expect_geq(bit / 8, 9, "bit %zu", bit);
    }
    wire.data[bit / 8] = (char)(wire.data[bit / 8] ^ (1 << bit % 8));
  }
  cr_expect_gt(read, 0);
  strbuf_free(&wire);
  strbuf_free(&text);
}

Test(page_token, anything_else_is_refused)
{
  static const char *const wrong[] = {"", "A", "AAAA", "!!!!", "CSoAAAAAAAAA", ID, "CSoAAAAAAAAAEgF2GgEx"};
  for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
    cr_expect_not(reads(wrong[i], 42, "", ""), "%s", wrong[i]);
  char *big = arena_alloc(&arena, 100001);
  memset(big, 'A', 100000);
  big[100000] = '\0';
  cr_expect_not(reads(big, 42, "", ""));
}

static bool reads_id(const char *id)
{
  return reads(page_token_write(1, SLICE("v"), slice_from_string(id), &arena), 1, "v", id);
}

Test(page_token, the_id_of_it_is_a_uuid)
{
  cr_expect(reads_id(ID));
  cr_expect_not(reads_id(""));
  cr_expect_not(reads_id("1"));
  cr_expect_not(reads_id("01936b5e-7c1a-7d3e-9f00-1c2d3e4f5a6"));
  cr_expect_not(reads_id("01936b5e-7c1a-7d3e-9f00-1c2d3e4f5a6b "));
  cr_expect_not(reads_id("01936b5e-7c1a-7d3e-9f00-1c2d3e4f5a6'"));
}

// ---- times ----

Test(page_token, micros_within_the_years_1_to_9999)
{
  static const struct {
    const char *text;
    bool good;
    int64_t micros;
  } cases[] = {
      {"0", true, 0},
      {"-1", true, -1},
      {"1700000000123456", true, INT64_C(1700000000123456)},
      {"-62135596800000000", true, INT64_C(-62135596800000000)},
      {"-62135596800000001", false, 0},
      {"253402300799999999", true, INT64_C(253402300799999999)},
      {"253402300800000000", false, 0},
      {"99999999999999999999", false, 0},
      {"", false, 0},
      {"1.5", false, 0},
      {" 1", false, 0},
      {"1x", false, 0},
      {"infinity", false, 0},
  };
  for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
    int64_t micros = 0;
    cr_expect_eq(page_token_micros(slice_from_string(cases[i].text), &micros), cases[i].good, "%s", cases[i].text);
    if (cases[i].good)
      cr_expect_eq(micros, cases[i].micros, "%s", cases[i].text);
  }
}
