#include "common/storage/cache_shared_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/base/wire.h"

enum { LEASE_MS = 5000, MAX_VALUE_BYTES = 1 << 20, KEYS_A_CALL = 500, VALUE_HEADER = 1 + CACHE_EPOCH_SIZE };

// KEYS: epoch. ARGV: channel, kind of message. Returns the epoch begun.
static const char BEGIN_SCRIPT[] = "local epoch = tonumber(redis.call('GET', KEYS[1])) or 0 "
                                   "local time = redis.call('TIME') "
                                   "local now = tonumber(time[1]) * 1000000 + tonumber(time[2]) "
                                   "if now > epoch then epoch = now else epoch = epoch + 1 end "
                                   "local text = string.format('%016.0f', epoch) "
                                   "redis.call('SET', KEYS[1], text) "
                                   "redis.call('PUBLISH', ARGV[1], ARGV[2] .. text) "
                                   "return text";
// KEYS: key. ARGV: token, lease in ms, first epoch that counts. Returns a value that counts, 1 for a lease, or 0.
static const char LEASE_SCRIPT[] = "local value = redis.call('GET', KEYS[1]) "
                                   "if value then "
                                   "  local kind = string.sub(value, 1, 1) "
                                   "  if kind == 'v' and string.sub(value, 2, 17) >= ARGV[3] then return value end "
                                   "  if kind == 't' then return 0 end "
                                   "end "
                                   "redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) "
                                   "return 1";
// KEYS: key. ARGV: token, value, lifetime in ms.
static const char PUT_SCRIPT[] = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end "
                                 "redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) "
                                 "return 1";
// KEYS: keys. ARGV: channel, message. Returns the number of subscribers.
static const char INVALIDATE_SCRIPT[] = "for i = 1, #KEYS do redis.call('DEL', KEYS[i]) end "
                                        "return redis.call('PUBLISH', ARGV[1], ARGV[2])";

// A call whose end we want to know, also when the task that made it has gone.
struct shared_call {
  struct list node;
  struct cache_shared *shared;
  struct redis_call *call;
  struct completion *waiter;  // or NULL
  uint64_t generation;
  bool tells_failure;
  int64_t integer;
};

static char *join(const char *a, const char *b, const char *c)
{
  struct strbuf text;
  strbuf_init(&text, 0);
  strbuf_printf(&text, "%s%s%s", a, b, c);
  char *copy = strdup(strbuf_cstring(&text));
  CHECK(copy != NULL);
  strbuf_free(&text);
  return copy;
}

static struct slice redis_key(const struct cache_shared *shared, struct slice key, struct arena *arena)
{
  size_t prefix = strlen(shared->prefix);
  char *bytes = arena_alloc(arena, prefix + key.size);
  memcpy(bytes, shared->prefix, prefix);
  if (key.size > 0)
    memcpy(bytes + prefix, key.data, key.size);
  return slice_make(bytes, prefix + key.size);
}

// ---- epochs ----

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

static struct shared_call *call_new(struct cache_shared *shared)
{
  struct shared_call *call = calloc(1, sizeof(*call));
  CHECK(call != NULL);
  call->shared = shared;
  call->generation = shared->generation;
  list_append(&shared->pending, &call->node);
  return call;
}

static void call_free(struct shared_call *call)
{
  list_remove(&call->node);
  free(call);
}

static void begun(void *arg, enum status status, const redisReply *reply)
{
  struct shared_call *call = arg;
  struct cache_shared *shared = call->shared;
  bool current = call->generation == shared->generation;
  bool told = call->tells_failure;
  call_free(call);
  if (status != STATUS_OK || reply->type != REDIS_REPLY_STRING)
    return;
  struct slice epoch = slice_make(reply->str, (size_t)reply->len);
  if (!is_epoch(epoch))
    return;
  raise_epoch(shared->known, epoch);
  raise_epoch(shared->accepted, epoch);
  if (told && current)
    shared->failed = false;
  shared->ready = current && shared->subscribed;
}

static void begin(struct cache_shared *shared)
{
  if (!shared->subscribed || !redis_up(shared->redis))
    return;
  struct shared_call *call = call_new(shared);
  call->tells_failure = shared->failed;
  const struct slice words[] = {SLICE("EVAL"),
                                slice_from_string(BEGIN_SCRIPT),
                                SLICE("1"),
                                slice_from_string(shared->epoch_key),
                                slice_from_string(shared->channel),
                                shared->failed ? SLICE("*") : SLICE("+")};
  call->call = redis_call_start(shared->redis, words, ARRAY_LEN(words), begun, call);
  if (call->call == NULL)
    call_free(call);
}

