// A change of the address that is taken back while something else happens: other links of the account, the same link, a
// crash.
#include <criterion/criterion.h>
#include <string.h>

#include "auth/v1/email.pb-c.h"
#include "auth/v1/sessions.pb-c.h"
#include "tests/support/service/accounts.h"
#include "tests/support/service/gate.h"

#define FIRST "ada@example.com"
#define SECOND "thief@example.com"
#define THIRD "thief2@example.com"
#define FOURTH "thief3@example.com"
#define UNDO "auth.v1.EmailService/UndoEmailChange"
#define VERIFY "auth.v1.EmailService/VerifyEmail"
#define TO_FIRST "to-first-0hT9mJ4yXq2vWc7rLk1sPz8nBd5gFa3e"
#define TO_SECOND "to-second-0hT9mJ4yXq2vWc7rLk1sPz8nBd5gFa3e"
#define TO_FOURTH "to-fourth-0hT9mJ4yXq2vWc7rLk1sPz8nBd5gFa3e"
#define AT_AN_EVENT(action) "INSERT ON auth.audit_events FOR EACH ROW WHEN (NEW.action = '" action "')"

static const char *const environment[] = {"MAIL_URL=smtp://127.0.0.1:1",  // nothing takes connections there
                                          "MAIL_WITHOUT_TLS=true", "MAIL_FROM=accounts@example.com",
                                          "ACCOUNT_URL=https://example.com/account", NULL};
static struct accounts accounts;
static const char *user_id;

static void plant(const char *token, const char *purpose, const char *email, const char *other_email, int version)
{
  accounts_plant_link(&accounts, &(struct planted_link){.token = token,
                                                        .purpose = purpose,
                                                        .user_id = user_id,
                                                        .email = email,
                                                        .other_email = other_email,
                                                        .email_version = version});
}

// A thief has changed the address twice, so the first owner and he himself have got a link to undo.
static void setup(void)
{
  accounts_open(&accounts, environment);
  user_id = arena_string(&accounts.database.arena, slice_from_string(accounts_new_user(&accounts, FIRST)->id));
  database_sql(&accounts.database, "UPDATE \"user\".users SET email = '" THIRD "', email_version = 3");
  plant(TO_FIRST, "undo_email", FIRST, SECOND, 1);
  plant(TO_SECOND, "undo_email", SECOND, THIRD, 2);
}

static void teardown(void)
{
  accounts_close(&accounts);
}

TestSuite(auth_undo, .init = setup, .fini = teardown);

// Both requests have the same field.
static struct prepared_call call_with(const char *method, const char *token)
{
  static const struct rpc_context anonymous = {.request_id = SLICE_INIT("r-0")};
  Auth__V1__UndoEmailChangeRequest request = AUTH__V1__UNDO_EMAIL_CHANGE_REQUEST__INIT;
  request.token = (char *)(uintptr_t)token;
  return driver_prepare(&accounts.to_auth, method, &request.base, &anonymous);
}

static void begin(const char *method, const char *token, struct outcome *outcome)
{
  const struct prepared_call call = call_with(method, token);
  driver_begin_prepared(&call, outcome);
}

static struct outcome do_at_once(const char *method, const char *token)
{
  struct outcome outcome;
  begin(method, token, &outcome);
  driver_finish(&accounts.to_auth, &outcome);
  return outcome;
}

static void expect(const struct outcome *outcome, enum status status, const char *reason)
{
  cr_expect_eq(outcome->status, status, "%s", status_name(outcome->status));
  cr_expect(slice_equal_string(outcome->reason, reason), SLICE_FMT, SLICE_ARG(outcome->reason));
}

static const char *address(void)
{
  return database_sql(&accounts.database, "SELECT email FROM \"user\".users");
}

static const char *count(const char *what)
{
  return database_sql(&accounts.database, "SELECT count(*) FROM auth.%s", what);
}

