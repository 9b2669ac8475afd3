#include "gateway/gzip.h"

#include <stdlib.h>
#include <zlib.h>

#include "common/base/check.h"

// zlib's parameters: windowBits of 15, the largest, and 16 for gzip's header and trailer.
enum { GZIP_WINDOW_BITS = 15 + 16, MEMORY_LEVEL = 8 };
// What is expanded at a time.
#define CHUNK_BYTES ((size_t)16 * 1024)

void gzip_compress(struct slice bytes, struct strbuf *out)
{
  z_stream stream = {.next_in = (z_const Bytef *)(uintptr_t)bytes.data, .avail_in = (uInt)bytes.size};
  CHECK(deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, GZIP_WINDOW_BITS, MEMORY_LEVEL, Z_DEFAULT_STRATEGY) ==
        Z_OK);
  size_t bound = deflateBound(&stream, (uLong)bytes.size);
  Bytef *compressed = malloc(bound);
  CHECK(compressed != NULL);
  stream.next_out = compressed;
  stream.avail_out = (uInt)bound;
  CHECK(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  strbuf_add(out, slice_make((const char *)compressed, stream.total_out));
  deflateEnd(&stream);
  free(compressed);
}

bool gzip_expand(struct slice bytes, struct strbuf *out)
{
  Bytef chunk[CHUNK_BYTES];
  z_stream stream = {.next_in = (z_const Bytef *)(uintptr_t)bytes.data, .avail_in = (uInt)bytes.size};
  CHECK(inflateInit2(&stream, GZIP_WINDOW_BITS) == Z_OK);
  int result;
  do {
    stream.next_out = chunk;
    stream.avail_out = sizeof(chunk);
    result = inflate(&stream, Z_NO_FLUSH);
    strbuf_add(out, slice_make((const char *)chunk, sizeof(chunk) - stream.avail_out));
  } while (result == Z_OK && !out->failed);
  bool is_whole = result == Z_STREAM_END && stream.avail_in == 0 && !out->failed;
  inflateEnd(&stream);
  return is_whole;
}
