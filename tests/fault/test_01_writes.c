// Acknowledged writes survive the death of any process; a write that was not acknowledged is there as a whole or not at
// all.
#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/strbuf.h"
#include "tests/support/http.h"
#include "tests/support/stack.h"

// How many writes are remembered: more than a writer makes while the stack recovers.
#define MAX_WRITES 100000

struct writer {
  struct account owner;
  const char *word;
  atomic_bool stop;
  const char *acknowledged[MAX_WRITES];  // ids
  atomic_size_t count;
  atomic_size_t refused;
};

static void write_items(void *arg)
{
  struct writer *writer = arg;
  for (int i = 0; !atomic_load(&writer->stop) && i < MAX_WRITES; i++) {
    struct http_reply reply = HTTP(.path = "/v1/items", .token = writer->owner.token, .timeout_ms = 15000,
                                   .body = text("{\"sku\":\"%s-%d\",\"name\":\"Written\",\"category\":\"%s\"}",
                                                writer->word, i, writer->word));
    if (reply.status == 201)
      writer->acknowledged[atomic_fetch_add(&writer->count, 1)] = http_json(&reply, "id");
    else
      atomic_fetch_add(&writer->refused, 1);
  }
}

struct threshold {
  struct writer *writer;
  size_t count;
};

static bool has_written(const void *arg)
{
  const struct threshold *threshold = arg;
  return atomic_load(&threshold->writer->count) >= threshold->count;
}

static int compare_ids(const void *a, const void *b)
{
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

// Asserts that every acknowledged item is in the database.
static void expect_acknowledged(struct writer *writer)
{
  size_t count = atomic_load(&writer->count);
  qsort(writer->acknowledged, count, sizeof(writer->acknowledged[0]), compare_ids);
  // In the order of their texts, too.
  const char *found =
      sql("SELECT string_agg(id::text, ' ' ORDER BY id) FROM item.items WHERE category = '%s'", writer->word);
  for (size_t i = 0; i < count; i++) {
    const char *id = writer->acknowledged[i];
    size_t size = strlen(id);
    while (*found != '\0' && strncmp(found, id, size) < 0) {
      found += strcspn(found, " ");
      found += strspn(found, " ");
    }
    cr_assert_eq(strncmp(found, id, size), 0, "item %zu of %zu was acknowledged and is not there: %s", i, count, id);
  }
}

// Writes while `break_something` happens, then goes on for a while, and looks for every acknowledged item in the
// database. Returns how many writes were refused.
static size_t write_through(void (*break_something)(struct writer *writer))
{
  struct writer *writer = calloc(1, sizeof(*writer));
  cr_assert_not_null(writer);
  writer->owner = account_create();
  writer->word = fresh_word();
  struct background *background = background_start(write_items, writer);
  wait_until(has_written, &(struct threshold){writer, 50}, "the first writes");
  break_something(writer);
  wait_until_healthy();
  size_t before = atomic_load(&writer->count);
  wait_until(has_written, &(struct threshold){writer, before + 50}, "writes after the fault");
  atomic_store(&writer->stop, true);
  background_join(background);
  expect_acknowledged(writer);
  size_t refused = atomic_load(&writer->refused);
  free(writer);
  return refused;
}

static void kill_an_item_service(struct writer *writer)
{
  (void)writer;
  stack("kill", "item-1");
  stack("start", "item-1");
}

Test(fault_01_writes, survive_the_kill_of_an_item_service)
{
  // Only the call in flight at the killed service may fail, and one that was sent before the loss was noticed.
  cr_expect_leq(write_through(kill_an_item_service), 2);
}

static bool has_been_refused(const void *arg)
{
  const struct writer *writer = arg;
  return atomic_load(&writer->refused) > 0;
}

// A write waits for PostgreSQL until its deadline and may outlast a short absence. Without a refusal nothing would be
// tested.
static void kill_postgres(struct writer *writer)
{
  stack("kill", "postgres");
  wait_until(has_been_refused, writer, "a write that PostgreSQL's absence has outlasted");
  stack("start", "postgres");
}

Test(fault_01_writes, survive_the_kill_of_postgresql)
{
  (void)write_through(kill_postgres);
}

static void kill_redis(struct writer *writer)
{
  (void)writer;
  stack("kill", "redis");
  stack("start", "redis");
}

Test(fault_01_writes, survive_the_kill_of_redis)
{
  // Without Redis a write takes longer, and succeeds.
  cr_expect_eq(write_through(kill_redis), 0);
}

// ---- batches ----

#define BATCH 400
#define MAX_BATCHES 400

struct batches {
  struct account owner;
  const char *words[MAX_BATCHES];
  bool acknowledged[MAX_BATCHES];
  atomic_size_t count;
  atomic_bool stop;
};

static void write_batches(void *arg)
{
  struct batches *batches = arg;
  struct strbuf body;
  strbuf_init(&body, 0);
  while (!atomic_load(&batches->stop) && atomic_load(&batches->count) < MAX_BATCHES) {
    const char *word = fresh_word();
    strbuf_clear(&body);
    strbuf_add_string(&body, "{\"items\":[");
    for (int i = 0; i < BATCH; i++)
      strbuf_printf(&body, "%s{\"sku\":\"%s-%d\",\"name\":\"Batched\",\"category\":\"%s\"}", i == 0 ? "" : ",", word, i,
                    word);
    strbuf_add_string(&body, "]}");
    struct http_reply reply = HTTP(.path = "/v1/items:batchCreate", .token = batches->owner.token, .timeout_ms = 40000,
                                   .body = strbuf_cstring(&body));
    size_t n = atomic_load(&batches->count);
    batches->words[n] = word;
    batches->acknowledged[n] = reply.status == 200;
    atomic_fetch_add(&batches->count, 1);
  }
  strbuf_free(&body);
}

struct batch_threshold {
  struct batches *batches;
  size_t count;
};

static bool has_batched(const void *arg)
{
  const struct batch_threshold *threshold = arg;
  return atomic_load(&threshold->batches->count) >= threshold->count;
}

Test(fault_01_writes, a_batch_is_all_or_nothing_when_its_service_is_killed)
{
  struct batches *batches = calloc(1, sizeof(*batches));
  cr_assert_not_null(batches);
  batches->owner = account_create();
  struct background *background = background_start(write_batches, batches);
  for (size_t round = 0; round < 4; round++) {
    size_t before = atomic_load(&batches->count);
    wait_until(has_batched, &(struct batch_threshold){batches, before + 2}, "batches");
    const char *victim = round % 2 == 0 ? "item-1" : "item-2";
    stack("kill", victim);
    stack("start", victim);
  }
  atomic_store(&batches->stop, true);
  background_join(background);
  wait_until_healthy();

  size_t count = atomic_load(&batches->count), created = 0;
  for (size_t i = 0; i < count; i++) {
    const char *found = sql("SELECT count(*) FROM item.items WHERE category = '%s'", batches->words[i]);
    bool all = strcmp(found, text("%d", BATCH)) == 0;
    cr_assert(all || strcmp(found, "0") == 0, "%s of %d items of a batch", found, BATCH);
    cr_assert(all || !batches->acknowledged[i], "an acknowledged batch is not there");
    created += all;
  }
  cr_assert_gt(created, 0);
  free(batches);
}
