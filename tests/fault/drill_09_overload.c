// More comes than can be answered, for seconds: what is served meanwhile and how soon, how soon the others hear that
// they are refused, and how soon all are served again when fewer come. Counts are judged in every run; times in the
// long form.
//
// How much can be served is asked right before each overload, because machines that others share change: by clients in
// a closed loop, whose best number is found first. The clients take their share of the same processors. What refusals
// cost at least is asked in the same way: of as many requests those beyond the peak go to a page that nginx answers by
// itself, without the gateway's module.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/compiler.h"
#include "common/base/strbuf.h"
#include "tests/fault/drill.h"
#include "tests/fault/surge.h"
#include "tests/support/environment.h"
#include "tests/support/stack.h"

enum { CALLERS = 16, LONG_SKIP_MS = 1000 };

static struct account callers[CALLERS];

struct overload {
  const char *name;
  unsigned times;
  double goodput;        // to reach, of the peak
  double p99_times;      // to reach, of the p99 at 1 x; 0 where nothing is asked
  bool has_reference;    // what refusals cost at least is asked, too
  uint64_t refusal_ms;   // to reach, p99
  uint64_t recovery_ms;  // to reach
};

// ---- what is asked for ----

static void sign_up(void)
{
  for (size_t i = 0; i < CALLERS; i++)
    callers[i] = account_create();
}

// Stores `count` items with so many words each.
static void create_items(const struct account *owner, size_t count, size_t words)
{
  enum { BATCH = 50 };
  struct strbuf body;
  for (size_t done = 0; done < count; done += BATCH) {
    size_t size = count - done < BATCH ? count - done : BATCH;
    strbuf_init(&body, 0);
    strbuf_add_string(&body, "{\"items\":[");
    for (size_t i = 0; i < size; i++) {
      strbuf_add_string(&body, text("%s{\"sku\":\"%s\",\"name\":\"Lamp\",\"category\":\"lamps\",\"description\":\"",
                                    i == 0 ? "" : ",", fresh_word()));
      for (size_t w = 0; w < words; w++)
        strbuf_add_string(&body, text("w%zu ", (done + i + 31 * (w % 12)) * 7919 % 3000));
      strbuf_add_string(&body, "\"}");
    }
    strbuf_add_string(&body, "]}");
    struct http_reply reply =
        HTTP(.path = "/v1/items:batchCreate", .token = owner->token, .body = strbuf_cstring(&body));
    strbuf_free(&body);
    ASSERT_STATUS(reply, 200);
  }
}

static const char *get(const struct account *caller, const char *path)
{
  return text("GET %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nAccept-Encoding: gzip\r\n\r\n", path,
              caller->token);
}

// Changes an item so that each of two such requests in turn changes something.
static const char *patch(const struct account *caller, const char *path, size_t quantity)
{
  const char *body = text("{\"quantity\":%zu}", quantity);
  return text("PATCH %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n"
              "Content-Length: %zu\r\n\r\n%s",
              path, caller->token, strlen(body), body);
}

static const char *post_login(const struct account *caller)
{
  const char *body = text("{\"email\":\"%s\",\"password\":\"%s\"}", caller->email, caller->password);
  return text("POST /v1/auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
              "Content-Length: %zu\r\n\r\n%s",
              strlen(body), body);
}

// ---- memory ----

// Returns the resident memory of the gateway's workers and of the services in MiB.
static const char *tell_memory(void)
{
  const char *script =
      text("cd %s/pids; for name in gateway item-1 auth-1; do pids=$(cut -d' ' -f1 $name); "
           "[ $name != gateway ] || pids=$(cat /proc/$pids/task/$pids/children); for pid in $pids; do "
           "cat /proc/$pid/status; done | awk -v n=$name '/^VmHWM:/ {kib += $2} END {printf \"%%s %%d MiB \", n, "
           "kib / 1024}'; done",
           need_variable("BULKHEAD_RUN_DIR"));
  return output_of((const char *const[]){"sh", "-c", script, NULL});
}

// ---- phases ----

static double ask_peak(struct surge *surge, size_t *phase, unsigned clients)
{
  surge_run(surge, &(struct surge_phase){.clients = clients, .ms = drill_is_long() ? 2000 : 500});
  struct surge_seen seen = surge_see(surge, (*phase)++, drill_is_long() ? 500 : 100);
  return seen.goodput;
}

// Returns the number of clients in a closed loop from which on more are not served better.
static unsigned find_clients(struct surge *surge, size_t *phase)
{
  enum { FEWEST = 8, MOST = 128 };
  unsigned best = FEWEST;
  double peak = ask_peak(surge, phase, FEWEST);
  for (unsigned clients = 2 * FEWEST; clients <= MOST && drill_is_long(); clients *= 2) {
    double goodput = ask_peak(surge, phase, clients);
    if (goodput < 1.05 * peak)
      break;
    peak = goodput;
    best = clients;
  }
  return best;
}

