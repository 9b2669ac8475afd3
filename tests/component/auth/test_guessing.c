// Guesses at the password of an account, with Redis and without: they end soon, and do not lock its owner out.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/support/environment.h"
#include "tests/support/service/accounts.h"

#define LOGIN "auth.v1.AuthService/Login"
#define ATTACKER "198.51.100.7"
#define HOME "192.0.2.1"

static struct accounts accounts;
static char redis_setting[256];
static char email[64];

static void open_with_redis(void)
{
  snprintf(redis_setting, sizeof(redis_setting), "REDIS_URL=%s", need_variable("BULKHEAD_TEST_REDIS"));
  accounts_open(&accounts, (const char *const[]){redis_setting, NULL});
  // Redis outlives a test, so each test has an account of its own.
  snprintf(email, sizeof(email), "ada-%d@example.com", (int)getpid());
  accounts_new_user(&accounts, email);
}

static void open_without_redis(void)
{
  accounts_open(&accounts, NULL);
  snprintf(email, sizeof(email), "ada@example.com");
  accounts_new_user(&accounts, email);
}

static void teardown(void)
{
  accounts_close(&accounts);
}

// After a test that has stopped the services to read all that they have logged.
static void free_stopped(void)
{
  accounts_free(&accounts);
}

TestSuite(guessing, .init = open_with_redis, .fini = teardown);
TestSuite(guessing_logs, .init = open_with_redis, .fini = free_stopped);
TestSuite(guessing_without_redis, .init = open_without_redis, .fini = teardown);

static struct outcome login(const char *address, const char *account, const char *password, const char *device_token)
{
  const struct rpc_context context = {.request_id = SLICE("r-1"), .client_address = slice_from_string(address)};
  Auth__V1__LoginRequest request = AUTH__V1__LOGIN_REQUEST__INIT;
  request.email = (char *)(uintptr_t)account;
  request.password = (char *)(uintptr_t)password;
  request.device_token = (char *)(uintptr_t)device_token;
  return driver_call(&accounts.to_auth, LOGIN, &request.base, &context);
}

static enum status guess(const char *address)
{
  return login(address, email, "a wrong password", "").status;
}

static enum status right_login(const char *address, const char *device_token)
{
  return login(address, email, ACCOUNTS_PASSWORD, device_token).status;
}

// Guesses until it is refused, and returns how many were tried.
static int guess_until_refused(const char *address)
{
  int tried = 0;
  while (guess(address) != STATUS_RESOURCE_EXHAUSTED) {
    tried++;
    cr_assert_lt(tried, 200);
  }
  return tried;
}

static const char *sign_in(const char *address)
{
  struct outcome outcome = login(address, email, ACCOUNTS_PASSWORD, "");
  const char *token = accounts_tokens_of(&outcome)->device_token;
  cr_assert_not_null(token);
  return token;
}

static void expect_few_guesses(void)
{
  // Five of the source, twenty that unknown sources share, and what came back meanwhile.
  int tried = guess_until_refused(ATTACKER);
  cr_expect_geq(tried, 25);
  cr_expect_leq(tried, 27);
  struct outcome refused = login(ATTACKER, email, ACCOUNTS_PASSWORD, "");
  cr_expect_eq(refused.status, STATUS_RESOURCE_EXHAUSTED, "a right password is not tried either");
  cr_expect(slice_equal_string(refused.reason, "TOO_MANY_FAILURES"));
  cr_expect_gt(refused.retry_after_ms, 0);
  cr_expect_leq(refused.retry_after_ms, 60001);
}

static void expect_owner_gets_in(void)
{
  const char *device = sign_in(HOME);
  guess_until_refused(ATTACKER);
  // From the attacker's own address, too: the device is known.
  cr_expect_eq(right_login(ATTACKER, device), STATUS_OK);
  // A new source has five tries.
  for (int i = 0; i < 4; i++)
    cr_expect_eq(guess("203.0.113.9"), STATUS_UNAUTHENTICATED);
  cr_expect_eq(right_login("203.0.113.9", ""), STATUS_OK);
  cr_expect_eq(guess(ATTACKER), STATUS_RESOURCE_EXHAUSTED);
}

Test(guessing, ends_after_few_tries)
{
  expect_few_guesses();
}

Test(guessing, does_not_lock_the_owner_out)
{
  expect_owner_gets_in();
}

Test(guessing_without_redis, ends_after_few_tries)
{
  expect_few_guesses();
}

Test(guessing_without_redis, does_not_lock_the_owner_out)
{
  expect_owner_gets_in();
}

