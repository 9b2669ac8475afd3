// Accounts and their credentials, with the auth service beside.
#include <criterion/criterion.h>
#include <string.h>

#include "common/base/clock.h"
#include "tests/support/service/accounts.h"

#define ADA "ada@example.com"
#define CREATE_USER "user.v1.UserService/CreateUser"
#define DELETE_CURRENT_USER "user.v1.UserService/DeleteCurrentUser"
#define DELETE_USER "user.v1.UserService/DeleteUser"
#define LIST_USERS "user.v1.UserService/ListUsers"
#define UPDATE_USER "user.v1.UserService/UpdateUser"
#define ADMIN "00000000-0000-7000-8000-000000000001"

enum { CALLS = 32 };

static struct accounts accounts;
static const struct rpc_context anonymous = {.request_id = SLICE_INIT("r-0")};
static const struct slice admin_role = SLICE_INIT("admin");
static struct rpc_context admin = {.request_id = SLICE_INIT("r-1"),
                                   .caller_id = SLICE_INIT(ADMIN),
                                   .caller_session = SLICE_INIT(ADMIN),
                                   .caller_roles = &admin_role,
                                   .caller_role_count = 1};

static void setup(void)
{
  admin.caller_auth_time = clock_wall_us() / 1000000;
  accounts_open(&accounts, NULL);
  accounts_plant_session(&accounts, ADMIN);
}

static void teardown(void)
{
  accounts_close(&accounts);
}

TestSuite(user_accounts, .init = setup, .fini = teardown);

static char *text(const char *format, size_t number)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
  return arena_printf(&accounts.to_user.arena, format, number);
#pragma GCC diagnostic pop
}

static void begin(const char *method, const ProtobufCMessage *request, struct outcome *outcome)
{
  driver_begin(&accounts.to_user, method, driver_pack(&accounts.to_user, request), &admin, 30000, outcome);
}

// Waits for all calls and counts those that succeeded; all others must have ended with `other`.
static size_t finish_all(struct outcome *outcomes, enum status other)
{
  size_t good = 0;
  for (size_t i = 0; i < CALLS; i++) {
    driver_finish(&accounts.to_user, &outcomes[i]);
    good += outcomes[i].status == STATUS_OK;
    if (outcomes[i].status != STATUS_OK)
      cr_expect_eq(outcomes[i].status, other, "%s: " SLICE_FMT, status_name(outcomes[i].status),
                   SLICE_ARG(outcomes[i].message));
  }
  return good;
}

static void expect_sql(const char *query, const char *expected)
{
  const char *result = database_sql(&accounts.database, "%s", query);
  cr_expect_str_eq(result, expected, "%s: %s", query, result);
}

static void wait_sql(const char *query, const char *expected)
{
  database_wait_sql(&accounts.database, query, expected);
}

// ---- sign-up ----

Test(user_accounts, one_of_many_concurrent_sign_ups_gets_the_address)
{
  struct outcome outcomes[CALLS];
  User__V1__CreateUserRequest request = USER__V1__CREATE_USER_REQUEST__INIT;
  request.display_name = "Ada";
  request.password = ACCOUNTS_PASSWORD;
  for (size_t i = 0; i < CALLS; i++) {
    request.email = i % 2 == 0 ? "ada@example.com" : "ADA@Example.com";
    begin(CREATE_USER, &request.base, &outcomes[i]);
  }
  cr_expect_eq(finish_all(outcomes, STATUS_ALREADY_EXISTS), 1);
  // Only one account is left: the other sign-ups were undone.
  expect_sql("SELECT count(*) FROM \"user\".users", "1");
  wait_sql("SELECT count(*) FROM \"user\".jobs WHERE kind = 'remove_credential'", "0");
  expect_sql("SELECT count(*) FROM auth.credentials WHERE user_id <> '" ADMIN "'", "1");
  expect_sql("SELECT count(*) FROM auth.credentials JOIN \"user\".users ON id = user_id", "1");
  accounts_tokens(&accounts, ADA);
}

