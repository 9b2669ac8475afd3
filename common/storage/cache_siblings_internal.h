// Carries out what cache_outage.c asks for: statements on the table of instances, and questions to them. Each runs in a
// task of its own, which the loop starts.
#ifndef BULKHEAD_STORAGE_CACHE_SIBLINGS_INTERNAL_H
#define BULKHEAD_STORAGE_CACHE_SIBLINGS_INTERNAL_H

struct cache_coherence;
struct cache_options;
struct cache_siblings;

// `coherence` must outlive it.
struct cache_siblings *cache_siblings_create(struct cache_coherence *coherence, const struct cache_options *options);
// Tells the others that this instance ends, takes its row away if PostgreSQL is there, and waits for all tasks. Nulls
// the pointer; accepts NULL. Called from a task.
void cache_siblings_free(struct cache_siblings **siblings);

void cache_siblings_set_address(struct cache_siblings *siblings, const char *address);
// Begins soon what is due, because something has happened. Accepts NULL.
void cache_siblings_wake(struct cache_siblings *siblings);

#endif
