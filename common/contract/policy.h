// Decides who may call a method: the one evaluator of a contract's access policy. The gateway asks it after it has
// verified the token; every service asks it again, because a call may come by another road than the gateway's routes.
// What it decides on has been proven to the program that asks: the user by a token that this program has verified
// itself, the peer by the certificate or the hello of its connection (common/rpc/rpc.h). No field of a call counts.
#ifndef BULKHEAD_CONTRACT_POLICY_H
#define BULKHEAD_CONTRACT_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/slice.h"
#include "common/base/status.h"

// Who may call a method. The numbers are those of bulkhead.v1.Access in options.proto.
enum access {
  ACCESS_PUBLIC = 1,
  ACCESS_AUTHENTICATED = 2,
  ACCESS_ROLE = 3,
  ACCESS_INTERNAL = 4,
};

// Who may use a method's permission on what.
enum policy_owner {
  POLICY_OWNER_NONE,     // no ownership rule
  POLICY_OWNER_REQUEST,  // a field of the request names the owner
  POLICY_OWNER_STORED,   // the service has stored the owner, and asks (call_may)
};

// How deep in the request the field of an ownership rule may lie.
#define POLICY_MAX_OWNER_DEPTH 4

struct policy {
  enum access access;
  const char *const *roles;  // ACCESS_ROLE: the caller holds at least one of them
  size_t role_count;
  // The services that may call beside the gateway; POLICY_ANY_SERVICE stands for all. ACCESS_INTERNAL: no others may.
  const char *const *callers;
  size_t caller_count;
  uint32_t max_auth_age_s;  // how old the user's last proof of who he is may be; 0: any age
  const char *permission;   // "items:write"; NULL: the method needs none
  // With an ownership rule: the permission for what belongs to others, "items:write:any". Else NULL.
  const char *permission_any;
  bool every_user;  // the role "user" holds `permission`
  enum policy_owner owner;
  uint32_t
      owner_path[POLICY_MAX_OWNER_DEPTH];  // POLICY_OWNER_REQUEST: the numbers of the fields that lead to the owner
  size_t owner_depth;
  const char *owner_reason;  // what is told to those who are not the owner
  const char *owner_message;
};

// peer_service of calls that come from outside, through the gateway.
#define POLICY_GATEWAY "gateway"
// The reason of the refusal where policy_wants_newer_login.
#define POLICY_LOGIN_TOO_OLD "LOGIN_TOO_OLD"
// The reason of the refusal where policy_lacks_permission.
#define POLICY_PERMISSION_REQUIRED "PERMISSION_REQUIRED"
// The reason of that refusal for an API key where the method has no permission, or needs a recent login.
#define POLICY_LOGIN_REQUIRED "LOGIN_REQUIRED"
// The entry of `callers` that means every service.
#define POLICY_ANY_SERVICE "*"

// The role that every account has, and the one that holds every permission.
#define POLICY_ROLE_USER "user"
#define POLICY_ROLE_ADMIN "admin"
// Behind the name of a permission: not only on what is one's own.
#define POLICY_ANY_SUFFIX ":any"
#define POLICY_MAX_PERMISSION_BYTES 48

struct policy_caller {
  struct slice id;            // the verified user; empty for an anonymous caller
  const struct slice *roles;  // the roles in the user's token
  size_t role_count;
  const struct slice *permissions;  // those in the user's token: what his roles give beside the built-in ones
  size_t permission_count;
  // The token allows nothing but its permissions, whatever roles the account has: that of an API key.
  bool is_limited;
  struct slice peer_service;  // the program that makes the call: POLICY_GATEWAY or a service; empty when unproven
  int64_t auth_time;          // when the user last proved who he is, in Unix seconds; 0: not known
  int64_t now;                // by which the age of that is judged, in Unix seconds
};

// Decides whether `caller` may call a method with this policy: OK, UNAUTHENTICATED or PERMISSION_DENIED. On refusal
// `message` is set to a static sentence for the caller.
enum status policy_check(const struct policy *policy, const struct policy_caller *caller,
                         const char **message) MUST_CHECK;

// Whether the user must log in again before he may call, though he has what else the policy asks for.
bool policy_wants_newer_login(const struct policy *policy, const struct policy_caller *caller);

// Whether the caller lacks the permission that the method needs, or has an API key where the method has no permission
// or needs a recent login.
bool policy_lacks_permission(const struct policy *policy, const struct policy_caller *caller);
// Returns the reason of the refusal of a caller whom policy_check has answered PERMISSION_DENIED.
const char *policy_refusal_reason(const struct policy *policy, const struct policy_caller *caller);

// Decides on what belongs to the account `owner_id`, for a caller whom policy_check has let in, by the method's
// ownership rule: OK or PERMISSION_DENIED, which is told as owner_reason and owner_message. OK for a method without
// such a rule.
enum status policy_check_owner(const struct policy *policy, const struct policy_caller *caller,
                               struct slice owner_id) MUST_CHECK;

// Whether the caller holds a permission. `every_user`: the role "user" does.
bool policy_caller_holds(const struct policy_caller *caller, const char *permission, bool every_user);

// Whether `name` can be a permission's: two words of a-z, 0-9 and _ with a : between, perhaps followed by ":any".
bool policy_permission_valid(struct slice name);

// Whether the program at the other end of the connection may call, whoever its user is. False for an unproven one.
bool policy_admits_peer(const struct policy *policy, struct slice peer);

// Whether the caller holds `role`; the whole name must be equal, case included.
bool policy_caller_has_role(const struct policy_caller *caller, const char *role);

// Whether the policy can be decided only with a verified token.
static inline bool policy_needs_token(const struct policy *policy)
{
  return policy->access != ACCESS_PUBLIC;
}

#endif
