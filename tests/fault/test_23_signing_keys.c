// The keys that sign access tokens change, again and again, while clients read, write and log in; and so does the
// secret that seals those keys.
#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/environment.h"
#include "tests/support/http.h"
#include "tests/support/stack.h"
#include "tests/support/steady_client.h"

enum { ROTATIONS = 6, REQUESTS_BETWEEN = 200, READS_WITH_A_TOKEN = 4, REFRESHERS = 4 };

static void rotate(const char *option)
{
  (void)output_of((const char *const[]){"deploy/local/stack", "exec", "auth", "rotate-keys", option, NULL});
}

static const char *latest_kid(void)
{
  return sql("SELECT kid FROM auth.signing_keys ORDER BY sign_time DESC NULLS FIRST LIMIT 1");
}

static bool is_published(const void *kid)
{
  struct http_reply keys = HTTP(.path = "/.well-known/jwks.json");
  return keys.status == 200 && strstr(keys.body, kid) != NULL;
}

// ---- clients that get new tokens all the time ----

struct refresher {
  struct account account;
  const char *item_path;
  struct background *background;
  atomic_bool stopped;
  atomic_size_t refreshed;
  size_t failed;  // this and the next are read once the thread has ended
  struct http_reply last_failure;
};

static bool note(struct refresher *refresher, struct http_reply reply)
{
  if (reply.status == 200)
    return true;
  refresher->failed++;
  refresher->last_failure = reply;
  return false;
}

static void run_refresher(void *arg)
{
  struct refresher *refresher = arg;
  const char *refresh_token = refresher->account.refresh_token;
  while (!atomic_load(&refresher->stopped)) {
    struct http_reply tokens =
        HTTP(.path = "/v1/auth/refresh", .body = text("{\"refreshToken\":\"%s\"}", refresh_token));
    if (!note(refresher, tokens))
      return;
    refresh_token = http_json(&tokens, "refreshToken");
    const char *token = http_json(&tokens, "accessToken");
    // Each comes on a connection of its own, so that several workers meet the token, and two services do.
    for (int i = 0; i < READS_WITH_A_TOKEN; i++)
      (void)note(refresher, HTTP(.path = i % 2 == 0 ? "/v1/users/me" : refresher->item_path, .token = token));
    atomic_fetch_add(&refresher->refreshed, 1);
  }
}

static void refreshers_start(struct refresher refreshers[REFRESHERS])
{
  for (size_t i = 0; i < REFRESHERS; i++) {
    struct refresher *refresher = &refreshers[i];
    *refresher = (struct refresher){.account = account_create()};
    const char *item = text("{\"sku\":\"%s\",\"name\":\"Lamp\"}", fresh_word());
    refresher->item_path = text("/v1/items/%s", item_create(&refresher->account, item));
    refresher->background = background_start(run_refresher, refresher);
  }
}

struct progress {
  const struct refresher *refresher;
  size_t count;
};

static bool has_refreshed(const void *arg)
{
  const struct progress *progress = arg;
  return atomic_load(&progress->refresher->refreshed) >= progress->count;
}

// Waits until each of them has got so many new tokens.
static void refreshers_await(const struct refresher refreshers[REFRESHERS], size_t count)
{
  struct progress progress[REFRESHERS];
  for (size_t i = 0; i < REFRESHERS; i++)
    progress[i] = (struct progress){&refreshers[i], atomic_load(&refreshers[i].refreshed) + count};
  for (size_t i = 0; i < REFRESHERS; i++)
    wait_until(has_refreshed, &progress[i], "new tokens");
}