static struct surge_seen ask(struct surge *surge, size_t *phase, double per_second, unsigned ms)
{
  surge_run(surge, &(struct surge_phase){.per_second = 1 + (unsigned)per_second, .ms = drill_is_long() ? ms : ms / 4});
  return surge_see(surge, (*phase)++, drill_is_long() ? LONG_SKIP_MS : 0);
}

// What the clients meet where only as many as can be served ask for what costs something, and nginx answers the others.
static const char *ask_reference(const char *const *requests, size_t count, const struct overload *overload,
                                 double peak)
{
  enum { SECONDS = 3 };
  static const char page[] = "GET /docs/ HTTP/1.1\r\nHost: localhost\r\n\r\n";
  const char **mixed = calloc(count * overload->times, sizeof(*mixed));
  cr_assert_not_null(mixed);
  for (size_t i = 0; i < count * overload->times; i++)
    mixed[i] = i % overload->times == 0 ? requests[i / overload->times] : page;
  struct surge *surge = surge_create(mixed, count * overload->times, NULL);
  size_t phase = 0;
  struct surge_seen seen = ask(surge, &phase, overload->times * peak, SECONDS * 1000);
  surge_settle(surge);
  seen = surge_see(surge, 0, drill_is_long() ? LONG_SKIP_MS : 0);
  surge_free(&surge);
  free(mixed);
  return text("; were refusals answered by nginx alone: goodput %.0f %%, refusals %.1f ms (p50), %.1f ms (p99)",
              100 * seen.goodput / peak, (double)seen.aside_p50_us / 1e3, (double)seen.aside_p99_us / 1e3);
}

// ---- judgement ----

static const char *miss(const char *missed, bool is_missed, const char *what)
{
  if (!is_missed)
    return missed;
  return missed[0] == '\0' ? what : text("%s, %s", missed, what);
}

static void tell(const struct overload *overload, const struct surge_seen seen[3], double peak, uint64_t recovery_us,
                 const char *reference)
{
  const struct surge_seen *calm = &seen[0], *during = &seen[1];
  double share = during->goodput / peak, times = (double)during->good_p99_us / (double)calm->good_p99_us;
  const char *missed = "";
  missed = miss(missed, during->unsent > 0, text("%zu that no client was left for", during->unsent));
  missed = miss(missed, share < overload->goodput, "goodput");
  missed = miss(missed, overload->p99_times > 0 && times > overload->p99_times, "p99");
  missed = miss(missed, during->refused_p99_us > overload->refusal_ms * 1000, "refusals");
  missed = miss(missed, recovery_us > overload->recovery_ms * 1000, "recovery");
  drill_print_line(
      text("| %s, %u x %.0f/s | %zu | %zu | %zu: %zu refused | - | %.1f -> %.1f ms | refusals %.1f ms (p50), %.1f ms "
           "(p99) | "
           "%.2f s | goodput %.0f %%, %srefusals %zu ms, recovery %.1f s | goodput %.0f/s, %.0f %%; p99 %.1f x; "
           "clients took %.2f of a processor and sent %.1f ms late (p99)%s; %s; %s |",
           overload->name, overload->times, peak, during->sent, during->good,
           during->refused + during->failed + during->unsent, during->refused, (double)calm->good_p99_us / 1e3,
           (double)during->good_p99_us / 1e3, (double)during->refused_p50_us / 1e3,
           (double)during->refused_p99_us / 1e3, (double)recovery_us / 1e6, 100 * overload->goodput,
           overload->p99_times > 0 ? text("p99 %.0f x, ", overload->p99_times) : "", (size_t)overload->refusal_ms,
           (double)overload->recovery_ms / 1e3, during->goodput, 100 * share, times, during->cpu,
           (double)during->late_p99_us / 1e3, reference, tell_memory(),
           missed[0] == '\0' ? "reached" : text("missed: %s", missed)));
}

// What is asked for after the overload is answered, and nothing has failed but by a refusal.
static void judge_counts(struct surge *surge, const struct overload *overload, const struct surge_seen seen[3],
                         size_t phase)
{
  cr_expect_gt(seen[1].good, 0, "%s: nothing was served", overload->name);
  for (size_t i = 0; i < 3; i++)
    cr_expect_eq(seen[i].failed, 0, "%s: %zu requests failed; the first: %s", overload->name, seen[i].failed,
                 surge_first_failure(surge));
  surge_run(surge, &(struct surge_phase){.clients = 1, .ms = 300});
  surge_settle(surge);
  struct surge_seen after = surge_see(surge, phase, 0);
  cr_expect_gt(after.good, 0);
  cr_expect_eq(after.good, after.sent, "%s: %zu of %zu requests were not answered by 2xx after it", overload->name,
               after.sent - after.good, after.sent);
}

