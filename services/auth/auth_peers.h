// Calls from the auth service to the user service.
#ifndef BULKHEAD_SERVICES_AUTH_AUTH_PEERS_H
#define BULKHEAD_SERVICES_AUTH_AUTH_PEERS_H

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
};
// Reads an account by its id. NOT_FOUND where there is none. Waits for the reply.
enum status auth_peers_find_account(struct call *call, const char *user_id, struct account_facts *account) MUST_CHECK;
// Does so in background work, where `call` is NULL.
enum status auth_peers_read_account(struct service *service, struct call *call, const char *user_id,
                                    struct arena *arena, struct account_facts *account) MUST_CHECK;

#endif