bool cache_shared_hears_all(const struct cache_shared *shared)
{
  return shared->subscribed && clock_now_us() >= shared->settled_us;
}

static bool is_ready(const struct cache_shared *shared)
{
  return shared->ready && cache_shared_hears_all(shared);
}

static void lose(struct cache_shared *shared)
{
  shared->ready = false;
  shared->generation++;
}

static void commands_changed(void *arg, bool up)
{
  struct cache_shared *shared = arg;
  if (up)
    begin(shared);
  else
    lose(shared);
}

static void subscription_changed(void *arg, bool subscribed)
{
  struct cache_shared *shared = arg;
  shared->subscribed = subscribed;
  if (subscribed) {
    shared->settled_us = deadline_after_ms(clock_now_us(), shared->settle_ms);
    begin(shared);
    return;
  }
  lose(shared);
  shared->events.all_changed(shared->events.arg);
}

// Messages: "k" and the keys, as field 1 of protobuf's wire format; "+" epoch: begun somewhere; "*" epoch: and nothing
// earlier counts. Anything else may be a newer version's: nothing that we have is safe.
static bool take_keys(struct cache_shared *shared, struct slice bytes)
{
  struct wire_reader reader = wire_reader_make(bytes);
  struct wire_field field;
  enum wire_result result;
  while ((result = wire_read(&reader, &field)) == WIRE_FIELD)
    if (field.number == 1 && field.type == WIRE_BYTES)
      shared->events.changed(shared->events.arg, field.bytes);
  return result == WIRE_END;
}

static void message(void *arg, struct slice payload)
{
  struct cache_shared *shared = arg;
  char kind = payload.size == 0 ? '\0' : payload.data[0];
  struct slice rest = slice_skip(payload, 1);
  if (kind == 'k' && take_keys(shared, rest))
    return;
  bool epoch = (kind == '+' || kind == '*') && is_epoch(rest);
  if (epoch)
    raise_epoch(shared->known, rest);
  if (epoch && kind == '+')
    return;
  if (epoch)
    raise_epoch(shared->accepted, rest);
  shared->events.all_changed(shared->events.arg);
}

// ---- life ----

void cache_shared_init(struct cache_shared *shared, const struct cache_options *options, uint32_t ttl_ms,
                       const struct cache_shared_events *events)
{
  const char *name = options->name;
  struct redis *redis = options->redis;
  *shared = (struct cache_shared){.redis = redis, .events = *events, .ttl_ms = ttl_ms, .settle_ms = options->settle_ms};
  list_init(&shared->pending);
  memset(shared->accepted, '0', CACHE_EPOCH_SIZE);
  memset(shared->known, '0', CACHE_EPOCH_SIZE);
  shared->prefix = join("cache:", name, ":");
  shared->epoch_key = join("cache-epoch:", name, "");
  shared->channel = join("cache-changes:", name, "");
  shared->listener = (struct redis_listener){.changed = commands_changed, .arg = shared};
  redis_listen(redis, &shared->listener);
  redis_subscribe(redis, shared->channel, message, subscription_changed, shared);
}

void cache_shared_free(struct cache_shared *shared)
{
  redis_unlisten(&shared->listener);
  redis_unsubscribe(shared->redis, shared->channel, shared);
  while (!list_empty(&shared->pending)) {
    struct shared_call *call = CONTAINER_OF(shared->pending.next, struct shared_call, node);
    redis_call_forget(call->call);
    call_free(call);
  }
  free(shared->prefix);
  free(shared->epoch_key);
  free(shared->channel);
}

// ---- values ----

static bool accept(const struct cache_shared *shared, const struct redis_reply *reply, struct slice *value)
{
  struct slice stored = reply->string;
  if (reply->type != REDIS_STRING || stored.size < VALUE_HEADER || stored.data[0] != 'v' ||
      memcmp(stored.data + 1, shared->accepted, CACHE_EPOCH_SIZE) < 0)
    return false;
  *value = slice_make(stored.data + VALUE_HEADER, stored.size - VALUE_HEADER);
  return true;
}

static enum status take_lease(struct cache_shared *shared, struct slice key, struct arena *arena, struct slice *value,
                              struct cache_lease *lease)
{
  uint64_t number[2];
  random_bytes(number, sizeof(number));
  snprintf(lease->token, sizeof(lease->token), "t%016llx%016llx", (unsigned long long)number[0],
           (unsigned long long)number[1]);
  memcpy(lease->epoch, shared->known, sizeof(lease->epoch));
  lease->generation = shared->generation;
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
  return is_ready(shared) && accept(shared, &reply, value) ? STATUS_OK : STATUS_NOT_FOUND;
}

