#include "common/storage/cache_redis_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/random.h"
#include "common/base/strbuf.h"

enum { MAX_VALUE_BYTES = 1 << 20 };
#define LEASE_MS "5000"

// Puts a value in place of a lease. KEYS: the key. ARGV: token, value, lifetime in ms.
static const char PUT_SCRIPT[] = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end "
                                 "redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) "
                                 "return 1";
// Gives a lease back. KEYS: the key. ARGV: token.
static const char GIVE_UP_SCRIPT[] = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end "
                                     "return redis.call('DEL', KEYS[1])";
// Puts tombstones in, or adds the token to those that are there. A tombstone of 64 changes becomes one that does not
// count them, because each further change would copy all tokens. KEYS: the keys. ARGV: token, lifetime in ms.
static const char HIDE_SCRIPT[] =
    "for i = 1, #KEYS do "
    "  local value = redis.call('GET', KEYS[i]) "
    "  if not value or string.sub(value, 1, 1) ~= 'x' then value = 'x' "
    "  elseif #value > 64 * #ARGV[1] then value = 'x!' "
    "  elseif value ~= 'x!' and string.sub(value, 2, 2) ~= '+' then value = 'x+' .. string.sub(value, 2) end "
    "  if value ~= 'x!' then value = value .. ARGV[1] end "
    "  redis.call('SET', KEYS[i], value, 'PX', ARGV[2]) "
    "end "
    "return 1";
// Takes the token out of tombstones; the last token takes its tombstone with it. What stands in place of a tombstone,
// because Redis has evicted that, may have been loaded before the change, and goes, too. KEYS: the keys. ARGV: token.
#define SHOW_SCRIPT                                                                                                    \
  "for i = 1, #KEYS do "                                                                                               \
  "  local value = redis.call('GET', KEYS[i]) "                                                                        \
  "  if value and string.sub(value, 1, 1) == 'x' then "                                                                \
  "    local first, last = string.find(value, ARGV[1], 2, true) "                                                      \
  "    if first then value = string.sub(value, 1, first - 1) .. string.sub(value, last + 1) end "                      \
  "    if value == 'x+' then value = 'x' end "                                                                         \
  "    if value ~= 'x' then redis.call('SET', KEYS[i], value, 'KEEPTTL') end "                                         \
  "  end "                                                                                                             \
  "  if value and (value == 'x' or string.sub(value, 1, 1) ~= 'x') then "                                              \
  "    redis.call('DEL', KEYS[i]) "                                                                                    \
  "  end "                                                                                                             \
  "end "                                                                                                               \
  "return 1"
// Puts a value in place of a tombstone of this change alone; does what SHOW_SCRIPT does to any other. KEYS: the key.
// ARGV: token, value, lifetime in ms.
static const char REPLACE_SCRIPT[] = "if redis.call('GET', KEYS[1]) == 'x' .. ARGV[1] then "
                                     "  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) "
                                     "  return 1 "
                                     "end " SHOW_SCRIPT;

void cache_redis_init(struct cache_redis *shared, const struct cache_options *options, uint32_t ttl_ms)
{
  struct strbuf prefix;
  strbuf_init(&prefix, 0);
  strbuf_printf(&prefix, "cache:%s:", options->name);
  *shared = (struct cache_redis){.redis = options->redis, .ttl_ms = ttl_ms, .hold_ms = options->hold_ms};
  if (options->format == 0)
    snprintf(shared->tag, sizeof(shared->tag), "v");
  else
    snprintf(shared->tag, sizeof(shared->tag), "w%u:", options->format);
  shared->prefix = strdup(strbuf_cstring(&prefix));
  CHECK(shared->prefix != NULL);
  strbuf_free(&prefix);
}

void cache_redis_clear(struct cache_redis *shared)
{
  free(shared->prefix);
  *shared = (struct cache_redis){0};
}

static struct slice make_redis_key(const struct cache_redis *shared, uint64_t epoch, struct slice key,
                                   struct arena *arena)
{
  struct strbuf text;
  strbuf_init(&text, 0);
  strbuf_add_string(&text, shared->prefix);
  strbuf_add_uint(&text, epoch);
  strbuf_add_byte(&text, ':');
  strbuf_add(&text, key);
  struct slice copy = arena_copy(arena, strbuf_slice(&text));
  strbuf_free(&text);
  return copy;
}

static void draw_token(const char *prefix, char token[CACHE_TOKEN_SIZE])
{
  uint64_t number[2];
  random_bytes(number, sizeof(number));
  snprintf(token, CACHE_TOKEN_SIZE, "%s%016llx%016llx", prefix, (unsigned long long)number[0],
           (unsigned long long)number[1]);
}

// ---- values ----

static bool is_value(const struct cache_redis *shared, const struct redis_reply *reply, struct slice *value)
{
  struct slice tag = slice_from_string(shared->tag);
  if (reply->type != REDIS_STRING || !slice_starts_with(reply->string, tag))
    return false;
  *value = slice_skip(reply->string, tag.size);
  return true;
}

