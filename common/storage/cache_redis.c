#include "common/storage/cache_redis_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/random.h"
#include "common/base/wire.h"

enum { LEASE_MS = 5000, MAX_VALUE_BYTES = 1 << 20, KEYS_A_CALL = 500, VALUE_HEADER = 1 + CACHE_EPOCH_SIZE };

// Begins an epoch. KEYS: the epoch. ARGV: channel, kind of message. Returns the new epoch.
static const char BEGIN_SCRIPT[] = "local epoch = tonumber(redis.call('GET', KEYS[1])) or 0 "
                                   "local time = redis.call('TIME') "
                                   "local now = tonumber(time[1]) * 1000000 + tonumber(time[2]) "
                                   "if now > epoch then epoch = now else epoch = epoch + 1 end "
                                   "local text = string.format('%016.0f', epoch) "
                                   "redis.call('SET', KEYS[1], text) "
                                   "redis.call('PUBLISH', ARGV[1], ARGV[2] .. text) "
                                   "return text";
// Takes a lease. KEYS: the key. ARGV: token, lease in ms, first epoch that is accepted. Returns an accepted value, 1
// for a lease, or 0 when another loader has one.
static const char LEASE_SCRIPT[] = "local value = redis.call('GET', KEYS[1]) "
                                   "if value then "
                                   "  local kind = string.sub(value, 1, 1) "
                                   "  if kind == 'v' and string.sub(value, 2, 17) >= ARGV[3] then return value end "
                                   "  if kind == 't' then return 0 end "
                                   "end "
                                   "redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) "
                                   "return 1";
// Puts a value in place of a lease. KEYS: the key. ARGV: token, value, lifetime in ms.
static const char PUT_SCRIPT[] = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end "
                                 "redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) "
                                 "return 1";
// Invalidates keys. KEYS: the keys. ARGV: channel, message. Returns the number of subscribers.
static const char INVALIDATE_SCRIPT[] = "for i = 1, #KEYS do redis.call('DEL', KEYS[i]) end "
                                        "return redis.call('PUBLISH', ARGV[1], ARGV[2])";

// A call whose outcome counts even after the task that made it has left.
struct cache_call {
  struct list node;
  struct cache_redis *shared;
  struct redis_call *call;
  struct completion *waiter;  // NULL when no task waits
  uint64_t generation;
  bool announces_loss;  // tells the other instances to accept nothing of earlier epochs
  int64_t integer;      // the reply, where it is one
};

static char *join_texts(const char *a, const char *b, const char *c)
{
  struct strbuf text;
  strbuf_init(&text, 0);
  strbuf_printf(&text, "%s%s%s", a, b, c);
  char *copy = memory_copy_text(strbuf_slice(&text));
  strbuf_free(&text);
  return copy;
}

static struct slice make_redis_key(const struct cache_redis *shared, struct slice key, struct arena *arena)
{
  size_t prefix = strlen(shared->prefix);
  char *bytes = arena_alloc(arena, prefix + key.size);
  memcpy(bytes, shared->prefix, prefix);
  if (key.size > 0)
    memcpy(bytes + prefix, key.data, key.size);
  return slice_make(bytes, prefix + key.size);
}

static struct cache_call *create_call(struct cache_redis *shared)
{
  struct cache_call *call = calloc(1, sizeof(*call));
  CHECK(call != NULL);
  call->shared = shared;
  call->generation = shared->generation;
  list_append(&shared->calls, &call->node);
  return call;
}

static void free_call(struct cache_call *call)
{
  list_remove(&call->node);
  free(call);
}

// ---- states and epochs ----

// The one place that changes the state.
static void enter_state(struct cache_redis *shared, enum cache_redis_state state)
{
  shared->state = state;
}

static bool is_epoch(struct slice text)
{
  if (text.size != CACHE_EPOCH_SIZE)
    return false;
  for (size_t i = 0; i < text.size; i++)
    if (text.data[i] < '0' || text.data[i] > '9')
      return false;
  return true;
}

static void raise_epoch(char *current, struct slice epoch)
{
  if (memcmp(current, epoch.data, CACHE_EPOCH_SIZE) < 0)
    memcpy(current, epoch.data, CACHE_EPOCH_SIZE);
}