static void overload_with(const char *const *requests, size_t count, const struct overload *overload)
{
  struct surge *surge = surge_create(requests, count, NULL);
  size_t phase = 0;
  unsigned clients = find_clients(surge, &phase);
  double peak = ask_peak(surge, &phase, clients);
  struct surge_seen seen[3];
  seen[0] = ask(surge, &phase, peak, 4000);
  seen[1] = ask(surge, &phase, overload->times * peak, 5000);
  seen[2] = ask(surge, &phase, peak / 2, 3000);
  size_t recovery = phase - 1;
  double peak_after = ask_peak(surge, &phase, clients);
  surge_settle(surge);
  // Those that were in flight at the end of a phase have ended now.
  for (size_t i = 0; i < 3; i++)
    seen[i] = surge_see(surge, recovery - 2 + i, drill_is_long() && i < 2 ? LONG_SKIP_MS : 0);
  uint64_t recovery_us = surge_trouble_us(surge, recovery, 2 * seen[0].good_p99_us);
  judge_counts(surge, overload, seen, phase);
  // The reference needs as many connections again.
  surge_free(&surge);
  const char *reference = overload->has_reference ? ask_reference(requests, count, overload, peak) : "";
  tell(overload, seen, (peak + peak_after) / 2, recovery_us, reference);
}

// ---- the drills ----

static void overload_lists(unsigned times, double goodput)
{
  const char *requests[CALLERS];
  sign_up();
  create_items(&callers[0], 100, 72);  // of about 1 KB
  for (size_t i = 0; i < CALLERS; i++)
    requests[i] = get(&callers[i], text("/v1/items?pageSize=50&ownerId=%s", callers[0].id));
  overload_with(requests, CALLERS,
                &(struct overload){.name = "lists of 50 items",
                                   .times = times,
                                   .goodput = goodput,
                                   .p99_times = 2,
                                   .has_reference = true,
                                   .refusal_ms = 10,
                                   .recovery_ms = 1000});
}

Test(drill_09_overload, lists_three_times)
{
  overload_lists(3, 0.9);
}

Test(drill_09_overload, lists_five_times)
{
  overload_lists(5, 0.8);
}

// Changes of `rows` items, each of which has two requests in turn.
static void overload_changes(const char *name, size_t rows)
{
  sign_up();
  for (size_t i = 0; i < CALLERS; i++)
    create_items(&callers[i], rows / CALLERS, 0);
  const char **requests = calloc(2 * rows, sizeof(*requests));
  cr_assert_not_null(requests);
  for (size_t i = 0; i < CALLERS; i++) {
    const char *ids = sql("SELECT string_agg(id::text, ' ') FROM item.items WHERE owner_id = '%s'", callers[i].id);
    for (size_t k = i; k < rows; k += CALLERS) {
      const char *path = text("/v1/items/%.36s", ids + k / CALLERS * 37);
      requests[k] = patch(&callers[i], path, 1);
      requests[rows + k] = patch(&callers[i], path, 2);
    }
  }
  overload_with(requests, 2 * rows,
                &(struct overload){.name = name,
                                   .times = 3,
                                   .goodput = 0.9,
                                   .p99_times = 2,
                                   .has_reference = true,
                                   .refusal_ms = 10,
                                   .recovery_ms = 1000});
  free(requests);
}

// More rows than changes are in flight, so that these do not wait for each other's locks, nor find each other's
// revisions.
Test(drill_09_overload, changes_three_times)
{
  overload_changes("changes", drill_is_long() ? 4800 : 800);
}

// Changes of a row wait for each other, and some have to read it again.
Test(drill_09_overload, changes_of_few_rows_three_times)
{
  overload_changes("changes of few rows", 16 * CALLERS);
}

// An account is read from PostgreSQL each time. That costs little more than a refusal, so all are answered, late. In
// the short form no more come than can be answered: those that a slow machine has not answered by their deadlines would
// get 504.
Test(drill_09_overload, uncached_reads_three_times)
{
  const char *requests[CALLERS];
  sign_up();
  for (size_t i = 0; i < CALLERS; i++)
    requests[i] = get(&callers[i], "/v1/users/me");
  overload_with(requests, CALLERS,
                &(struct overload){.name = "reads of accounts",
                                   .times = drill_is_long() ? 3 : 1,
                                   .goodput = 0.9,
                                   .p99_times = 2,
                                   .has_reference = true,
                                   .refusal_ms = 10,
                                   .recovery_ms = 1000});
}

// Logins of a burst wait for their turn for up to five seconds, because a person who waits is served better than one
// who is refused.
Test(drill_09_overload, logins_three_times)
{
  const char *requests[CALLERS];
  sign_up();
  for (size_t i = 0; i < CALLERS; i++)
    requests[i] = post_login(&callers[i]);
  overload_with(
      requests, CALLERS,
      &(struct overload){.name = "logins", .times = 3, .goodput = 0.9, .refusal_ms = 10, .recovery_ms = 1000});
}
