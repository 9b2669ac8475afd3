// The state of the auth service while it runs.
#ifndef BULKHEAD_SERVICES_AUTH_AUTH_STATE_H
#define BULKHEAD_SERVICES_AUTH_AUTH_STATE_H

#include "common/base/arena.h"
#include "common/base/status.h"
#include "common/security/password.h"
#include "services/auth/auth_keys.h"

struct service;
struct pg;

struct auth_state {
  struct pg *pg;                         // the service's
  const struct auth_settings *settings;  // the service's
  struct password_cost cost;
  struct auth_keys keys;
};

enum status auth_start(struct service *service, void **state_out, struct error *error) MUST_CHECK;
void auth_stop(struct service *service, void *state_opaque);

#endif
