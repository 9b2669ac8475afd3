// Sign-ups that are repeated with the same Idempotency-Key.
#include <criterion/criterion.h>
#include <string.h>

#include "tests/support/service/accounts.h"

#define CREATE_USER "user.v1.UserService/CreateUser"

enum { TWINS = 6 };

static struct accounts accounts;
static const struct rpc_context anonymous = {.request_id = SLICE_INIT("r-0"), .idempotency_key = SLICE_INIT("key-1")};

static void setup(void)
{
  accounts_open(&accounts, NULL);
}

static void teardown(void)
{
  accounts_close(&accounts);
}

TestSuite(user_idempotency, .init = setup, .fini = teardown);

static void begin_sign_up(char *password, struct outcome *outcome)
{
  User__V1__CreateUserRequest request = USER__V1__CREATE_USER_REQUEST__INIT;
  request.email = "ada@example.com";
  request.password = password;
  request.display_name = "Ada";
  driver_begin(&accounts.to_user, CREATE_USER, driver_pack(&accounts.to_user, &request.base), &anonymous, 30000,
               outcome);
}

static struct outcome sign_up(char *password)
{
  struct outcome outcome;
  begin_sign_up(password, &outcome);
  driver_finish(&accounts.to_user, &outcome);
  return outcome;
}

static void expect_same(const struct outcome *first, const struct outcome *repeat)
{
  cr_expect_eq(first->status, STATUS_OK, SLICE_FMT, SLICE_ARG(first->message));
  cr_expect_eq(repeat->status, STATUS_OK, SLICE_FMT, SLICE_ARG(repeat->message));
  cr_expect(first->payload.size > 0 && slice_equal(first->payload, repeat->payload));
}

// Logs in. The auth service may still be looking for a user service that was started again.
static void log_in(void)
{
  uint64_t end_us = patience_end_us();
  enum status status;
  do {
    cr_assert_lt(clock_now_us(), end_us, "the auth service does not find the user service");
    status = accounts_login(&accounts, "ada@example.com", ACCOUNTS_PASSWORD).status;
  } while (status == STATUS_UNAVAILABLE);
  cr_expect_eq(status, STATUS_OK, "%s", status_name(status));
}

// One account is there, and nothing is left of attempts that had no effect.
static void expect_one_account(void)
{
  cr_expect_str_eq(database_sql(&accounts.database, "SELECT count(*) FROM \"user\".users"), "1");
  database_sql(&accounts.database, "UPDATE \"user\".jobs SET due_time = now()");
  database_wait_sql(&accounts.database, "SELECT count(*) FROM \"user\".jobs WHERE kind = 'remove_credential'", "0");
  cr_expect_str_eq(database_sql(&accounts.database, "SELECT count(*) || ' ' || count(id) FROM auth.credentials"
                                                    " LEFT JOIN \"user\".users ON id = user_id"),
                   "1 1");
  log_in();
}

Test(user_idempotency, a_repeated_sign_up_gets_the_first_account)
{
  struct outcome first = sign_up(ACCOUNTS_PASSWORD);
  struct outcome repeat = sign_up(ACCOUNTS_PASSWORD);
  expect_same(&first, &repeat);
  expect_one_account();
}

// Without the password a repeat must not read the account.
Test(user_idempotency, a_sign_up_with_another_password_is_another_request)
{
  cr_assert_eq(sign_up(ACCOUNTS_PASSWORD).status, STATUS_OK);
  struct outcome other = sign_up("another password");
  cr_expect_eq(other.status, STATUS_FAILED_PRECONDITION, "%s", status_name(other.status));
  cr_expect(slice_equal_string(other.reason, "IDEMPOTENCY_KEY_REUSED"), SLICE_FMT, SLICE_ARG(other.reason));
  cr_expect_eq(other.payload.size, 0);
  expect_one_account();
}

Test(user_idempotency, concurrent_sign_ups_with_one_key_get_one_account)
{
  struct outcome outcomes[TWINS];
  for (size_t i = 0; i < TWINS; i++)
    begin_sign_up(ACCOUNTS_PASSWORD, &outcomes[i]);
  for (size_t i = 0; i < TWINS; i++) {
    driver_finish(&accounts.to_user, &outcomes[i]);
    expect_same(&outcomes[0], &outcomes[i]);
  }
  expect_one_account();
}

// Closes a gate: from now on PostgreSQL holds up every write of this kind until open_gate.
static void close_gate(const char *write)
{
  database_sql(
      &accounts.database,
      "CREATE TABLE public.gate ();"
      "CREATE FUNCTION public.wait_for_gate() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS"
      " 'BEGIN WHILE NOT EXISTS (SELECT FROM public.gate) LOOP PERFORM pg_sleep(0.01); END LOOP; RETURN NEW; END';"
      "CREATE TRIGGER gate BEFORE %s FOR EACH ROW EXECUTE FUNCTION public.wait_for_gate()",
      write);
}

// Crashes the user service while the write is held up in the middle of a sign-up, and repeats the sign-up.
static void crash_at(const char *write)
{
  struct outcome outcome;
  close_gate(write);
  begin_sign_up(ACCOUNTS_PASSWORD, &outcome);
  database_wait_sql(&accounts.database,
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event ="
                    " 'PgSleep'",
                    "1");
  accounts_kill_user(&accounts);
  database_sql(&accounts.database, "INSERT INTO public.gate DEFAULT VALUES");
  accounts_start_user(&accounts, NULL);
  process_wait_output(&accounts.user, "connected to an endpoint");
  struct outcome first = sign_up(ACCOUNTS_PASSWORD);
  struct outcome repeat = sign_up(ACCOUNTS_PASSWORD);
  expect_same(&first, &repeat);
  expect_one_account();
}

Test(user_idempotency, a_crash_while_the_credential_is_stored_is_repeated_rightly)
{
  crash_at("INSERT ON auth.credentials");
}

Test(user_idempotency, a_crash_between_account_and_commit_is_repeated_rightly)
{
  crash_at("UPDATE ON \"user\".idempotency_keys");
}
