// Background work: what becomes of jobs when they succeed, fail, and lose their process.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "tests/component/service/probe.h"
#include "tests/component/service/probe_jobs.h"
#include "tests/component/service/probe_process.h"
#include "tests/support/service/database.h"

static struct database database;
static const char *conninfo;
static struct process probe;

static const char *sql(const char *query)
{
  return database_sql(&database, "%s", query);
}

static void expect_sql(const char *query, const char *expected)
{
  const char *found = sql(query);
  cr_expect_str_eq(found, expected, "%s: %s", query, found);
}

static void wait_sql(const char *query, const char *expected)
{
  database_wait_sql(&database, query, expected);
}

static void start(struct process *process, const char *setting)
{
  probe_serve(process, (const char *const[]){conninfo, setting, NULL});
}

static void stop(struct process *process)
{
  int code = process_stop(process);
  cr_expect_eq(code, 0, "exit code %d: %s", code, strbuf_cstring(&process->output));
  process_free(process);
}

static void kill_hard(struct process *process)
{
  kill(process->pid, SIGKILL);
  (void)process_end(process);
  process_free(process);
}

static void setup(void)
{
  database_create(&database, (const char *const[]){"probe", NULL});
  // The roles of services are limited in their connections, which tests that run side by side share.
  conninfo =
      arena_printf(&database.arena, "PG_CONNINFO=%s options='-c search_path=probe'", database_of_superuser(&database));
  start(&probe, NULL);
}

static void teardown(void)
{
  database_drop(&database);
}

TestSuite(jobs, .init = setup, .fini = teardown);

// Runs a command of the probe to its end; returns what it printed.
static const char *command(int expected_code, char *const *arguments)
{
  struct process process;
  probe_start(&process, arguments, (const char *const[]){conninfo, NULL});
  int code = process_end(&process);
  cr_expect_eq(code, expected_code, "%d: %s", code, strbuf_cstring(&process.output));
  const char *output = arena_string(&database.arena, strbuf_slice(&process.output));
  process_free(&process);
  return output;
}

static void add(const char *kind, const char *key, const char *payload)
{
  database_sql(&database, "INSERT INTO probe.jobs (kind, key, payload) VALUES ('%s', '%s', '%s')", kind, key, payload);
}

// Lets the leases of all runs end.
static void end_leases(void)
{
  sql("UPDATE probe.jobs SET due_time = now() WHERE running");
}

#define JOBS "SELECT count(*) FROM probe.jobs"
#define RUNNING JOBS " WHERE running"
#define BEGAN "SELECT count(*) FROM probe.words WHERE word LIKE 'began %'"
#define DID "SELECT count(*) FROM probe.words WHERE word LIKE 'did %'"

// ---- how runs end ----

Test(jobs, a_job_that_is_added_runs_and_is_removed_with_its_effect)
{
  command(0, (char *[]){"probe", "add-job", "a", PROBE_JOB_WRITE, "0", NULL});
  command(0, (char *[]){"probe", "add-job", "-", PROBE_JOB_WRITE, "0", NULL});
  wait_sql(JOBS, "0");
  expect_sql(BEGAN, "2");
  expect_sql(DID, "2");
  process_wait_http(&probe, "/metrics", "bulkhead_job_runs_total{kind=\"probe\",result=\"ok\"} 2");
  stop(&probe);
}

Test(jobs, a_job_whose_transaction_is_rolled_back_does_not_exist)
{
  command(0, (char *[]){"probe", "add-job", "a", PROBE_JOB_WRITE, "0", "regret", NULL});
  command(0, (char *[]){"probe", "add-job", "b", PROBE_JOB_WRITE, "0", NULL});
  wait_sql(DID, "1");
  expect_sql(BEGAN " AND word LIKE 'began a%'", "0");
  stop(&probe);
}

Test(jobs, a_delayed_job_waits_until_it_is_due)
{
  command(0, (char *[]){"probe", "add-job", "late", PROBE_JOB_WRITE, "3600000", NULL});
  command(0, (char *[]){"probe", "add-job", "soon", PROBE_JOB_WRITE, "300", NULL});
  wait_sql(DID, "1");
  expect_sql("SELECT word FROM probe.words WHERE word LIKE 'did %'", "did soon");
  expect_sql("SELECT due_time > now() + interval '50 minutes' FROM probe.jobs", "t");
  stop(&probe);
}

Test(jobs, a_job_without_its_notification_is_found_all_the_same)
{
  sql("ALTER TABLE probe.jobs DISABLE TRIGGER USER");
  add(PROBE_JOB_KIND, "a", PROBE_JOB_WRITE);
  wait_sql(DID, "1");
  stop(&probe);
}

