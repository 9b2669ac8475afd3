#include "services/auth/auth_limits.h"

#include <inttypes.h>

#include "common/base/clock.h"
#include "common/base/codec.h"
#include "common/base/compiler.h"
#include "common/base/hash.h"
#include "common/base/source.h"
#include "common/runtime/task.h"
#include "common/storage/redis.h"
#include "services/auth/auth_devices.h"

#define SECOND_NS UINT64_C(1000000000)
#define DAY_NS (86400 * SECOND_NS)
#define LOCAL_PLACES 65536
#define TRIES_OF_SOURCE 5
#define TRIES_OF_NETWORK 25

static const struct gcra_limit of_source_locally = {.interval_ns = DAY_NS / TRIES_OF_SOURCE, .burst = TRIES_OF_SOURCE};
static const struct gcra_limit shared_by_unknown = {.interval_ns = 60 * SECOND_NS, .burst = 20};
static const struct gcra_limit of_device = {.interval_ns = 60 * SECOND_NS, .burst = 10};

// GCRA (common/base/gcra.h) on Redis' clock, in microseconds. KEYS: the bucket. ARGV: interval, burst, units to charge,
// units to grant at most. Returns: granted, left, overdrawn, time until a unit may be granted, time until it is full.
#define GCRA_SCRIPT                                                                                                    \
  "local function take(key, interval, burst, charge, wanted) "                                                         \
  "  local time = redis.call('TIME') "                                                                                 \
  "  local now = time[1] * 1000000 + time[2] "                                                                         \
  "  local full = math.max(now, tonumber(redis.call('GET', key) or '0')) "                                             \
  "  full = math.max(now, full + charge * interval) "                                                                  \
  "  local room = math.floor(burst - (full - now) / interval + 0.001) "                                                \
  "  local granted = math.max(0, math.min(wanted, room)) "                                                             \
  "  full = full + granted * interval "                                                                                \
  "  if full > now then "                                                                                              \
  "    redis.call('SET', key, string.format('%.3f', full), 'PX', math.ceil((full - now) / 1000)) "                     \
  "  else redis.call('DEL', key) end "                                                                                 \
  "  room = room - granted "                                                                                           \
  "  local wait = 0 "                                                                                                  \
  "  if room <= 0 then wait = math.ceil(math.max(0, full - now - (burst - 1) * interval)) end "                        \
  "  return {granted, math.max(0, room), math.max(0, -room), wait, math.ceil(full - now)} "                            \
  "end "
#define USED_SCRIPT "local function used(key) return tonumber(redis.call('GET', key) or '0') end "
static const char TAKE_SCRIPT[] =
    GCRA_SCRIPT "return take(KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]))";

// One try from an unknown device. KEYS: the counters of the source and of its network, the bucket that unknown sources
// share. ARGV: the tries of a source, of a network, the counters' lifetime in ms, interval and burst of the bucket.
// Returns: 1 for a try of the source, 2 for a shared one, 0 for none, and the time until one in microseconds.
static const char TRY_SCRIPT[] =
    GCRA_SCRIPT USED_SCRIPT "if used(KEYS[1]) < tonumber(ARGV[1]) and used(KEYS[2]) < tonumber(ARGV[2]) then "
                            "  for i = 1, 2 do "
                            "    if redis.call('INCR', KEYS[i]) == 1 then redis.call('PEXPIRE', KEYS[i], ARGV[3]) end "
                            "  end "
                            "  return {1, 0} "
                            "end "
                            "local shared = take(KEYS[3], tonumber(ARGV[4]), tonumber(ARGV[5]), 0, 1) "
                            "if shared[1] == 1 then return {2, 0} end "
                            "return {0, shared[4]}";

// Gives tries back. KEYS: as in TRY_SCRIPT. ARGV: which of both kinds the try was, interval and burst of the bucket,
// "all" where the source has all its tries again or "one" where only this try comes back.
static const char FORGIVE_SCRIPT[] =
    GCRA_SCRIPT USED_SCRIPT "if ARGV[1] == '2' then take(KEYS[3], tonumber(ARGV[2]), tonumber(ARGV[3]), -1, 0) end "
                            "local tries = 0 "
                            "if ARGV[4] == 'all' then tries = used(KEYS[1]) "
                            "elseif ARGV[1] == '1' then tries = 1 end "
                            "for i = 1, 2 do "
                            "  if used(KEYS[i]) > tries then redis.call('DECRBY', KEYS[i], tries) "
                            "  else redis.call('DEL', KEYS[i]) end "
                            "end "
                            "return 1";

void auth_limits_init(struct auth_limits *limits, struct redis *redis)
{
  limits->redis = redis;
  bounded_table_init(&limits->local, LOCAL_PLACES, sizeof(struct bounded_entry));
}

void auth_limits_free(struct auth_limits *limits)
{
  bounded_table_free(&limits->local);
}

// ---- shares ----