Test(user_accounts, a_sign_up_that_the_database_refuses_leaves_no_credential)
{
  database_sql(&accounts.database,
               "ALTER TABLE \"user\".users ADD CONSTRAINT never CHECK (display_name <> 'Ada Lovelace')");
  cr_expect_neq(accounts_sign_up(&accounts, ADA, ACCOUNTS_PASSWORD).status, STATUS_OK);
  database_sql(&accounts.database, "ALTER TABLE \"user\".users DROP CONSTRAINT never");
  // The removal is made due now, instead of waiting a minute.
  database_sql(&accounts.database, "UPDATE \"user\".jobs SET due_time = now()");
  wait_sql("SELECT count(*) FROM \"user\".jobs WHERE kind = 'remove_credential'", "0");
  expect_sql("SELECT count(*) FROM auth.credentials WHERE user_id <> '" ADMIN "'", "0");
  accounts_new_user(&accounts, ADA);
}

Test(user_accounts, without_the_auth_service_nothing_is_left_once_it_is_back)
{
  accounts_stop_auth(&accounts);
  struct outcome outcome = accounts_sign_up(&accounts, ADA, ACCOUNTS_PASSWORD);
  cr_expect_eq(outcome.status, STATUS_UNAVAILABLE, "%s", status_name(outcome.status));
  expect_sql("SELECT count(*) FROM \"user\".users", "0");
  database_sql(&accounts.database, "UPDATE \"user\".jobs SET due_time = now()");
  accounts_start_auth(&accounts, NULL);
  wait_sql("SELECT count(*) FROM \"user\".jobs WHERE kind = 'remove_credential'", "0");
  expect_sql("SELECT count(*) FROM auth.credentials WHERE user_id <> '" ADMIN "'", "0");
  accounts_new_user(&accounts, ADA);
  accounts_tokens(&accounts, ADA);
}

// Closes the gate: from now on the auth service's database holds up the commit of every new credential until open_gate,
// and a cancel request does not end that.
static void close_gate(void)
{
  database_sql(&accounts.database,
               "CREATE TABLE public.gate ();"
               "CREATE FUNCTION public.wait_for_gate() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS"
               " 'BEGIN WHILE NOT EXISTS (SELECT FROM public.gate) LOOP"
               "    BEGIN PERFORM pg_sleep(0.01); EXCEPTION WHEN query_canceled THEN NULL; END;"
               "  END LOOP; RETURN NEW; END';"
               "CREATE CONSTRAINT TRIGGER gate AFTER INSERT ON auth.credentials DEFERRABLE INITIALLY DEFERRED"
               " FOR EACH ROW EXECUTE FUNCTION public.wait_for_gate()");
}

static void open_gate(void)
{
  database_sql(&accounts.database, "INSERT INTO public.gate DEFAULT VALUES");
}

// Begins Ada's sign-up and waits until its credential is held up at the gate.
static void begin_gated_sign_up(struct outcome *outcome)
{
  User__V1__CreateUserRequest request = USER__V1__CREATE_USER_REQUEST__INIT;
  request.email = ADA;
  request.display_name = "Ada";
  request.password = ACCOUNTS_PASSWORD;
  begin(CREATE_USER, &request.base, outcome);
  wait_sql("SELECT count(*) FROM pg_stat_activity WHERE usename = 'bulkhead_auth' AND datname = current_database()"
           " AND wait_event = 'PgSleep'",
           "1");
}