Test(auth_undo, of_two_at_once_the_earlier_address_holds)
{
  struct outcome owner, thief;
  gate_close(&accounts.database, AT_AN_EVENT("email.undo"));
  begin(UNDO, TO_FIRST, &owner);
  gate_wait_one(&accounts.database);
  begin(UNDO, TO_SECOND, &thief);
  driver_finish(&accounts.to_auth, &thief);
  gate_open(&accounts.database);
  driver_finish(&accounts.to_auth, &owner);
  expect(&owner, STATUS_OK, "");
  expect(&thief, STATUS_FAILED_PRECONDITION, "INVALID_TOKEN");
  cr_expect_str_eq(address(), FIRST);
}

// The owner's undo comes while a call waits at an event, and waits for its locks. Both succeed.
static void undo_after(const char *event, const char *method, const char *token)
{
  const struct prepared_call first = call_with(method, token), undo = call_with(UNDO, TO_FIRST);
  struct outcome outcomes[2];
  gate_race(&accounts.database, event, &first, &undo, outcomes);
  expect(&outcomes[0], STATUS_OK, "");
  expect(&outcomes[1], STATUS_OK, "");
}

// The other way round the thief's is taken back, too.
Test(auth_undo, one_that_comes_while_a_later_one_is_made_follows_it)
{
  undo_after(AT_AN_EVENT("email.undo"), UNDO, TO_SECOND);
  cr_expect_str_eq(address(), FIRST);
}

static void expect_one_undo(void)
{
  cr_expect_str_eq(count("audit_events WHERE action = 'email.undo'"), "1");
  cr_expect_str_eq(count("account_tokens WHERE purpose = 'reset_password'"), "1", "one mail with a link");
  cr_expect_str_eq(count("account_tokens WHERE purpose = 'reset_password' AND use_time IS NULL"), "1", "a good one");
  cr_expect_str_eq(address(), FIRST);
}

// One that finds the undo made is told so, unless the token has been spent by then.
Test(auth_undo, of_some_with_one_link_one_is_made)
{
  enum { CALLS = 4 };
  struct outcome outcomes[CALLS];
  int made = 0;
  for (int i = 0; i < CALLS; i++)
    begin(UNDO, TO_FIRST, &outcomes[i]);
  for (int i = 0; i < CALLS; i++) {
    driver_finish(&accounts.to_auth, &outcomes[i]);
    made += outcomes[i].status == STATUS_OK;
    if (outcomes[i].status != STATUS_OK)
      expect(&outcomes[i], STATUS_FAILED_PRECONDITION, "INVALID_TOKEN");
  }
  cr_expect_geq(made, 1);
  expect_one_undo();
}

// The second has read the token before the first has made the undo, and goes on before the first spends it.
Test(auth_undo, of_two_with_one_link_the_second_leaves_the_owners_new_link)
{
  database_sql(&accounts.database,
               "CREATE FUNCTION public.skip() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
               "CREATE TRIGGER skip BEFORE UPDATE ON auth.account_tokens FOR EACH ROW"
               " WHEN (OLD.settle_time IS NOT NULL AND NEW.use_time IS NOT NULL) EXECUTE FUNCTION public.skip()");
  undo_after(AT_AN_EVENT("email.undo"), UNDO, TO_FIRST);
  expect_one_undo();
}

// The address is the owner's again, and auth has died before it could note so: the user service's report comes later.
Test(auth_undo, of_a_process_that_dies_leaves_the_thief_no_link)
{
  struct outcome owner;
  gate_close(&accounts.database, AT_AN_EVENT("email.undo"));
  begin(UNDO, TO_FIRST, &owner);
  gate_wait_one(&accounts.database);
  accounts_kill_auth(&accounts);
  accounts_start_auth(&accounts, environment);
  struct outcome thief = do_at_once(UNDO, TO_SECOND);
  expect(&thief, STATUS_FAILED_PRECONDITION, "INVALID_TOKEN");
  gate_open(&accounts.database);
  database_wait_sql(&accounts.database,
                    "SELECT count(*) FROM auth.account_tokens WHERE email = '" FIRST "' AND settle_time <= now()", "1");
  cr_expect_str_eq(address(), FIRST);
  cr_expect_str_eq(count("audit_events WHERE action = 'email.undo'"), "1");
}