Test(jobs, a_job_that_fails_is_tried_as_often_as_its_kind_says_and_kept)
{
  add(PROBE_JOB_KIND, "a", PROBE_JOB_FAIL);
  wait_sql(JOBS " WHERE dead_time IS NOT NULL", "1");
  expect_sql(BEGAN, "3");
  expect_sql(DID, "0");
  expect_sql("SELECT failures, error, running FROM probe.jobs", "3|nobody answers a|f");
  process_wait_http(&probe, "/metrics", "bulkhead_job_runs_total{kind=\"probe\",result=\"dead\"} 1");
  process_wait_http(&probe, "/metrics", "bulkhead_job_runs_total{kind=\"probe\",result=\"retried\"} 2");
  process_wait_http(&probe, "/metrics", "bulkhead_jobs_dead{kind=\"probe\"} 1");
  stop(&probe);
}

Test(jobs, a_job_that_is_refused_is_not_tried_again)
{
  add(PROBE_JOB_KIND, "a", PROBE_JOB_REFUSE);
  wait_sql(JOBS " WHERE dead_time IS NOT NULL", "1");
  expect_sql(BEGAN, "1");
  expect_sql(DID, "0");
  expect_sql("SELECT failures, error FROM probe.jobs", "1|nobody wants a");
  stop(&probe);
}

Test(jobs, a_run_ends_when_its_time_is_over)
{
  add(PROBE_JOB_BRIEF, "a", "");
  // On a slow machine the time may be over before the run gets to its wait.
  wait_sql(JOBS " WHERE dead_time IS NOT NULL AND error LIKE '%DEADLINE_EXCEEDED%'", "1");
  stop(&probe);
}

Test(jobs, a_run_whose_transaction_has_failed_does_not_succeed)
{
  add(PROBE_JOB_KIND, "a", PROBE_JOB_SPOIL);
  wait_sql(JOBS " WHERE dead_time IS NOT NULL", "1");
  expect_sql(DID, "0");
  stop(&probe);
}

Test(jobs, a_run_that_has_lost_its_lease_has_no_effect)
{
  add(PROBE_JOB_KIND, "a", PROBE_JOB_LOSE);
  process_wait_output(&probe, "took longer than its lease");
  expect_sql(DID, "0");
  expect_sql("SELECT claims, running FROM probe.jobs", "2|t");
  process_wait_http(&probe, "/metrics", "bulkhead_job_runs_total{kind=\"probe\",result=\"lost\"} 1");
  stop(&probe);
}

// ---- keys ----

Test(jobs, a_key_that_waits_is_there_once)
{
  command(0, (char *[]){"probe", "add-job", "a", "first", "7200000", NULL});
  command(0, (char *[]){"probe", "add-job", "a", "second", "3600000", NULL});
  command(0, (char *[]){"probe", "add-job", "a", "third", "7200000", NULL});
  expect_sql(
      "SELECT payload = 'first', due_time BETWEEN now() + interval '50 minutes' AND now() + interval '1 hour', again"
      " FROM probe.jobs",
      "t|t|f");
  stop(&probe);
}

Test(jobs, a_key_that_is_added_while_it_runs_runs_again)
{
  add(PROBE_JOB_KIND, "a", PROBE_JOB_HOLD);
  wait_sql(BEGAN, "1");
  command(0, (char *[]){"probe", "add-job", "a", PROBE_JOB_HOLD, "0", NULL});
  expect_sql("SELECT running, again, due_time > now() + interval '5 minutes' FROM probe.jobs", "t|t|t");
  probe_release(&probe);
  wait_sql(JOBS, "0");
  expect_sql(BEGAN, "2");
  expect_sql(DID, "2");
  stop(&probe);
}

Test(jobs, a_dead_job_does_not_keep_its_key)
{
  add(PROBE_JOB_KIND, "a", PROBE_JOB_REFUSE);
  wait_sql(JOBS " WHERE dead_time IS NOT NULL", "1");
  command(0, (char *[]){"probe", "add-job", "a", PROBE_JOB_WRITE, "0", NULL});
  wait_sql(DID, "1");
  wait_sql(JOBS, "1");
  stop(&probe);
}

Test(jobs, a_dead_job_goes_when_it_has_been_kept_for_long_enough)
{
  add(PROBE_JOB_KIND, "a", PROBE_JOB_REFUSE);
  add(PROBE_JOB_KIND, "b", PROBE_JOB_REFUSE);
  wait_sql(JOBS " WHERE dead_time IS NOT NULL", "2");
  stop(&probe);
  sql("UPDATE probe.jobs SET dead_time = now() - interval '29 days' WHERE key = 'a'");
  sql("UPDATE probe.jobs SET dead_time = now() - interval '31 days' WHERE key = 'b'");
  start(&probe, NULL);
  wait_sql(JOBS, "1");
  expect_sql("SELECT key FROM probe.jobs", "a");
  stop(&probe);
}

