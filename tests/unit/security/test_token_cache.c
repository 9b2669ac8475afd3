// The cache of verified tokens: its bounds, and which tokens are evicted first.
#include <criterion/criterion.h>
#include <string.h>

#include "common/base/arena.h"
#include "common/security/token_cache_internal.h"

static struct arena arena;
static struct token_cache *cache;
static const struct token_key *const key_a = (const struct token_key *)&arena, *const key_b = NULL;

static void teardown(void)
{
  token_cache_free(&cache);
  cr_assert_null(cache);
  token_cache_free(&cache);
  arena_free(&arena);
}

TestSuite(token_cache, .fini = teardown);

static struct slice name(int number)
{
  return slice_from_string(arena_printf(&arena, "token-%d", number));
}

static struct token_cache_entry *add_until(int number, int64_t expires_at, int64_t now)
{
  static const struct slice roles[] = {SLICE_INIT("user"), SLICE_INIT("admin")};
  struct token_claims claims = {
      .subject = SLICE("s"), .id = SLICE("i"), .roles = roles, .role_count = 2, .expires_at = expires_at};
  return token_cache_add(cache, name(number), number % 2 == 0 ? key_a : key_b, &claims, 0, now);
}

static void add(int number)
{
  (void)add_until(number, 1000, 0);
}

static bool has(int number)
{
  return token_cache_find(cache, name(number)) != NULL;
}

Test(token_cache, keeps_copies)
{
  cache = token_cache_create(4);
  char text[] = "abc", role[] = "user";
  struct slice roles[] = {slice_make(role, 4)};
  struct token_claims claims = {
      .subject = slice_make(text, 3), .id = slice_make(text, 2), .roles = roles, .role_count = 1, .expires_at = 9};
  (void)token_cache_add(cache, slice_make(text, 3), key_a, &claims, 7, 0);
  memset(role, 'x', 4);
  memset(text, 'x', 3);
  struct token_cache_entry *entry = token_cache_find(cache, SLICE("abc"));
  cr_assert_not_null(entry);
  cr_assert(slice_equal_string(entry->claims.subject, "abc"));
  cr_assert(slice_equal_string(entry->claims.id, "ab"));
  cr_assert(slice_equal_string(entry->claims.roles[0], "user"));
  cr_assert_eq(entry->not_before, 7);
  cr_assert_eq(entry->key, key_a);
  cr_assert_null(token_cache_find(cache, SLICE("ab")));
  cr_assert_null(token_cache_find(cache, SLICE("abcd")));
}

Test(token_cache, never_holds_more_than_allowed)
{
  cache = token_cache_create(100);
  for (int i = 0; i < 1000; i++) {
    add(i);
    cr_assert_leq(cache->entries.count, 100);
  }
  cr_assert_eq(cache->entries.count, 100);
  for (int i = 0; i < 1000; i++)
    cr_assert_eq(has(i), i >= 900, "%d", i);
}

Test(token_cache, one_entry_is_enough)
{
  cache = token_cache_create(1);
  add(1);
  add(2);
  cr_assert_not(has(1));
  cr_assert(has(2));
  cr_assert_eq(cache->entries.count, 1);
}

Test(token_cache, what_is_in_use_stays)
{
  cache = token_cache_create(4);
  for (int i = 0; i < 4; i++)
    add(i);
  for (int i = 4; i < 50; i++) {
    cr_assert(has(0), "before %d", i);
    add(i);
  }
  cr_assert(has(0));
}

Test(token_cache, all_in_use_still_makes_room)
{
  cache = token_cache_create(4);
  for (int i = 0; i < 4; i++)
    add(i);
  for (int i = 0; i < 4; i++)
    cr_assert(has(i));
  add(4);
  cr_assert_eq(cache->entries.count, 4);
  cr_assert(has(4));
  cr_assert_not(has(0));
}

Test(token_cache, bytes_are_bounded)
{
  cache = token_cache_create(16);
  char *wide = arena_zalloc(&arena, TOKEN_MAX_BYTES);
  for (int i = 0; i < 64; i++) {
    wide[0] = (char)i;
    struct token_claims claims = {.subject = SLICE("s"), .id = SLICE("i"), .expires_at = 1000};
    (void)token_cache_add(cache, slice_make(wide, TOKEN_MAX_BYTES), key_a, &claims, 0, 0);
    cr_assert_leq(cache->bytes, (size_t)16 * TOKEN_CACHE_BYTES_PER_ENTRY);
  }
  cr_assert_eq(cache->entries.count, 3);
}

Test(token_cache, expired_ones_leave_as_others_come)
{
  cache = token_cache_create(100);
  for (int i = 0; i < 10; i++)
    (void)add_until(i, 100, 0);
  for (int i = 0; i < 10; i++)
    cr_assert(has(i));
  for (int i = 10; i < 15; i++)
    (void)add_until(i, 1000, 500);
  cr_assert_eq(cache->entries.count, 5);
}

Test(token_cache, forgets_a_key)
{
  cache = token_cache_create(64);
  for (int i = 0; i < 20; i++)
    add(i);
  token_cache_forget_key(cache, key_a);
  for (int i = 0; i < 20; i++)
    cr_assert_eq(has(i), i % 2 == 1);
  cr_assert_eq(cache->entries.count, 10);
}

Test(token_cache, bytes_return_to_nothing)
{
  cache = token_cache_create(64);
  for (int i = 0; i < 20; i++)
    add(i);
  for (int i = 0; i < 20; i++)
    token_cache_remove(cache, token_cache_find(cache, name(i)));
  cr_assert_eq(cache->bytes, 0);
  cr_assert_eq(cache->entries.count, 0);
}
