// What the user service asks of the auth service.
#ifndef BULKHEAD_SERVICES_USER_USER_PEERS_H
#define BULKHEAD_SERVICES_USER_USER_PEERS_H

#include "common/base/arena.h"
#include "common/base/status.h"

struct call;
struct service;

// Both can be repeated. `call` is NULL for the sweep. They wait.
enum status user_peers_create_credential(struct service *service, struct call *call, const char *user_id,
                                         const char *password, struct arena *arena) MUST_CHECK;
enum status user_peers_delete_credential(struct service *service, struct call *call, const char *user_id,
                                         struct arena *arena) MUST_CHECK;

#endif
