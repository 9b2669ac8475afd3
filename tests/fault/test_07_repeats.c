// A client that repeats a creation with its Idempotency-Key until it is answered gets one item, whatever dies
// meanwhile.
#include <criterion/criterion.h>
#include <stdatomic.h>
#include <string.h>

#include "common/base/clock.h"
#include "tests/support/http.h"
#include "tests/support/stack.h"

#define CLIENTS 4
// How long one creation is repeated: more than the stack takes to recover.
#define PATIENCE_MS 60000

struct client {
  struct account owner;
  const char *word;
  atomic_bool stop;
  atomic_size_t created;
  size_t repeats;
  const char *wrong;  // the first answer that a repeat must not get; NULL without one
};

// A fault answers with 503 or 504, or not at all.
static bool may_be_repeated(const struct http_reply *reply)
{
  return reply->status == 0 || reply->status == 502 || reply->status == 503 || reply->status == 504;
}

static struct http_reply send_creation(const struct client *client, size_t number)
{
  return HTTP(.path = "/v1/items", .token = client->owner.token, .timeout_ms = 15000,
              .headers = {text("Idempotency-Key: %s-%zu", client->word, number)},
              .body = text("{\"sku\":\"%s-%zu\",\"name\":\"Repeated\",\"category\":\"%s\"}", client->word, number,
                           client->word));
}

static void note_wrong(struct client *client, const struct http_reply *reply)
{
  if (client->wrong == NULL)
    client->wrong = text("%d: %s", reply->status, reply->body == NULL ? "" : reply->body);
}

// Creates one item, and repeats that until there is an answer. One more repeat must get the same answer.
static void create_surely(struct client *client, size_t number)
{
  uint64_t end_us = deadline_after_ms(clock_now_us(), PATIENCE_MS);
  struct http_reply reply = send_creation(client, number);
  while (may_be_repeated(&reply) && clock_now_us() < end_us) {
    client->repeats++;
    reply = send_creation(client, number);
  }
  if (reply.status != 201)
    note_wrong(client, &reply);
  struct http_reply again = send_creation(client, number);
  if (!may_be_repeated(&again) && (again.status != 201 || strcmp(again.body, reply.body) != 0))
    note_wrong(client, &again);
  atomic_fetch_add(&client->created, 1);
}

static void create_many(void *arg)
{
  struct client *client = arg;
  for (size_t i = 0; !atomic_load(&client->stop); i++)
    create_surely(client, i);
}

struct threshold {
  struct client *clients;
  size_t count;
};

static size_t count_created(struct client *clients)
{
  size_t count = 0;
  for (size_t i = 0; i < CLIENTS; i++)
    count += atomic_load(&clients[i].created);
  return count;
}

static bool have_created(const void *arg)
{
  const struct threshold *threshold = arg;
  return count_created(threshold->clients) >= threshold->count;
}

static void wait_created(struct client *clients, size_t more)
{
  wait_until(have_created, &(struct threshold){clients, count_created(clients) + more}, "creations");
}

static void break_everything(struct client *clients)
{
  static const char *const VICTIMS[] = {"item-1", "item-2", "postgres", "item-1", "gateway"};
  for (size_t i = 0; i < sizeof(VICTIMS) / sizeof(VICTIMS[0]); i++) {
    wait_created(clients, 40);
    stack("kill", VICTIMS[i]);
    stack("start", VICTIMS[i]);
  }
  wait_until_healthy();
  wait_created(clients, 40);
}

Test(fault_07_repeats, make_one_item_each)
{
  static struct client clients[CLIENTS];
  struct background *backgrounds[CLIENTS];
  for (size_t i = 0; i < CLIENTS; i++) {
    clients[i] = (struct client){.owner = account_create(), .word = fresh_word()};
    backgrounds[i] = background_start(create_many, &clients[i]);
  }
  break_everything(clients);
  size_t repeats = 0;
  for (size_t i = 0; i < CLIENTS; i++)
    atomic_store(&clients[i].stop, true);
  for (size_t i = 0; i < CLIENTS; i++) {
    background_join(backgrounds[i]);
    cr_expect_null(clients[i].wrong, "%s", clients[i].wrong);
    repeats += clients[i].repeats;
    cr_expect_str_eq(sql("SELECT count(*) FROM item.items WHERE category = '%s'", clients[i].word),
                     text("%zu", atomic_load(&clients[i].created)));
  }
  // Without a repeat nothing was tested.
  cr_expect_gt(repeats, 0);
}
