#include "common/base/codec.h"

#include <criterion/criterion.h>
#include <string.h>

#include "common/base/compiler.h"

static void assert_holds(const struct strbuf *buf, struct slice wanted)
{
  cr_assert(slice_equal(strbuf_slice(buf), wanted), "\"%.*s\" instead of \"%.*s\"", (int)buf->size, buf->data,
            SLICE_ARG(wanted));
}

Test(codec, hex_goes_both_ways)
{
  char digits[11] = "..........!";
  cr_assert_eq(hex_encode("\x00\x09\x7F\xAB\xFF", 5, digits), digits + 10);
  cr_assert_arr_eq(digits, "00097fabff!", 11, "nothing is written behind the digits");
  unsigned char bytes[5];
  cr_assert(hex_decode(SLICE("00097FaBff"), bytes, sizeof(bytes)));
  cr_assert_arr_eq(bytes, "\x00\x09\x7F\xAB\xFF", 5);
  cr_assert(hex_decode(SLICE(""), bytes, 0));
}

Test(codec, hex_of_another_length_or_alphabet_is_refused)
{
  static const char *const BAD[] = {"",   "0",  "0011", "0g", "g0", " 1",    "1 ",   "0x",
                                    "/0", ":0", "@0",   "G0", "`0", "\xB1z", "0\xB1"};
  unsigned char byte;
  for (size_t i = 0; i < ARRAY_LEN(BAD); i++)
    cr_assert_not(hex_decode(slice_from_string(BAD[i]), &byte, 1), "%s", BAD[i]);
}

// Section 10 of RFC 4648.
static const struct {
  struct slice bytes;
  struct slice padded;
  struct slice bare;
} RFC4648[] = {
    {SLICE_INIT(""), SLICE_INIT(""), SLICE_INIT("")},
    {SLICE_INIT("f"), SLICE_INIT("Zg=="), SLICE_INIT("Zg")},
    {SLICE_INIT("fo"), SLICE_INIT("Zm8="), SLICE_INIT("Zm8")},
    {SLICE_INIT("foo"), SLICE_INIT("Zm9v"), SLICE_INIT("Zm9v")},
    {SLICE_INIT("foob"), SLICE_INIT("Zm9vYg=="), SLICE_INIT("Zm9vYg")},
    {SLICE_INIT("fooba"), SLICE_INIT("Zm9vYmE="), SLICE_INIT("Zm9vYmE")},
    {SLICE_INIT("foobar"), SLICE_INIT("Zm9vYmFy"), SLICE_INIT("Zm9vYmFy")},
    {SLICE_INIT("\x00\x00"), SLICE_INIT("AAA="), SLICE_INIT("AAA")},
};

Test(codec, base64_has_the_vectors_of_rfc_4648)
{
  struct strbuf buf = {0};
  for (size_t i = 0; i < ARRAY_LEN(RFC4648); i++) {
    strbuf_clear(&buf);
    base64_encode(RFC4648[i].bytes, &buf);
    assert_holds(&buf, RFC4648[i].padded);
    strbuf_clear(&buf);
    base64url_encode(RFC4648[i].bytes, &buf);
    assert_holds(&buf, RFC4648[i].bare);
    strbuf_clear(&buf);
    cr_assert(base64_decode(RFC4648[i].padded, &buf));
    assert_holds(&buf, RFC4648[i].bytes);
    strbuf_clear(&buf);
    cr_assert(base64_decode(RFC4648[i].bare, &buf));
    assert_holds(&buf, RFC4648[i].bytes);
  }
  strbuf_free(&buf);
}

Test(codec, both_base64_alphabets_are_read)
{
  struct strbuf buf = {0};
  base64_encode(SLICE("\xFB\xFF\xBE"), &buf);
  assert_holds(&buf, SLICE("+/++"));
  strbuf_clear(&buf);
  base64url_encode(SLICE("\xFB\xFF\xBE"), &buf);
  assert_holds(&buf, SLICE("-_--"));
  strbuf_clear(&buf);
  cr_assert(base64_decode(SLICE("+/++"), &buf) && base64_decode(SLICE("-_--"), &buf));
  assert_holds(&buf, SLICE("\xFB\xFF\xBE\xFB\xFF\xBE"));
  // From protobuf's conformance tests: bits that are left over are not looked at.
  strbuf_clear(&buf);
  cr_assert(base64_decode(SLICE("-_"), &buf));
  assert_holds(&buf, SLICE("\xFB"));
  strbuf_free(&buf);
}

