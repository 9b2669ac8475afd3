// The tier in memory.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "common/storage/cache_memory_internal.h"

static void put(struct cache_memory *memory, const char *key, const char *value)
{
  struct slice k = slice_from_string(key);
  cache_memory_put(memory, k, cache_memory_hash(memory, k), slice_from_string(value), 1000);
}

static bool has(struct cache_memory *memory, const char *key, uint64_t now_us, const char *expected)
{
  struct slice k = slice_from_string(key);
  struct slice value;
  if (!cache_memory_get(memory, k, cache_memory_hash(memory, k), now_us, &value))
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
  cr_assert_eq(memory.count, 3);
  cr_assert(has(&memory, "a", 999, "2"));
  cr_assert(has(&memory, "", 999, "empty key"));
  cr_assert(has(&memory, "b", 999, ""));
  cr_assert_not(has(&memory, "a", 1000, ""), "expired");
  cr_assert_eq(memory.count, 2);
  cr_assert(cache_memory_remove(&memory, SLICE("b"), cache_memory_hash(&memory, SLICE("b"))));
  cr_assert_not(cache_memory_remove(&memory, SLICE("b"), cache_memory_hash(&memory, SLICE("b"))));
  cache_memory_clear(&memory);
  cr_assert_eq(memory.count, 0);
  cr_assert_not(has(&memory, "", 0, ""));
  cache_memory_free(&memory);
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
    cr_assert_leq(memory.bytes, memory.max_bytes);
    cr_assert(has(&memory, "kept", 0, "x"), "used all the time");
  }
  cr_assert_gt(memory.count, 100);
  cr_assert(has(&memory, "key-9999", 0, "some value of some length"));
  cr_assert_not(has(&memory, "key-0", 0, ""));
  cache_memory_free(&memory);
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
  cache_memory_free(&memory);

  cache_memory_init(&memory, 0);
  put(&memory, "a", "1");
  cr_assert_eq(memory.count, 0);
  cache_memory_free(&memory);
}

// Vectors made with another implementation: CPython's hash of bytes is SipHash-1-3 (its key is zero under
// PYTHONHASHSEED=0).
Test(siphash, known_values)
{
  const struct siphash_key zero = {0, 0};
  static const struct {
    size_t size;
    uint64_t hash;
  } vectors[] = {{1, UINT64_C(4644417185603328019)},  {7, UINT64_C(7904145750247929094)},
                 {8, UINT64_C(4574395652268504554)},  {9, UINT64_C(17913969820989044453)},
                 {15, UINT64_C(2293029479765367930)}, {16, UINT64_C(10733781318231302930)},
                 {17, UINT64_C(7044894726457044172)}, {26, UINT64_C(3619993805786647007)}};
  for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
    cr_assert_eq(siphash13(&zero, slice_make("abcdefghijklmnopqrstuvwxyz", vectors[i].size)), vectors[i].hash, "%zu",
                 i);
}
