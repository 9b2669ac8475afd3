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

// ---- what clients have compressed ----

static bool expand(struct slice packed, size_t max_bytes, struct strbuf *out)
{
  strbuf_init(out, max_bytes);
  return gzip_expand(packed, out);
}

Test(gzip, what_was_compressed_is_expanded_up_to_the_limit)
{
  static char zeros[MAX_BYTES];
  struct strbuf packed, out;
  strbuf_init(&packed, 0);
  gzip_compress(slice_make(zeros, sizeof(zeros)), &packed);
  cr_assert(expand(strbuf_slice(&packed), MAX_BYTES, &out));
  cr_expect(slice_equal(strbuf_slice(&out), slice_make(zeros, sizeof(zeros))));
  strbuf_free(&out);
  cr_expect_not(expand(strbuf_slice(&packed), MAX_BYTES - 1, &out));
  cr_expect(out.failed && out.capacity <= MAX_BYTES);
  strbuf_free(&out);
  strbuf_free(&packed);
}

Test(gzip, what_is_not_one_whole_member_is_refused)
{
  struct strbuf packed, out;
  strbuf_init(&packed, 0);
  gzip_compress(SLICE("hello"), &packed);
  for (size_t size = 0; size < packed.size; size++) {
    cr_expect_not(expand(slice_make(packed.data, size), MAX_BYTES, &out), "%zu bytes are not all", size);
    cr_expect_not(out.failed);
    strbuf_free(&out);
  }
  strbuf_add_byte(&packed, 0);
  cr_expect_not(expand(strbuf_slice(&packed), MAX_BYTES, &out), "a byte stands behind the end");
  strbuf_free(&out);
  packed.data[15] ^= 1;
  cr_expect_not(expand(slice_make(packed.data, packed.size - 1), MAX_BYTES, &out), "the checksum does not fit");
  strbuf_free(&out);
  cr_expect_not(expand(SLICE("not gzip"), MAX_BYTES, &out));
  strbuf_free(&out);
  strbuf_free(&packed);
}