static void refreshers_end(struct refresher refreshers[REFRESHERS])
{
  size_t tokens = 0, failed = 0;
  for (size_t i = 0; i < REFRESHERS; i++)
    atomic_store(&refreshers[i].stopped, true);
  for (size_t i = 0; i < REFRESHERS; i++) {
    struct refresher *refresher = &refreshers[i];
    background_join(refresher->background);
    tokens += atomic_load(&refresher->refreshed);
    failed += refresher->failed;
    cr_expect_eq(refresher->failed, 0, "%zu requests failed, the last with %d: %s", refresher->failed,
                 refresher->last_failure.status, refresher->last_failure.body);
  }
  fprintf(stderr, "signing keys: %zu new tokens, each verified %d times by gateway and services, %zu requests failed\n",
          tokens, READS_WITH_A_TOKEN, failed);
}

// ---- keys ----

static bool is_refused(const void *token)
{
  return HTTP(.path = "/v1/users/me", .token = token).status == 401;
}

Test(fault_23_signing_keys, rotate_without_a_failed_request)
{
  struct account ada = account_create();
  static struct refresher refreshers[REFRESHERS];
  struct steady_client *client = steady_client_start(&ada, STEADY_READS_AND_WRITES);
  refreshers_start(refreshers);
  for (int round = 0; round < ROTATIONS; round++) {
    rotate(NULL);
    wait_until(is_published, latest_kid(), "the new key at the gateway");
    refreshers_await(refreshers, 3);
    // The time for which a key is published is over.
    (void)sql("UPDATE auth.signing_keys SET sign_time = now() WHERE sign_time > now()");
    if (round == ROTATIONS / 2)
      stack("restart", "auth-1");
    steady_client_await(client, REQUESTS_BETWEEN);
    refreshers_await(refreshers, 10);
  }
  refreshers_end(refreshers);
  steady_client_end(&client, 0);

  // A key that somebody else has ends at once, and with it all tokens; sessions go on.
  rotate("--now");
  wait_until(is_refused, ada.token, "the end of tokens of the old keys");
  struct http_reply tokens =
      HTTP(.path = "/v1/auth/refresh", .body = text("{\"refreshToken\":\"%s\"}", ada.refresh_token));
  ASSERT_STATUS(tokens, 200);
  for (int i = 0; i < READS_WITH_A_TOKEN; i++)
    ASSERT_STATUS(HTTP(.path = "/v1/users/me", .token = http_json(&tokens, "accessToken")), 200);
  cr_expect_str_eq(sql("SELECT count(*) FROM auth.signing_keys"), "1");
}

// ---- the secret that seals them ----

static const char *secret_path(const char *name)
{
  return text("%s/secrets/%s", need_variable("BULKHEAD_RUN_DIR"), name);
}

static void write_secret(const char *name, const char *value)
{
  const char *path = secret_path(name);
  FILE *file = fopen(text("%s.new", path), "we");
  cr_assert(file != NULL && fputs(value, file) >= 0 && fclose(file) == 0);
  cr_assert_eq(rename(text("%s.new", path), path), 0);
}

Test(fault_23_signing_keys, their_secret_changes_without_a_failed_request)
{
  struct account ada = account_create();
  static struct refresher refreshers[REFRESHERS];
  struct steady_client *client = steady_client_start(&ada, STEADY_READS_AND_WRITES);
  refreshers_start(refreshers);
  write_secret("auth_key_previous", secret_of_stack("auth_key"));
  write_secret("auth_key", text("%s-%s-of-thirty-two-characters", fresh_word(), fresh_word()));
  stack("restart", "auth-1");
  refreshers_await(refreshers, 10);
  cr_expect_str_neq(sql("SELECT count(sealed_before) FROM auth.signing_keys"), "0");
  cr_assert_eq(unlink(secret_path("auth_key_previous")), 0);
  stack("restart", "auth-1");
  refreshers_await(refreshers, 10);
  cr_expect_str_eq(sql("SELECT count(sealed_before) FROM auth.signing_keys"), "0");
  rotate(NULL);
  wait_until(is_published, latest_kid(), "the new key at the gateway");
  refreshers_end(refreshers);
  steady_client_end(&client, 0);
}
