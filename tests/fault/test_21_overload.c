// More comes than can be answered: what is beyond it is refused at once and leaves no trace, others do not notice it,
// and all is served again as soon as less comes. Counts are judged, times are printed.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fault/crowd.h"
#include "tests/support/bystander.h"
#include "tests/support/environment.h"
#include "tests/support/stack.h"

enum { REFUSED = 200, MOST_CREATES = 6000, MORE_CREATES = 20, AFTERWARDS = 20 };

struct creates {
  const char *token;
  const char *word;  // their category; the sku is "word-INDEX"
};

static const char *write_create(const void *arg, size_t i)
{
  static char bytes[4096];
  const struct creates *creates = arg;
  char body[256];
  int body_bytes =
      snprintf(body, sizeof(body), "{\"items\":[{\"sku\":\"%s-%zu\",\"name\":\"Lamp\",\"category\":\"%s\"}]}",
               creates->word, i, creates->word);
  int size = snprintf(bytes, sizeof(bytes),
                      "POST /v1/items:batchCreate HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n"
                      "Content-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
                      creates->token, body_bytes, body);
  cr_assert_lt(size, (int)sizeof(bytes));
  return bytes;
}

// Counts how often each create is stored.
static unsigned *count_stored(const struct creates *creates, size_t count)
{
  unsigned *stored = calloc(count, sizeof(*stored));
  cr_assert_not_null(stored);
  const char *at =
      sql("SELECT string_agg(split_part(sku, '-', 2), ' ') FROM item.items WHERE category = '%s'", creates->word);
  while (*at != '\0' && *at != '\n') {
    char *end;
    size_t index = strtoul(at, &end, 10);
    cr_assert_lt(index, count, "the database holds a create that nobody sent: %.20s", at);
    stored[index]++;
    at = end + strspn(end, " ");
  }
  return stored;
}

// Asserts that what succeeded is stored once, what was refused is not, and that every refusal says when to come again.
static void assert_stored_as_told(const struct crowd *crowd, const struct creates *creates)
{
  unsigned *stored = count_stored(creates, crowd->count);
  for (size_t i = 0; i < crowd->count; i++) {
    const struct crowd_client *client = &crowd->clients[i];
    if (client->status == 200)
      cr_assert_eq(stored[i], 1, "an acknowledged create is stored %u times", stored[i]);
    else if (client->unapplied)
      cr_assert_eq(stored[i], 0, "a refused create is stored: %s", client->answer);
    else
      cr_assert(stored[i] <= 1 && (client->status == 503 || client->status == 504), "%s", client->answer);
    cr_assert(client->status != 429 || client->retry_after, "%s", client->answer);
  }
  free(stored);
}

static void assert_looks_alive(void)
{
  struct http_reply health = HTTP(.path = "/healthz");
  ASSERT_STATUS(health, 200);
  struct http_reply metrics = HTTP(.path = "/metrics", .base_url = need_variable("BULKHEAD_ADMIN_URL"));
  ASSERT_STATUS(metrics, 200);
  cr_assert_not_null(strstr(metrics.body,
                            "bulkhead_requests_shed_total{method=\"item.v1.ItemService/BatchCreateItems\","
                            "reason=\"crowded\"}"));
}

// ---- compression ----

// A list and how many bytes it has, compressed.
struct list {
  const struct account *owner;
  size_t bytes;
};

static size_t count_compressed(const struct account *owner)
{
  struct http_reply list = HTTP(.path = text("/v1/items?pageSize=30&ownerId=%s", owner->id), .token = owner->token,
                                .headers = {"Accept-Encoding: gzip"});
  ASSERT_STATUS(list, 200);
  cr_assert_str_eq(http_header(&list, "Content-Encoding"), "gzip");
  return list.body_size;
}

static struct list create_list(const struct account *owner)
{
  for (int i = 0; i < 30; i++)
    (void)item_create(owner, text("{\"sku\":\"%s\",\"name\":\"Lamp of %s\",\"description\":\"%s %s %s %s\"}",
                                  fresh_word(), fresh_word(), fresh_word(), fresh_word(), fresh_word(), fresh_word()));
  return (struct list){.owner = owner, .bytes = count_compressed(owner)};
}

static bool is_compressed_well(const void *arg)
{
  const struct list *list = arg;
  return count_compressed(list->owner) == list->bytes;
}

// A list that is read while more and more come.
struct pressed_list {
  const struct list *list;
  struct crowd *crowd;
  const struct crowd_requests *requests;
};

// Each worker of the gateway has refused something within the last second, or refuses one of these.
static bool is_compressed_fast(const void *arg)
{
  const struct pressed_list *pressed = arg;
  crowd_add(pressed->crowd, pressed->requests, MORE_CREATES);
  return count_compressed(pressed->list->owner) > pressed->list->bytes;
}

// ---- the tests ----

// Nothing is written while the table is locked, so the crowd outgrows what is let in on a machine of any speed. Reads
// go on meanwhile.
Test(fault_21_overload, a_crowd_of_writes_is_refused_beyond_what_is_let_in_and_others_go_on)
{
  struct account ada = account_create();
  struct account bob = account_create();
  const struct creates creates = {.token = ada.token, .word = fresh_word()};
  struct account carol = account_create();
  const struct list list = create_list(&carol);
  struct bystander *bystander = bystander_start(&bob);
  struct sql_transaction *lock = sql_begin("LOCK TABLE item.items IN SHARE MODE");
  bystander_attacked(bystander);
  const struct crowd_requests requests = {write_create, &creates};
  struct crowd *crowd = crowd_until_refused(&requests, REFUSED, MOST_CREATES);
  const struct pressed_list pressed = {&list, crowd, &requests};
  wait_until(is_compressed_fast, &pressed, "replies for which there is no time to compress well");
  assert_looks_alive();
  bystander_await(bystander, 50);
  sql_commit(lock);
  crowd_await_all(crowd);
  (void)bystander_assert_unharmed(&bystander, "more writes than are let in, which wait for a lock");
  crowd_print(crowd, "creates");
  assert_stored_as_told(crowd, &creates);
  for (int i = 0; i < AFTERWARDS; i++)
    (void)item_create(&ada, text("{\"sku\":\"%s\",\"name\":\"Lamp\"}", fresh_word()));
  wait_until(is_compressed_well, &list, "replies that are compressed well again");
  crowd_free(&crowd);
}