// The sign-up was taken for dead while its credential was being stored, and there was nothing to remove yet: it must
// fail as a whole, and the address must stay free.
Test(user_accounts, a_sign_up_that_was_given_up_meanwhile_is_taken_back)
{
  struct outcome outcome;
  close_gate();
  begin_gated_sign_up(&outcome);
  database_sql(&accounts.database, "UPDATE \"user\".jobs SET due_time = now()");
  wait_sql("SELECT count(*) FROM \"user\".jobs WHERE kind = 'remove_credential'", "0");
  open_gate();
  driver_finish(&accounts.to_user, &outcome);
  cr_expect_eq(outcome.status, STATUS_ABORTED, "%s", status_name(outcome.status));
  cr_expect(slice_equal_string(outcome.reason, "SIGN_UP_EXPIRED"), SLICE_FMT, SLICE_ARG(outcome.reason));
  expect_sql("SELECT count(*) FROM \"user\".users", "0");
  wait_sql("SELECT count(*) FROM auth.credentials WHERE user_id <> '" ADMIN "'", "0");
  cr_expect_eq(accounts_login(&accounts, ADA, ACCOUNTS_PASSWORD).status, STATUS_UNAUTHENTICATED);
  accounts_new_user(&accounts, ADA);
  accounts_tokens(&accounts, ADA);
}

// The credential is stored after its sign-up has been given up: it must not be forgotten.
Test(user_accounts, a_credential_that_comes_late_is_removed)
{
  struct outcome outcome;
  accounts_new_user(&accounts, "first@example.com");
  close_gate();
  begin_gated_sign_up(&outcome);
  rpc_call_cancel(outcome.call);
  rpc_client_flush(accounts.to_user.client);
  process_wait_http(&accounts.user, "/metrics", "CreateUser\",status=\"CANCELLED\"} 1");
  open_gate();
  wait_sql("SELECT count(*) FROM auth.credentials WHERE user_id <> '" ADMIN "'", "2");

  expect_sql("SELECT count(*) FROM \"user\".jobs WHERE kind = 'remove_credential'", "1");
  database_sql(&accounts.database, "UPDATE \"user\".jobs SET due_time = now()");
  wait_sql("SELECT count(*) FROM auth.credentials WHERE user_id <> '" ADMIN "'", "1");
}

// Only the auth service knows whether the account is the last admin's.
Test(user_accounts, without_the_auth_service_no_account_is_deleted)
{
  User__V1__DeleteUserRequest request = USER__V1__DELETE_USER_REQUEST__INIT;
  request.id = accounts_new_user(&accounts, ADA)->id;
  accounts_stop_auth(&accounts);
  struct outcome outcome = driver_call(&accounts.to_user, DELETE_USER, &request.base, &admin);
  cr_expect_eq(outcome.status, STATUS_UNAVAILABLE, "%s", status_name(outcome.status));
  expect_sql("SELECT count(*) FROM \"user\".users", "1");
  accounts_start_auth(&accounts, NULL);
  // The user service has to find it again.
  const uint64_t end_us = patience_end_us();
  do
    outcome = driver_call(&accounts.to_user, DELETE_USER, &request.base, &admin);
  while (outcome.status == STATUS_UNAVAILABLE && clock_now_us() < end_us);
  cr_expect_eq(outcome.status, STATUS_OK, SLICE_FMT, SLICE_ARG(outcome.message));
  expect_sql("SELECT count(*) FROM \"user\".users", "0");
  wait_sql("SELECT count(*) FROM auth.credentials WHERE user_id <> '" ADMIN "'", "0");
  wait_sql("SELECT count(*) FROM \"user\".jobs WHERE kind = 'remove_credential'", "0");
}

