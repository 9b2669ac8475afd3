// P-256 key pairs for ES256, on OpenSSL; and sealing of secrets at rest, on libsodium.
#ifndef BULKHEAD_SECURITY_KEY_H
#define BULKHEAD_SECURITY_KEY_H

#include "common/base/arena.h"
#include "common/base/slice.h"
#include "common/base/status.h"

// Generates a key: PKCS #8 PEM in `arena`, which erases it when freed.
enum status key_generate(struct arena *arena, const char **private_pem) MUST_CHECK;
// A P-256 private key, parsed. Any thread; it does not change.
struct private_key;
// Parses a PEM, which costs several times a signature. INVALID_ARGUMENT for anything but an unencrypted P-256 private
// key.
enum status private_key_parse(const char *pem, struct private_key **key) MUST_CHECK;
// Erases and frees the key, and nulls the pointer; accepts NULL in it.
void private_key_free(struct private_key **key);
// Gives the public coordinates of a private key, base64url as in RFC 7518 section 6.2.1, and its RFC 7638 thumbprint as
// the key id. INVALID_ARGUMENT for anything but an unencrypted P-256 private key.
enum status key_public_parts(const char *private_pem, struct arena *arena, struct slice *x, struct slice *y,
                             struct slice *kid) MUST_CHECK;

// Seals bytes with authenticated encryption (XChaCha20-Poly1305) under a key derived from `secret` (at least 32 bytes
// of text). `context` is bound into the result. Sealed bytes differ each time. INVALID_ARGUMENT for a shorter secret.
enum status key_seal(struct slice secret, const char *context, struct slice plain, struct arena *arena,
                     struct slice *sealed) MUST_CHECK;
// Opens sealed bytes. FAILED_PRECONDITION when the secret or the context differs or the bytes were changed. `plain` is
// erased when the arena is freed.
enum status key_open(struct slice secret, const char *context, struct slice sealed, struct arena *arena,
                     struct slice *plain) MUST_CHECK;

// Computes the SHA-256 of the bytes.
void key_sha256(struct slice bytes, unsigned char out[32]);
// Overwrites bytes with zeros, in a way that the compiler does not optimise away.
void key_erase(void *bytes, size_t size);

#endif
