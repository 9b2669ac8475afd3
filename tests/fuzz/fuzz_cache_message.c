// Any bytes as a message between the instances of a cache. What is read is written again and reads back the same.
#include <stdint.h>

#include "common/base/check.h"
#include "common/storage/cache_message_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_key(struct slice key)
{
  struct strbuf out = {0};
  char again[1024];
  size_t size;
  cache_message_add_key(&out, key);
  CHECK(out.size == cache_message_key_size(key));
  struct slice keys = slice_skip(strbuf_slice(&out), 1);
  CHECK(cache_message_next_key(&keys, again, sizeof(again), &size) && keys.size == 0);
  CHECK(slice_equal(slice_make(again, size), key));
  strbuf_free(&out);
}

static void check_keys(struct slice keys)
{
  char key[1024];
  size_t size;
  while (cache_message_next_key(&keys, key, sizeof(key), &size))
    if (size > 0)
      check_key(slice_make(key, size));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  struct slice rest = slice_make(data, size);
  struct cache_line line;
  size_t before = rest.size;
  while (cache_message_next(&rest, &line)) {
    CHECK(rest.size < before);
    before = rest.size;
    if (line.kind == CACHE_LINE_CHANGE)
      check_keys(line.keys);
  }
  return 0;
}