// ---- processes ----

static void add_many(const char *kind, const char *payload, size_t count)
{
  database_sql(
      &database,
      "INSERT INTO probe.jobs (kind, key, payload) SELECT '%s', '%s-' || i, '%s' FROM generate_series(1, %zu) i", kind,
      payload, payload, count);
}

Test(jobs, a_process_runs_as_many_at_once_as_its_kind_says)
{
  add_many(PROBE_JOB_KIND, PROBE_JOB_HOLD, 6);
  add_many(PROBE_JOB_SINGLE, PROBE_JOB_HOLD, 3);
  wait_sql(BEGAN, "5");
  expect_sql("SELECT count(*) FILTER (WHERE kind = '" PROBE_JOB_KIND "'), count(*) FROM probe.jobs WHERE running",
             "4|5");
  process_wait_http(&probe, "/metrics", "bulkhead_jobs_running{kind=\"probe\"} 4");
  probe_release(&probe);
  wait_sql(JOBS, "0");
  expect_sql(BEGAN, "9");
  expect_sql(DID, "9");
  stop(&probe);
}

Test(jobs, two_processes_share_the_jobs_and_run_each_once, .timeout = 120)
{
  struct process other;
  start(&other, NULL);
  add_many(PROBE_JOB_KIND, PROBE_JOB_HOLD, 2 * PROBE_JOBS_AT_ONCE);
  wait_sql(BEGAN, "8");
  expect_sql("SELECT count(DISTINCT split_part(word, ' ', 3)) FROM probe.words", "2");
  probe_release(&probe);
  probe_release(&other);
  add_many(PROBE_JOB_KIND, PROBE_JOB_WRITE, 500);
  wait_sql(JOBS, "0");
  expect_sql(BEGAN, "508");
  expect_sql("SELECT count(*), count(DISTINCT word) FROM probe.words WHERE word LIKE 'did %'", "508|508");
  stop(&other);
  stop(&probe);
}

Test(jobs, what_a_killed_process_ran_another_takes_over_after_the_lease, .timeout = 120)
{
  struct process other;
  add_many(PROBE_JOB_KIND, PROBE_JOB_HOLD, PROBE_JOBS_AT_ONCE);
  wait_sql(BEGAN, "4");
  // The lease is longer than a run may take.
  expect_sql("SELECT bool_and(due_time > now() + interval '9 minutes 50 seconds') FROM probe.jobs", "t");
  kill_hard(&probe);
  start(&other, NULL);
  probe_release(&other);
  add(PROBE_JOB_KIND, "mark", PROBE_JOB_WRITE);
  wait_sql(DID, "1");
  expect_sql(RUNNING, "4");
  expect_sql(BEGAN, "5");
  end_leases();
  wait_sql(JOBS, "0");
  expect_sql(BEGAN, "9");
  expect_sql("SELECT count(*), count(DISTINCT word) FROM probe.words WHERE word LIKE 'did %'", "5|5");
  stop(&other);
}

Test(jobs, a_job_that_kills_its_process_is_dead_after_as_many_attempts, .timeout = 120)
{
  add(PROBE_JOB_KIND, "a", PROBE_JOB_CRASH);
  for (int i = 1;; i++) {
    cr_expect_eq(process_end(&probe), -1);
    process_free(&probe);
    end_leases();
    start(&probe, NULL);
    if (i == PROBE_JOB_ATTEMPTS)
      break;
  }
  wait_sql(JOBS " WHERE dead_time IS NOT NULL", "1");
  expect_sql(BEGAN, "3");
  expect_sql("SELECT failures, error LIKE 'the process that ran it ended %' FROM probe.jobs", "3|t");
  stop(&probe);
}

Test(jobs, a_process_that_stops_lets_its_runs_end)
{
  add_many(PROBE_JOB_KIND, PROBE_JOB_HOLD, 6);
  wait_sql(BEGAN, "4");
  kill(probe.pid, SIGTERM);
  process_wait_http(&probe, "/readyz", "\"draining\"");
  probe_release(&probe);
  cr_expect_eq(process_end(&probe), 0, "%s", strbuf_cstring(&probe.output));
  // The process has taken none of those that were left.
  expect_sql(BEGAN, "4");
  expect_sql(DID, "4");
  expect_sql("SELECT count(*), count(*) FILTER (WHERE running) FROM probe.jobs", "2|0");
  process_free(&probe);
}