Test(codec, base64_brings_every_byte_back)
{
  char bytes[256];
  for (unsigned i = 0; i < sizeof(bytes); i++)
    bytes[i] = (char)i;
  struct strbuf text = {0};
  struct strbuf back = {0};
  for (size_t size = 0; size <= sizeof(bytes); size++) {
    struct slice wanted = slice_make(bytes + sizeof(bytes) - size, size);
    strbuf_clear(&text);
    strbuf_clear(&back);
    base64url_encode(wanted, &text);
    cr_assert(base64_decode(strbuf_slice(&text), &back));
    assert_holds(&back, wanted);
  }
  strbuf_free(&text);
  strbuf_free(&back);
}

Test(codec, broken_base64_is_refused_and_adds_nothing)
{
  static const struct slice BAD[] = {
      SLICE_INIT("A"),
      SLICE_INIT("AAAAA"),
      SLICE_INIT("="),
      SLICE_INIT("=="),
      SLICE_INIT("==="),
      SLICE_INIT("===="),
      SLICE_INIT("A==="),
      SLICE_INIT("AA="),
      SLICE_INIT("AAA=="),
      SLICE_INIT("AAAA="),
      SLICE_INIT("AAAA=="),
      SLICE_INIT("AA=A"),
      SLICE_INIT("AA==AA"),
      SLICE_INIT("AA==AAAA"),
      SLICE_INIT("A A="),
      SLICE_INIT("AAA\n"),
      SLICE_INIT("AA.A"),
      SLICE_INIT("AAA\0"),
      SLICE_INIT("AA\xFF"
                 "A"),
      SLICE_INIT("AAAA===="),
  };
  struct strbuf buf = {0};
  strbuf_add(&buf, SLICE("kept"));
  for (size_t i = 0; i < ARRAY_LEN(BAD); i++) {
    cr_assert_not(base64_decode(BAD[i], &buf), "row %zu", i);
    assert_holds(&buf, SLICE("kept"));
    cr_assert_not(buf.failed);
  }
  strbuf_free(&buf);
}

Test(codec, everything_but_the_unreserved_is_percent_encoded)
{
  struct strbuf buf = {0};
  percent_encode(SLICE("azAZ09-._~"), &buf);
  assert_holds(&buf, SLICE("azAZ09-._~"));
  strbuf_clear(&buf);
  percent_encode(SLICE("\x00 /?#%+&=\xC3\xA4\x7F"), &buf);
  assert_holds(&buf, SLICE("%00%20%2F%3F%23%25%2B%26%3D%C3%A4%7F"));
  strbuf_free(&buf);
}

Test(codec, percent_decoding_leaves_plus_to_query_strings)
{
  struct strbuf buf = {0};
  cr_assert(percent_decode(SLICE("a+b%2B%2b%00%c3%A4"), false, &buf));
  assert_holds(&buf, SLICE("a+b++\0\xC3\xA4"));
  strbuf_clear(&buf);
  cr_assert(percent_decode(SLICE("+a+b%2B+"), true, &buf));
  assert_holds(&buf, SLICE(" a b+ "));
  strbuf_clear(&buf);
  cr_assert(percent_decode(slice_make(NULL, 0), true, &buf));
  // Once, not twice.
  cr_assert(percent_decode(SLICE("%252F"), true, &buf));
  assert_holds(&buf, SLICE("%2F"));
  strbuf_free(&buf);
}

Test(codec, broken_escapes_are_refused_and_add_nothing)
{
  static const char *const BAD[] = {"%", "ab%", "ab%2", "%g0", "%0g", "%%20", "% 2", "ab%20cd%-1", "%+1"};
  struct strbuf buf = {0};
  strbuf_add(&buf, SLICE("kept"));
  for (size_t i = 0; i < ARRAY_LEN(BAD); i++) {
    cr_assert_not(percent_decode(slice_from_string(BAD[i]), true, &buf), "%s", BAD[i]);
    assert_holds(&buf, SLICE("kept"));
  }
  strbuf_free(&buf);
}

Test(codec, a_full_buffer_fails_the_decoders)
{
  struct strbuf buf;
  strbuf_init(&buf, 3);
  cr_assert(base64_decode(SLICE("AAAA"), &buf));
  cr_assert_not(base64_decode(SLICE("AAAA"), &buf));
  cr_assert(buf.failed);
  strbuf_clear(&buf);
  cr_assert(percent_decode(SLICE("%41%42%43"), false, &buf), "what counts is the decoded size");
  assert_holds(&buf, SLICE("ABC"));
  cr_assert_not(percent_decode(SLICE("D"), false, &buf));
  cr_assert(buf.failed);
  strbuf_free(&buf);
}
