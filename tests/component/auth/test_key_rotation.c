// Rotation of the signing keys and of the secret that seals them, with instances of auth that share a database. Time
// passes by changing the times that are stored there: the database's clock is the only one that counts.
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/codec.h"
#include "services/auth/auth_devices.h"
#include "tests/support/service/accounts.h"

#define ADA "ada@example.com"
#define NEW_SECRET "a-new-secret-0123456789abcdef012345"
#define KEY_COUNT "SELECT count(*) FROM auth.signing_keys"

static struct accounts accounts;

// A further instance of auth.
struct instance {
  struct process process;
  struct driver driver;
};

static void setup(void)
{
  accounts_open(&accounts, NULL);
}

static void teardown(void)
{
  accounts_close(&accounts);
}

TestSuite(auth_key_rotation, .init = setup, .fini = teardown);

static const char *user_peer(void)
{
  return arena_printf(&accounts.database.arena, "user=%s", accounts.user.url);
}

// Starts an instance with a secret, and with the one before where it is not NULL.
static void start(struct instance *instance, const char *secret, const char *previous)
{
  struct arena *arena = &accounts.database.arena;
  const char *environment[] = {
      arena_printf(arena, "AUTH_KEY_SECRET=%s", secret), "AUTH_ARGON2_PASSES=1", "AUTH_ARGON2_MEMORY=8k",
      previous == NULL ? NULL : arena_printf(arena, "AUTH_KEY_SECRET_PREVIOUS=%s", previous), NULL};
  process_prepare(&instance->process);
  service_launch(&instance->process, &accounts.database, "auth", user_peer(), NULL, environment);
  process_wait_ready(&instance->process);
  process_wait_output(&instance->process, "connected to an endpoint");
  driver_open(&instance->driver, instance->process.url, "gateway");
}

static void stop(struct instance *instance)
{
  driver_close(&instance->driver);
  cr_expect_eq(process_stop(&instance->process), 0, "%s", strbuf_cstring(&instance->process.output));
  process_free(&instance->process);
}

static const Auth__V1__JsonWebKeySet *keys_at(struct driver *driver)
{
  static const struct rpc_context anonymous = {.request_id = SLICE_INIT("r-0")};
  Auth__V1__GetJwksRequest request = AUTH__V1__GET_JWKS_REQUEST__INIT;
  struct outcome outcome = driver_call(driver, "auth.v1.AuthService/GetJwks", &request.base, &anonymous);
  return (const Auth__V1__JsonWebKeySet *)(const void *)driver_reply(&outcome, &auth__v1__json_web_key_set__descriptor);
}

static bool has_key(const Auth__V1__JsonWebKeySet *keys, const char *kid)
{
  for (size_t i = 0; i < keys->n_keys; i++)
    if (strcmp(keys->keys[i]->kid, kid) == 0)
      return true;
  return false;
}

// Waits until an instance publishes so many keys, this one among them.
static void wait_published(struct driver *driver, size_t count, const char *kid)
{
  uint64_t end_us = patience_end_us();
  const Auth__V1__JsonWebKeySet *keys = keys_at(driver);
  while (keys->n_keys != count || !has_key(keys, kid)) {
    cr_assert_lt(clock_now_us(), end_us, "%zu keys are published, not %zu with %s", keys->n_keys, count, kid);
    keys = keys_at(driver);
  }
}

static const Auth__V1__TokenResponse *login_at(struct driver *driver)
{
  static const struct rpc_context anonymous = {.request_id = SLICE_INIT("r-0")};
  Auth__V1__LoginRequest request = AUTH__V1__LOGIN_REQUEST__INIT;
  request.email = (char *)(uintptr_t)ADA;
  request.password = (char *)(uintptr_t)ACCOUNTS_PASSWORD;
  struct outcome outcome = driver_call(driver, "auth.v1.AuthService/Login", &request.base, &anonymous);
  return accounts_tokens_of(&outcome);
}