// Writes an interval in microseconds.
static struct slice print_interval(const struct gcra_limit *limit, struct arena *arena)
{
  return slice_from_string(
      arena_printf(arena, "%" PRIu64 ".%03" PRIu64, limit->interval_ns / 1000, limit->interval_ns % 1000));
}

static struct slice print_number(int64_t number, struct arena *arena)
{
  return slice_from_string(arena_printf(arena, "%" PRId64, number));
}

// Reads a reply of `count` numbers.
static bool read_numbers(const struct redis_reply *reply, uint64_t *numbers, size_t count)
{
  if (reply->type != REDIS_ARRAY || reply->item_count != count)
    return false;
  for (size_t i = 0; i < count; i++) {
    if (reply->items[i].type != REDIS_INTEGER || reply->items[i].integer < 0)
      return false;
    numbers[i] = (uint64_t)reply->items[i].integer;
  }
  return true;
}

enum status auth_limits_take(struct auth_limits *limits, const struct limit_request *request, struct arena *arena,
                             struct share_state *state)
{
  const struct slice words[] = {
      SLICE("EVAL"),
      slice_from_string(TAKE_SCRIPT),
      SLICE("1"),
      slice_from_string(request->key),
      print_interval(&request->limit, arena),
      print_number(request->limit.burst, arena),
      print_number(request->charge, arena),
      print_number(request->wanted, arena),
  };
  struct redis_reply reply;
  enum status status = redis_command(limits->redis, words, ARRAY_LEN(words), arena, &reply);
  uint64_t numbers[5];
  if (status != STATUS_OK || !read_numbers(&reply, numbers, ARRAY_LEN(numbers))) {
    task_note_cause((struct task_cause){STATUS_UNAVAILABLE, "Redis does not answer", "a share of a rate limit"});
    return STATUS_UNAVAILABLE;
  }
  *state = (struct share_state){.granted = (uint32_t)numbers[0],
                                .remaining = (uint32_t)numbers[1],
                                .overdrawn = (uint32_t)numbers[2],
                                .retry_after_us = numbers[3],
                                .reset_us = numbers[4]};
  return STATUS_OK;
}

// ---- tries ----

static const char *print_device(const struct device *device, struct arena *arena)
{
  char id[2 * DEVICE_ID_BYTES + 1];
  *hex_encode(device->id, DEVICE_ID_BYTES, id) = '\0';
  return arena_printf(arena, "device:%s", id);
}

const char *auth_limits_name_source(const struct login_try *try, struct arena *arena)
{
  if (try->device != NULL)
    return print_device(try->device, arena);
  char source[SOURCE_TEXT_SIZE];
  source_of_address(try->address, source);
  return arena_string(arena, slice_from_string(source));
}

// The keys of a try, in the order of TRY_SCRIPT, or that of the device alone.
struct try_keys {
  const char *source;
  const char *network;
  const char *shared;
  const char *device;
};

static struct try_keys make_keys(const struct login_try *try, struct arena *arena)
{
  char source[SOURCE_TEXT_SIZE], network[SOURCE_TEXT_SIZE];
  source_of_address(try->address, source);
  source_network(try->address, network);
  struct try_keys keys = {
      .source = arena_printf(arena, "auth:try:%s:%s", try->account, source),
      .network = arena_printf(arena, "auth:try:%s:net:%s", try->account, network),
      .shared = arena_printf(arena, "auth:try:%s", try->account),
  };
  if (try->device != NULL)
    keys.device = arena_printf(arena, "auth:try:%s:%s", try->account, print_device(try->device, arena));
  return keys;
}

// Takes a unit of a bucket of this instance, while Redis is away.
static bool take_locally(struct auth_limits *limits, const char *key, const struct gcra_limit *limit, uint64_t *wait_us)
{
  uint64_t hash = hash_bytes(slice_from_string(key));
  uint64_t now_ns = clock_now_us() * 1000;
  struct bounded_entry *entry = bounded_table_find(&limits->local, hash);
  if (entry == NULL)
    entry = bounded_table_add(&limits->local, hash);
  // What an entry is worth is when its bucket is full again. None is pinned, so there is always a place.
  bool taken = gcra_take(limit, &entry->worth, now_ns);
  *wait_us = gcra_wait_ns(limit, entry->worth, now_ns) / 1000;
  return taken;
}

static enum login_try_kind try_locally(struct auth_limits *limits, const struct try_keys *keys, uint64_t *wait_us)
{
  if (keys->device != NULL)
    return take_locally(limits, keys->device, &of_device, wait_us) ? LOGIN_TRY_OF_DEVICE : LOGIN_TRY_REFUSED;
  if (take_locally(limits, keys->source, &of_source_locally, wait_us))
    return LOGIN_TRY_OF_SOURCE;
  return take_locally(limits, keys->shared, &shared_by_unknown, wait_us) ? LOGIN_TRY_SHARED : LOGIN_TRY_REFUSED;
}

