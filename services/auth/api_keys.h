// API keys: made, revoked, and exchanged for the access tokens that stand for them. Only hashes of keys are stored.
#ifndef BULKHEAD_SERVICES_AUTH_API_KEYS_H
#define BULKHEAD_SERVICES_AUTH_API_KEYS_H

#include <stdint.h>

#include "auth/v1/api_keys.bh.h"
#include "common/base/status.h"
#include "common/base/uuid.h"
#include "services/auth/auth_state.h"

// Makes a key of the account `user_id`. Fails the call with NOT_FOUND where the account has no credential, with
// FAILED_PRECONDITION where it has as many keys as it may.
enum status api_keys_create(struct call *call, const char *user_id, const Auth__V1__CreateApiKeyRequest *request,
                            Auth__V1__CreateApiKeyResponse *response) MUST_CHECK;
// Revokes a key on which the caller may act. Fails the call with NOT_FOUND where there is none.
enum status api_keys_revoke(struct call *call, const char *id) MUST_CHECK;
// Signs an access token for the holder of a key. Fails the call with NOT_FOUND where the key is not good.
enum status api_keys_exchange(struct call *call, const char *key, struct slice *token) MUST_CHECK;

// Writes down which keys were used lately, until the service stops: a background task. `arg` is a struct auth_state.
void api_keys_run_uses(void *arg);

#endif
