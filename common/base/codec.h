// Bytes as text and back: hexadecimal, base64 (RFC 4648), percent-encoding (RFC 3986).
//
// A decoder that returns false has added nothing to `out`. It returns false as well when `out` is at its limit, which
// `out->failed` tells apart.
#ifndef BULKHEAD_BASE_CODEC_H
#define BULKHEAD_BASE_CODEC_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/slice.h"
#include "common/base/strbuf.h"

// Lower case.
void hex_encode(struct slice bytes, struct strbuf *out);
// Exactly 2 * size characters of either case; false otherwise.
bool hex_decode(struct slice text, void *out, size_t size);

// Standard alphabet with padding.
void base64_encode(struct slice bytes, struct strbuf *out);
// URL-safe alphabet without padding.
void base64url_encode(struct slice bytes, struct strbuf *out);
// Both alphabets, padding optional, as proto3 JSON asks; no white space. False on anything else. The unused bits of the
// last character may be anything, so several texts mean the same bytes: never compare the texts.
bool base64_decode(struct slice text, struct strbuf *out);

// Everything but unreserved characters becomes %XX.
void percent_encode(struct slice bytes, struct strbuf *out);
// False on a broken escape. '+' stays '+', unless plus_is_space (query strings).
bool percent_decode(struct slice text, bool plus_is_space, struct strbuf *out);

#endif
