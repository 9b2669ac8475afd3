// Keys by which programs prove their names to each other in tests. One key pair is made for a test, and all names have
// it, so that a service can be started and called before it is known who else will be.
#ifndef BULKHEAD_TESTS_SUPPORT_COMMON_SERVICE_KEYS_H
#define BULKHEAD_TESTS_SUPPORT_COMMON_SERVICE_KEYS_H

#include "common/security/service_identity.h"

// Returns the private key, in PEM. The text lives as long as the process.
const char *service_keys_private(void);
// Returns a JWK set with the public key under the names of the suite's programs and all names that it was called with.
// The text lives as long as the process.
const char *service_keys_public(const char *name);
// Makes the identity of the program `name`. The caller frees it.
struct service_identity *service_keys_identity(const char *name);
// Does the same with other public keys: a JWK set, or the path of a file.
struct service_identity *service_keys_identity_by(const char *name, const char *public_keys);
// Writes a JWK set with the public key under exactly these names, up to a NULL, to a file, which is replaced at once if
// it exists.
void service_keys_write(const char *path, const char *const *listed);

// Signs an access token, with the same key, for a user who proved who he is at `auth_time`, in Unix seconds; 0: the
// token does not say. It names `session`, where that is not empty. The token lives as long as the process.
struct slice service_keys_token(struct slice user, const struct slice *roles, size_t role_count, int64_t auth_time,
                                struct slice session);

#endif