// Whoever has a device token of one account gains nothing for another.
Test(guessing, a_token_of_another_account_is_none)
{
  char other[80];
  snprintf(other, sizeof(other), "bob-%s", email);
  accounts_new_user(&accounts, other);
  struct outcome outcome = login(HOME, other, ACCOUNTS_PASSWORD, "");
  const char *token = accounts_tokens_of(&outcome)->device_token;
  guess_until_refused(ATTACKER);
  cr_expect_eq(right_login(ATTACKER, token), STATUS_RESOURCE_EXHAUSTED);
}

// A stolen device token does not open the account to guesses without an end.
Test(guessing, from_a_known_device_ends_as_well)
{
  const char *device = sign_in(HOME);
  int tried = 0;
  while (login(ATTACKER, email, "a wrong password", device).status == STATUS_UNAUTHENTICATED && tried < 100)
    tried++;
  cr_expect_geq(tried, 10);
  cr_expect_leq(tried, 12);
  cr_expect_eq(right_login(HOME, sign_in(HOME)), STATUS_OK);
}

// Takes an attempt as the gateway does, from a limit of `burst` that come back one an hour.
static struct outcome try_attempt(const char *address, const char *device_token, uint32_t burst)
{
  static const struct rpc_context context = {.request_id = SLICE_INIT("r-1")};
  Auth__V1__LoginRequest login_request = AUTH__V1__LOGIN_REQUEST__INIT;
  login_request.email = email;
  login_request.password = "a wrong password";
  login_request.device_token = (char *)(uintptr_t)device_token;
  struct slice packed = driver_pack(&accounts.to_auth, &login_request.base);
  Auth__V1__RateLimit limit = AUTH__V1__RATE_LIMIT__INIT;
  limit.interval_ns = UINT64_C(3600000000000);
  limit.burst = burst;
  Auth__V1__BeginAttemptRequest request = AUTH__V1__BEGIN_ATTEMPT_REQUEST__INIT;
  request.address = (char *)(uintptr_t)address;
  request.limit = &limit;
  request.login = (ProtobufCBinaryData){.len = packed.size, .data = (uint8_t *)(uintptr_t)packed.data};
  return driver_call(&accounts.to_auth, "auth.v1.RateLimitService/BeginAttempt", &request.base, &context);
}

static bool begin_attempt(const char *address, const char *device_token)
{
  struct outcome outcome = try_attempt(address, device_token, 2);
  cr_assert_eq(outcome.status, STATUS_OK, "%s", status_name(outcome.status));
  const Auth__V1__RateLimitState *state = (const void *)driver_reply(&outcome, &auth__v1__rate_limit_state__descriptor);
  return state->granted == 1;
}

// Anybody may log in to an account of his own as often as he likes, and gets a new device each time.
Test(guessing, devices_of_one_account_do_not_multiply_the_attempts_of_an_address)
{
  char address[32];
  snprintf(address, sizeof(address), "10.%d.%d.7", getpid() / 256 % 256, getpid() % 256);
  const char *first = sign_in(HOME);
  const char *second = sign_in(HOME);
  cr_expect_str_neq(first, second);
  cr_expect(begin_attempt(address, first));
  cr_expect(begin_attempt(address, second));
  cr_expect_not(begin_attempt(address, first));
  cr_expect_not(begin_attempt(address, sign_in(HOME)));
  cr_expect(begin_attempt(address, ""), "the address has a bucket of its own");
  cr_expect(begin_attempt("192.0.2.99", first), "the account's devices elsewhere are not held up");
}

Test(guessing, a_limit_that_takes_years_to_come_back_is_refused)
{
  cr_expect_eq(try_attempt("192.0.2.98", "", 366 * 24).status, STATUS_OK);
  struct outcome outcome = try_attempt("192.0.2.98", "", 366 * 24 + 1);
  cr_expect_eq(outcome.status, STATUS_INVALID_ARGUMENT, "%s", status_name(outcome.status));
}

// Five tries for each address of a network would be hundreds.
Test(guessing, a_network_has_a_bound_of_its_own)
{
  int tried = 0;
  for (int host = 1; host <= 20; host++)
    for (int i = 0; i < 5; i++) {
      char address[32];
      snprintf(address, sizeof(address), "198.51.100.%d", host);
      tried += guess(address) == STATUS_UNAUTHENTICATED;
    }
  cr_expect_geq(tried, 45);
  cr_expect_leq(tried, 47);
}

// The owner may mistype as often as before once a login was right.
Test(guessing, a_right_password_gives_the_source_its_tries_back)
{
  for (int round = 0; round < 12; round++) {
    for (int i = 0; i < 4; i++)
      cr_expect_eq(guess(HOME), STATUS_UNAUTHENTICATED);
    cr_expect_eq(right_login(HOME, ""), STATUS_OK, "round %d", round);
  }
}

