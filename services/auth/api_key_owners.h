// Authorises access to API keys: users manage their own, holders of `service_accounts:write` those of service accounts.
// The contract names no permission for these methods, because a user's own keys need none; what the keys of others need
// is checked here.
#ifndef BULKHEAD_SERVICES_AUTH_API_KEY_OWNERS_H
#define BULKHEAD_SERVICES_AUTH_API_KEY_OWNERS_H

#include "auth/v1/api_keys.bh.h"
#include "common/base/status.h"
#include "common/service/query.h"

struct call;

// Returns the account whose keys a request is about, given the id in it: the caller's own where that is empty.
const char *api_key_owner(struct call *call, const char *named_id);
// Fails the call with NOT_FOUND, because there is no such account, or none that has a credential.
enum status api_key_owner_fail_unknown(struct call *call, const char *owner_id) MUST_CHECK;

// Refuses to list the keys of an account.
enum status api_key_owner_check_list(struct call *call, const char *owner_id) MUST_CHECK;
// Refuses to make a key of an account: that of another person, of a service account that holds more than the caller,
// or with scopes that the service account does not hold. The caller's own keys are not judged.
enum status api_key_owner_check_create(struct call *call, const char *owner_id,
                                       const Auth__V1__CreateApiKeyRequest *request) MUST_CHECK;
// Refuses to revoke a key. Fails the call with NOT_FOUND where there is none that the caller may see; otherwise
// *owner_id is the account of the key.
enum status api_key_owner_check_revoke(struct call *call, struct query_db db, const char *key_id,
                                       const char **owner_id) MUST_CHECK;

#endif