enum status cache_redis_get(struct cache_redis *shared, uint64_t epoch, struct slice key, struct arena *arena,
                            struct slice *value, struct cache_lease *lease)
{
  *lease = (struct cache_lease){.epoch = epoch};
  draw_token("t", lease->token);
  // Puts the token where nothing is, and gives what was there before. NX together with GET needs Redis 7.0
  // (https://redis.io/docs/latest/commands/set/).
  const struct slice words[] = {SLICE("SET"),
                                make_redis_key(shared, epoch, key, arena),
                                slice_from_string(lease->token),
                                SLICE("NX"),
                                SLICE("GET"),
                                SLICE("PX"),
                                SLICE(LEASE_MS)};
  struct redis_reply reply;
  enum status status = redis_command(shared->redis, words, ARRAY_LEN(words), arena, &reply);
  if (status != STATUS_OK)
    return status;
  // Any other text is another loader's lease or a value of another format, or says that the key is changing.
  lease->taken = reply.type == REDIS_NIL;
  return is_value(shared, &reply, value) ? STATUS_OK : STATUS_NOT_FOUND;
}

// The value of a key, and the token that must stand in its place.
struct new_value {
  uint64_t epoch;
  struct slice key;
  const char *token;
  struct slice value;
};

// Sends a script that puts the value in. Does not wait: a value that does not arrive is loaded again.
static void send_value(struct cache_redis *shared, const char *script, const struct new_value *new)
{
  struct arena arena = {0};
  struct strbuf stored;
  strbuf_init(&stored, 0);
  strbuf_add_string(&stored, shared->tag);
  strbuf_add(&stored, new->value);
  const struct slice words[] = {SLICE("EVAL"),
                                slice_from_string(script),
                                SLICE("1"),
                                make_redis_key(shared, new->epoch, new->key, &arena),
                                slice_from_string(new->token),
                                strbuf_slice(&stored),
                                slice_from_string(arena_printf(&arena, "%u", shared->ttl_ms))};
  (void)redis_send(shared->redis, words, ARRAY_LEN(words));
  strbuf_free(&stored);
  arena_free(&arena);
}

void cache_redis_put(struct cache_redis *shared, struct slice key, struct slice value, const struct cache_lease *lease)
{
  if (!lease->taken || value.size > MAX_VALUE_BYTES)
    return;
  const struct new_value new = {.epoch = lease->epoch, .key = key, .token = lease->token, .value = value};
  send_value(shared, PUT_SCRIPT, &new);
}

void cache_redis_give_up(struct cache_redis *shared, struct slice key, const struct cache_lease *lease)
{
  if (!lease->taken)
    return;
  struct arena arena = {0};
  const struct slice words[] = {SLICE("EVAL"), slice_from_string(GIVE_UP_SCRIPT), SLICE("1"),
                                make_redis_key(shared, lease->epoch, key, &arena), slice_from_string(lease->token)};
  // A lease that stays ends by itself.
  (void)redis_send(shared->redis, words, ARRAY_LEN(words));
  arena_free(&arena);
}

// ---- tombstones ----

// Starts a script over the keys, with the token and the lifetime of tombstones.
static struct redis_call *start_script(struct cache_redis *shared, const char *script,
                                       const struct cache_hidden *hidden, redis_done_fn *done, void *arg)
{
  struct arena arena = {0};
  size_t count = hidden->count;
  struct slice *words = arena_array(&arena, count + 5, sizeof(*words));
  words[0] = SLICE("EVAL");
  words[1] = slice_from_string(script);
  words[2] = slice_from_string(arena_printf(&arena, "%zu", count));
  for (size_t i = 0; i < count; i++)
    words[3 + i] = make_redis_key(shared, hidden->epoch, hidden->keys[i], &arena);
  words[3 + count] = slice_from_string(hidden->token);
  words[4 + count] = slice_from_string(arena_printf(&arena, "%u", shared->hold_ms + CACHE_TOMBSTONE_MARGIN_MS));
  struct redis_call *call = redis_call_start(shared->redis, words, count + 5, done, arg);
  arena_free(&arena);
  return call;
}

struct redis_call *cache_redis_hide(struct cache_redis *shared, struct cache_hidden *hidden, redis_done_fn *done,
                                    void *arg)
{
  draw_token("", hidden->token);
  return start_script(shared, HIDE_SCRIPT, hidden, done, arg);
}

void cache_redis_show(struct cache_redis *shared, const struct cache_hidden *hidden, const struct slice *value)
{
  if (value != NULL && hidden->count == 1 && value->size <= MAX_VALUE_BYTES) {
    const struct new_value new = {
        .epoch = hidden->epoch, .key = hidden->keys[0], .token = hidden->token, .value = *value};
    send_value(shared, REPLACE_SCRIPT, &new);
    return;
  }
  // A tombstone that stays ends by itself.
  (void)start_script(shared, SHOW_SCRIPT, hidden, NULL, NULL);
}
