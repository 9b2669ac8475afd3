// A write that was not acknowledged is there as a whole or not at all. The ledger of the drills shows that each that
// was acknowledged is there.
#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/strbuf.h"
#include "tests/support/http.h"
#include "tests/support/stack.h"

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
