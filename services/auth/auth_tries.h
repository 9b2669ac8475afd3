// The tries that somebody has at an account's password, at a login and elsewhere (auth_limits.h has the limits). Each
// is taken before the password is compared, and settled by what came of it.
#ifndef BULKHEAD_SERVICES_AUTH_AUTH_TRIES_H
#define BULKHEAD_SERVICES_AUTH_AUTH_TRIES_H

#include "common/base/status.h"
#include "services/auth/auth_devices.h"
#include "services/auth/auth_limits.h"

struct call;

// Takes a try at the password of an address, from the caller's own address. `device_token` is that of an earlier login,
// "" for none. Fails the call with RESOURCE_EXHAUSTED where no try is left, or too many hashes wait. `device` keeps
// what `try` refers to. May wait.
enum status auth_tries_begin(struct call *call, const char *email, const char *device_token, struct device *device,
                             struct login_try *try) MUST_CHECK;
// Counts the end of a try, logs a failure, and gives back what is owed. UNAUTHENTICATED stands for a wrong password. A
// client that cancels keeps its try taken: otherwise guessing would cost nothing. Does not wait.
void auth_tries_settle(struct call *call, const struct login_try *try, enum status status);

#endif
