// Second factors of an account: adding, removing, listing. Every change runs in one transaction that locks the
// credential first, voids challenges and remembered devices, and ends with what is left.
#ifndef BULKHEAD_SERVICES_AUTH_AUTH_FACTORS_H
#define BULKHEAD_SERVICES_AUTH_AUTH_FACTORS_H

#include <stdbool.h>
#include <stdint.h>

#include "auth/v1/factors.pb-c.h"
#include "common/base/status.h"
#include "common/service/query.h"

struct call;

// How long a new factor waits to be confirmed.
#define FACTOR_CONFIRM_MS 1800000

// Begins to add an authenticator app for the caller.
enum status auth_factors_add_totp(struct call *call, Auth__V1__AddTotpResponse *response) MUST_CHECK;
// Confirms it by a code, and answers the account's new recovery codes.
enum status auth_factors_confirm_totp(struct call *call, const char *code,
                                      Auth__V1__RecoveryCodes *response) MUST_CHECK;
// Removes one of the caller's factors.
enum status auth_factors_remove(struct call *call, const char *id) MUST_CHECK;
// Removes all factors of an account.
enum status auth_factors_reset(struct call *call, const char *user_id) MUST_CHECK;

// ---- for other kinds of factors, in the transaction `db` of their change ----

// Locks the account's factors and voids what rests on them. Comes first. Fails the call with NOT_FOUND where there is
// no such account.
enum status auth_factors_lock(struct call *call, struct query_db db, const char *user_id) MUST_CHECK;
// Stores what is left, adds the change to the audit log, and tells the owner by mail. Fails the call with
// FAILED_PRECONDITION where a short password would be left alone, unless `forced`.
struct factor_change {
  const char *user_id;
  const char *factor_id;  // NULL: all of them
  const char *action;     // of audit_entry: "factor.add"
  const char *detail;     // of the mail: "an authenticator app was added"
  bool forced;
};
enum status auth_factors_settle(struct call *call, struct query_db db, const struct factor_change *change) MUST_CHECK;

struct late_proofs {
  const char *user_id;
  int64_t since_us;    // since 1970; 0: all of them
  const char *detail;  // of the mail
};
// Removes the factors, passkeys and API keys that were added after a time, and voids what rests on factors. Where there
// was any, the audit log has it and the owner is told.
enum status auth_factors_remove_late(struct call *call, struct query_db db, const struct late_proofs *late) MUST_CHECK;

#endif
