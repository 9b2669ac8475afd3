#include "tests/support/steady_client.h"

#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "tests/support/stack.h"

enum { READS_BETWEEN_WRITES = 4, TIMEOUT_MS = 30000 };

struct steady_client {
  enum steady_requests requests;
  const char *path;
  const char *token;
  struct background *background;
  atomic_bool stopped;
  atomic_size_t answered;
  size_t failed;  // this and the next are read once the thread has ended
  struct http_reply last_failure;
};

static struct http_reply make_request(const struct steady_client *client, size_t number)
{
  if (client->requests == STEADY_READS_AND_WRITES && number % (READS_BETWEEN_WRITES + 1) == 0)
    return HTTP(.method = "PATCH", .path = client->path, .token = client->token,
                .body = text("{\"quantity\":%zu}", number % 1000), .timeout_ms = TIMEOUT_MS);
  return HTTP(.path = client->path, .token = client->token, .timeout_ms = TIMEOUT_MS);
}

static void run_client(void *arg)
{
  struct steady_client *client = arg;
  for (size_t number = 0; !atomic_load(&client->stopped); number++) {
    struct http_reply reply = make_request(client, number);
    if (reply.status != 200) {
      client->failed++;
      client->last_failure = reply;
    }
    atomic_fetch_add(&client->answered, 1);
  }
}

struct steady_client *steady_client_start(const struct account *owner, enum steady_requests requests)
{
  struct steady_client *client = calloc(1, sizeof(*client));
  cr_assert_not_null(client);
  const char *id = item_create(owner, text("{\"sku\":\"%s\",\"name\":\"Lamp\",\"quantity\":1}", fresh_word()));
  client->requests = requests;
  client->path = text("/v1/items/%s", id);
  client->token = owner->token;
  client->background = background_start(run_client, client);
  return client;
}

const char *steady_client_path(const struct steady_client *client)
{
  return client->path;
}

struct progress {
  const struct steady_client *client;
  size_t answers;
};

static bool has_progressed(const void *arg)
{
  const struct progress *progress = arg;
  return atomic_load(&progress->client->answered) >= progress->answers;
}

void steady_client_await(const struct steady_client *client, size_t requests)
{
  const struct progress progress = {.client = client, .answers = atomic_load(&client->answered) + requests};
  wait_until(has_progressed, &progress, "answers to the steady client");
}

void steady_client_end(struct steady_client **client_pointer, size_t tolerated)
{
  struct steady_client *client = *client_pointer;
  *client_pointer = NULL;
  atomic_store(&client->stopped, true);
  background_join(client->background);
  cr_assert_leq(client->failed, tolerated, "%zu of %zu requests failed, the last with %d: %s", client->failed,
                atomic_load(&client->answered), client->last_failure.status, client->last_failure.body);
  free(client);
}
