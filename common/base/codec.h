// Bytes as text and back: hexadecimal, base64 (RFC 4648), percent-encoding (RFC 3986).
//
// A decoder that returns false has added nothing to `out`. It returns false as well when `out` is at its limit, which
// `out->failed` tells apart.
#ifndef BULKHEAD_BASE_CODEC_H
#define BULKHEAD_BASE_CODEC_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/arena.h"
#include "common/base/slice.h"
#include "common/base/strbuf.h"

// Writes `size` bytes as 2 * size lower-case hexadecimal digits, without a zero behind them. Returns where they end.
char *hex_encode(const void *bytes, size_t size, char *out);
// Reads exactly 2 * size hexadecimal digits of either case; false for anything else.
bool hex_decode(struct slice text, void *out, size_t size);

// Adds base64 of the standard alphabet with padding.
void base64_encode(struct slice bytes, struct strbuf *out);
// Adds base64 of the URL-safe alphabet without padding.
void base64url_encode(struct slice bytes, struct strbuf *out);
// The same, as a text in `arena`.
char *base64url_string(struct slice bytes, struct arena *arena);
// Reads base64 of either alphabet, padding optional, as proto3 JSON asks; false for anything else, white space
// included. The unused bits of the last character may be anything, so several texts mean the same bytes: never compare
// the texts.
bool base64_decode(struct slice text, struct strbuf *out);

// Adds the bytes, with %XX for each one that is not an unreserved character.
void percent_encode(struct slice bytes, struct strbuf *out);
// Decodes %XX; false on a broken escape. '+' stays '+', unless `plus_is_space` (query strings).
bool percent_decode(struct slice text, bool plus_is_space, struct strbuf *out);

#endif
