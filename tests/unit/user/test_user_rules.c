// Rules of accounts: what a change touches, page tokens.
#include <criterion/criterion.h>
#include <string.h>

#include "common/base/codec.h"
#include "common/service/resource.h"
#include "services/user/user_rules.h"

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

TestSuite(user_rules, .init = setup, .fini = teardown);

static User__V1__User user_of(char *id, char *email, char *display_name, char *etag)
{
  User__V1__User user = USER__V1__USER__INIT;
  user.id = id;
  user.email = email;
  user.display_name = display_name;
  user.etag = etag;
  return user;
}

// Merges a change of everything and looks at what came of it.
static const char *expect_merged(char **paths, size_t count, bool masked, const char *email, const char *display_name)
{
  User__V1__User user = user_of(ID, "old@example.com", "Old", "7");
  const User__V1__User change = user_of("other", "new@example.com", "New", "8");
  Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
  mask.paths = paths;
  mask.n_paths = count;
  const char *unknown = user_rules_merge(&user, &change, masked ? &mask : NULL);
  cr_expect_str_eq(user.email, email);
  cr_expect_str_eq(user.display_name, display_name);
  cr_expect_str_eq(user.id, ID);
  cr_expect_str_eq(user.etag, "7");
  return unknown;
}

Test(user_rules, a_mask_says_what_changes)
{
  cr_expect_null(expect_merged((char *[]){"email"}, 1, true, "new@example.com", "Old"));
  cr_expect_null(expect_merged((char *[]){"display_name"}, 1, true, "old@example.com", "New"));
  cr_expect_null(expect_merged((char *[]){"display_name", "email"}, 2, true, "new@example.com", "New"));
  cr_expect_null(expect_merged((char *[]){"*"}, 1, true, "new@example.com", "New"));
  cr_expect_null(expect_merged(NULL, 0, false, "new@example.com", "New"));
  cr_expect_null(expect_merged(NULL, 0, true, "old@example.com", "Old"));
}

Test(user_rules, what_the_service_sets_may_be_named_and_stays)
{
  static char *own[] = {"id", "etag", "create_time", "update_time"};
  cr_expect_null(expect_merged(own, ARRAY_LEN(own), true, "old@example.com", "Old"));
}

Test(user_rules, a_path_that_names_no_field_is_given_back)
{
  static char *wrong[] = {"", "displayName", "password", "email.domain"};
  for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
    const char *unknown = expect_merged(&wrong[i], 1, true, "old@example.com", "Old");
    cr_assert_not_null(unknown, "\"%s\"", wrong[i]);
    cr_expect_str_eq(unknown, wrong[i]);
  }
}

static const char *token_at(int64_t micros)
{
  User__V1__User last = user_of(ID, "", "", "");
  last.create_time = resource_time(micros, &arena);
  return user_rules_write_token(&last, &arena);
}

Test(user_rules, a_page_token_names_the_place)
{
  static const int64_t times[] = {0, -1, INT64_C(1700000000123456), INT64_C(253402300799999999)};
  for (size_t i = 0; i < ARRAY_LEN(times); i++) {
    struct user_place place = {.micros = INT64_MAX};
    cr_assert(user_rules_read_token(token_at(times[i]), &arena, &place));
    cr_expect_eq(place.micros, times[i]);
    cr_expect_str_eq(place.id, ID);
  }
}

Test(user_rules, a_foreign_or_cut_page_token_is_refused)
{
  struct user_place place = {.micros = INT64_MAX};
  const char *token = token_at(1);
  for (size_t size = 0; size < strlen(token); size++)
    cr_expect_not(user_rules_read_token(arena_string(&arena, slice_make(token, size)), &arena, &place));
  static const uint64_t lists[] = {0, 2, UINT64_MAX};
  for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
    const char *foreign = resource_write_page_token(lists[i], SLICE("1"), SLICE(ID), &arena);
    cr_expect_not(user_rules_read_token(foreign, &arena, &place));
  }
}

Test(user_rules, a_page_token_with_any_bit_flipped_is_refused_or_names_a_place)
{
  struct strbuf wire, text;
  strbuf_init(&wire, 0);
  strbuf_init(&text, 0);
  cr_assert(base64_decode(slice_from_string(token_at(INT64_C(1700000000123456))), &wire));
  for (size_t bit = 0; bit < wire.size * 8; bit++) {
    wire.data[bit / 8] = (char)(wire.data[bit / 8] ^ (1 << bit % 8));
    strbuf_clear(&text);
    base64url_encode(strbuf_slice(&wire), &text);
    wire.data[bit / 8] = (char)(wire.data[bit / 8] ^ (1 << bit % 8));
    struct user_place place = {.micros = INT64_MAX};
    if (!user_rules_read_token(strbuf_cstring(&text), &arena, &place))
      continue;
    cr_expect_leq(place.micros, INT64_C(253402300799999999));
    cr_expect_eq(strspn(place.id, "0123456789abcdefABCDEF-"), strlen(ID), "%s", place.id);
  }
  strbuf_free(&wire);
  strbuf_free(&text);
}