// A login that the service could not judge tells a guesser nothing, and gives back no try but its own.
Test(guessing, a_login_that_could_not_be_judged_costs_its_source_nothing_and_gives_it_nothing)
{
  for (int i = 0; i < 4; i++)
    cr_expect_eq(guess(ATTACKER), STATUS_UNAUTHENTICATED);
  database_sql(&accounts.database, "ALTER TABLE auth.credentials RENAME TO credentials_away");
  for (int i = 0; i < 3; i++) {
    enum status status = guess(ATTACKER);
    cr_expect_neq(status, STATUS_UNAUTHENTICATED);
    cr_expect_neq(status, STATUS_RESOURCE_EXHAUSTED);
  }
  database_sql(&accounts.database, "ALTER TABLE auth.credentials_away RENAME TO credentials");
  int tried = 4 + guess_until_refused(ATTACKER);
  cr_expect_geq(tried, 25, "%d were tried", tried);
  cr_expect_leq(tried, 27, "%d were tried", tried);
}

// Begins a guess and cancels it while the database holds up the reading of its account's hash.
static void cancel_guess(const char *address)
{
  const struct rpc_context context = {.request_id = SLICE("r-1"), .client_address = slice_from_string(address)};
  struct outcome outcome;
  Auth__V1__LoginRequest request = AUTH__V1__LOGIN_REQUEST__INIT;
  request.email = email;
  request.password = "a wrong password";
  database_sql(&accounts.database,
               "CREATE TABLE public.gate ();"
               "CREATE FUNCTION public.wait_for_gate() RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER AS"
               " 'BEGIN WHILE NOT EXISTS (SELECT FROM public.gate) LOOP PERFORM pg_sleep(0.01); END LOOP;"
               "  RETURN true; END';"
               "CREATE POLICY gate ON auth.credentials USING (public.wait_for_gate());"
               "ALTER TABLE auth.credentials ENABLE ROW LEVEL SECURITY");
  driver_begin(&accounts.to_auth, LOGIN, driver_pack(&accounts.to_auth, &request.base), &context, 30000, &outcome);
  database_wait_sql(&accounts.database,
                    "SELECT count(*) FROM pg_stat_activity WHERE usename = 'bulkhead_auth' AND datname = "
                    "current_database() AND wait_event = 'PgSleep'",
                    "1");
  rpc_call_cancel(outcome.call);
  rpc_client_flush(accounts.to_auth.client);
  process_wait_http(&accounts.auth, "/metrics", "Login\",status=\"CANCELLED\"} 1");
  database_sql(&accounts.database, "ALTER TABLE auth.credentials DISABLE ROW LEVEL SECURITY");
}

Test(guessing, a_cancelled_login_keeps_its_try)
{
  for (int i = 0; i < 4; i++)
    cr_expect_eq(guess(ATTACKER), STATUS_UNAUTHENTICATED);
  cancel_guess(ATTACKER);
  int tried = 5 + guess_until_refused(ATTACKER);
  cr_expect_geq(tried, 25, "%d were tried", tried);
  cr_expect_leq(tried, 27, "%d were tried", tried);
}

// Neither the limit nor its answer tells whether an account exists.
Test(guessing, at_an_unknown_account_ends_in_the_same_way)
{
  char unknown[80];
  snprintf(unknown, sizeof(unknown), "eve-%s", email);
  int tried = 0;
  struct outcome outcome;
  while ((outcome = login(ATTACKER, unknown, "a wrong password", "")).status == STATUS_UNAUTHENTICATED && tried < 100)
    tried++;
  int at_known = guess_until_refused(ATTACKER);
  cr_expect_leq(abs(tried - at_known), 1, "%d tries at an unknown account, %d at a known one", tried, at_known);
  struct outcome known = login(ATTACKER, email, "a wrong password", "");
  cr_expect_eq(outcome.status, known.status);
  cr_expect(slice_equal(outcome.message, known.message));
  cr_expect(slice_equal(outcome.reason, known.reason));
}

Test(guessing_logs, tell_neither_address_nor_password)
{
  guess_until_refused(ATTACKER);
  accounts_stop(&accounts);
  EXPECT_OUTPUT(accounts.auth, "a login failed: the address or the password is wrong");
  EXPECT_OUTPUT(accounts.auth, "a login was refused: too many to this account have failed");
  EXPECT_OUTPUT(accounts.auth, "\"source\":\"" ATTACKER "\"");
  EXPECT_NO_OUTPUT(accounts.auth, email);
  EXPECT_NO_OUTPUT(accounts.auth, "a wrong password");
}