static void handle_epoch_begun(void *arg, enum status status, const redisReply *reply)
{
  struct cache_call *call = arg;
  struct cache_redis *shared = call->shared;
  bool current = call->generation == shared->generation;
  bool announced_loss = call->announces_loss;
  free_call(call);
  if (status != STATUS_OK)
    redis_log_error(reply);
  if (status != STATUS_OK || reply->type != REDIS_REPLY_STRING)
    return;
  struct slice epoch = slice_make(reply->str, (size_t)reply->len);
  if (!is_epoch(epoch))
    return;
  raise_epoch(shared->known, epoch);
  raise_epoch(shared->accepted, epoch);
  if (!current)
    return;
  if (announced_loss)
    shared->invalidation_lost = false;
  if (shared->state == CACHE_REDIS_SUBSCRIBED)
    enter_state(shared, CACHE_REDIS_READY);
}

static void begin_epoch(struct cache_redis *shared)
{
  if (shared->state == CACHE_REDIS_UNSUBSCRIBED || !redis_up(shared->redis))
    return;
  struct cache_call *call = create_call(shared);
  call->announces_loss = shared->invalidation_lost;
  const struct slice words[] = {SLICE("EVAL"),
                                slice_from_string(BEGIN_SCRIPT),
                                SLICE("1"),
                                slice_from_string(shared->epoch_key),
                                slice_from_string(shared->channel),
                                shared->invalidation_lost ? SLICE("*") : SLICE("+")};
  call->call = redis_call_start(shared->redis, words, ARRAY_LEN(words), handle_epoch_begun, call);
  if (call->call == NULL)
    free_call(call);
}

bool cache_redis_hears_all(const struct cache_redis *shared)
{
  return shared->state != CACHE_REDIS_UNSUBSCRIBED && clock_now_us() >= shared->settled_us;
}

static bool is_ready(const struct cache_redis *shared)
{
  return shared->state == CACHE_REDIS_READY && cache_redis_hears_all(shared);
}

static void handle_commands_state(void *arg, bool up)
{
  struct cache_redis *shared = arg;
  if (up) {
    begin_epoch(shared);
    return;
  }
  shared->generation++;
  if (shared->state == CACHE_REDIS_READY)
    enter_state(shared, CACHE_REDIS_SUBSCRIBED);
}

static void handle_subscription_state(void *arg, bool subscribed)
{
  struct cache_redis *shared = arg;
  if (subscribed) {
    enter_state(shared, CACHE_REDIS_SUBSCRIBED);
    shared->settled_us = deadline_after_ms(clock_now_us(), shared->settle_ms);
    begin_epoch(shared);
    return;
  }
  shared->generation++;
  enter_state(shared, CACHE_REDIS_UNSUBSCRIBED);
  shared->events.all_invalidated(shared->events.arg);
}

// ---- messages ----

// Takes the keys of a "k" message: field 1 in protobuf's wire format, repeated.
static bool take_keys(struct cache_redis *shared, struct slice bytes)
{
  struct wire_reader reader = wire_reader_make(bytes);
  struct wire_field field;
  enum wire_result result;
  while ((result = wire_read(&reader, &field)) == WIRE_FIELD)
    if (field.number == 1 && field.type == WIRE_BYTES)
      shared->events.invalidated(shared->events.arg, field.bytes);
  return result == WIRE_END;
}

// Takes a message. "k" and keys: they are invalid. "+" and an epoch: an instance has begun it. "*" and an epoch: an
// instance has begun it, and nothing of earlier epochs is to be accepted. Any other message may be a newer version's,
// so everything counts as invalid then.
static void handle_message(void *arg, struct slice payload)
{
  struct cache_redis *shared = arg;
  char kind = payload.size == 0 ? '\0' : payload.data[0];
  struct slice rest = slice_skip(payload, 1);
  if (kind == 'k' && take_keys(shared, rest))
    return;
  bool has_epoch = (kind == '+' || kind == '*') && is_epoch(rest);
  if (has_epoch)
    raise_epoch(shared->known, rest);
  if (has_epoch && kind == '+')
    return;
  if (has_epoch)
    raise_epoch(shared->accepted, rest);
  shared->events.all_invalidated(shared->events.arg);
}

// ---- creating and freeing ----

