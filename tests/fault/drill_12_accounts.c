// Auth, user or the process that sends the mails is killed anywhere in a sign-up, a reset, a change or a deletion:
// every account is wholly there or not at all, and every mail that is due comes, none more than twice.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/clock.h"
#include "tests/fault/account_flow.h"
#include "tests/fault/drill.h"
#include "tests/fault/mail_ledger.h"
#include "tests/support/http.h"
#include "tests/support/stack.h"

enum { SHORT_ROUNDS = 15, LONG_ROUNDS = 200, MAX_FAULTS = 5 };

enum moment {
  ANY_MOMENT,      // of the flow and what follows it
  MAIL_IS_SENT,    // the mail server has been called and has not answered yet
  MAIL_WAS_TAKEN,  // it has the mail, and the job is still there
  MOMENTS,
};

// Who is killed. Mails are sent by background tasks of auth.
static const struct victim {
  const char *name;
  const char *process;
  const char *role;  // in PostgreSQL
  bool is_mail_worker;
} victims[] = {
    {"auth", "auth-1", "bulkhead_auth", false},
    {"user", "user-1", "bulkhead_user", false},
    {"the worker of mails", "auth-1", "bulkhead_auth", true},
};

struct round {
  const char *name;
  const struct account_flow *flow;
  const struct victim *victim;  // NULL: nobody, to learn how long the flow takes
  enum moment moment;
  unsigned after_ms;  // at ANY_MOMENT, from the beginning
  bool second_mail;   // of the flow, not the first one
  unsigned took_ms;   // until all was done that the flow has left to jobs
  struct account_client client;
};

struct drill_counts {
  size_t rounds, acknowledged, open, requests, repeats;
  size_t moments[MOMENTS];
};

// ---- chance ----

