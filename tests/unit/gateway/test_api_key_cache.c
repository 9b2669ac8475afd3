// What a worker keeps of API keys: tokens within bounds, and refusals that guesses cannot turn against known keys.
#include <criterion/criterion.h>
#include <string.h>

#include "gateway/api_key_cache.h"

#define PLACES 64
#define SECOND UINT64_C(1000000)

static struct api_key_cache cache;

static void open_cache(void)
{
  api_key_cache_init(&cache, PLACES);
}

static void close_cache(void)
{
  api_key_cache_free(&cache);
}

TestSuite(api_key_cache, .init = open_cache, .fini = close_cache);

static const unsigned char *hash(uint32_t number)
{
  static unsigned char bytes[API_KEY_CACHE_HASH_BYTES];
  memset(bytes, 7, sizeof(bytes));
  memcpy(bytes + 12, &number, sizeof(number));
  return bytes;
}

static struct api_key_entry *add(uint32_t number, uint64_t now_us)
{
  struct api_key_entry *entry = api_key_cache_add(&cache, hash(number), now_us);
  if (entry != NULL)
    api_key_cache_set_token(entry, SLICE("token"));
  return entry;
}

static void fill(uint64_t now_us)
{
  for (uint32_t i = 0; i < PLACES; i++)
    cr_assert_not_null(add(i, now_us));
}

Test(api_key_cache, a_key_is_found_with_the_token_that_it_got_last)
{
  struct api_key_entry *entry = add(1, SECOND);
  api_key_cache_set_token(entry, SLICE("another token"));
  cr_assert_eq(api_key_cache_find(&cache, hash(1), SECOND), entry);
  cr_assert(slice_equal(entry->token, SLICE("another token")));
  cr_assert_null(api_key_cache_find(&cache, hash(2), SECOND));
  api_key_cache_drop_token(entry);
  cr_assert_eq(entry->token.size, 0);
  api_key_cache_remove(&cache, entry);
  cr_assert_null(api_key_cache_find(&cache, hash(1), SECOND));
}

Test(api_key_cache, the_key_that_was_used_longest_ago_makes_room)
{
  fill(SECOND);
  cr_assert_not_null(api_key_cache_find(&cache, hash(0), 2 * SECOND));
  cr_assert_not_null(add(1000, 3 * SECOND));
  cr_assert_eq(cache.entries.count, PLACES);
  cr_assert_not_null(api_key_cache_find(&cache, hash(0), 3 * SECOND));
  cr_assert_null(api_key_cache_find(&cache, hash(1), 3 * SECOND));
}

Test(api_key_cache, what_is_under_way_stays)
{
  fill(SECOND);
  for (uint32_t i = 0; i < PLACES; i++)
    api_key_cache_find(&cache, hash(i), SECOND)->is_pinned = true;
  cr_assert_null(add(1000, 2 * API_KEY_CACHE_IDLE_US));
  api_key_cache_find(&cache, hash(5), SECOND)->is_pinned = false;
  cr_assert_not_null(add(1000, 2 * API_KEY_CACHE_IDLE_US));
  cr_assert_null(api_key_cache_find(&cache, hash(5), SECOND));
}

Test(api_key_cache, keys_that_nobody_uses_go_without_need_for_room)
{
  for (uint32_t i = 0; i < 10; i++)
    add(i, SECOND);
  add(100, SECOND + API_KEY_CACHE_IDLE_US);
  cr_assert_eq(cache.entries.count, 9);
  add(101, SECOND + API_KEY_CACHE_IDLE_US);
  cr_assert_eq(cache.entries.count, 8);
}

Test(api_key_cache, a_refusal_holds_until_its_time)
{
  api_key_cache_refuse(&cache, hash(1), SECOND + API_KEY_CACHE_REFUSED_US);
  cr_assert(api_key_cache_is_refused(&cache, hash(1), SECOND + API_KEY_CACHE_REFUSED_US - 1));
  cr_assert_not(api_key_cache_is_refused(&cache, hash(1), SECOND + API_KEY_CACHE_REFUSED_US));
  cr_assert_not(api_key_cache_is_refused(&cache, hash(2), SECOND));
  api_key_cache_refuse(&cache, hash(1), 100 * SECOND);
  cr_assert(api_key_cache_is_refused(&cache, hash(1), 100 * SECOND - 1));
}

Test(api_key_cache, any_number_of_guesses_leaves_the_known_keys)
{
  fill(SECOND);
  for (uint32_t i = 0; i < 100000; i++)
    api_key_cache_refuse(&cache, hash(1000 + i), 2 * SECOND);
  for (uint32_t i = 0; i < PLACES; i++)
    cr_assert_not_null(api_key_cache_find(&cache, hash(i), SECOND));
}
