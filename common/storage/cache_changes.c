// Changes of what is cached, in both tiers, and what instances ask each other because of them.
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/hash.h"
#include "common/runtime/task.h"
#include "common/storage/cache_internal.h"
#include "common/storage/cache_siblings_internal.h"

struct cache_change {
  struct cache *cache;
  struct cache_announced announced;
  struct cache_hidden hidden;  // epoch 0: nothing is hidden
  struct redis_call *hiding;   // while Redis has not answered
  uint64_t hidden_us;          // when Redis was asked to hide the keys
  bool bound;                  // what the task sends is limited
  bool has_value;              // `value` was given to be kept
  struct slice value;
  struct completion hidden_done;
};

static void handle_hidden(void *arg, enum status status, const redisReply *reply)
{
  struct cache_change *change = arg;
  struct redis *redis = change->cache->shared.redis;
  change->hiding = NULL;
  // Redis refuses. A new connection starts an epoch, in which nothing is left to be hidden.
  if (status != STATUS_OK && redis_up(redis))
    redis_link_drop(&redis->commands, reply == NULL ? "a cached value could not be hidden" : reply->str);
  completion_finish(&change->hidden_done, status);
}

static void start_hiding(struct cache_change *change)
{
  struct cache *cache = change->cache;
  change->hidden.epoch = cache_coherence_epoch(&cache->coherence);
  if (change->hidden.epoch == 0)
    return;
  change->hidden_us = clock_now_us();
  change->hidden_done = (struct completion){.what = "Redis"};
  change->hiding = cache_redis_hide(&cache->shared, &change->hidden, handle_hidden, change);
  if (change->hiding == NULL)
    completion_finish(&change->hidden_done, STATUS_UNAVAILABLE);
}

struct cache_change *cache_change_begin(struct cache *cache, const struct slice *keys, size_t count)
{
  if (cache == NULL || !cache_is_on(cache) || count == 0)
    return NULL;
  struct cache_change *change = calloc(1, sizeof(*change));
  CHECK(change != NULL);
  *change = (struct cache_change){.cache = cache, .hidden = {.keys = keys, .count = count}};
  cache_coherence_announce(&cache->coherence, keys, count, &change->announced);
  start_hiding(change);
  return change;
}

// Announces the keys again: the others learn with it that this instance has lost Redis.
static void announce_again(struct cache_change *change)
{
  struct cache_announced before = change->announced;
  struct cache_coherence *coherence = &change->cache->coherence;
  cache_coherence_announce(coherence, change->hidden.keys, change->hidden.count, &change->announced);
  cache_coherence_end(coherence, &before, true);
}

static enum status finish_hiding(struct cache_change *change)
{
  if (change->hidden.epoch == 0)
    return STATUS_OK;
  enum status status = completion_wait(&change->hidden_done);
  if (!change->hidden_done.done)
    return status;
  if (change->hidden_done.status != STATUS_OK) {
    change->hidden.epoch = 0;
    announce_again(change);
  }
  return STATUS_OK;
}

// Tells whether values are used in another epoch by now, where the keys are not hidden.
static bool is_epoch_over(const struct cache_change *change)
{
  uint64_t epoch = cache_coherence_epoch(&change->cache->coherence);
  return epoch != 0 && epoch != change->hidden.epoch;
}

// Tells whether the keys may show again before a write of now has taken effect.
static bool is_hiding_old(const struct cache_change *change)
{
  return change->hidden.epoch != 0 && clock_now_us() > change->hidden_us + cache_ms_as_us(CACHE_TOMBSTONE_MARGIN_MS);
}

static void unbind_task(struct cache_change *change)
{
  if (change->bound)
    task_unlimit_sending();
  change->bound = false;
}

// Limits what the task sends, so that the write can begin only while the other instances remember the change. They
// count from the last message of this instance that they have heard, and not from the confirmation.
static void bind_task(struct cache_change *change)
{
  const struct cache *cache = change->cache;
  if (cache->begin_ms == 0)
    return;
  change->bound = true;
  task_limit_sending(cache->coherence.outage.lease_began_us + cache_ms_as_us(cache->begin_ms));
}

