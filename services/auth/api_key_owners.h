// Who acts on whose API keys: everybody on his own, whoever manages service accounts on theirs. These methods are for
// people who have logged in and so name no permission in the contract, because their own keys need none; what others'
// keys need is asked here.
#ifndef BULKHEAD_SERVICES_AUTH_API_KEY_OWNERS_H
#define BULKHEAD_SERVICES_AUTH_API_KEY_OWNERS_H

#include "auth/v1/api_keys.bh.h"
#include "common/base/status.h"
#include "common/service/query.h"

struct call;

// Returns the account whose keys a request is about, given the id in it: the caller's own where that is empty.
const char *api_key_owner(struct call *call, const char *named_id);

// Refuses to list the keys of an account.
enum status api_key_owner_check_list(struct call *call, const char *owner_id) MUST_CHECK;
// Refuses to make a key of an account: that of another person, of a service account that holds more than the caller,
// or with scopes that the service account does not hold. The caller's own keys are not judged.
enum status api_key_owner_check_create(struct call *call, const char *owner_id,
                                       const Auth__V1__CreateApiKeyRequest *request) MUST_CHECK;
// Refuses to revoke a key. NOT_FOUND, which is told, where there is none that the caller knows of; else *owner_id is
// whose it is.
enum status api_key_owner_check_revoke(struct call *call, struct query_db db, const char *key_id,
                                       const char **owner_id) MUST_CHECK;

#endif
