// Background jobs of the user service.
#ifndef BULKHEAD_SERVICES_USER_USER_JOBS_H
#define BULKHEAD_SERVICES_USER_USER_JOBS_H

#include "common/service/jobs.h"

// Removes a credential that has no account: what a sign-up that failed half-way, or an account that was deleted, left
// in the auth service. The key is the user's id. The statements in queries/ name the kind, too.
#define USER_REMOVE_CREDENTIAL "remove_credential"
// Has the mail sent that proves the address of a new account. The key is the user's id.
#define USER_WELCOME "welcome"
// Has the owner of an address told that somebody wanted to sign up with it. The payload is the address.
#define USER_SIGN_UP_AGAIN "sign_up_again"
// Reports the change of an address to the auth service. The key is the cause (user/v1/addresses.proto).
#define USER_SETTLE_ADDRESS "settle_address"
// Removes what other services have of an account that was deleted. The key is the user's id; a second job, whose key is
// that with USER_LATE behind it, runs once no access token of the account can be good any more.
#define USER_REMOVE_DATA "remove_data"
#define USER_LATE ":late"

enum { USER_JOB_COUNT = 5 };
extern const struct job_kind user_jobs[USER_JOB_COUNT];

#endif
