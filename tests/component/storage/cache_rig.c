#include "tests/component/storage/cache_rig.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "common/base/strbuf.h"
#include "tests/support/common/read_metric.h"

enum status source_load(void *arg, struct slice key, struct arena *arena, struct slice *value)
{
  struct source *source = arg;
  source->loads++;
  if (source->status != STATUS_OK)
    return source->status;
  *value = slice_from_string(arena_printf(arena, SLICE_FMT "=%d", SLICE_ARG(key), source->value));
  if (source->gate != NULL) {
    struct completion *gate = source->gate;
    source->gate = NULL;
    source->at_gate = true;
    return completion_wait(gate);
  }
  return STATUS_OK;
}

// ---- how instances reach each other ----

static struct instance *running[8];

static struct instance *find_running(const char *address)
{
  for (size_t i = 0; i < ARRAY_LEN(running); i++)
    if (running[i] != NULL && strcmp(running[i]->address, address) == 0)
      return running[i];
  return NULL;
}

static enum status ask_instance(void *arg, const struct cache_question *question, struct cache_reply *reply)
{
  const struct instance *from = arg;
  struct instance *to = find_running(question->address);
  if (to == NULL || to->is_cut_off || from->is_cut_off)
    return task_sleep_ms(question->timeout_ms) == STATUS_OK ? STATUS_UNAVAILABLE : task_check();
  to->asked++;
  cache_answer(to->cache, question, reply);
  return STATUS_OK;
}

static void open_address(struct instance *instance)
{
  size_t place = 0;
  while (running[place] != NULL)
    place++;
  cr_assert_lt(place, ARRAY_LEN(running));
  running[place] = instance;
  snprintf(instance->address, sizeof(instance->address), "tcp://192.0.2.1:%zu", 9000 + place);
  cache_set_address(instance->cache, instance->address);
}

static void close_address(const struct instance *instance)
{
  for (size_t i = 0; i < ARRAY_LEN(running); i++)
    if (running[i] == instance)
      running[i] = NULL;
}

// ---- instances ----

static bool has_running(void)
{
  for (size_t i = 0; i < ARRAY_LEN(running); i++)
    if (running[i] != NULL)
      return true;
  return false;
}

// Makes the table that the instances know each other by, as the migrations of every service do. Where others run it is
// there, and PostgreSQL may be away.
static void make_table(struct world *world)
{
  if (has_running())
    return;
  if (strcmp(run_sql(world, "SELECT to_regclass('cache_instances') IS NULL"), "f") == 0)
    return;
  struct strbuf sql;
  strbuf_init(&sql, 1 << 16);
  cr_assert(strbuf_read_file(&sql, "common/service/migrations/0002_cache_instances.up.sql"));
  run_sql(world, strbuf_cstring(&sql));
  strbuf_free(&sql);
}

static void start(struct world *world, struct instance *instance, const char *conninfo, const char *url,
                  const struct cache_options *wanted)
{
  struct error error;
  const char *name = wanted->name == NULL ? world->schema : wanted->name;
  *instance = (struct instance){.name = name, .has_redis = url[0] != '\0'};
  make_table(world);
  const struct redis_options options = {.url = url, .command_timeout_ms = 2000};
  cr_assert_eq(redis_create(world->loop, &options, &instance->redis, &error), STATUS_OK);
  instance->pg = pg_create(world->loop, &(struct pg_options){.conninfo = conninfo, .application_name = world->schema});
  const struct cache_options cache_options = {.name = name,
                                              .format = wanted->format,
                                              .max_bytes = 1 << 20,
                                              .ttl_ms = wanted->ttl_ms,
                                              .hold_ms = wanted->hold_ms,
                                              .pg = instance->pg,
                                              .redis = instance->redis,
                                              .ask = ask_instance,
                                              .ask_arg = instance};
  instance->cache = cache_create(world->loop, &cache_options);
  open_address(instance);
}

void instance_start_holding(struct world *world, struct instance *instance, const char *url, uint32_t ttl_ms,
                            uint32_t hold_ms)
{
  const struct cache_options wanted = {.ttl_ms = ttl_ms, .hold_ms = hold_ms};
  start(world, instance, world->conninfo, url, &wanted);
}

void instance_start_named(struct world *world, struct instance *instance, const char *cache, uint32_t hold_ms)
{
  const struct cache_options wanted = {.name = cache, .ttl_ms = 60000, .hold_ms = hold_ms};
  start(world, instance, world->conninfo, "", &wanted);
}

