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

struct policy {
  enum access access;
  const char *const *roles;  // ACCESS_ROLE: the caller holds at least one of them
  size_t role_count;
  // The services that may call beside the gateway; POLICY_ANY_SERVICE stands for all. ACCESS_INTERNAL: no others may.
  const char *const *callers;
  size_t caller_count;
  uint32_t max_auth_age_s;  // how old the user's last proof of who he is may be; 0: any age
};

// peer_service of calls that come from outside, through the gateway.
#define POLICY_GATEWAY "gateway"
// The reason of the refusal where policy_wants_newer_login.
#define POLICY_LOGIN_TOO_OLD "LOGIN_TOO_OLD"
// The entry of `callers` that means every service.
#define POLICY_ANY_SERVICE "*"

struct policy_caller {
  struct slice id;            // the verified user; empty for an anonymous caller
  const struct slice *roles;  // the roles in the user's token
  size_t role_count;
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
