// Calls from the user service to the auth and item services.
#ifndef BULKHEAD_SERVICES_USER_USER_PEERS_H
#define BULKHEAD_SERVICES_USER_USER_PEERS_H

#include <stdbool.h>

#include "common/base/arena.h"
#include "common/base/status.h"
#include "user/v1/export.pb-c.h"
#include "user/v1/user.pb-c.h"

struct call;
struct service;

// Stores the password of a new account. `sign_up` tells the password and what it must not be made of. May be repeated
// safely. INVALID_ARGUMENT where a rule refuses the password; nothing is stored then. Waits for the reply.
// *sends_mail tells whether the auth service sends mail.
enum status user_peers_create_credential(struct call *call, const char *user_id,
                                         const User__V1__CreateUserRequest *sign_up, bool *sends_mail) MUST_CHECK;
// Describes who makes the call, and from where, for a user_peers_delete_credential that a job makes later. Lives as
// long as the call.
struct slice user_peers_describe_actor(struct call *call);

// Fails the call with PERMISSION_DENIED where the account belongs to somebody who holds what the caller does not.
enum status user_peers_check_reach(struct call *call, const char *user_id) MUST_CHECK;

// Comes before an account is deleted. Fails the call with FAILED_PRECONDITION for the last admin, and as
// user_peers_check_reach does. May be repeated safely. *begun is false where an auth service of a release before was
// asked, which has checked nothing.
enum status user_peers_begin_deletion(struct call *call, const char *user_id, bool *begun) MUST_CHECK;

// Tells which of these accounts are suspended, in their suspend_time; none where an auth service of a release before
// was asked. Fails the call where that cannot be known.
enum status user_peers_add_suspensions(struct call *call, User__V1__User *const *users, size_t count) MUST_CHECK;

// The functions below are for jobs. Each may be repeated safely, and waits for the reply.

// Deletes a credential, its sessions and its roles. `actor` is what user_peers_describe_actor returned; empty where no
// account was made.
enum status user_peers_delete_credential(struct service *service, const char *user_id, struct slice actor,
                                         struct arena *arena) MUST_CHECK;
// Has the mail sent that proves the address of a new account.
enum status user_peers_send_verification(struct service *service, const char *user_id, const char *email,
                                         struct arena *arena) MUST_CHECK;
// Has the owner of an account told that somebody wanted to sign up with its address.
enum status user_peers_tell_sign_up(struct service *service, const char *user_id, const char *email,
                                    struct arena *arena) MUST_CHECK;
// Reports the change of an address.
enum status user_peers_settle_address(struct service *service, const char *cause, struct arena *arena) MUST_CHECK;
// Deletes some of the items of an account, in the item service. `more` tells whether there may be more of them.
enum status user_peers_delete_items(struct service *service, const char *user_id, struct arena *arena,
                                    bool *more) MUST_CHECK;

// Adds the sessions of an account to an export.
enum status user_peers_export_sessions(struct call *call, const char *user_id, User__V1__UserExport *export) MUST_CHECK;
// Adds a page of the items of an account to an export. INVALID_ARGUMENT for a page token that the item service has not
// made.
enum status user_peers_export_items(struct call *call, const char *user_id, const char *page_token,
                                    User__V1__UserExport *export) MUST_CHECK;

#endif