static enum status confirm_everywhere(struct cache_change *change)
{
  for (;;) {
    enum status status = finish_hiding(change);
    if (status == STATUS_OK)
      status = cache_coherence_confirm(&change->cache->coherence, &change->announced);
    if (status != STATUS_OK || (!is_epoch_over(change) && !is_hiding_old(change)))
      return status;
    start_hiding(change);
  }
}

enum status cache_change_confirm(struct cache_change *change)
{
  if (change == NULL)
    return STATUS_OK;
  unbind_task(change);
  enum status status = confirm_everywhere(change);
  if (status == STATUS_OK)
    bind_task(change);
  return status;
}

bool cache_change_is_late(struct cache_change *change, enum status status)
{
  if (change == NULL || !change->bound || status != STATUS_DEADLINE_EXCEEDED || task_effect() == TASK_EFFECT_UNKNOWN)
    return false;
  unbind_task(change);
  return task_check() == STATUS_OK;
}

void cache_change_keep(struct cache_change *change, struct slice value)
{
  if (change == NULL)
    return;
  CHECK(change->hidden.count == 1);
  change->has_value = true;
  change->value = value;
}

// Ends the change in both tiers, and leaves its value there, where it may.
static void end_known(struct cache_change *change)
{
  struct cache *cache = change->cache;
  struct slice key = change->hidden.keys[0];
  bool keeps = change->has_value && cache_coherence_may_keep(&cache->coherence, &change->announced);
  cache_coherence_end(&cache->coherence, &change->announced, true);
  if (keeps)
    cache_put_in_memory(cache, key, hash_bytes(key), change->value, cache->ttl_ms);
  if (change->hidden.epoch != 0)
    cache_redis_show(&cache->shared, &change->hidden, keeps ? &change->value : NULL);
}

void cache_change_end(struct cache_change **change, bool known)
{
  struct cache_change *ended = *change;
  if (ended == NULL)
    return;
  *change = NULL;
  unbind_task(ended);
  if (ended->hiding != NULL)
    redis_call_forget(ended->hiding);
  if (known)
    end_known(ended);
  else
    cache_coherence_end(&ended->cache->coherence, &ended->announced, false);
  free(ended);
}

// ---- with other instances ----

static struct cache_coherence *coherence_with_siblings(struct cache *cache)
{
  return cache != NULL && cache_is_on(cache) && cache->coherence.siblings != NULL ? &cache->coherence : NULL;
}

void cache_set_address(struct cache *cache, const char *address)
{
  struct cache_coherence *coherence = coherence_with_siblings(cache);
  if (coherence != NULL)
    cache_siblings_set_address(coherence->siblings, address);
}

void cache_answer(struct cache *cache, const struct cache_question *question, struct cache_reply *reply)
{
  *reply = (struct cache_reply){.agreed = false};
  struct cache_coherence *coherence = coherence_with_siblings(cache);
  if (coherence == NULL)
    return;
  memcpy(reply->instance, coherence->name, sizeof(reply->instance));
  // An instance that has ended may have had an address at which this one is reached now.
  if (strcmp(question->asker, coherence->name) == 0)
    return;
  if (question->has_left) {
    outage_gone(&coherence->outage, slice_from_string(question->asker), clock_now_us());
    cache_siblings_wake(coherence->siblings);
    reply->agreed = true;
    return;
  }
  if (!question->is_telling) {
    reply->agreed =
        outage_promise(&coherence->outage, slice_from_string(question->asker), question->generation, clock_now_us());
    return;
  }
  outage_told(&coherence->outage, clock_now_us());
  cache_siblings_wake(coherence->siblings);
  reply->agreed = true;
}

void cache_retire(struct cache *cache)
{
  struct cache_coherence *coherence = coherence_with_siblings(cache);
  if (coherence != NULL)
    outage_retire(&coherence->outage, clock_now_us());
}
