// Removes credentials that have no account: what sign-ups that failed half-way and deleted accounts left in the auth
// service.
#ifndef BULKHEAD_SERVICES_USER_USER_SWEEP_H
#define BULKHEAD_SERVICES_USER_USER_SWEEP_H

struct service;

// Starts the sweep, a background task that runs until the service drains. Several instances share the work (FOR UPDATE
// SKIP LOCKED).
void user_sweep_start(struct service *service);

#endif