Test(jobs, what_does_not_end_within_the_drain_is_given_back_at_once)
{
  stop(&probe);
  start(&probe, "DRAIN_TIMEOUT=50ms");
  add_many(PROBE_JOB_KIND, PROBE_JOB_HOLD, 6);
  wait_sql(BEGAN, "4");
  stop(&probe);
  expect_sql("SELECT count(*) FROM probe.jobs WHERE NOT running AND due_time <= now() AND failures = 0", "6");
  start(&probe, NULL);
  probe_release(&probe);
  wait_sql(JOBS, "0");
  expect_sql("SELECT count(*), count(DISTINCT word) FROM probe.words WHERE word LIKE 'did %'", "6|6");
  stop(&probe);
}

// ---- PostgreSQL away ----

#define TERMINATE                                                                                                      \
  "SELECT count(pg_terminate_backend(pid)) > 0 FROM pg_stat_activity"                                                  \
  " WHERE datname = '%s' AND pid <> pg_backend_pid()"

// Lets nobody connect to the database of the test, and ends all connections. A superuser's in another database stay.
static void cut_off(bool off)
{
  struct database elsewhere = database;
  snprintf(elsewhere.name, sizeof(elsewhere.name), "postgres");
  database_sql(&elsewhere, "ALTER DATABASE %s ALLOW_CONNECTIONS %s", database.name, off ? "false" : "true");
  if (off)
    database_sql(&elsewhere, TERMINATE, database.name);
  database.arena = elsewhere.arena;
}

Test(jobs, without_postgresql_the_workers_wait_and_go_on, .timeout = 120)
{
  add_many(PROBE_JOB_KIND, PROBE_JOB_HOLD, PROBE_JOBS_AT_ONCE);
  wait_sql(BEGAN, "4");
  cut_off(true);
  process_wait_http(&probe, "/readyz", "\"postgres\":\"down\"");
  probe_release(&probe);
  process_wait_output(&probe, "could not look for jobs");
  cut_off(false);
  // The runs could not write what they did, which is a failure; they are tried again, and by the same process.
  add(PROBE_JOB_KIND, "later", PROBE_JOB_WRITE);
  wait_sql(DID " AND word = 'did later'", "1");
  wait_sql(JOBS, "0");
  expect_sql("SELECT count(*), count(DISTINCT word) FROM probe.words WHERE word LIKE 'did %'", "5|5");
  stop(&probe);
}

// ---- operators ----

#define EXPECT_TEXT(output, text) cr_expect_not_null(strstr(output, text), "no \"%s\" in: %s", text, output)

Test(jobs, operators_list_retry_and_drop)
{
  add(PROBE_JOB_KIND, "a", PROBE_JOB_REFUSE);
  wait_sql(JOBS " WHERE dead_time IS NOT NULL", "1");
  add(PROBE_JOB_KIND, "secret-key", PROBE_JOB_HOLD);
  wait_sql(RUNNING, "1");
  const char *dead = command(0, (char *[]){"probe", "jobs", "list", "dead", NULL});
  EXPECT_TEXT(dead, "nobody wants a");
  cr_expect_null(strstr(dead, "secret-key"), "%s", dead);
  EXPECT_TEXT(command(0, (char *[]){"probe", "jobs", "list", NULL}), "running");

  sql("UPDATE probe.jobs SET payload = 'write' WHERE key = 'a'");
  EXPECT_TEXT(command(0, (char *[]){"probe", "jobs", "retry", "1", NULL}), "1 jobs are due now");
  wait_sql(DID, "1");
  EXPECT_TEXT(command(1, (char *[]){"probe", "jobs", "retry", "1", NULL}), "there is no dead job 1");
  EXPECT_TEXT(command(1, (char *[]){"probe", "jobs", "drop", "2", NULL}), "that does not run");
  probe_release(&probe);
  wait_sql(JOBS, "0");

  add_many(PROBE_JOB_KIND, PROBE_JOB_REFUSE, 3);
  wait_sql(JOBS " WHERE dead_time IS NOT NULL", "3");
  EXPECT_TEXT(command(0, (char *[]){"probe", "jobs", "drop", "3", NULL}), "job 3 is dropped");
  sql("UPDATE probe.jobs SET payload = 'write'");
  EXPECT_TEXT(command(0, (char *[]){"probe", "jobs", "retry", PROBE_JOB_KIND, NULL}), "2 jobs are due now");
  wait_sql(JOBS, "0");
  EXPECT_TEXT(command(1, (char *[]){"probe", "jobs", "retry", "unknown", NULL}), "neither the id of a job nor a kind");
  EXPECT_TEXT(command(1, (char *[]){"probe", "jobs", "list", "lost", NULL}), "waiting, running or dead");
  stop(&probe);
}
