// The services that the gateway itself is, behind the interface by which others are called (common/rpc/backend.h): an
// exchange does not know the difference. They are those that gRPC's tools look for, grpc.health.v1 and
// grpc.reflection.v1.
//
// Calls go on in own_services_process only, so that nothing is called from inside a call.
#ifndef BULKHEAD_GATEWAY_OWN_SERVICES_H
#define BULKHEAD_GATEWAY_OWN_SERVICES_H

#include <stdbool.h>
#include <stdint.h>

#include "common/rpc/backend.h"
#include "gateway/api.h"

struct own_services;

struct own_services_options {
  const struct api *api;
  // Tells whether calls of a service, such as "item", reach it; of all services where it is NULL. Without: always.
  bool (*is_ready)(void *arg, const char *service);
  void *arg;
};

// Tells whether one of their methods has this name.
bool own_services_offer(struct slice full_name);
struct own_services *own_services_create(const struct own_services_options *options);
// Frees the services, which must have no call. Nulls the pointer and accepts NULL in it.
void own_services_free(struct own_services **own);

// Finds one of their methods by its full name, as those of contracts are found. It is as the contracts say, but that
// anybody may call it. NULL where there is none.
const struct contract_method *own_services_find(const struct own_services *own, struct slice full_name);
// Tells whether the method is one of those.
bool own_services_have(const struct own_services *own, const struct contract_method *method);
struct backend own_services_backend(struct own_services *own);

// Goes on with the calls that have something to do, and looks after the others.
void own_services_process(struct own_services *own, uint64_t now_us);
// Returns when own_services_process must run next; DEADLINE_NONE for never.
uint64_t own_services_next_timeout_us(const struct own_services *own);

#endif
