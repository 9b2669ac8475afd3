// The life of a service process: settings, log, (command), loop, PostgreSQL and Redis, start, listen, register, serve;
// after SIGTERM deregister, drain, stop. A service's main is a table.
#ifndef BULKHEAD_SERVICE_SERVICE_H
#define BULKHEAD_SERVICE_SERVICE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/config/settings.h"
#include "common/runtime/loop.h"
#include "common/service/call.h"
#include "common/storage/cache.h"
#include "common/storage/migrate.h"
#include "common/storage/pg.h"
#include "common/storage/redis.h"

struct job_kind;
struct resource;
struct service;
struct token_public_key;

// A sub-command of the binary beside serve and migrate, such as `auth grant-role admin <user id>`. It runs as a task
// with PostgreSQL connected and peers callable; service_state is NULL, because nothing has been started. `argv` holds
// the arguments behind the command's name.
struct service_command {
  const char *name;
  const char *arguments;  // for the help: "<role> <user-id>"
  const char *help;
  int min_arguments;
  int max_arguments;
  enum status (*run)(struct service *service, int argc, char **argv, struct error *error);
};

struct service_definition {
  const char *name;                // "item", in Consul, logs and metrics
  const struct setting *settings;  // the service's own, beside the common ones
  size_t setting_count;
  size_t settings_size;  // size of the struct that the settings fill
  const struct rpc_binding *bindings;
  size_t binding_count;
  // The resources that handlers answer for (resource.h), ended by NULL; NULL where there are none. They are checked
  // before the first call is taken.
  const struct resource *const *resources;
  // Services that this one calls ("auth"): their endpoints are followed from the start. The endpoints of any other are
  // followed from the first call on, which then waits for the answer of discovery.
  const char *const *peers;
  size_t peer_count;
  // The service that issues users' access tokens, as its contract declares it, and its method that answers with the
  // public keys: {&auth_v1_auth_service, "GetJwks"}. NULL for that service itself, which calls service_set_token_keys.
  const struct rpc_service *token_issuer;
  const char *token_keys_method;
  const struct migration_set *migrations;
  const struct service_command *commands;
  size_t command_count;
  // The kinds of background work that the service adds to its queue and runs (jobs.h). They run between `start` and
  // `stop`.
  const struct job_kind *jobs;
  size_t job_count;
  // Builds the state, before the first call is taken: runs as a task, with PostgreSQL connected and migrated.
  // Background tasks are started here. Where it fails with UNAVAILABLE or DEADLINE_EXCEEDED it is called again, so it
  // leaves nothing behind then. NULL if there is nothing to do, as with `stop`.
  enum status (*start)(struct service *service, void **state, struct error *error);
  // Ends what `start` has built: runs as a task after the last call and the last background task have ended, and only
  // if `start` succeeded.
  void (*stop)(struct service *service, void *state);
};

// The main() of every service. Sub-commands: serve (the default), migrate up|down [n]|status|create <name>,
// check-config, help, version and the service's own. Returns the exit code: 0, 1 for a failure, 2 for wrong usage or
// settings.
int service_main(const struct service_definition *definition, int argc, char **argv);

const void *service_settings(const struct service *service);
const struct resource *const *service_resources(const struct service *service);
struct loop *service_loop(struct service *service);
struct pg *service_pg(struct service *service);
struct redis *service_redis(struct service *service);
// Makes a cache of what is in the service's PostgreSQL. `options` has its name, max_bytes and ttl_ms; the rest is the
// service's. Other instances reach it over RPC until service_cache_free.
struct cache *service_cache_create(struct service *service, const struct cache_options *options);
// Frees a cache and nulls the pointer; accepts NULL. Called from a task, such as the service's stop function.
void service_cache_free(struct service *service, struct cache **cache);
void *service_state(const struct service *service);
// What access tokens say of their issuer and their audience.
const char *service_token_issuer(const struct service *service);
const char *service_token_audience(const struct service *service);
// For the service that issues access tokens: sets the public keys by which it verifies those of its callers. Fails as
// token_verifier_set_keys does.
enum status service_set_token_keys(struct service *service, const struct token_public_key *keys, size_t count,
                                   struct error *error) MUST_CHECK;

// Starts a background task without a deadline in the next turn of the loop. It lives as long as the service serves: it
// is cancelled at the drain, after the last call has ended, and waited for before `stop`.
void service_background(struct service *service, void (*body)(void *arg), void *arg);

#endif
