// Sealing of what the database keeps secret, under AUTH_KEY_SECRET, so that the setting can change in a rolling
// restart.
//
// While instances run with the old secret and others with the new one, everything is stored in two forms: under the new
// secret, and under the one before. An instance that was started with the new secret and AUTH_KEY_SECRET_PREVIOUS seals
// what it finds under the previous one again, keeping that form; one that was started without the previous secret later
// removes it.
#ifndef BULKHEAD_SERVICES_AUTH_AUTH_SEALS_H
#define BULKHEAD_SERVICES_AUTH_AUTH_SEALS_H

#include <stdbool.h>

#include "common/base/arena.h"
#include "common/base/slice.h"
#include "common/base/status.h"

struct auth_settings;
struct pg;

// Sealed bytes as they are stored.
struct auth_sealed {
  struct slice bytes;
  struct slice before;  // the same under the previous secret; .data NULL: there is none
};

// Checks the lengths of both secrets. INVALID_ARGUMENT where one is too short.
enum status auth_seals_check(const struct auth_settings *settings, struct error *error) MUST_CHECK;

enum status auth_seal(const struct auth_settings *settings, const char *context, struct slice plain,
                      struct arena *arena, struct auth_sealed *sealed) MUST_CHECK;
// Opens either form with either secret. `outdated` tells whether what is stored should be replaced by `renewed`.
// FAILED_PRECONDITION where nothing fits. `plain` is erased when the arena is freed.
struct auth_opened {
  struct slice plain;
  bool outdated;
  struct auth_sealed renewed;
};
enum status auth_unseal(const struct auth_settings *settings, const char *context, const struct auth_sealed *sealed,
                        struct arena *arena, struct auth_opened *opened) MUST_CHECK;

// Reads the secret that device tokens and the names of accounts rest on, and makes it at the first start. It never
// changes. Where keys are there already, it is AUTH_KEY_SECRET itself, which releases before used in its place. The
// text is in the arena. May wait.
enum status auth_seals_load_secret(const struct auth_settings *settings, struct pg *pg, struct arena *arena,
                                   const char **secret, struct error *error) MUST_CHECK;
// Reads the private key (PEM) that signs the heads of the audit log, and makes it at the first start. It never changes,
// so that every head can be verified. The text is in the arena. May wait.
enum status auth_seals_load_audit_key(const struct auth_settings *settings, struct pg *pg, struct arena *arena,
                                      const char **pem, struct error *error) MUST_CHECK;

#endif
