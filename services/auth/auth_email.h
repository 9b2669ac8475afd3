// E-mail addresses of accounts: proving, changing and giving them back by tokens that mails carry.
//
// The address itself is the user service's. A change goes: a token to the new address; the token comes back; the user
// service changes the address and adds, in the same statement, a job that reports the change; what follows here (the
// mail to the former address with the token that undoes the change, and the end of all other tokens) is one
// transaction, made once, by the call that made the change or by that job, whichever comes first.
#ifndef BULKHEAD_SERVICES_AUTH_AUTH_EMAIL_H
#define BULKHEAD_SERVICES_AUTH_AUTH_EMAIL_H

#include <stdbool.h>

#include "common/base/slice.h"
#include "common/base/status.h"
#include "common/service/query.h"
#include "services/auth/auth_links.h"

struct auth_state;
struct call;
struct job;

// How many mails that confirm an address an account gets within an hour.
#define AUTH_VERIFICATIONS_AN_HOUR 5

// Fails the call, because no mail is sent here and so no address can be confirmed.
enum status auth_email_fail_without_mail(struct call *call) MUST_CHECK;
// Requests another address for the caller's account: a mail to that address has to confirm it.
enum status auth_email_request_change(struct call *call, const char *new_email) MUST_CHECK;
// Runs the job of a request (AUTH_EMAIL_CHANGE_JOB).
enum status auth_email_change_run(struct job *job) MUST_CHECK;

// Confirms an address, or makes a change, by the token of a mail. Fails the call with FAILED_PRECONDITION for a token
// that may not be used, with ALREADY_EXISTS where the new address is taken by now.
enum status auth_email_verify(struct call *call, const char *token) MUST_CHECK;
// Undoes a change, by the token that went to the former address. Fails as auth_email_verify does.
enum status auth_email_undo(struct call *call, const char *token) MUST_CHECK;
// Does what follows a change or undo that the user service has made, unless it has been done. OK for a token that is
// not known any more, because its account was deleted.
enum status auth_email_settle(struct call *call, struct slice token_hash) MUST_CHECK;

// Returns the mail that proves the address of an account, at most `most` times an hour.
struct auth_link auth_email_verification(const struct auth_state *state, const char *user_id, const char *email,
                                         int64_t most);
// Sends the mail that proves the address of an account, at most `most` times an hour.
enum status auth_email_send_verification(struct call *call, const char *user_id, const char *email,
                                         int64_t most) MUST_CHECK;
// Returns the mail that tells the owner of an account that somebody wants its address. Its link sets a password.
struct auth_link auth_email_in_use(const struct auth_state *state, const char *user_id, const char *email);
// Tells the owner of an account that somebody wanted to sign up with its address.
enum status auth_email_tell_sign_up(struct call *call, const char *user_id, const char *email) MUST_CHECK;

// Says whether an account may be signed in to: not where VERIFY_EMAIL_FIRST is set and its address is not confirmed. To
// such an address it sends the mail again that confirms it.
enum status auth_email_remind(struct call *call, const char *user_id, bool *may_enter) MUST_CHECK;
// Refuses somebody who has proven who he is, where VERIFY_EMAIL_FIRST is set and the address of his account is not
// confirmed: fails the call with PERMISSION_DENIED and sends the mail again.
enum status auth_email_demand(struct call *call, const char *user_id) MUST_CHECK;
// Tells the owner of an account of a login from a device that it did not know. The first login is not told of.
enum status auth_email_tell_device(struct call *call, struct query_db db, const char *user_id,
                                   const char *device_name) MUST_CHECK;

#endif