enum status cache_shared_get(struct cache_shared *shared, struct slice key, struct arena *arena, struct slice *value,
                             struct cache_lease *lease)
{
  *lease = (struct cache_lease){0};
  if (!is_ready(shared))
    return STATUS_UNAVAILABLE;
  struct slice stored_key = redis_key(shared, key, arena);
  const struct slice words[] = {SLICE("GET"), stored_key};
  struct redis_reply reply;
  enum status status = redis_command(shared->redis, words, ARRAY_LEN(words), arena, &reply);
  if (status != STATUS_OK)
    return status;
  if (!is_ready(shared))
    return STATUS_UNAVAILABLE;
  if (accept(shared, &reply, value))
    return STATUS_OK;
  if (reply.type == REDIS_STRING && reply.string.size > 0 && reply.string.data[0] == 't')
    return STATUS_NOT_FOUND;  // another one is loading
  return take_lease(shared, stored_key, arena, value, lease);
}

void cache_shared_put(struct cache_shared *shared, struct slice key, struct slice value,
                      const struct cache_lease *lease)
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
                                redis_key(shared, key, &arena),
                                slice_from_string(lease->token),
                                slice_make(stored, VALUE_HEADER + value.size),
                                slice_from_string(arena_printf(&arena, "%u", shared->ttl_ms))};
  (void)redis_send(shared->redis, words, ARRAY_LEN(words));
  arena_free(&arena);
}

// ---- invalidation ----

// Also after the caller has left: that it failed must not get lost.
static void invalidated(void *arg, enum status status, const redisReply *reply)
{
  struct shared_call *call = arg;
  struct cache_shared *shared = call->shared;
  if (status != STATUS_OK) {
    shared->failed = true;
    // Refused by a server that is there: a new connection begins with telling the others.
    if (redis_up(shared->redis))
      redis_link_drop(&shared->redis->commands, "an invalidation was refused");
  }
  if (call->waiter != NULL) {
    call->integer = status == STATUS_OK && reply->type == REDIS_REPLY_INTEGER ? reply->integer : 0;
    list_remove(&call->node);  // the waiter's now
    completion_finish(call->waiter, status);
  } else {
    call_free(call);
  }
}

// The number of instances that were told.
static enum status send_invalidation(struct cache_shared *shared, const struct slice *words, size_t count,
                                     int64_t *told)
{
  struct completion done = COMPLETION_INIT;
  struct shared_call *call = call_new(shared);
  call->waiter = &done;
  call->call = redis_call_start(shared->redis, words, count, invalidated, call);
  if (call->call == NULL) {
    shared->failed = shared->redis->configured;
    call_free(call);
    return STATUS_UNAVAILABLE;
  }
  enum status status = completion_wait(&done);
  if (!done.done) {
    call->waiter = NULL;
    return status;
  }
  *told = call->integer;
  call_free(call);
  return done.status;
}

static enum status invalidate_some(struct cache_shared *shared, const struct slice *keys, size_t count, int64_t *told)
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
    words[3 + i] = redis_key(shared, keys[i], &arena);
  }
  words[3 + count] = slice_from_string(shared->channel);
  words[4 + count] = strbuf_slice(&payload);
  enum status status = send_invalidation(shared, words, count + 5, told);
  strbuf_free(&payload);
  arena_free(&arena);
  return status;
}

void cache_shared_invalidate(struct cache_shared *shared, const struct slice *keys, size_t count)
{
  int64_t told = 0;
  enum status status = STATUS_OK;
  // All are sent, also when the caller cannot wait any longer: what is sent is done without it.
  for (size_t i = 0; i < count; i += KEYS_A_CALL) {
    size_t some = count - i < KEYS_A_CALL ? count - i : KEYS_A_CALL;
    enum status sent = invalidate_some(shared, keys + i, some, &told);
    status = status == STATUS_OK ? sent : status;
  }
  if (status != STATUS_OK || told <= 1)
    return;
  // Redis may write our reply before it writes the message to its subscribers, but a second command is answered in a
  // later turn of its loop, after all those writes.
  struct arena arena = {0};
  struct redis_reply reply;
  const struct slice ping = SLICE("PING");
  if (redis_command(shared->redis, &ping, 1, &arena, &reply) != STATUS_OK)
    log_debug("cache", "other instances may hear of a change late");
  arena_free(&arena);
}
