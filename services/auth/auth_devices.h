// Device tokens: a login answers one, and takes it back at the next login, so that whoever has signed in to an account
// from a device before is known there. A token is sealed under AUTH_KEY_SECRET and bound to the account's address;
// nothing of it is stored. It only ever counts for the limits of failed logins: it replaces no password.
#ifndef BULKHEAD_SERVICES_AUTH_AUTH_DEVICES_H
#define BULKHEAD_SERVICES_AUTH_AUTH_DEVICES_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/slice.h"
#include "common/base/status.h"

#define DEVICE_ID_BYTES 12

struct device {
  unsigned char id[DEVICE_ID_BYTES];
  int64_t issued_s;  // seconds since 1970
};

// Names an account for limits and logs: 32 hexadecimal digits that tell nothing about the address without the secret.
// The same for all spellings of an address that differ in the case of its ASCII letters, and for addresses without an
// account.
const char *auth_devices_account(const char *secret, const char *email, struct arena *arena);

// The account and time that a device token is checked against. The time is the database's, because host clocks drift:
// a wrong one would make a device older or newer than the factor whose second step it has passed.
struct device_scope {
  const char *secret;
  const char *account;  // auth_devices_account
  int64_t now_ms;       // since 1970
};
// Reads the token of a device that has signed in to the account. False for any other text, and for one that is older
// than half a year.
bool auth_devices_read(const struct device_scope *scope, const char *token, struct arena *arena, struct device *device);
// Issues the token for the next login from `device`, or from a new device where it is NULL.
enum status auth_devices_issue(const struct device_scope *scope, const struct device *device, struct arena *arena,
                               char **token) MUST_CHECK;

#endif
