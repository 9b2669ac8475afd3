// Private to common/security: the only place that knows libjwt.
#ifndef BULKHEAD_SECURITY_TOKEN_ISSUE_INTERNAL_H
#define BULKHEAD_SECURITY_TOKEN_ISSUE_INTERNAL_H

#include "common/base/arena.h"
#include "common/base/slice.h"
#include "common/base/status.h"

// Makes a token of these claims (a JSON object), signed with ES256; its header has alg, kid and typ (libjwt writes
// "JWT"). INVALID_ARGUMENT when the key is not a P-256 private key in unencrypted PEM.
enum status token_issue(const char *kid, const char *private_pem, const char *claims_json, struct arena *arena,
                        struct slice *token) MUST_CHECK;

#endif