void instance_start_formatted(struct world *world, struct instance *instance, uint32_t format)
{
  const struct cache_options wanted = {.format = format, .ttl_ms = 60000};
  start(world, instance, world->conninfo, redis_url(), &wanted);
}

void instance_start_behind(struct world *world, struct instance *instance, const char *conninfo, const char *url)
{
  const struct cache_options wanted = {.ttl_ms = 60000};
  start(world, instance, conninfo, url, &wanted);
}

void instance_start(struct world *world, struct instance *instance, const char *url, uint32_t ttl_ms)
{
  instance_start_holding(world, instance, url, ttl_ms, 0);
}

void instance_stop(struct instance *instance)
{
  close_address(instance);
  cache_free(&instance->cache);
  redis_free(&instance->redis);
  pg_free(&instance->pg);
}

static int get_number(struct instance *instance, struct slice key, struct source *source)
{
  struct arena arena = {0};
  struct slice value;
  cr_assert_eq(cache_get(instance->cache, key, source_load, source, &arena, &value), STATUS_OK);
  cr_assert(slice_starts_with(value, key));
  int64_t number = -1;
  cr_assert(slice_to_int64(slice_skip(value, key.size + 1), 0, INT32_MAX, &number));
  arena_free(&arena);
  return (int)number;
}

static void change_key(struct instance *instance, struct slice key, struct source *source, int value)
{
  struct cache_change *change = cache_change_begin(instance->cache, &key, 1);
  cr_assert_eq(cache_change_confirm(change), STATUS_OK);
  source->value = value;
  cache_change_end(&change, true);
}

int instance_get(struct instance *instance, struct source *source)
{
  return get_number(instance, SLICE("key"), source);
}

void instance_change(struct instance *instance, struct source *source, int value)
{
  change_key(instance, SLICE("key"), source, value);
}

static enum status load_nothing(void *arg, struct slice key, struct arena *arena, struct slice *value)
{
  (void)key, (void)arena, (void)value;
  *(bool *)arg = true;
  return STATUS_NOT_FOUND;
}

// Tells whether the key is found in a tier.
static bool is_cached(struct instance *instance, struct slice key)
{
  struct arena arena = {0};
  struct slice value;
  bool loaded = false;
  enum status status = cache_get(instance->cache, key, load_nothing, &loaded, &arena, &value);
  cr_assert_eq(status, loaded ? STATUS_NOT_FOUND : STATUS_OK);
  arena_free(&arena);
  return !loaded;
}

static int64_t hits_in(const char *cache, const char *tier)
{
  const struct slice labels[] = {slice_from_string(cache), slice_from_string(tier)};
  return read_metric(METRIC_CACHE_HITS, labels, 2);
}

static bool is_in_memory(struct instance *instance, struct slice key)
{
  int64_t before = hits_in(instance->name, "memory");
  return is_cached(instance, key) && hits_in(instance->name, "memory") > before;
}

bool instance_peek(struct instance *instance)
{
  return is_in_memory(instance, SLICE("key"));
}

int64_t cache_hits(struct world *world, const char *tier)
{
  return hits_in(world->schema, tier);
}

// Returns what the key holds in Redis: 'v' for a value, 't' for a lease, 'x' for a tombstone, 0 for nothing. Sees what
// the instance has sent before, because Redis handles the commands of one connection in order.
static char look_in_redis(struct world *world, struct instance *instance, const char *key)
{
  struct redis_reply reply;
  const char *script = "local found = redis.call('KEYS', ARGV[1]) "
                       "return found[1] and string.sub(redis.call('GET', found[1]), 1, 1) or '' ";
  const struct slice words[] = {SLICE("EVAL"), slice_from_string(script), SLICE("0"),
                                slice_from_string(arena_printf(&world->arena, "cache:%s:*:%s", world->schema, key))};
  cr_assert_eq(redis_command(instance->redis, words, 4, &world->arena, &reply), STATUS_OK);
  return reply.string.size == 0 ? 0 : reply.string.data[0];
}

char instance_look_in_redis(struct world *world, struct instance *instance)
{
  return look_in_redis(world, instance, "key");
}

static bool is_in_redis(struct world *world, struct instance *instance, const char *key)
{
  if (!redis_up(instance->redis))
    return false;
  char kind = look_in_redis(world, instance, key);
  return kind == 'v' || kind == 'w';
}