static bool is_signed_by(const Auth__V1__TokenResponse *tokens, const char *kid)
{
  struct strbuf header;
  strbuf_init(&header, 0);
  cr_assert(base64_decode(slice_make(tokens->access_token, strcspn(tokens->access_token, ".")), &header));
  bool found = strstr(strbuf_cstring(&header), kid) != NULL;
  strbuf_free(&header);
  return found;
}

static void rotate(char *option, int code, const char *says)
{
  struct process process;
  cr_expect_eq(accounts_command(&accounts, &process, "rotate-keys", option, NULL), code, "%s",
               strbuf_cstring(&process.output));
  EXPECT_OUTPUT(process, says);
  process_free(&process);
}

static const char *latest_kid(void)
{
  return database_sql(&accounts.database,
                      "SELECT kid FROM auth.signing_keys ORDER BY sign_time DESC NULLS FIRST LIMIT 1");
}

static void pass_time(const char *interval)
{
  (void)database_sql(&accounts.database, "UPDATE auth.signing_keys SET sign_time = sign_time - interval '%s'",
                     interval);
}

Test(auth_key_rotation, a_key_is_published_then_signs_and_the_old_one_goes_when_its_tokens_are_gone)
{
  struct instance other;
  (void)accounts_new_user(&accounts, ADA);
  start(&other, ACCOUNTS_KEY_SECRET, NULL);
  const char *old = latest_kid();
  rotate(NULL, 0, "is published, and signs from");
  const char *new = latest_kid();
  cr_assert_str_neq(new, old);
  wait_published(&accounts.to_auth, 2, new);
  wait_published(&other.driver, 2, new);
  cr_expect(is_signed_by(accounts_tokens(&accounts, ADA), old), "it was not published for long enough");

  pass_time("10 minutes");
  uint64_t end_us = patience_end_us();
  while (!is_signed_by(accounts_tokens(&accounts, ADA), new) || !is_signed_by(login_at(&other.driver), new))
    cr_assert_lt(clock_now_us(), end_us, "the new key does not sign");
  cr_expect(has_key(keys_at(&other.driver), old), "its tokens are valid");

  pass_time("1 hour");
  wait_published(&accounts.to_auth, 1, new);
  wait_published(&other.driver, 1, new);
  stop(&other);
}

Test(auth_key_rotation, of_several_instances_one_makes_the_key_that_is_due)
{
  struct instance others[2];
  start(&others[0], ACCOUNTS_KEY_SECRET, NULL);
  start(&others[1], ACCOUNTS_KEY_SECRET, NULL);
  pass_time("91 days");
  database_wait_sql(&accounts.database, "SELECT count(*) FROM auth.signing_keys WHERE sign_time > now()", "1");
  const char *new = latest_kid();
  wait_published(&accounts.to_auth, 2, new);
  wait_published(&others[0].driver, 2, new);
  wait_published(&others[1].driver, 2, new);
  cr_expect_str_eq(database_sql(&accounts.database, KEY_COUNT), "2");
  stop(&others[0]);
  stop(&others[1]);
}

Test(auth_key_rotation, a_compromised_key_is_replaced_at_once)
{
  struct instance other;
  (void)accounts_new_user(&accounts, ADA);
  start(&other, ACCOUNTS_KEY_SECRET, NULL);
  rotate(NULL, 0, "2 keys are published");
  const Auth__V1__TokenResponse *before = accounts_tokens(&accounts, ADA);
  rotate("--now", 0, "All access tokens are void");
  const char *new = latest_kid();
  wait_published(&accounts.to_auth, 1, new);
  wait_published(&other.driver, 1, new);
  struct outcome refreshed = accounts_refresh(&accounts, before->refresh_token);
  cr_expect(is_signed_by(accounts_tokens_of(&refreshed), new), "sessions outlive it");
  cr_expect(is_signed_by(login_at(&other.driver), new));
  rotate("--soon", 1, "the option is --soon; known is: --now");
  stop(&other);
}

