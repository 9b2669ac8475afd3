// The signing keys of auth: sealed under AUTH_KEY_SECRET, shared by all instances.
#include <criterion/criterion.h>
#include <string.h>

#include "auth/v1/auth.pb-c.h"
#include "tests/support/service/database.h"
#include "tests/support/service/driver.h"

#define ONE_SECRET "one-secret-0123456789abcdef01234567"
#define OTHER_SECRET "other-secret-0123456789abcdef012345"

static struct database database;

static void setup(void)
{
  database_create(&database, (const char *const[]){"auth", NULL});
}

static void teardown(void)
{
  database_drop(&database);
}

TestSuite(auth_keys, .init = setup, .fini = teardown);

static void launch(struct process *process, const char *secret)
{
  process_prepare(process);
  service_launch(process, &database, "auth", NULL, NULL,
                 (const char *const[]){arena_printf(&database.arena, "AUTH_KEY_SECRET=%s", secret),
                                       "MIGRATE_ON_START=true", NULL});
}

static void stop(struct process *process)
{
  cr_expect_eq(process_stop(process), 0, "%s", strbuf_cstring(&process->output));
  process_free(process);
}

static const char *key_count(void)
{
  return database_sql(&database, "SELECT count(*) FROM auth.signing_keys");
}

static const Auth__V1__JsonWebKeySet *keys_at(struct driver *driver)
{
  static const struct rpc_context anonymous = {.request_id = SLICE_INIT("r-0")};
  Auth__V1__GetJwksRequest request = AUTH__V1__GET_JWKS_REQUEST__INIT;
  struct outcome outcome = driver_call(driver, "auth.v1.AuthService/GetJwks", &request.base, &anonymous);
  return (const Auth__V1__JsonWebKeySet *)(const void *)driver_reply(&outcome, &auth__v1__json_web_key_set__descriptor);
}

Test(auth_keys, another_secret_is_refused_by_the_settings_name)
{
  struct process process;
  launch(&process, ONE_SECRET);
  process_wait_ready(&process);
  stop(&process);

  launch(&process, OTHER_SECRET);
  cr_expect_eq(process_end(&process), 1);
  EXPECT_OUTPUT(process, "AUTH_KEY_SECRET does not open the stored secret");
  EXPECT_NO_OUTPUT(process, OTHER_SECRET);
  EXPECT_NO_OUTPUT(process, ONE_SECRET);
  process_free(&process);
  // The stored key is unchanged.
  cr_expect_str_eq(key_count(), "1");
  launch(&process, ONE_SECRET);
  process_wait_ready(&process);
  stop(&process);
}

Test(auth_keys, a_short_secret_is_refused)
{
  struct process process;
  launch(&process, "too-short-a-secret-for-a-key-31");
  cr_expect_eq(process_end(&process), 1);
  EXPECT_OUTPUT(process, "AUTH_KEY_SECRET must have at least 32 characters");
  EXPECT_NO_OUTPUT(process, "too-short-a-secret");
  process_free(&process);
  cr_expect_str_eq(key_count(), "0");
}

Test(auth_keys, a_damaged_key_is_refused)
{
  struct process process;
  launch(&process, ONE_SECRET);
  process_wait_ready(&process);
  stop(&process);
  database_sql(&database, "UPDATE auth.signing_keys SET sealed = set_byte(sealed, length(sealed) - 1,"
                          " get_byte(sealed, length(sealed) - 1) # 1)");
  launch(&process, ONE_SECRET);
  cr_expect_eq(process_end(&process), 1);
  EXPECT_OUTPUT(process, "AUTH_KEY_SECRET does not open the stored signing key");
  process_free(&process);
}

Test(auth_keys, instances_that_start_together_agree_on_one)
{
  enum { INSTANCES = 4 };
  struct process processes[INSTANCES];
  for (size_t i = 0; i < INSTANCES; i++)
    launch(&processes[i], ONE_SECRET);
  for (size_t i = 0; i < INSTANCES; i++)
    process_wait_ready(&processes[i]);
  cr_expect_str_eq(key_count(), "1");
  const char *kid = database_sql(&database, "SELECT kid FROM auth.signing_keys");
  for (size_t i = 0; i < INSTANCES; i++) {
    struct driver driver;
    driver_open(&driver, processes[i].url, "gateway");
    const Auth__V1__JsonWebKeySet *keys = keys_at(&driver);
    cr_assert_eq(keys->n_keys, 1);
    cr_expect_str_eq(keys->keys[0]->kid, kid);
    cr_expect_str_eq(keys->keys[0]->alg, "ES256");
    driver_close(&driver);
  }
  for (size_t i = 0; i < INSTANCES; i++)
    stop(&processes[i]);
}

// The stored key is of no use without the secret.
Test(auth_keys, the_private_key_is_not_in_the_database)
{
  struct process process;
  launch(&process, ONE_SECRET);
  process_wait_ready(&process);
  cr_expect_str_eq(database_sql(&database, "SELECT position('PRIVATE KEY'::bytea IN sealed) FROM auth.signing_keys"),
                   "0");
  stop(&process);
}
