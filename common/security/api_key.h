// The text of an API key: "bhk_", 43 characters that hold 256 random bits, and a checksum of 6. All of them are digits
// and letters, so the key is one word wherever it is pasted. Prefix and checksum let a scanner of source code, and the
// gateway, tell what is a key from what only looks like one, without asking anybody:
//
//   bhk_[0-9A-Za-z]{49}
//
// where the last six characters are the CRC-32 (ISO 3309, as in zlib) of the 47 before them, as a number of base 62
// with the digits 0-9, A-Z, a-z, the most significant first. The checksum is no secret: it keeps typing errors and cut
// keys away from the database, and guesses are hopeless without it.
#ifndef BULKHEAD_SECURITY_API_KEY_H
#define BULKHEAD_SECURITY_API_KEY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/slice.h"

#define API_KEY_PREFIX "bhk_"
// The length of a key, and room for it with its end.
#define API_KEY_BYTES 53
#define API_KEY_SIZE (API_KEY_BYTES + 1)
// The beginning that may be shown, so that the owner of several keys knows them apart: it holds 48 of the random bits.
#define API_KEY_SHOWN_BYTES 12
#define API_KEY_HASH_BYTES 32

// Makes a new key.
void api_key_make(char out[API_KEY_SIZE]);
// Whether a bearer token means to be an API key: it begins as one. No access token does: a JWT begins with "ey".
bool api_key_is_meant(struct slice token);
// Whether the text has the form of a key, and the checksum that belongs to it.
bool api_key_is_well_formed(struct slice text);
// Computes what a key is known by where it is stored: its SHA-256. A slow hash, as for passwords, is not needed,
// because nobody can try 2^256 keys.
void api_key_hash(struct slice key, unsigned char out[API_KEY_HASH_BYTES]);

#endif
