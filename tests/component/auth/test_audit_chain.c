// The chain of the audit log: it grows by itself, shows what was changed, and loses only what is too old.
#include <criterion/criterion.h>
#include <string.h>

#include "tests/support/service/accounts.h"

#define ADA "ada@example.com"
#define CHAINED                                                                                                        \
  "SELECT count(*) > 0 AND count(*) = (SELECT count(*) FROM auth.audit_links) AND"                                     \
  " NOT EXISTS (SELECT FROM auth.audit_pending) FROM auth.audit_events"

static struct accounts accounts;

static void setup(void)
{
  accounts_open(&accounts, NULL);
}

static void teardown(void)
{
  accounts_close(&accounts);
}

TestSuite(auth_audit_chain, .init = setup, .fini = teardown);

// Makes some events and waits until all are chained.
static void make_events(int logins)
{
  for (int i = 0; i < logins; i++)
    accounts_tokens(&accounts, ADA);
  database_wait_sql(&accounts.database, CHAINED, "t");
}

static void setup_events(int logins)
{
  accounts_new_user(&accounts, ADA);
  make_events(logins);
}

// Runs `auth audit verify`; the text that it prints is in the database's arena.
static const char *verify(const char *kept, int expected_code)
{
  struct process process;
  int code = accounts_command(&accounts, &process, "audit", "verify", (char *)(uintptr_t)kept);
  const char *output = arena_string(&accounts.database.arena, strbuf_slice(&process.output));
  process_free(&process);
  cr_assert_eq(code, expected_code, "it ended with %d: %s", code, output);
  return output;
}

static void expect_problem(const char *what)
{
  const char *output = verify(NULL, 1);
  cr_expect_not_null(strstr(output, what), "%s is missing in %s", what, output);
}

// Returns the line that a run without problems ends with: "4:9f2c...".
static const char *end_of_chain(void)
{
  char *output = (char *)(uintptr_t)verify(NULL, 0);
  size_t size = strlen(output);
  cr_assert(size > 0 && output[size - 1] == '\n');
  output[size - 1] = '\0';
  return strrchr(output, '\n') + 1;
}

Test(auth_audit_chain, what_nobody_has_changed_is_proven)
{
  setup_events(3);
  cr_expect_not_null(strstr(verify(NULL, 0), "4 events are as they were written: positions 1 to 4\n"));
  const char *end = end_of_chain();
  make_events(2);
  verify(end, 0);
}

Test(auth_audit_chain, a_changed_event_is_named)
{
  setup_events(3);
  database_sql(&accounts.database, "UPDATE auth.audit_events SET address = '198.51.100.1' WHERE id ="
                                   " (SELECT event_id FROM auth.audit_links WHERE position = 2)");
  expect_problem("position 2: the event ");
}

Test(auth_audit_chain, a_missing_event_is_named)
{
  setup_events(3);
  database_sql(&accounts.database,
               "DELETE FROM auth.audit_events WHERE id = (SELECT event_id FROM auth.audit_links WHERE position = 3)");
  expect_problem("position 3: the event ");
}

Test(auth_audit_chain, a_gap_is_named)
{
  setup_events(3);
  database_sql(&accounts.database, "WITH gone AS (DELETE FROM auth.audit_links WHERE position = 2 RETURNING event_id)"
                                   " DELETE FROM auth.audit_events WHERE id IN (SELECT event_id FROM gone)");
  expect_problem("positions 2 to 2: the links are missing");
}

// Somebody who removes the end, and the links, cannot sign the new end.
Test(auth_audit_chain, an_end_that_was_not_signed_is_named_and_not_extended)
{
  setup_events(3);
  database_sql(&accounts.database, "WITH gone AS (DELETE FROM auth.audit_links WHERE position = 4 RETURNING event_id)"
                                   " DELETE FROM auth.audit_events WHERE id IN (SELECT event_id FROM gone)");
  expect_problem("the chain ends at position 3, and its signed head says 4");
  accounts_tokens(&accounts, ADA);
  process_wait_output(&accounts.auth, "the audit log's chain does not end as its signed head says");
  cr_expect_str_eq(database_sql(&accounts.database, "SELECT max(position) FROM auth.audit_links"), "3");
  cr_expect_str_eq(database_sql(&accounts.database, "SELECT count(*) FROM auth.audit_pending"), "1");
}

// An earlier head was signed, too: only who has kept a later one sees that the end was cut off.
Test(auth_audit_chain, an_end_that_was_cut_off_shows_by_what_was_kept)
{
  setup_events(1);
  const char *head = database_sql(&accounts.database, "SELECT max(id) FROM auth.audit_heads");
  make_events(2);
  const char *end = end_of_chain();
  database_sql(
      &accounts.database,
      "DELETE FROM auth.audit_heads WHERE id > %s; WITH gone AS (DELETE FROM auth.audit_links"
      " WHERE position > 2 RETURNING event_id) DELETE FROM auth.audit_events WHERE id IN (SELECT event_id FROM gone)",
      head);
  verify(NULL, 0);
  cr_expect_not_null(strstr(verify(end, 1), "is behind the end of the chain"));
  make_events(2);
  cr_expect_not_null(strstr(verify(end, 1), "position 4: the hash is not the one that was given"));
}

Test(auth_audit_chain, an_event_that_came_past_the_service_is_named)
{
  setup_events(1);
  database_sql(&accounts.database,
               "INSERT INTO auth.audit_events SELECT gen_random_uuid(), create_time, action, result, reason, actor_id,"
               " user_id, target_id, session_id, account_hash, address, user_agent, trace_id FROM auth.audit_events"
               " LIMIT 1");
  expect_problem("1 events are not in the chain");
}

// The chain begins behind what was removed, and can still be verified. Nothing younger than a week goes, whoever asks.
Test(auth_audit_chain, what_is_too_old_goes_from_the_oldest_end)
{
  database_sql(&accounts.database,
               "WITH old AS (INSERT INTO auth.audit_events (id, create_time, action, result, reason, target_id,"
               " account_hash, address, user_agent, trace_id) VALUES (gen_random_uuid(), now() - interval '400 days',"
               " 'session.begin', 'failure', '', '', '', '', '', '') RETURNING id)"
               " INSERT INTO auth.audit_pending (event_id) SELECT id FROM old");
  setup_events(1);
  const char *kept = "SELECT min(position) FROM auth.audit_links";
  // The service looks at its start, and then once a minute.
  accounts_stop_auth(&accounts);
  accounts_start_auth(&accounts, NULL);
  database_wait_sql(&accounts.database, kept, "2");
  cr_expect_str_eq(database_sql(&accounts.database, "SELECT count(*) FROM auth.audit_events"), "2");
  cr_expect_not_null(strstr(verify(NULL, 0), "2 events are as they were written: positions 2 to 3\n"));
  database_sql(&accounts.database, "SET ROLE bulkhead_auth; SELECT auth.audit_forget(0, 1000)");
  cr_expect_str_eq(database_sql(&accounts.database, "SELECT count(*) FROM auth.audit_events"), "2");
}

Test(auth_audit_chain, two_instances_make_one_chain)
{
  setup_events(1);
  struct process second;
  process_prepare(&second);
  const char *const environment[] = {"AUTH_KEY_SECRET=" ACCOUNTS_KEY_SECRET, NULL};
  service_launch(&second, &accounts.database, "auth", NULL, NULL, environment);
  process_wait_ready(&second);
  for (int i = 0; i < 10; i++)
    make_events(3);
  verify(NULL, 0);
  cr_expect_eq(process_stop(&second), 0);
  process_free(&second);
}