void instance_wait_shared(struct world *world, struct instance *instance)
{
  while (!is_in_redis(world, instance, "key"))
    cr_assert_eq(task_sleep_ms(1), STATUS_OK);
}

void instance_settle(struct world *world, struct instance *instance)
{
  struct source probe = {.world = world};
  struct slice value;
  for (unsigned round = 0;; round++) {
    const char *name = arena_printf(&world->arena, "probe%u", round);
    struct slice key = slice_from_string(name);
    cr_assert_eq(cache_get(instance->cache, key, source_load, &probe, &world->arena, &value), STATUS_OK);
    if (is_cached(instance, key) && (!instance->has_redis || is_in_redis(world, instance, name)))
      return;
    cr_assert_eq(task_sleep_ms(5), STATUS_OK);
  }
}

void instance_lose_lease(struct world *world, struct instance *instance)
{
  // The promises of the others, or that there are none, must not take the place of the lease.
  const struct cache_question told = {.cache = instance->name, .asker = "0123456789abcdef", .is_telling = true};
  struct cache_reply reply;
  cache_answer(instance->cache, &told, &reply);
  struct source source = {.world = world};
  struct slice value;
  const struct slice key = SLICE("lease");
  cr_assert_eq(cache_get(instance->cache, key, source_load, &source, &world->arena, &value), STATUS_OK);
  while (is_in_memory(instance, key))
    cr_assert_eq(task_sleep_ms(1), STATUS_OK);
}

int64_t instance_channel_pid(struct world *world)
{
  int64_t pid = 0;
  const char *sql = "SELECT pid FROM pg_stat_activity WHERE application_name LIKE '%s %%' "
                    "AND (query LIKE 'LISTEN%%' OR query LIKE 'SELECT pg_notify%%')";
  const char *text = run_sql(world, arena_printf(&world->arena, sql, world->schema));
  cr_assert(text != NULL && slice_to_int64(slice_from_string(text), 1, INT32_MAX, &pid));
  return pid;
}

void instance_warm(struct instance *instance, struct source *source)
{
  while (!instance_peek(instance)) {
    instance_get(instance, source);
    cr_assert_eq(task_sleep_ms(1), STATUS_OK);
  }
}

void instance_meet(struct instance *from, struct instance *to)
{
  struct source source = {.value = 0};
  const struct slice key = SLICE("meeting");
  do {
    while (!is_in_memory(to, key)) {
      get_number(to, key, &source);
      cr_assert_eq(task_sleep_ms(1), STATUS_OK);
    }
    change_key(from, key, &source, 0);
  } while (is_in_memory(to, key));
}

// ---- two instances ----

void pair_open(struct world *world, struct pair *pair, const char *url, uint32_t hold_ms)
{
  *pair = (struct pair){.source = {.world = world, .value = 1}};
  instance_start_holding(world, &pair->a, url, 60000, hold_ms);
  instance_start_holding(world, &pair->b, url, 60000, hold_ms);
  instance_settle(world, &pair->a);
  instance_settle(world, &pair->b);
  instance_meet(&pair->a, &pair->b);
  instance_meet(&pair->b, &pair->a);
}

void pair_open_in_turn(struct world *world, struct pair *pair, uint32_t hold_ms)
{
  *pair = (struct pair){.source = {.world = world, .value = 1}};
  instance_start_holding(world, &pair->a, "", 60000, hold_ms);
  instance_settle(world, &pair->a);
  pair->channel_pid = instance_channel_pid(world);
  instance_start_holding(world, &pair->b, "", 60000, hold_ms);
  instance_settle(world, &pair->b);
  instance_meet(&pair->a, &pair->b);
  instance_meet(&pair->b, &pair->a);
}

void pair_cut_channel(struct world *world, const struct pair *pair)
{
  run_sql(world, arena_printf(&world->arena, "SELECT pg_terminate_backend(%lld)", (long long)pair->channel_pid));
}

void pair_close(struct pair *pair)
{
  instance_stop(&pair->a);
  instance_stop(&pair->b);
}

void pair_check(struct pair *pair, int first)
{
  for (int value = first; value < first + 10; value++) {
    struct instance *writer = value % 2 == 0 ? &pair->a : &pair->b;
    struct instance *reader = value % 2 == 0 ? &pair->b : &pair->a;
    instance_change(writer, &pair->source, value);
    cr_assert_eq(instance_get(reader, &pair->source), value);
    cr_assert_eq(instance_get(writer, &pair->source), value);
    instance_warm(reader, &pair->source);
  }
}