// The event comes by a job, and names whoever has asked for the deletion.
Test(user_accounts, the_audit_log_tells_who_has_deleted_an_account)
{
  User__V1__DeleteUserRequest request = USER__V1__DELETE_USER_REQUEST__INIT;
  request.id = accounts_new_user(&accounts, ADA)->id;
  struct rpc_context as_admin = admin;
  as_admin.client_address = SLICE("192.0.2.7");
  as_admin.user_agent = SLICE("curl/8");
  as_admin.traceparent = SLICE("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
  cr_assert_eq(driver_call(&accounts.to_user, DELETE_USER, &request.base, &as_admin).status, STATUS_OK);
  wait_sql("SELECT count(*) FROM auth.audit_events WHERE action = 'account.delete'", "1");
  expect_sql("SELECT actor_id, address, user_agent, trace_id FROM auth.audit_events WHERE action = 'account.delete'",
             "00000000-0000-7000-8000-000000000001|192.0.2.7|curl/8|4bf92f3577b34da6a3ce929d0e0e4736");
}

// Deletes every account, and adds the jobs that remove their credentials; that of `first` is due first.
static void orphan_all(const char *first)
{
  database_sql(&accounts.database,
               "WITH gone AS (DELETE FROM \"user\".users RETURNING id) INSERT INTO \"user\".jobs"
               " (kind, key, due_time) SELECT 'remove_credential', id::text, now() - CASE WHEN id::text = '%s' THEN "
               "interval '1 hour' ELSE interval '0' END FROM gone",
               first);
}

Test(user_accounts, a_credential_that_cannot_be_removed_holds_up_no_other, .timeout = 60)
{
  const char *stuck = accounts_new_user(&accounts, ADA)->id;
  accounts_new_user(&accounts, "bob@example.com");
  database_sql(&accounts.database,
               "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS"
               " 'BEGIN RAISE EXCEPTION ''this one stays''; END';"
               "CREATE TRIGGER refuse BEFORE DELETE ON auth.credentials FOR EACH ROW WHEN (OLD.user_id = '%s')"
               " EXECUTE FUNCTION public.refuse()",
               stuck);
  orphan_all(stuck);
  wait_sql("SELECT count(*) FROM \"user\".jobs WHERE kind = 'remove_credential'", "1");
  expect_sql("SELECT key FROM \"user\".jobs", stuck);
  expect_sql("SELECT user_id FROM auth.credentials WHERE user_id <> '" ADMIN "'", stuck);
  // The job stays, and is tried again.
  database_sql(&accounts.database, "DROP TRIGGER refuse ON auth.credentials");
  database_sql(&accounts.database, "UPDATE \"user\".jobs SET due_time = now() WHERE NOT running");
  wait_sql("SELECT count(*) FROM \"user\".jobs WHERE kind = 'remove_credential'", "0");
  expect_sql("SELECT count(*) FROM auth.credentials WHERE user_id <> '" ADMIN "'", "0");
}

Test(user_accounts, while_the_auth_service_is_away_every_removal_waits_for_it, .timeout = 120)
{
  for (size_t i = 0; i < 6; i++)
    accounts_new_user(&accounts, text("user-%zu@example.com", i));
  accounts_stop_auth(&accounts);
  orphan_all("");
  wait_sql("SELECT count(*), bool_and(failures > 0) FROM \"user\".jobs", "6|t");
  expect_sql("SELECT count(*) FROM \"user\".jobs WHERE dead_time IS NOT NULL", "0");
  accounts_start_auth(&accounts, NULL);
  database_sql(&accounts.database, "UPDATE \"user\".jobs SET due_time = now() WHERE NOT running");
  wait_sql("SELECT count(*) FROM \"user\".jobs WHERE kind = 'remove_credential'", "0");
  expect_sql("SELECT count(*) FROM auth.credentials WHERE user_id <> '" ADMIN "'", "0");
}

// ---- beside a release that writes notes instead of jobs ----

#define OLD_NOTE "INSERT INTO \"user\".orphan_credentials (user_id, due_time) VALUES ('%s', now() + interval '%s')"

Test(user_accounts, a_note_of_the_release_before_removes_a_credential)
{
  const char *id = accounts_new_user(&accounts, ADA)->id;
  database_sql(&accounts.database, "DELETE FROM \"user\".users; " OLD_NOTE, id, "0");
  wait_sql("SELECT count(*) FROM \"user\".jobs WHERE kind = 'remove_credential'", "0");
  expect_sql("SELECT count(*) FROM auth.credentials WHERE user_id <> '" ADMIN "'", "0");
  // Otherwise a sign-up of that release could still finish.
  expect_sql("SELECT count(*) FROM \"user\".orphan_credentials", "0");
}

Test(user_accounts, a_sign_up_that_the_release_before_has_finished_keeps_its_credential)
{
  const char *id = accounts_new_user(&accounts, ADA)->id;
  database_sql(&accounts.database, OLD_NOTE, id, "1 hour");
  expect_sql("SELECT kind, key, due_time > now() + interval '50 minutes' FROM \"user\".jobs",
             arena_printf(&accounts.to_user.arena, "remove_credential|%s|t", id));
  database_sql(&accounts.database, "DELETE FROM \"user\".orphan_credentials");
  expect_sql("SELECT count(*) FROM \"user\".jobs WHERE kind = 'remove_credential'", "0");
  // The note is overdue, and its sign-up has just finished.
  database_sql(&accounts.database, OLD_NOTE, id, "0");
  wait_sql("SELECT count(*) FROM \"user\".jobs WHERE kind = 'remove_credential'", "0");
  expect_sql("SELECT count(*) FROM auth.credentials WHERE user_id <> '" ADMIN "'", "1");
  accounts_tokens(&accounts, ADA);
}

// ---- concurrent changes ----

// Each call sets a name of its own, also from one round to the next, because a change that is none keeps the etag.
static void begin_updates(char *id, char *if_match, struct outcome *outcomes)
{
  static size_t names;
  Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
  char *path = "display_name";
  mask.paths = &path;
  mask.n_paths = 1;
  for (size_t i = 0; i < CALLS; i++) {
    User__V1__User user = USER__V1__USER__INIT;
    User__V1__UpdateUserRequest request = USER__V1__UPDATE_USER_REQUEST__INIT;
    user.id = id;
    user.display_name = text("Ada %zu", names++);
    request.user = &user;
    request.update_mask = &mask;
    request.if_match = if_match;
    begin(UPDATE_USER, &request.base, &outcomes[i]);
  }
}

Test(user_accounts, concurrent_updates_are_all_made_without_an_etag_and_one_with_it)
{
  struct outcome outcomes[CALLS];
  const User__V1__User *user = accounts_new_user(&accounts, ADA);
  cr_expect_str_eq(user->etag, "1");
  begin_updates(user->id, "1", outcomes);
  cr_expect_eq(finish_all(outcomes, STATUS_ABORTED), 1);
  expect_sql("SELECT revision FROM \"user\".users", "2");
  begin_updates(user->id, "", outcomes);
  cr_expect_eq(finish_all(outcomes, STATUS_OK), CALLS);
  begin_updates(user->id, "*", outcomes);
  cr_expect_eq(finish_all(outcomes, STATUS_OK), CALLS);
  expect_sql("SELECT revision FROM \"user\".users", text("%zu", 2 + 2 * CALLS));
  expect_sql("SELECT email FROM \"user\".users", ADA);
}

Test(user_accounts, an_update_that_names_no_field_changes_nothing)
{
  User__V1__User user = USER__V1__USER__INIT;
  User__V1__UpdateUserRequest request = USER__V1__UPDATE_USER_REQUEST__INIT;
  Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
  user.id = accounts_new_user(&accounts, ADA)->id;
  request.user = &user;
  request.update_mask = &mask;
  struct outcome outcome = driver_call(&accounts.to_user, UPDATE_USER, &request.base, &admin);
  const User__V1__User *reply =
      (const User__V1__User *)(const void *)driver_reply(&outcome, &user__v1__user__descriptor);
  cr_expect_str_eq(reply->etag, "1");
  cr_expect_str_eq(reply->email, ADA);
  expect_sql("SELECT revision FROM \"user\".users", "1");
}

Test(user_accounts, one_of_the_concurrent_deletions_finds_the_account)
{
  struct outcome outcomes[CALLS];
  User__V1__DeleteUserRequest request = USER__V1__DELETE_USER_REQUEST__INIT;
  request.id = accounts_new_user(&accounts, ADA)->id;
  for (size_t i = 0; i < CALLS; i++)
    begin(DELETE_USER, &request.base, &outcomes[i]);
  cr_expect_eq(finish_all(outcomes, STATUS_NOT_FOUND), 1);
  wait_sql("SELECT count(*) FROM \"user\".jobs WHERE kind = 'remove_credential'", "0");
  expect_sql("SELECT count(*) FROM auth.credentials WHERE user_id <> '" ADMIN "'", "0");
}

// ---- lists ----

Test(user_accounts, pages_hold_every_account_once_newest_first)
{
  enum { USERS = 7, PAGE = 3 };
  for (size_t i = 0; i < USERS; i++)
    accounts_new_user(&accounts, text("user-%zu@example.com", i));
  // Two accounts are made at the same time, so the id decides their order.
  database_sql(&accounts.database,
               "UPDATE \"user\".users SET create_time = (SELECT min(create_time) FROM \"user\".users)"
               " WHERE email LIKE 'user-1@%%' OR email LIKE 'user-2@%%'");
  User__V1__ListUsersRequest request = USER__V1__LIST_USERS_REQUEST__INIT;
  request.page_size = PAGE;
  size_t count = 0;
  do {
    struct outcome outcome = driver_call(&accounts.to_user, LIST_USERS, &request.base, &admin);
    const User__V1__ListUsersResponse *page = (const User__V1__ListUsersResponse *)(const void *)driver_reply(
        &outcome, &user__v1__list_users_response__descriptor);
    for (size_t i = 0; i < page->n_users; i++) {
      const char *expected = database_sql(&accounts.database,
                                          "SELECT id FROM \"user\".users ORDER BY create_time DESC, id DESC"
                                          " LIMIT 1 OFFSET %zu",
                                          count++);
      cr_expect_str_eq(page->users[i]->id, expected);
    }
    request.page_token = page->next_page_token;
  } while (request.page_token[0] != '\0');
  cr_expect_eq(count, USERS);
}

Test(user_accounts, who_is_no_admin_reaches_no_other_account)
{
  const User__V1__User *ada = accounts_new_user(&accounts, ADA);
  const User__V1__User *bob = accounts_new_user(&accounts, "bob@example.com");
  const struct rpc_context as_bob = {.request_id = SLICE("r-2"),
                                     .caller_id = slice_from_string(bob->id),
                                     .caller_session = slice_from_string(bob->id),
                                     .caller_auth_time = admin.caller_auth_time};
  accounts_plant_session(&accounts, bob->id);
  User__V1__DeleteUserRequest request = USER__V1__DELETE_USER_REQUEST__INIT;
  request.id = ada->id;
  cr_expect_eq(driver_call(&accounts.to_user, DELETE_USER, &request.base, &as_bob).status, STATUS_PERMISSION_DENIED);
  cr_expect_eq(driver_call(&accounts.to_user, DELETE_USER, &request.base, &anonymous).status, STATUS_UNAUTHENTICATED);
  request.id = bob->id;
  cr_expect_eq(driver_call(&accounts.to_user, DELETE_USER, &request.base, &as_bob).status, STATUS_OK);
}

// A stolen token is no way to do what cannot be undone.
Test(user_accounts, deleting_needs_a_recent_login)
{
  const User__V1__User *ada = accounts_new_user(&accounts, ADA);
  struct rpc_context as_ada = {.request_id = SLICE("r-3"),
                               .caller_id = slice_from_string(ada->id),
                               .caller_session = slice_from_string(ada->id),
                               .caller_auth_time = admin.caller_auth_time - 3600};
  accounts_plant_session(&accounts, ada->id);
  User__V1__DeleteUserRequest request = USER__V1__DELETE_USER_REQUEST__INIT;
  request.id = ada->id;
  User__V1__DeleteCurrentUserRequest own = USER__V1__DELETE_CURRENT_USER_REQUEST__INIT;
  cr_expect_eq(driver_call(&accounts.to_user, DELETE_USER, &request.base, &as_ada).status, STATUS_UNAUTHENTICATED);
  cr_expect_eq(driver_call(&accounts.to_user, DELETE_CURRENT_USER, &own.base, &as_ada).status, STATUS_UNAUTHENTICATED);
  expect_sql("SELECT count(*) FROM \"user\".users", "1");
  as_ada.caller_auth_time = admin.caller_auth_time;
  cr_expect_eq(driver_call(&accounts.to_user, DELETE_CURRENT_USER, &own.base, &as_ada).status, STATUS_OK);
}
