// The tier in memory.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "common/base/hash.h"
#include "common/storage/cache_memory_internal.h"

static void put(struct cache_memory *memory, const char *key, const char *value)
{
  struct slice k = slice_from_string(key);
  cache_memory_put(memory, k, hash_bytes(k), slice_from_string(value), 1000);
}

static bool has(struct cache_memory *memory, const char *key, uint64_t now_us, const char *expected)
{
  struct slice k = slice_from_string(key);
  struct slice value;
  if (!cache_memory_get(memory, k, hash_bytes(k), now_us, &value))
    return false;
  cr_assert(slice_equal_string(value, expected), SLICE_FMT, SLICE_ARG(value));
  return true;
}

Test(cache_memory, puts_replaces_removes_and_expires)
{
  struct cache_memory memory;
  cache_memory_init(&memory, 1 << 16);
  cr_assert_not(has(&memory, "a", 0, ""));
  put(&memory, "a", "1");
  put(&memory, "a", "2");
  put(&memory, "", "empty key");
  put(&memory, "b", "");
  cr_assert_eq(cache_memory_count(&memory), 3);
  cr_assert(has(&memory, "a", 999, "2"));
  cr_assert(has(&memory, "", 999, "empty key"));
  cr_assert(has(&memory, "b", 999, ""));
  cr_assert_not(has(&memory, "a", 1000, ""), "expired");
  cr_assert_eq(cache_memory_count(&memory), 2);
  cr_assert(cache_memory_remove(&memory, SLICE("b"), hash_bytes(SLICE("b"))));
  cr_assert_not(cache_memory_remove(&memory, SLICE("b"), hash_bytes(SLICE("b"))));
  cache_memory_clear(&memory);
  cr_assert_eq(cache_memory_count(&memory), 0);
  cr_assert_not(has(&memory, "", 0, ""));
  cache_memory_clear(&memory);
}

Test(cache_memory, stays_below_its_bytes_and_drops_the_least_recently_used)
{
  struct cache_memory memory;
  char key[32];
  cache_memory_init(&memory, 64 << 10);
  put(&memory, "kept", "x");
  for (int i = 0; i < 10000; i++) {
    snprintf(key, sizeof(key), "key-%d", i);
    put(&memory, key, "some value of some length");
    cr_assert_leq(cache_memory_bytes(&memory), memory.max_bytes);
    cr_assert(has(&memory, "kept", 0, "x"), "used all the time");
  }
  cr_assert_gt(cache_memory_count(&memory), 100);
  cr_assert(has(&memory, "key-9999", 0, "some value of some length"));
  cr_assert_not(has(&memory, "key-0", 0, ""));
  cache_memory_clear(&memory);
}

Test(cache_memory, what_is_too_large_does_not_enter)
{
  struct cache_memory memory;
  static char large[10000];
  memset(large, 'l', sizeof(large) - 1);
  cache_memory_init(&memory, 64 << 10);
  put(&memory, "a", "small");
  put(&memory, "a", large);
  cr_assert_not(has(&memory, "a", 0, ""), "the one before is not its value any more");
  cache_memory_clear(&memory);

  cache_memory_init(&memory, 0);
  put(&memory, "a", "1");
  cr_assert_eq(cache_memory_count(&memory), 0);
  cache_memory_clear(&memory);
}
