// How the caches of a service reach their other instances over RPC (process.cache.v1), beside PostgreSQL.
#ifndef BULKHEAD_SERVICE_CACHE_INSTANCES_INTERNAL_H
#define BULKHEAD_SERVICE_CACHE_INSTANCES_INTERNAL_H

#include "common/base/list.h"
#include "common/storage/cache.h"
#include "process/cache/v1/instances.bh.h"

struct service;

// The caches of a process, and its connections to other instances of the service.
struct cache_instances {
  struct list caches;       // struct known_cache
  struct list connections;  // struct instance_connection
  const char *url;          // where this process is reached; NULL before it listens
};

extern const struct process_cache_v1_instances_handlers cache_instances_handlers;

void cache_instances_init(struct cache_instances *instances);
void cache_instances_add(struct cache_instances *instances, struct cache *cache, const char *name);
// Takes a cache away that is about to be freed; does nothing where it is not there.
void cache_instances_remove(struct cache_instances *instances, const struct cache *cache);
// Says where this process is reached; `url` must outlive it.
void cache_instances_set_url(struct cache_instances *instances, const char *url);
// Says that this process is about to end, and takes all caches away.
void cache_instances_retire(struct cache_instances *instances);
// Closes the connections. Accepts one that was never initialised.
void cache_instances_clear(struct cache_instances *instances);

// A cache_ask_fn; `arg` is the service.
enum status cache_instances_ask(void *arg, const struct cache_question *question, struct cache_reply *reply) MUST_CHECK;

#endif
