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

#endif
