// P-256 key pairs for ES256, on OpenSSL; and sealing of secrets at rest, on libsodium.
#ifndef BULKHEAD_SECURITY_KEY_H
#define BULKHEAD_SECURITY_KEY_H

#include "common/base/arena.h"
#include "common/base/slice.h"
#include "common/base/status.h"

// A new key: PKCS #8 PEM in `arena`, which erases it when freed.
enum status key_generate(struct arena *arena, const char **private_pem) MUST_CHECK;
// Its public coordinates, base64url as RFC 7518 section 6.2.1 has them, and its RFC 7638 thumbprint as the key id.
// INVALID_ARGUMENT for anything but an unencrypted P-256 private key.
enum status key_public_parts(const char *private_pem, struct arena *arena, struct slice *x, struct slice *y,
                             struct slice *kid) MUST_CHECK;

// Authenticated encryption (XChaCha20-Poly1305) under a key derived from `secret` (at least 32 bytes of text);
// `context` is bound into it. Sealed bytes differ each time. INVALID_ARGUMENT where the secret is shorter.
enum status key_seal(struct slice secret, const char *context, struct slice plain, struct arena *arena,
                     struct slice *sealed) MUST_CHECK;
// FAILED_PRECONDITION when the secret or context is another or the bytes were changed. `plain` is erased with the
// arena.
enum status key_open(struct slice secret, const char *context, struct slice sealed, struct arena *arena,
                     struct slice *plain) MUST_CHECK;

// SHA-256.
void key_sha256(struct slice bytes, unsigned char out[32]);
// A keyed 64-bit hash (SipHash) with a random key of this process, for tables whose keys a peer chooses.
unsigned long long key_hash(struct slice bytes);
// Zeroes that the compiler keeps.
void key_erase(void *bytes, size_t size);

#endif