static enum status try_device(struct auth_limits *limits, const struct try_keys *keys, struct arena *arena,
                              struct login_try *try, uint64_t *wait_us)
{
  struct share_state state;
  enum status status = auth_limits_take(
      limits, &(struct limit_request){.key = keys->device, .limit = of_device, .wanted = 1}, arena, &state);
  if (status != STATUS_OK)
    return status;
  try->kind = state.granted == 1 ? LOGIN_TRY_OF_DEVICE : LOGIN_TRY_REFUSED;
  *wait_us = state.retry_after_us;
  return STATUS_OK;
}

static enum status try_unknown(struct auth_limits *limits, const struct try_keys *keys, struct arena *arena,
                               struct login_try *try, uint64_t *wait_us)
{
  const struct slice words[] = {
      SLICE("EVAL"),
      slice_from_string(TRY_SCRIPT),
      SLICE("3"),
      slice_from_string(keys->source),
      slice_from_string(keys->network),
      slice_from_string(keys->shared),
      print_number(TRIES_OF_SOURCE, arena),
      print_number(TRIES_OF_NETWORK, arena),
      print_number(DAY_NS / 1000000, arena),
      print_interval(&shared_by_unknown, arena),
      print_number(shared_by_unknown.burst, arena),
  };
  struct redis_reply reply;
  uint64_t numbers[2];
  enum status status = redis_command(limits->redis, words, ARRAY_LEN(words), arena, &reply);
  if (status != STATUS_OK || !read_numbers(&reply, numbers, ARRAY_LEN(numbers)) || numbers[0] > LOGIN_TRY_SHARED)
    return STATUS_UNAVAILABLE;
  try->kind = (enum login_try_kind)numbers[0];
  *wait_us = numbers[1];
  return STATUS_OK;
}

void auth_limits_begin_try(struct auth_limits *limits, struct login_try *try, struct arena *arena)
{
  struct try_keys keys = make_keys(try, arena);
  uint64_t wait_us = 0;
  enum status status = keys.device != NULL ? try_device(limits, &keys, arena, try, &wait_us)
                                           : try_unknown(limits, &keys, arena, try, &wait_us);
  try->is_local = status != STATUS_OK;
  if (try->is_local)
    try->kind = try_locally(limits, &keys, &wait_us);
  try->retry_after_ms = (uint32_t)(wait_us / 1000) + 1;
}

static void forgive_locally(struct auth_limits *limits, const struct login_try *try, const struct try_keys *keys)
{
  const struct {
    const char *key;
    const struct gcra_limit *limit;
  } buckets[] = {
      [LOGIN_TRY_OF_SOURCE] = {keys->source, &of_source_locally},
      [LOGIN_TRY_SHARED] = {keys->shared, &shared_by_unknown},
      [LOGIN_TRY_OF_DEVICE] = {keys->device, &of_device},
  };
  uint64_t hash = hash_bytes(slice_from_string(buckets[try->kind].key));
  struct bounded_entry *entry = bounded_table_find(&limits->local, hash);
  if (entry != NULL)
    gcra_give_back(buckets[try->kind].limit, &entry->worth, clock_now_us() * 1000);
}

// Gives a unit of the device's bucket back.
static void forgive_device(struct auth_limits *limits, const struct try_keys *keys, struct arena *arena)
{
  const struct slice words[] = {SLICE("EVAL"),
                                slice_from_string(TAKE_SCRIPT),
                                SLICE("1"),
                                slice_from_string(keys->device),
                                print_interval(&of_device, arena),
                                print_number(of_device.burst, arena),
                                SLICE("-1"),
                                SLICE("0")};
  (void)redis_send(limits->redis, words, ARRAY_LEN(words));
}

// Gives back what `how_many` says: "all" or "one".
static void forgive_try(struct auth_limits *limits, const struct login_try *try, struct slice how_many,
                        struct arena *arena)
{
  struct try_keys keys = make_keys(try, arena);
  if (try->is_local) {
    forgive_locally(limits, try, &keys);
    return;
  }
  if (keys.device != NULL) {
    forgive_device(limits, &keys, arena);
    return;
  }
  const struct slice words[] = {SLICE("EVAL"),
                                slice_from_string(FORGIVE_SCRIPT),
                                SLICE("3"),
                                slice_from_string(keys.source),
                                slice_from_string(keys.network),
                                slice_from_string(keys.shared),
                                print_number(try->kind, arena),
                                print_interval(&shared_by_unknown, arena),
                                print_number(shared_by_unknown.burst, arena),
                                how_many};
  (void)redis_send(limits->redis, words, ARRAY_LEN(words));
}

void auth_limits_reset_tries(struct auth_limits *limits, const struct login_try *try, struct arena *arena)
{
  forgive_try(limits, try, SLICE("all"), arena);
}

void auth_limits_return_try(struct auth_limits *limits, const struct login_try *try, struct arena *arena)
{
  forgive_try(limits, try, SLICE("one"), arena);
}