void cache_redis_init(struct cache_redis *shared, const struct cache_options *options, uint32_t ttl_ms,
                      const struct cache_redis_events *events)
{
  const char *name = options->name;
  struct redis *redis = options->redis;
  *shared = (struct cache_redis){.redis = redis, .events = *events, .ttl_ms = ttl_ms, .settle_ms = options->settle_ms};
  list_init(&shared->calls);
  memset(shared->accepted, '0', CACHE_EPOCH_SIZE);
  memset(shared->known, '0', CACHE_EPOCH_SIZE);
  shared->prefix = join_texts("cache:", name, ":");
  shared->epoch_key = join_texts("cache-epoch:", name, "");
  shared->channel = join_texts("cache-changes:", name, "");
  shared->observer = (struct redis_observer){.changed = handle_commands_state, .arg = shared};
  redis_observe(redis, &shared->observer);
  redis_subscribe(redis, shared->channel, handle_message, handle_subscription_state, shared);
}

void cache_redis_clear(struct cache_redis *shared)
{
  redis_unobserve(&shared->observer);
  redis_unsubscribe(shared->redis, shared->channel, shared);
  while (!list_empty(&shared->calls)) {
    struct cache_call *call = CONTAINER_OF(shared->calls.next, struct cache_call, node);
    redis_call_forget(call->call);
    free_call(call);
  }
  free(shared->prefix);
  free(shared->epoch_key);
  free(shared->channel);
  *shared = (struct cache_redis){0};
}

// ---- values ----

static bool accept_value(const struct cache_redis *shared, const struct redis_reply *reply, struct slice *value)
{
  struct slice stored = reply->string;
  if (reply->type != REDIS_STRING || stored.size < VALUE_HEADER || stored.data[0] != 'v' ||
      memcmp(stored.data + 1, shared->accepted, CACHE_EPOCH_SIZE) < 0)
    return false;
  *value = slice_make(stored.data + VALUE_HEADER, stored.size - VALUE_HEADER);
  return true;
}

static void init_lease(const struct cache_redis *shared, struct cache_lease *lease)
{
  uint64_t number[2];
  random_bytes(number, sizeof(number));
  snprintf(lease->token, sizeof(lease->token), "t%016llx%016llx", (unsigned long long)number[0],
           (unsigned long long)number[1]);
  memcpy(lease->epoch, shared->known, sizeof(lease->epoch));
  lease->generation = shared->generation;
}

static enum status take_lease(struct cache_redis *shared, struct slice key, struct arena *arena, struct slice *value,
                              struct cache_lease *lease)
{
  init_lease(shared, lease);
  char lease_ms[16];
  snprintf(lease_ms, sizeof(lease_ms), "%d", LEASE_MS);
  const struct slice words[] = {SLICE("EVAL"),
                                slice_from_string(LEASE_SCRIPT),
                                SLICE("1"),
                                key,
                                slice_from_string(lease->token),
                                slice_from_string(lease_ms),
                                slice_from_string(shared->accepted)};
  struct redis_reply reply;
  enum status status = redis_command(shared->redis, words, ARRAY_LEN(words), arena, &reply);
  if (status != STATUS_OK)
    return status;
  lease->taken = reply.type == REDIS_INTEGER && reply.integer == 1;
  return is_ready(shared) && accept_value(shared, &reply, value) ? STATUS_OK : STATUS_NOT_FOUND;
}

enum status cache_redis_get(struct cache_redis *shared, struct slice key, struct arena *arena, struct slice *value,
                            struct cache_lease *lease)
{
  *lease = (struct cache_lease){0};
  if (!is_ready(shared))
    return STATUS_UNAVAILABLE;
  struct slice stored_key = make_redis_key(shared, key, arena);
  const struct slice words[] = {SLICE("GET"), stored_key};
  struct redis_reply reply;
  enum status status = redis_command(shared->redis, words, ARRAY_LEN(words), arena, &reply);
  if (status != STATUS_OK)
    return status;
  if (!is_ready(shared))
    return STATUS_UNAVAILABLE;
  if (accept_value(shared, &reply, value))
    return STATUS_OK;
  if (reply.type == REDIS_STRING && reply.string.size > 0 && reply.string.data[0] == 't')
    return STATUS_NOT_FOUND;  // another loader has the lease
  return take_lease(shared, stored_key, arena, value, lease);
}

