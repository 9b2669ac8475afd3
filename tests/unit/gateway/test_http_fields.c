#include <criterion/criterion.h>

#include "common/base/compiler.h"
#include "gateway/http_fields.h"

Test(http_fields, request_ids_that_are_safe_in_logs_are_taken_over)
{
  static const char *const good[] = {"a", "0193-abc_DEF.9", "azAZ09",
                                     "0123456789012345678901234567890123456789012345678901234567890123"};
  static const char *const bad[] = {"",
                                    "a b",
                                    "a\"b",
                                    "a\nb",
                                    "\xc3\xa4",
                                    "a,b",
                                    "a`",
                                    "a{",
                                    "a@",
                                    "a[",
                                    "a/",
                                    "a:",
                                    "01234567890123456789012345678901234567890123456789012345678901234"};
  for (size_t i = 0; i < ARRAY_LEN(good); i++)
    cr_assert(request_id_valid(slice_from_string(good[i])), "%s", good[i]);
  for (size_t i = 0; i < ARRAY_LEN(bad); i++)
    cr_assert_not(request_id_valid(slice_from_string(bad[i])), "%s", bad[i]);
}

Test(http_fields, bearer_tokens_are_found_and_other_schemes_passed_over)
{
  struct slice token;
  static const char *const good[] = {"Bearer a.b-c_d~+/==", "bearer a.b-c_d~+/==", "BEARER   a.b-c_d~+/== "};
  for (size_t i = 0; i < ARRAY_LEN(good); i++) {
    cr_assert_eq(bearer_token(slice_from_string(good[i]), &token), BEARER_TOKEN, "%s", good[i]);
    cr_assert(slice_equal_string(token, "a.b-c_d~+/=="));
  }
  static const char *const absent[] = {"", "Basic dXNlcjpwYXNz", "Bearerx y", "Token abc"};
  for (size_t i = 0; i < ARRAY_LEN(absent); i++)
    cr_assert_eq(bearer_token(slice_from_string(absent[i]), &token), BEARER_ABSENT, "%s", absent[i]);
  static const char *const malformed[] = {"Bearer",    "Bearer ",    "Bearer a b", "Bearer a\"b",
                                          "Bearer ==", "Bearer a=b", "Bearer \xff"};
  for (size_t i = 0; i < ARRAY_LEN(malformed); i++)
    cr_assert_eq(bearer_token(slice_from_string(malformed[i]), &token), BEARER_MALFORMED, "%s", malformed[i]);
}

Test(http_fields, only_json_in_utf8_is_a_body)
{
  static const char *const good[] = {"application/json", "Application/JSON", "application/json; charset=utf-8",
                                     "application/json;charset=UTF-8", "application/json ; charset=\"utf-8\""};
  static const char *const bad[] = {"",
                                    "text/plain",
                                    "application/jsonx",
                                    "application/json; charset=latin1",
                                    "application/problem+json",
                                    "multipart/form-data; boundary=x"};
  for (size_t i = 0; i < ARRAY_LEN(good); i++)
    cr_assert(media_type_is_json(slice_from_string(good[i])), "%s", good[i]);
  for (size_t i = 0; i < ARRAY_LEN(bad); i++)
    cr_assert_not(media_type_is_json(slice_from_string(bad[i])), "%s", bad[i]);
}

Test(http_fields, if_none_match_compares_weakly_through_the_whole_list)
{
  struct slice etag = SLICE("\"v2\"");
  static const char *const holds[] = {"*", "\"v2\"", "W/\"v2\"", "\"v1\", \"v2\"", " \"a,b\" ,W/\"v2\""};
  static const char *const not [] = {"", "v2", "\"v1\"", "\"v2", "\"v1\" \"v2\"", "\"V2\"", ","};
  for (size_t i = 0; i < ARRAY_LEN(holds); i++)
    cr_assert(if_none_match_holds(slice_from_string(holds[i]), etag), "%s", holds[i]);
  for (size_t i = 0; i < ARRAY_LEN(not ); i++)
    cr_assert_not(if_none_match_holds(slice_from_string(not [i]), etag), "%s", not [i]);
}

Test(http_fields, if_match_compares_strongly_through_the_whole_list)
{
  struct slice etag = SLICE("\"v2\"");
  static const char *const HOLDS[] = {"*", "\"v2\"", "\"v1\", \"v2\"", " W/\"v2\" ,\"v2\""};
  static const char *const NOT[] = {"", "v2", "W/\"v2\"", "\"v1\", W/\"v2\"", "\"V2\""};
  for (size_t i = 0; i < ARRAY_LEN(HOLDS); i++)
    cr_assert(if_match_holds(slice_from_string(HOLDS[i]), etag), "%s", HOLDS[i]);
  for (size_t i = 0; i < ARRAY_LEN(NOT); i++)
    cr_assert_not(if_match_holds(slice_from_string(NOT[i]), etag), "%s", NOT[i]);
}

static bool key_is_valid(struct slice value)
{
  struct slice key;
  return idempotency_key_read(value, &key);
}

Test(http_fields, idempotency_keys_are_visible_ascii_of_bounded_length)
{
  cr_assert(key_is_valid(SLICE("8e03978e-40d5-43dd-bc93-6894a57f9324")));
  cr_assert_not(key_is_valid(SLICE("two words")));
  cr_assert_not(key_is_valid(SLICE("\xc3\xa4")));
  cr_assert_not(key_is_valid(SLICE("a\x7f")));
  cr_assert(key_is_valid(SLICE("!~")));
  static char longest[IDEMPOTENCY_KEY_MAX_BYTES + 1];
  memset(longest, 'k', sizeof(longest));
  cr_assert(key_is_valid(slice_make(longest, IDEMPOTENCY_KEY_MAX_BYTES)));
  cr_assert_not(key_is_valid(slice_make(longest, IDEMPOTENCY_KEY_MAX_BYTES + 1)));
}

Test(http_fields, an_idempotency_key_is_the_same_with_and_without_quotes)
{
  struct slice key;
  cr_assert(idempotency_key_read(SLICE("\"k-1\""), &key));
  cr_assert(slice_equal_string(key, "k-1"));
  cr_assert(idempotency_key_read(SLICE("k-1"), &key));
  cr_assert(slice_equal_string(key, "k-1"));
  cr_assert(idempotency_key_read(SLICE("\""), &key));
  cr_assert(slice_equal_string(key, "\""));
  cr_assert_not(key_is_valid(SLICE("\"\"")));
}

Test(http_fields, without_the_header_there_is_no_idempotency_key_and_an_empty_one_is_refused)
{
  struct slice key;
  cr_assert(idempotency_key_read((struct slice){0}, &key));
  cr_assert_eq(key.size, 0);
  cr_assert_not(key_is_valid(SLICE("")));
}

// Header values are views: what follows them in memory is somebody else's.
Test(http_fields, nothing_is_read_behind_a_value)
{
  struct slice token;
  cr_assert_eq(bearer_token(slice_make("Bearer a==", 9), &token), BEARER_TOKEN);
  cr_assert(slice_equal_string(token, "a="));
  cr_assert_not(if_none_match_holds(slice_make("\"v2\"", 3), SLICE("\"v2\"")));
}
