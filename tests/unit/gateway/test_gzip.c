// Documents that are compressed once: a client gets back what it would get without compression.
#include <criterion/criterion.h>
#include <string.h>
#include <zlib.h>

#include "common/base/random.h"
#include "gateway/gzip.h"

enum { MAX_BYTES = 1 << 20 };

// Expands gzip's format, as a client does, and compares.
static void expect_expands_to(struct slice packed, struct slice plain)
{
  enum { GZIP_ONLY = 15 + 16 };
  static char expanded[MAX_BYTES + 1];
  z_stream stream = {.next_in = (z_const Bytef *)(uintptr_t)packed.data,
                     .avail_in = (uInt)packed.size,
                     .next_out = (Bytef *)expanded,
                     .avail_out = sizeof(expanded)};
  cr_assert_eq(inflateInit2(&stream, GZIP_ONLY), Z_OK);
  cr_expect_eq(inflate(&stream, Z_FINISH), Z_STREAM_END, "%s", stream.msg == NULL ? "" : stream.msg);
  cr_expect_eq(stream.avail_in, 0, "nothing stands behind the end");
  cr_expect(slice_equal(slice_make(expanded, stream.total_out), plain));
  inflateEnd(&stream);
}

static void check_bytes(struct slice plain)
{
  struct strbuf packed;
  strbuf_init(&packed, 0);
  strbuf_add_string(&packed, "before");
  gzip_compress(plain, &packed);
  cr_expect(slice_starts_with(strbuf_slice(&packed), SLICE("before")), "it appends");
  expect_expands_to(slice_skip(strbuf_slice(&packed), strlen("before")), plain);
  strbuf_free(&packed);
}

Test(gzip, expands_to_the_same_bytes)
{
  static char bytes[MAX_BYTES];
  check_bytes(SLICE(""));
  check_bytes(SLICE("{}"));
  memset(bytes, 'a', sizeof(bytes));
  check_bytes(slice_make(bytes, sizeof(bytes)));
  // What cannot be compressed grows.
  random_bytes(bytes, sizeof(bytes));
  check_bytes(slice_make(bytes, sizeof(bytes)));
}
