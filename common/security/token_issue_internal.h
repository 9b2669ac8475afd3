// Private to common/security: the only place that knows libjwt.
#ifndef BULKHEAD_SECURITY_TOKEN_ISSUE_INTERNAL_H
#define BULKHEAD_SECURITY_TOKEN_ISSUE_INTERNAL_H

#include "common/base/arena.h"
#include "common/base/slice.h"
#include "common/base/status.h"

struct private_key;

// Makes a token of these claims (a JSON object), signed with ES256; its header has alg, kid and typ ("JWT").
// INVALID_ARGUMENT for claims or a kid that are not JSON's.
enum status token_issue(const char *kid, const struct private_key *key, const char *claims_json, struct arena *arena,
                        struct slice *token) MUST_CHECK;

#endif
