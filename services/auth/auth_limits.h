// Rate limits in Redis, exact for all instances and gateways, by scripts that judge and count in one step.
//
// Failed logins are limited for each account and source, in such a way that attacking an account does not lock its
// owner out. A source (an IPv4 address, the /64 of an IPv6 one) has five tries a day for each account, as long as its
// network (the /24, the /48) has not used 25. Every further try takes from what all unknown sources share for that
// account: 20, and one more a minute. A device that the account has signed in from before (auth_devices.h) has tries of
// its own: 10, and one more a minute.
//
// A right password gives the source all its tries back. A login that the service could not judge gives back the one try
// that it took, and one that its client cancelled keeps it. Accounts that do not exist are limited in the same way.
#ifndef BULKHEAD_SERVICES_AUTH_AUTH_LIMITS_H
#define BULKHEAD_SERVICES_AUTH_AUTH_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/bounded_table.h"
#include "common/base/gcra.h"
#include "common/base/slice.h"
#include "common/base/status.h"

struct redis;
struct device;

struct auth_limits {
  struct redis *redis;
  struct bounded_table local;  // the tries while Redis is away, for this instance alone
};

void auth_limits_init(struct auth_limits *limits, struct redis *redis);
void auth_limits_free(struct auth_limits *limits);

// ---- shares of any limit ----

struct limit_request {
  const char *key;
  struct gcra_limit limit;
  int64_t charge;  // units that were spent, or, where negative, that come back
  uint32_t wanted;
};

struct share_state {
  uint32_t granted;
  uint32_t remaining;
  uint32_t overdrawn;
  uint64_t retry_after_us;
  uint64_t reset_us;
};

// Charges and grants units of the bucket `key`. UNAVAILABLE without Redis. May wait.
enum status auth_limits_take(struct auth_limits *limits, const struct limit_request *request, struct arena *arena,
                             struct share_state *state) MUST_CHECK;

// ---- the tries of an account ----

enum login_try_kind {
  LOGIN_TRY_REFUSED,
  LOGIN_TRY_OF_SOURCE,  // one of the five of its source
  LOGIN_TRY_SHARED,     // one of those that unknown sources share
  LOGIN_TRY_OF_DEVICE,
};

struct login_try {
  const char *account;  // auth_devices_account
  struct slice address;
  const struct device *device;  // NULL for an unknown one
  const char *source;           // auth_limits_name_source: what stands in logs
  // Set by auth_limits_begin_try.
  enum login_try_kind kind;
  bool is_local;  // taken while Redis was away
  uint32_t retry_after_ms;
};

// Names the source of a try: its device where that is known, else its address.
const char *auth_limits_name_source(const struct login_try *try, struct arena *arena);
// Takes a try before the password is compared. May wait.
void auth_limits_begin_try(struct auth_limits *limits, struct login_try *try, struct arena *arena);
// Gives back all tries of the source, because the password was right. Does not wait.
void auth_limits_reset_tries(struct auth_limits *limits, const struct login_try *try, struct arena *arena);
// Gives back the one try that was taken, because the password was not compared. Does not wait.
void auth_limits_return_try(struct auth_limits *limits, const struct login_try *try, struct arena *arena);

#endif