Test(auth_key_rotation, more_keys_than_verifiers_take_are_refused)
{
  (void)database_sql(&accounts.database, "INSERT INTO auth.signing_keys (kid, sealed, sign_time) SELECT "
                                         "'copy-' || n, sealed, now() + interval '1 day' "
                                         "FROM auth.signing_keys, generate_series(1, 31) AS n");
  rotate(NULL, 1, "32 keys are published, and verifiers take 32 at most");
  rotate("--now", 0, "is the only key");
  wait_published(&accounts.to_auth, 1, latest_kid());
}

Test(auth_key_rotation, an_unsuitable_pair_of_settings_is_refused)
{
  struct process process;
  process_prepare(&process);
  service_launch(&process, &accounts.database, "auth", user_peer(), NULL,
                 (const char *const[]){"AUTH_KEY_SECRET=" ACCOUNTS_KEY_SECRET, "AUTH_KEY_ROTATION=15m", NULL});
  cr_expect_eq(process_end(&process), 1);
  EXPECT_OUTPUT(process, "AUTH_KEY_ROTATION must be at least twice AUTH_KEY_PUBLISH");
  process_free(&process);
}

// ---- the secret that seals the keys ----

static size_t sealed_before_count(void)
{
  return strtoul(database_sql(&accounts.database, "SELECT (SELECT count(sealed_before) FROM auth.signing_keys) + "
                                                  "(SELECT count(sealed_before) FROM auth.stored_secrets)"),
                 NULL, 10);
}

Test(auth_key_rotation, the_secret_changes_instance_by_instance)
{
  struct instance next, last;
  (void)accounts_new_user(&accounts, ADA);
  const char *kid = latest_kid();
  start(&next, NEW_SECRET, ACCOUNTS_KEY_SECRET);
  cr_expect_eq(sealed_before_count(), 3);
  cr_expect(is_signed_by(login_at(&next.driver), kid));
  cr_expect(is_signed_by(accounts_tokens(&accounts, ADA), kid));
  // A key that an instance makes which knows the old secret only.
  rotate(NULL, 0, "2 keys are published");
  const char *new = latest_kid();
  wait_published(&next.driver, 2, new);
  wait_published(&accounts.to_auth, 2, new);
  cr_expect_eq(sealed_before_count(), 4);

  // An instance with the old secret may still start.
  accounts_stop_auth(&accounts);
  accounts_start_auth(&accounts, NULL);
  wait_published(&accounts.to_auth, 2, new);
  cr_expect_eq(sealed_before_count(), 4);

  // The change is over with the first instance that does not know the old secret.
  start(&last, NEW_SECRET, NULL);
  wait_published(&last.driver, 2, new);
  cr_expect(is_signed_by(login_at(&last.driver), kid));
  cr_expect_eq(sealed_before_count(), 0);
  struct process process;
  cr_expect_eq(accounts_command(&accounts, &process, "rotate-keys", NULL, NULL), 1);
  EXPECT_OUTPUT(process, "AUTH_KEY_SECRET does not open the stored signing key");
  process_free(&process);
  cr_expect_str_eq(database_sql(&accounts.database, KEY_COUNT), "2");
  stop(&next);
  stop(&last);
}

// Device tokens of releases that sealed them under AUTH_KEY_SECRET itself are read after a change of the setting, too.
Test(auth_key_rotation, device_tokens_and_names_of_accounts_survive_another_secret)
{
  struct instance next;
  (void)accounts_new_user(&accounts, ADA);
  (void)database_sql(&accounts.database, "DELETE FROM auth.stored_secrets");
  start(&next, NEW_SECRET, ACCOUNTS_KEY_SECRET);
  const Auth__V1__TokenResponse *tokens = login_at(&next.driver);
  struct arena *arena = &accounts.database.arena;
  struct device device;
  const struct device_scope scope = {.secret = ACCOUNTS_KEY_SECRET,
                                     .account = auth_devices_account(ACCOUNTS_KEY_SECRET, ADA, arena)};
  cr_expect(auth_devices_read(&scope, tokens->device_token, arena, &device));
  stop(&next);
}
