// The state of the auth service while it runs.
#ifndef BULKHEAD_SERVICES_AUTH_AUTH_STATE_H
#define BULKHEAD_SERVICES_AUTH_AUTH_STATE_H

#include "common/base/arena.h"
#include "common/base/status.h"
#include "common/base/uuid.h"
#include "common/security/password.h"
#include "common/security/password_rules.h"
#include "common/security/webauthn.h"
#include "services/auth/audit_chain.h"
#include "services/auth/auth_devices.h"
#include "services/auth/auth_endings.h"
#include "services/auth/auth_keys.h"
#include "services/auth/auth_limits.h"
#include "services/auth/auth_roles.h"
#include "services/auth/hash_queue.h"

struct auth_mail;
struct metric_series;
struct service;
struct pg;

// How a login ended, as the metric counts it.
enum login_outcome { LOGIN_OK, LOGIN_WRONG, LOGIN_LIMITED, LOGIN_BUSY, LOGIN_WRONG_CODE, LOGIN_OUTCOME_COUNT };

// The API keys whose use is to be written down (api_keys.h).
#define API_KEY_MAX_USES 1024
struct api_key_uses {
  char ids[API_KEY_MAX_USES][UUID_TEXT_SIZE];
  size_t count;
};

struct auth_state {
  struct pg *pg;                         // the service's
  const struct auth_settings *settings;  // the service's
  struct service *service;
  struct password_cost cost;
  struct password_rules password_rules;
  struct webauthn_party passkey_party;  // its id is NULL where no passkey is taken
  struct auth_keys keys;
  struct arena memory;        // of the stored secret
  const char *stored_secret;  // what device tokens and the names of accounts rest on (auth_seals.h)
  struct auth_limits limits;
  struct auth_endings endings;
  struct auth_permissions permissions;
  struct hash_queue hashes;
  struct audit_chain audit;
  struct api_key_uses api_key_uses;
  struct auth_mail *mail;  // NULL where no mail is sent
  struct metric_series *logins[LOGIN_OUTCOME_COUNT];
};

enum status auth_start(struct service *service, void **state_out, struct error *error) MUST_CHECK;
void auth_stop(struct service *service, void *state_opaque);

// Returns the scope of an account's device tokens at this moment.
struct device_scope auth_state_devices(const struct auth_state *state, const char *account);

#endif
