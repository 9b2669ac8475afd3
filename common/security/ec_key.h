// Private to common/security: P-256 keys between their three shapes (coordinates, PEM, OpenSSL's object).
#ifndef BULKHEAD_SECURITY_EC_KEY_H
#define BULKHEAD_SECURITY_EC_KEY_H

#include "common/base/arena.h"
#include "common/base/slice.h"
#include "common/base/status.h"

#define EC_COORDINATE_SIZE 32
// What 32 bytes are in base64url without padding (RFC 7518 section 6.2.1.2 asks for the full width).
#define EC_COORDINATE_TEXT_SIZE 43

// SubjectPublicKeyInfo PEM, as libjwt wants it. INVALID_ARGUMENT where x or y is not the base64url of 32 bytes or
// the point is not on the curve.
enum status ec_public_pem(struct slice x, struct slice y, struct arena *arena, const char **public_pem) MUST_CHECK;

#endif
