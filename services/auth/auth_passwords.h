// Making and comparing the hashes of passwords. Both take tens of milliseconds of CPU and megabytes, so they run in the
// thread pool, a few at a time, and the sources of the calls take turns (hash_queue.h).
#ifndef BULKHEAD_SERVICES_AUTH_AUTH_PASSWORDS_H
#define BULKHEAD_SERVICES_AUTH_AUTH_PASSWORDS_H

#include <stdbool.h>

#include "common/base/status.h"
#include "common/security/password.h"
#include "common/security/password_rules.h"
#include "common/service/query.h"

struct call;

// A password that somebody has chosen.
struct chosen_password {
  const char *text;
  const char *field;  // of the request, for the violation
  struct password_owner owner;
  bool *needs_factor;  // set to whether it is too short to be the only factor; may be NULL
};

// Holds a password against the rules and hashes it. Fails the call with INVALID_ARGUMENT, a violation of the field and
// a reason such as PASSWORD_COMMON where a rule refuses it, with RESOURCE_EXHAUSTED where too many wait. May wait.
enum status auth_passwords_hash(struct call *call, const struct chosen_password *chosen,
                                char hash[PASSWORD_HASH_SIZE]) MUST_CHECK;
// Makes the hash of a password that nobody knows. Fails the call with RESOURCE_EXHAUSTED where too many wait. May wait.
enum status auth_passwords_hash_unknown(struct call *call, char hash[PASSWORD_HASH_SIZE]) MUST_CHECK;
// Compares a password with a hash, which is NULL for an unknown account: the same work is done for it, and nothing
// matches. Fails the call with RESOURCE_EXHAUSTED where too many wait. May wait.
enum status auth_passwords_compare(struct call *call, const char *given, const char *hash,
                                   enum password_match *match) MUST_CHECK;
// Hashes a password that was right again where its hash is of a lower cost or of a text that was not normalised. A
// failure is harmless: the old hash stays, as it does where too many wait. May wait.
void auth_passwords_renew(struct call *call, const char *user_id, const char *given, const char *hash,
                          enum password_match match);

struct password_change {
  const char *email;  // of the account, which is told
  const char *old_hash;
  const char *new_hash;
  bool needs_factor;  // the new one is too short to be the only factor
};
// Stores another password of the caller in place of the one with `old_hash`, ends his other sessions and tells him by
// mail, at once or not at all. Fails the call with ABORTED where the password is another one by now, or needs a factor
// that the account does not have any more. May wait.
enum status auth_passwords_replace(struct call *call, const struct password_change *change) MUST_CHECK;

// Whose password was changed.
struct changed_password {
  const char *action;  // as the audit log names what was done
  const char *user_id;
  const char *email;         // of the account, which is told
  const char *kept_session;  // the session that goes on; "" for none
};
// Does what follows the change of a password, in the transaction that has changed it: links in mails that set another
// one are void, sessions end, the owner is told by mail, and the audit log has it.
enum status auth_passwords_follow_change(struct call *call, struct query_db db,
                                         const struct changed_password *changed) MUST_CHECK;

// Tells whether a hash of this call would get a turn, so that what would be refused costs nothing before.
bool auth_passwords_have_room(struct call *call);
// Tells the caller that too many hashes wait; nothing was tried.
enum status auth_passwords_fail_busy(struct call *call);

#endif
