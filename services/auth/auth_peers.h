// Calls from the auth service to the user service.
#ifndef BULKHEAD_SERVICES_AUTH_AUTH_PEERS_H
#define BULKHEAD_SERVICES_AUTH_AUTH_PEERS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/status.h"

struct call;
struct service;

// Finds the account of an address. NOT_FOUND where there is none. `call` is NULL in a command. Waits for the reply.
enum status auth_peers_find_user(struct service *service, struct call *call, const char *email, struct arena *arena,
                                 const char **user_id) MUST_CHECK;

// What passwords must not be made of, and what the limits of logins are named by.
struct account_facts {
  const char *email;
  const char *display_name;
  bool email_verified;
};
// Reads an account by its id. NOT_FOUND where there is none. Waits for the reply.
enum status auth_peers_find_account(struct call *call, const char *user_id, struct account_facts *account) MUST_CHECK;
// Does so in background work, where `call` is NULL.
enum status auth_peers_read_account(struct service *service, struct call *call, const char *user_id,
                                    struct arena *arena, struct account_facts *account) MUST_CHECK;
// Fails the call with NOT_FOUND, because there is no such account. An access token outlives its account for a moment,
// so that may be the caller's.
enum status auth_peers_fail_unknown(struct call *call, const char *user_id) MUST_CHECK;

// ---- addresses ----

struct account_address {
  const char *email;
  bool verified;
  int64_t version;  // grows with each change
};
// Reads the address of an account. NOT_FOUND where there is none. Waits for the reply.
enum status auth_peers_get_address(struct call *call, const char *user_id, struct account_address *address) MUST_CHECK;
// Notes that the owner of an account reads mail at its address. FAILED_PRECONDITION where it has another address, or
// there is no account. May be repeated safely. Waits for the reply.
enum status auth_peers_confirm_address(struct call *call, const char *user_id, const char *email) MUST_CHECK;

struct address_change {
  const char *user_id;
  const char *email;
  int64_t version;    // of the address that is replaced; of an undo, the one that comes back
  bool undo;          // takes back an earlier change and all that followed it
  int64_t hold_ms;    // how long nobody else may take the address that is replaced
  const char *cause;  // hexadecimal digits of the token's hash
};
// Gives an account another address. ALREADY_EXISTS where another account has it or may get it back, FAILED_PRECONDITION
// where the account has another address than the one to be replaced, or there is no account. May be repeated safely.
// The user service reports the change by SettleAddress until that has ended. Waits for the reply.
enum status auth_peers_change_address(struct call *call, const struct address_change *change) MUST_CHECK;

// ---- removal ----

// Has what all services hold of an account that the user service does not know removed, by a job of that service. May
// be repeated safely. Waits for the reply.
enum status auth_peers_remove_account_data(struct service *service, const char *user_id,
                                           struct arena *arena) MUST_CHECK;

#endif