Test(auth_undo, voids_a_change_that_is_confirmed_meanwhile)
{
  struct outcome owner;
  plant(TO_FOURTH, "change_email", FOURTH, THIRD, 3);
  gate_close(&accounts.database, AT_AN_EVENT("email.undo"));
  begin(UNDO, TO_FIRST, &owner);
  gate_wait_one(&accounts.database);
  struct outcome thief = do_at_once(VERIFY, TO_FOURTH);
  gate_open(&accounts.database);
  driver_finish(&accounts.to_auth, &owner);
  expect(&owner, STATUS_OK, "");
  expect(&thief, STATUS_FAILED_PRECONDITION, "INVALID_TOKEN");
  cr_expect_str_eq(address(), FIRST);
}

Test(auth_undo, takes_a_change_back_that_is_being_made)
{
  plant(TO_FOURTH, "change_email", FOURTH, THIRD, 3);
  undo_after(AT_AN_EVENT("email.change"), VERIFY, TO_FOURTH);
  cr_expect_str_eq(address(), FIRST);
  cr_expect_str_eq(count("account_tokens WHERE purpose <> 'reset_password' AND use_time IS NULL"), "0");
}

// ---- a change that is asked for, and whose mail is not written yet ----

static struct rpc_context session_context(void)
{
  return (struct rpc_context){.access_token = accounts_access_token(&accounts, user_id, 0)};
}

// Logs in, and asks for an address whose mail waits at the gate.
static void ask_for_address(void)
{
  accounts_tokens(&accounts, THIRD);
  gate_close(&accounts.database, "INSERT ON auth.account_tokens FOR EACH STATEMENT");
  Auth__V1__ChangeEmailRequest request = AUTH__V1__CHANGE_EMAIL_REQUEST__INIT;
  request.new_email = FOURTH;
  const struct rpc_context context = session_context();
  cr_assert_eq(driver_call(&accounts.to_auth, "auth.v1.EmailService/ChangeEmail", &request.base, &context).status,
               STATUS_OK);
  gate_wait_one(&accounts.database);
}

static void expect_mails(const char *mails)
{
  gate_open(&accounts.database);
  database_wait_sql(&accounts.database, "SELECT count(*) FROM auth.jobs WHERE kind LIKE '%change%'", "0");
  cr_expect_str_eq(count("account_tokens WHERE purpose = 'change_email'"), mails);
}

Test(auth_undo, the_end_of_all_sessions_voids_a_change_whose_mail_is_not_written_yet)
{
  ask_for_address();
  Auth__V1__RevokeAllSessionsRequest request = AUTH__V1__REVOKE_ALL_SESSIONS_REQUEST__INIT;
  const struct rpc_context context = session_context();
  cr_expect_eq(
      driver_call(&accounts.to_auth, "auth.v1.SessionService/RevokeAllSessions", &request.base, &context).status,
      STATUS_OK);
  expect_mails("0");
}

// The owner's session is the newest; the thief has asked in the one before.
Test(auth_undo, the_end_of_other_sessions_voids_a_change_whose_mail_is_not_written_yet)
{
  ask_for_address();
  accounts_tokens(&accounts, THIRD);
  Auth__V1__RevokeOtherSessionsRequest request = AUTH__V1__REVOKE_OTHER_SESSIONS_REQUEST__INIT;
  const struct rpc_context context = session_context();
  cr_expect_eq(
      driver_call(&accounts.to_auth, "auth.v1.SessionService/RevokeOtherSessions", &request.base, &context).status,
      STATUS_OK);
  expect_mails("0");
}

// The sessions go on then, so what was asked for in them does, too.
Test(auth_undo, a_role_that_is_taken_voids_no_change)
{
  ask_for_address();
  struct process process;
  database_sql(&accounts.database, "INSERT INTO auth.roles (user_id, role) VALUES ('%s', 'admin')", user_id);
  cr_expect_eq(accounts_command(&accounts, &process, "revoke-role", "admin", (char *)(uintptr_t)user_id), 0);
  process_free(&process);
  cr_expect_str_eq(count("endings WHERE generation IS NOT NULL"), "1");
  expect_mails("1");
}