// SplitMix64: the same numbers for the same seed.
static uint64_t next_random(uint64_t *state)
{
  uint64_t value = *state += UINT64_C(0x9E3779B97F4A7C15);
  value = (value ^ value >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
  value = (value ^ value >> 27) * UINT64_C(0x94D049BB133111EB);
  return value ^ value >> 31;
}

static size_t number_from(const char *variable, size_t otherwise)
{
  const char *asked = getenv(variable);
  size_t number = asked == NULL ? otherwise : strtoul(asked, NULL, 10);
  cr_assert_gt(number, 0, "%s must be a number above 0, not %s", variable, asked);
  return number;
}

// Draws a round. Every flow meets every victim, and the worker at every moment, equally often; the rest is chance.
static struct round draw(size_t number, uint64_t seed, const unsigned *takes_ms)
{
  uint64_t state = seed * 1000003 + number;
  const struct account_flow *flow = &account_flows[number % ACCOUNT_FLOWS];
  const struct victim *victim = &victims[number / ACCOUNT_FLOWS % ARRAY_LEN(victims)];
  struct round round = {.flow = flow, .victim = victim};
  if (victim->is_mail_worker && flow->mails > 0)
    round.moment = (enum moment)((number + number / (ACCOUNT_FLOWS * ARRAY_LEN(victims))) % MOMENTS);
  round.after_ms = (unsigned)(next_random(&state) % (takes_ms[number % ACCOUNT_FLOWS] + 1));
  round.second_mail = flow->mails > 1 && next_random(&state) % 2 == 0;
  round.client.gives_up = next_random(&state) % 3 == 0;
  static const char *const when[] = {"", "before the mail server answers", "when the mail server has a mail"};
  round.name =
      text("round %zu, %s%s: %s killed %s", number, flow->name, round.client.gives_up ? " by a hasty client" : "",
           victim->name, round.moment == ANY_MOMENT ? text("after %u ms", round.after_ms) : when[round.moment]);
  return round;
}

// ---- jobs ----

// What is not due for long is left out: the second run for a deleted account, and the removal of what a sign-up may
// leave.
#define OPEN_JOBS                                                                                                      \
  "(SELECT running, due_time, interval '1 hour' AS soon FROM auth.jobs WHERE dead_time IS NULL UNION ALL"              \
  " SELECT running, due_time, CASE kind WHEN 'remove_credential' THEN interval '5 s' ELSE interval '1 hour' END"       \
  " FROM \"user\".jobs WHERE dead_time IS NULL) AS j WHERE running OR due_time < now() + soon"
#define RUNNING_MAILS "auth.jobs WHERE running AND kind IN ('mail', 'notice')"

static bool is_none(const char *what)
{
  return strcmp(sql("SELECT count(*) FROM %s", what), "0") == 0;
}

static bool is_quiet(const void *arg)
{
  (void)arg;
  return is_none(OPEN_JOBS);
}

static bool is_over(const struct round *round)
{
  return atomic_load(&round->client.ended) && is_none(OPEN_JOBS);
}

static bool is_mail_begun(const void *arg)
{
  const struct round *round = arg;
  return !is_none(RUNNING_MAILS) || is_over(round);
}

static bool has_link_or_is_over(const void *arg)
{
  const struct round *round = arg;
  return atomic_load(&round->client.has_mail) || is_over(round);
}

// The worker has the server's answer, and waits for the lock of the job that it removes.
static bool is_mail_taken(const void *arg)
{
  const struct round *round = arg;
  return !is_none("pg_stat_activity WHERE usename = 'bulkhead_auth' AND wait_event_type = 'Lock'") || is_over(round);
}

// ---- kills ----

static bool is_gone(const void *arg)
{
  const struct victim *victim = arg;
  return is_none(text("pg_stat_activity WHERE usename = '%s'", victim->role));
}

static void kill_process(const struct victim *victim)
{
  stack_signal(victim->process, SIGKILL);
}

// The jobs of the dead process wait until their leases end, which takes minutes; here they end once PostgreSQL has
// ended all that the process had sent.
static void start_again(const struct victim *victim)
{
  wait_until(is_gone, victim, text("the end of all sessions of %s", victim->process));
  (void)sql("UPDATE %s.jobs SET due_time = now() WHERE running",
            strcmp(victim->name, "user") == 0 ? "\"user\"" : "auth");
  stack("start", victim->process);
}

static void kill_any_moment(const struct round *round)
{
  nanosleep(&(struct timespec){.tv_sec = round->after_ms / 1000, .tv_nsec = round->after_ms % 1000 * 1000000L}, NULL);
  kill_process(round->victim);
}

// The catcher is frozen before the mail is sent, so the worker has called it and waits for an answer.
static void kill_while_mail_is_sent(const struct round *round)
{
  wait_until(is_mail_begun, round, "a mail that is sent");
  kill_process(round->victim);
  stack_signal("mail", SIGCONT);
}

// A lock keeps the job where it is when its mail has been taken.
static void kill_when_mail_was_taken(const struct round *round)
{
  wait_until(is_mail_begun, round, "a mail that is sent");
  struct sql_transaction *lock = sql_begin("SELECT FROM " RUNNING_MAILS " FOR UPDATE");
  stack_signal("mail", SIGCONT);
  wait_until(is_mail_taken, round, "a mail that was taken");
  kill_process(round->victim);
  // The removal of the job, which waits for the lock, never reaches PostgreSQL.
  (void)sql("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = '%s'", round->victim->role);
  sql_commit(lock);
}

static void kill_in_time(const struct round *round)
{
  static void (*const kills[MOMENTS])(const struct round *round) = {
      [ANY_MOMENT] = kill_any_moment,
      [MAIL_IS_SENT] = kill_while_mail_is_sent,
      [MAIL_WAS_TAKEN] = kill_when_mail_was_taken,
  };
  kills[round->moment](round);
  start_again(round->victim);
}

// ---- rounds ----

static void run_client(void *arg)
{
  struct round *round = arg;
  round->flow->run(&round->client);
  atomic_store(&round->client.ended, true);
}

static const char *judge(struct round *round, struct mail_ledger *mails)
{
  struct account_client *client = &round->client;
  if (!is_none("auth.jobs WHERE dead_time IS NOT NULL") || !is_none("\"user\".jobs WHERE dead_time IS NOT NULL"))
    return "a job is dead";
  const char *wrong = client->fault != NULL ? client->fault : round->flow->judge(client);
  if (wrong != NULL)
    return wrong;
  // The catcher answers a moment before it lists a mail.
  const uint64_t end_us = clock_now_us() + UINT64_C(10000000);
  do {
    mail_ledger_take(mails);
    wrong = round->flow->judge_mails(client, mails);
  } while (wrong != NULL && clock_now_us() < end_us);
  return wrong;
}

// Freezes the catcher before the mail in question is sent.
static void freeze_mails(const struct round *round, bool has_begun)
{
  if (round->moment == ANY_MOMENT || round->second_mail != has_begun)
    return;
  if (has_begun)
    wait_until(has_link_or_is_over, round, "the mail with the link");
  stack_signal("mail", SIGSTOP);
}

// Returns what is wrong at the end; NULL.
static const char *go_round(struct round *round, struct mail_ledger *mails)
{
  wait_until_healthy();
  round->flow->prepare(&round->client);
  wait_until(is_quiet, NULL, text("the end of all jobs before %s", round->name));
  mail_ledger_take(mails);
  freeze_mails(round, false);
  uint64_t begin_us = clock_now_us();
  struct background *client = background_start(run_client, round);
  freeze_mails(round, true);
  if (round->victim != NULL)
    kill_in_time(round);
  background_join(client);
  wait_until(is_quiet, NULL, text("the end of all jobs after %s", round->name));
  round->took_ms = (unsigned)((clock_now_us() - begin_us) / 1000);
  return judge(round, mails);
}

// Learns how long each flow takes where nobody is killed.
static void rehearse(unsigned takes_ms[ACCOUNT_FLOWS], struct mail_ledger *mails)
{
  for (size_t i = 0; i < ACCOUNT_FLOWS; i++) {
    struct round round = {.name = text("%s in calm", account_flows[i].name), .flow = &account_flows[i]};
    const char *wrong = go_round(&round, mails);
    takes_ms[i] = round.took_ms;
    cr_assert(wrong == NULL && round.client.done, "%s: %s", round.name, wrong);
  }
}

static bool is_without_orphans(const void *arg)
{
  (void)arg;
  return is_none("\"user\".jobs WHERE kind = 'remove_credential'");
}

// What a sign-up has left that did not come about goes when its time is over.
static void judge_end(struct mail_ledger *mails)
{
  wait_until_healthy();
  (void)sql("UPDATE \"user\".jobs SET due_time = now() WHERE kind = 'remove_credential' AND NOT running");
  wait_until(is_without_orphans, NULL, "the removal of credentials without accounts");
  wait_until(is_quiet, NULL, "the end of all jobs");
  cr_expect(is_none("auth.credentials AS c WHERE NOT EXISTS (SELECT FROM \"user\".users AS u WHERE u.id = c.user_id)"));
  cr_expect(is_none("\"user\".users AS u WHERE NOT EXISTS (SELECT FROM auth.credentials AS c WHERE c.user_id = u.id)"));
  mail_ledger_take(mails);
  cr_expect_eq(mail_ledger_totals(mails).more, 0, "%zu mails came more than twice", mail_ledger_totals(mails).more);
}

static void count_round(struct drill_counts *counts, const struct round *round)
{
  counts->rounds++;
  counts->acknowledged += round->client.done;
  counts->open += !round->client.done;
  counts->requests += round->client.requests;
  counts->repeats += round->client.repeats;
  counts->moments[round->moment]++;
}

static void tell(const struct drill_counts *counts, size_t faults, uint64_t seed, const struct mail_ledger *mails)
{
  struct mail_totals totals = mail_ledger_totals(mails);
  drill_print_line(text(
      "| auth, user or the worker of mails killed in sign-ups, resets, changes and deletions, %zu rounds (seed %llu) | "
      "%zu | %zu | %zu repeats | | | | | no account half made, no mail lost, none more than twice | %zu flows "
      "acknowledged, %zu given up; killed with a mail at the server %zu times, after it was taken %zu times; of %zu "
      "mails %zu came twice, %zu more often; %zu rounds went wrong: %s |",
      counts->rounds, (unsigned long long)seed, counts->requests, counts->requests - counts->repeats, counts->repeats,
      counts->acknowledged, counts->open, counts->moments[MAIL_IS_SENT], counts->moments[MAIL_WAS_TAKEN], totals.mails,
      totals.twice, totals.more, faults, faults == 0 && totals.more == 0 ? "reached" : "missed"));
}

Test(drill_12_accounts, are_whole_and_get_their_mails_whoever_is_killed)
{
  const size_t rounds = number_from("KILL_ROUNDS", drill_is_long() ? LONG_ROUNDS : SHORT_ROUNDS);
  const uint64_t seed = number_from("KILL_SEED", 1);
  struct mail_ledger *mails = mail_ledger_new();
  struct drill_counts counts = {0};
  unsigned takes_ms[ACCOUNT_FLOWS];
  size_t faults = 0;
  rehearse(takes_ms, mails);
  for (size_t i = 0; i < rounds && faults < MAX_FAULTS; i++) {
    struct round round = draw(i, seed, takes_ms);
    const char *wrong = go_round(&round, mails);
    faults += wrong != NULL;
    cr_expect_null(wrong, "%s (seed %llu): %s", round.name, (unsigned long long)seed, wrong);
    count_round(&counts, &round);
  }
  judge_end(mails);
  tell(&counts, faults, seed, mails);
  mail_ledger_free(&mails);
}
