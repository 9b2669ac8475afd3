// Codes of authenticator apps: the vectors of RFC 6238, appendix B, and what counts as one.
#include <criterion/criterion.h>

#include "common/base/compiler.h"
#include "common/security/totp.h"

#define SECRET SLICE_INIT("12345678901234567890")

static const struct slice secret = SECRET;

static const struct {
  int64_t time_s;
  const char *code;
} vectors[] = {
    {59, "94287082"},         {1111111109, "07081804"}, {1111111111, "14050471"},
    {1234567890, "89005924"}, {2000000000, "69279037"}, {INT64_C(20000000000), "65353130"},
};

Test(totp, the_vectors_of_the_rfc)
{
  for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
    char code[TOTP_MAX_DIGITS + 1];
    cr_assert_eq(totp_generate(secret, vectors[i].time_s / TOTP_STEP_S, 8, code), STATUS_OK);
    cr_expect_str_eq(code, vectors[i].code);
  }
}

Test(totp, six_digits_are_the_last_six)
{
  for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
    int64_t step = 0;
    cr_expect(totp_matches(secret, vectors[i].code + 2, vectors[i].time_s, 0, &step));
    cr_expect_eq(step, vectors[i].time_s / TOTP_STEP_S);
  }
}

Test(totp, there_is_no_code_before_1970)
{
  char code[TOTP_MAX_DIGITS + 1];
  cr_expect_eq(totp_generate(secret, -1, 6, code), STATUS_INVALID_ARGUMENT);
  // At the very beginning only the steps that there are count.
  int64_t step = -1;
  cr_expect(totp_matches(secret, "287082", 0, 0, &step));
  cr_expect_eq(step, 1);
}

// 59 seconds is in step 1, whose code is 287082.
Test(totp, a_clock_may_be_one_step_off)
{
  static const struct {
    int64_t now_s;
    bool matches;
  } cases[] = {{0, true}, {29, true}, {30, true}, {59, true}, {60, true}, {89, true}, {90, false}, {3600, false}};
  for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
    int64_t step = 0;
    cr_expect_eq(totp_matches(secret, "287082", cases[i].now_s, 0, &step), cases[i].matches, "at %d",
                 (int)cases[i].now_s);
  }
}

Test(totp, a_code_is_void_once_it_or_a_later_one_was_used)
{
  int64_t step = 0;
  cr_expect(totp_matches(secret, "081804", 1111111109, 37037035, &step));
  cr_expect_eq(step, 37037036);
  cr_expect_not(totp_matches(secret, "081804", 1111111109, 37037036, &step));
  cr_expect_not(totp_matches(secret, "081804", 1111111109, 37037037, &step));
  // The next one is none of them.
  cr_expect(totp_matches(secret, "050471", 1111111109, 37037036, &step));
}

Test(totp, nothing_else_is_a_code)
{
  static const char *const codes[] = {"", "28708", "2870820", "28708a", "287083", "94287082", " 287082"};
  int64_t step = 0;
  for (size_t i = 0; i < ARRAY_LEN(codes); i++)
    cr_expect_not(totp_matches(secret, codes[i], 59, 0, &step), "%s", codes[i]);
}

Test(totp, what_an_app_scans_is_a_uri)
{
  struct arena arena;
  arena_init(&arena);
  const char *base32 = totp_base32(secret, &arena);
  cr_expect_str_eq(base32, "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
  cr_expect_str_eq(totp_base32(SLICE("f"), &arena), "MY");
  cr_expect_str_eq(totp_uri(base32, "A & B: C", "ada+1@example.com", &arena),
                   "otpauth://totp/A%20%26%20B%3A%20C:ada%2B1%40example.com?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
                   "&issuer=A%20%26%20B%3A%20C&algorithm=SHA1&digits=6&period=30");
  arena_free(&arena);
}
