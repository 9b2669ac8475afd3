// Private to common/security: P-256 keys as OpenSSL holds them, and the ES256 signature (RFC 7518 section 3.4).
#ifndef BULKHEAD_SECURITY_EC_KEY_INTERNAL_H
#define BULKHEAD_SECURITY_EC_KEY_INTERNAL_H

#include <stdbool.h>

#include "common/base/slice.h"
#include "common/base/status.h"
#include "common/security/key.h"

#define EC_COORDINATE_SIZE 32
// The length of 32 bytes in base64url without padding (RFC 7518 section 6.2.1.2 asks for the full width).
#define EC_COORDINATE_TEXT_SIZE 43
// The length of a signature: r and s, big-endian, each in full width; and its length in base64url.
#define EC_SIGNATURE_SIZE 64
#define EC_SIGNATURE_TEXT_SIZE 86

// Writes the public point of a private key, big-endian, each coordinate in full width.
bool ec_private_key_point(const struct private_key *key, unsigned char x[EC_COORDINATE_SIZE],
                          unsigned char y[EC_COORDINATE_SIZE]) MUST_CHECK;
// Signs the SHA-256 of `input`.
void ec_sign(const struct private_key *key, struct slice input, unsigned char signature[EC_SIGNATURE_SIZE]);

struct ec_public_key;

// Makes a key from base64url coordinates. INVALID_ARGUMENT when x or y is not the canonical text of 32 bytes, or the
// point is not on the curve.
enum status ec_public_key_create(struct slice x, struct slice y, struct ec_public_key **key) MUST_CHECK;
void ec_public_key_free(struct ec_public_key **key);

// Tells whether `signature` is this key's over the SHA-256 of `input`. s may be high or low, because RFC 7518 allows
// both.
bool ec_verify_signature(const struct ec_public_key *key, struct slice input,
                         const unsigned char signature[EC_SIGNATURE_SIZE]) MUST_CHECK;

#endif
