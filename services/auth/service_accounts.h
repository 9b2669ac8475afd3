// Service accounts: accounts of programs, without a password. What any account has (roles, suspension, endings, the
// audit log) hangs on their credential.
#ifndef BULKHEAD_SERVICES_AUTH_SERVICE_ACCOUNTS_H
#define BULKHEAD_SERVICES_AUTH_SERVICE_ACCOUNTS_H

#include "auth/v1/service_accounts.bh.h"
#include "common/base/status.h"
#include "common/service/resource.h"

struct call;
struct job;

// The permissions that the contract declares.
#define SERVICE_ACCOUNTS_READ "service_accounts:read"
#define SERVICE_ACCOUNTS_WRITE "service_accounts:write"

extern const struct resource service_account_resource;

// Makes an account with this name.
enum status service_accounts_create(struct call *call, const Auth__V1__CreateServiceAccountRequest *request,
                                    Auth__V1__ServiceAccount *response) MUST_CHECK;
// Removes an account with all that hangs on it; its access tokens end. A job has what other services hold removed.
enum status service_accounts_delete(struct call *call, const Auth__V1__DeleteServiceAccountRequest *request) MUST_CHECK;

// Runs the job AUTH_REMOVE_DATA_JOB, whose key is the id of a service account that was deleted.
enum status service_accounts_remove_data(struct job *job) MUST_CHECK;

#endif
