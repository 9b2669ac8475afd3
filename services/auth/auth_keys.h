// The signing keys of access tokens, as this instance has read them from the database, where all instances share them.
// auth_key_plan.h says which of them signs and how they change; here is what reads, stores and uses them.
#ifndef BULKHEAD_SERVICES_AUTH_AUTH_KEYS_H
#define BULKHEAD_SERVICES_AUTH_AUTH_KEYS_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/slice.h"
#include "common/base/status.h"
#include "common/security/token.h"
#include "services/auth/auth_key_plan.h"

// How often the keys are read: a change holds at every instance within this time.
#define AUTH_KEYS_READ_EVERY_MS 250

struct auth_settings;
struct pg;

struct auth_key {
  struct arena memory;  // of everything below; the private key is erased when it is freed
  struct token_signing_key signing;
  struct private_key *parsed;  // what `signing` signs with
  struct slice x, y;           // base64url
};

// A zeroed one is ready and empty.
struct auth_keys {
  struct key_rules rules;
  struct auth_key *keys[TOKEN_MAX_KEYS];  // ordered as in the plan; all of them are published
  struct key_times times[TOKEN_MAX_KEYS];
  size_t count;
  int64_t now_ms;    // the database's clock when the keys were read
  uint64_t read_us;  // the monotonic clock then
};

// Sets the rules. INVALID_ARGUMENT where the settings do not fit each other.
enum status auth_keys_init(struct auth_keys *keys, const struct auth_settings *settings,
                           struct error *error) MUST_CHECK;
void auth_keys_free(struct auth_keys *keys);

// Reads the keys, after the steps that are due: it makes, publishes, dates or removes keys, which one of several
// instances does. Seals again what is sealed under the previous secret. `changed` tells whether other keys are
// published now. On failure `error` says why, and *keys is unchanged. May wait.
enum status auth_keys_read(struct auth_keys *keys, struct pg *pg, const struct auth_settings *settings, bool *changed,
                           struct error *error) MUST_CHECK;

// Publishes a further key, or, with `at_once`, replaces all keys by a new one. FAILED_PRECONDITION where there are too
// many. The keys must have been read. May wait.
enum status auth_keys_rotate(struct auth_keys *keys, struct pg *pg, const struct auth_settings *settings, bool at_once,
                             struct error *error) MUST_CHECK;

// Returns the time by the database's clock, in milliseconds; never later than it is there.
int64_t auth_keys_now_ms(const struct auth_keys *keys);
// Tells whether the keys were read recently enough to be published and to sign.
bool auth_keys_are_fresh(const struct auth_keys *keys);
// Waits until a key signs, which takes a second where all keys were just replaced. UNAVAILABLE where the keys were not
// read recently.
enum status auth_keys_wait(const struct auth_keys *keys) MUST_CHECK;
// Returns the key that signs now, until the next wait of the task. Falls back on the latest key where none signs.
const struct token_signing_key *auth_keys_signer(const struct auth_keys *keys);

#endif