void cache_redis_put(struct cache_redis *shared, struct slice key, struct slice value, const struct cache_lease *lease)
{
  if (!lease->taken || lease->generation != shared->generation || !is_ready(shared) || value.size > MAX_VALUE_BYTES)
    return;
  struct arena arena = {0};
  char *stored = arena_alloc(&arena, VALUE_HEADER + value.size);
  stored[0] = 'v';
  memcpy(stored + 1, lease->epoch, CACHE_EPOCH_SIZE);
  if (value.size > 0)
    memcpy(stored + VALUE_HEADER, value.data, value.size);
  const struct slice words[] = {SLICE("EVAL"),
                                slice_from_string(PUT_SCRIPT),
                                SLICE("1"),
                                make_redis_key(shared, key, &arena),
                                slice_from_string(lease->token),
                                slice_make(stored, VALUE_HEADER + value.size),
                                slice_from_string(arena_printf(&arena, "%u", shared->ttl_ms))};
  (void)redis_send(shared->redis, words, ARRAY_LEN(words));
  arena_free(&arena);
}

// ---- invalidation ----

// Runs also when the calling task has left, because a failure must not get lost.
static void handle_invalidated(void *arg, enum status status, const redisReply *reply)
{
  struct cache_call *call = arg;
  struct cache_redis *shared = call->shared;
  if (status != STATUS_OK) {
    shared->invalidation_lost = true;
    // A server that refuses is still there. A new connection begins an epoch, and that announces the loss.
    if (redis_up(shared->redis))
      redis_link_drop(&shared->redis->commands, reply == NULL ? "an invalidation failed" : reply->str);
  }
  if (call->waiter == NULL) {
    free_call(call);
    return;
  }
  call->integer = status == STATUS_OK && reply->type == REDIS_REPLY_INTEGER ? reply->integer : 0;
  list_remove(&call->node);  // the waiting task frees it
  completion_finish(call->waiter, status);
}

// Sends one invalidation and waits. `*subscribers` is the number of instances that Redis published it to.
static enum status send_invalidation(struct cache_redis *shared, const struct slice *words, size_t count,
                                     int64_t *subscribers)
{
  struct completion done = {.what = "Redis"};
  struct cache_call *call = create_call(shared);
  call->waiter = &done;
  call->call = redis_call_start(shared->redis, words, count, handle_invalidated, call);
  if (call->call == NULL) {
    shared->invalidation_lost = shared->redis->configured;
    free_call(call);
    return STATUS_UNAVAILABLE;
  }
  enum status status = completion_wait(&done);
  if (!done.done) {
    call->waiter = NULL;
    return status;
  }
  *subscribers = call->integer;
  free_call(call);
  return done.status;
}

static enum status invalidate_keys(struct cache_redis *shared, const struct slice *keys, size_t count,
                                   int64_t *subscribers)
{
  struct arena arena = {0};
  struct strbuf payload;
  strbuf_init(&payload, 0);
  strbuf_add_byte(&payload, 'k');
  struct slice *words = arena_array(&arena, count + 5, sizeof(*words));
  words[0] = SLICE("EVAL");
  words[1] = slice_from_string(INVALIDATE_SCRIPT);
  words[2] = slice_from_string(arena_printf(&arena, "%zu", count));
  for (size_t i = 0; i < count; i++) {
    wire_write_bytes(&payload, 1, keys[i]);
    words[3 + i] = make_redis_key(shared, keys[i], &arena);
  }
  words[3 + count] = slice_from_string(shared->channel);
  words[4 + count] = strbuf_slice(&payload);
  enum status status = send_invalidation(shared, words, count + 5, subscribers);
  strbuf_free(&payload);
  arena_free(&arena);
  return status;
}

// Waits until Redis has written a published message to its subscribers. It may answer PUBLISH before that; a second
// command is answered in a later turn of its loop, after those writes.
static void await_delivery(struct cache_redis *shared)
{
  struct arena arena = {0};
  struct redis_reply reply;
  const struct slice ping = SLICE("PING");
  // A failure means that the link broke, which is logged there, or that the caller's time is over.
  enum status ignored = redis_command(shared->redis, &ping, 1, &arena, &reply);
  (void)ignored;
  arena_free(&arena);
}

void cache_redis_invalidate(struct cache_redis *shared, const struct slice *keys, size_t count)
{
  int64_t subscribers = 0;
  enum status status = STATUS_OK;
  // Every key is sent, even when the caller's time is over: Redis carries out what was sent without waiting for it.
  for (size_t i = 0; i < count; i += KEYS_A_CALL) {
    size_t some = count - i < KEYS_A_CALL ? count - i : KEYS_A_CALL;
    enum status sent = invalidate_keys(shared, keys + i, some, &subscribers);
    status = status == STATUS_OK ? sent : status;
  }
  // The only subscriber may be this instance itself.
  if (status == STATUS_OK && subscribers > 1)
    await_delivery(shared);
}
