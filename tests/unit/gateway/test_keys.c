// When keys are fetched, and who waits for them, on a clock that the test turns.
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <stdio.h>

#include "common/base/clock.h"
#include "common/base/wire.h"
#include "tests/support/common/read_metric.h"
#include "tests/unit/gateway/fixture.h"

static const struct rpc_status unavailable = {.code = STATUS_UNAVAILABLE, .message = SLICE_INIT("no endpoint")};

static void count_wake(void *arg)
{
  ++*(int *)arg;
}

static struct key_wait waiter(void *woken)
{
  return (struct key_wait){.wake = count_wake, .arg = woken};
}

static void process_at(struct fixture *fixture, uint64_t later_us)
{
  fixture_now_us += later_us;
  gateway_process(fixture->gateway, fixture_now_us);
}

Test(keys, are_fetched_at_once_and_twice_a_second)
{
  struct fixture *fixture = fixture_open();
  fixture_give_keys(fixture);
  cr_assert_str_eq(fixture_call(fixture, 0)->method, "auth.v1.AuthService/GetJwks");
  cr_assert_eq(gateway_next_timeout_us(fixture->gateway), fixture_now_us + KEYS_REFRESH_EVERY_US);
  process_at(fixture, KEYS_REFRESH_EVERY_US - 1);
  cr_assert_eq(fixture->call_count, 1);
  process_at(fixture, 1);
  cr_assert_eq(fixture->call_count, 2);
  fixture_close(fixture);
}

Test(keys, a_failed_refresh_keeps_the_keys_and_tries_again)
{
  struct fixture *fixture = fixture_open();
  fixture_give_keys(fixture);
  process_at(fixture, KEYS_REFRESH_EVERY_US);
  fixture_answer_status(fixture_call(fixture, 1), &unavailable);
  cr_assert(keys_known(&fixture->gateway->keys));
  process_at(fixture, KEYS_RETRY_US);
  cr_assert_eq(fixture->call_count, 3);
  // An answer that is no key set is a failure as well.
  fixture_answer(fixture_call(fixture, 2), SLICE("\x0a\xff"));
  cr_assert(keys_known(&fixture->gateway->keys));
  cr_assert_eq(read_metric(METRIC_KEYS_REFRESHED, &SLICE("failed"), 1), 2);
  cr_assert_eq(read_metric(METRIC_KEYS_REFRESHED, &SLICE("ok"), 1), 1);
  fixture_close(fixture);
}

Test(keys, without_any_key_waiting_outlives_a_failed_fetch_but_not_a_second)
{
  struct fixture *fixture = fixture_open();
  gateway_process(fixture->gateway, fixture_now_us);
  int woken = 0;
  struct key_wait wait = waiter(&woken);
  keys_wait(&fixture->gateway->keys, &wait);
  fixture_answer_status(fixture_call(fixture, 0), &unavailable);
  cr_assert_eq(woken, 0);
  process_at(fixture, KEYS_FIRST_RETRY_US);
  cr_assert_eq(fixture->call_count, 2, "the next try comes within the wait");
  fixture_answer(fixture_call(fixture, 1), fixture_key_set(fixture));
  cr_assert_eq(woken, 1);
  fixture_close(fixture);
}

Test(keys, a_wait_ends_after_a_second)
{
  struct fixture *fixture = fixture_open();
  gateway_process(fixture->gateway, fixture_now_us);
  int woken = 0;
  struct key_wait wait = waiter(&woken);
  keys_wait(&fixture->gateway->keys, &wait);
  cr_assert_eq(gateway_next_timeout_us(fixture->gateway), fixture_now_us + KEYS_MAX_WAIT_US);
  process_at(fixture, KEYS_MAX_WAIT_US - 1);
  cr_assert_eq(woken, 0);
  process_at(fixture, 1);
  cr_assert_eq(woken, 1);
  fixture_close(fixture);
}

Test(keys, unknown_keys_start_at_most_four_fetches_a_second)
{
  struct fixture *fixture = fixture_open();
  fixture_give_keys(fixture);
  struct keys *keys = &fixture->gateway->keys;
  int woken = 0;
  struct key_wait first = waiter(&woken), second = waiter(&woken);
  process_at(fixture, 1);
  keys_wait(keys, &first);
  keys_wait(keys, &second);
  cr_assert_eq(fixture->call_count, 1, "the start's fetch was a moment ago");
  process_at(fixture, KEYS_UNKNOWN_EVERY_US - 2);
  cr_assert_eq(fixture->call_count, 1);
  process_at(fixture, 1);
  cr_assert_eq(fixture->call_count, 2, "before the regular one");
  fixture_answer(fixture_call(fixture, 1), fixture_key_set(fixture));
  cr_assert_eq(woken, 2);
  cr_assert(keys_fetched_since(keys, &first) && keys_fetched_since(keys, &second));
  fixture_close(fixture);
}

// What a fetch brings that had begun before a token came says nothing about the token's key, which may be newer.
Test(keys, a_fetch_that_began_before_the_wait_does_not_end_it)
{
  struct fixture *fixture = fixture_open();
  fixture_give_keys(fixture);
  struct keys *keys = &fixture->gateway->keys;
  process_at(fixture, KEYS_REFRESH_EVERY_US);
  fixture_now_us++;
  int woken = 0;
  struct key_wait wait = waiter(&woken);
  keys_wait(keys, &wait);
  fixture_answer(fixture_call(fixture, 1), fixture_key_set(fixture));
  cr_assert_eq(woken, 0);
  cr_assert_not(keys_fetched_since(keys, &wait));
  process_at(fixture, KEYS_UNKNOWN_EVERY_US);
  fixture_answer(fixture_call(fixture, 2), fixture_key_set(fixture));
  cr_assert_eq(woken, 1);
  cr_assert(keys_fetched_since(keys, &wait));
  fixture_close(fixture);
}

Test(keys, a_wait_whose_fetch_fails_ends_without_a_verdict)
{
  struct fixture *fixture = fixture_open();
  fixture_give_keys(fixture);
  struct keys *keys = &fixture->gateway->keys;
  process_at(fixture, KEYS_UNKNOWN_EVERY_US);
  int woken = 0;
  struct key_wait wait = waiter(&woken);
  keys_wait(keys, &wait);
  fixture_answer_status(fixture_call(fixture, 1), &unavailable);
  cr_assert_eq(woken, 1);
  cr_assert_not(keys_fetched_since(keys, &wait));
  fixture_close(fixture);
}

Test(keys, who_went_away_is_not_woken)
{
  struct fixture *fixture = fixture_open();
  gateway_process(fixture->gateway, fixture_now_us);
  int woken = 0;
  struct key_wait wait = waiter(&woken);
  keys_wait(&fixture->gateway->keys, &wait);
  keys_stop_waiting(&wait);
  fixture_answer(fixture_call(fixture, 0), fixture_key_set(fixture));
  cr_assert_eq(woken, 0);
  fixture_close(fixture);
}

Test(keys, the_log_tells_the_first_failure_and_the_recovery, .init = cr_redirect_stderr)
{
  struct fixture *fixture = fixture_open();
  gateway_process(fixture->gateway, fixture_now_us);
  fixture_answer_status(fixture_call(fixture, 0), &unavailable);
  const char *log = fixture_read_log();
  cr_expect_not_null(strstr(log, "\"level\":\"warn\""), "%s", log);
  cr_expect_not_null(strstr(log, "no endpoint"), "%s", log);
  cr_expect_not_null(strstr(log, "\"haveKeys\":false"), "%s", log);
  process_at(fixture, KEYS_FIRST_RETRY_US);
  fixture_answer_status(fixture_call(fixture, 1), &unavailable);
  cr_expect_str_eq(fixture_read_log(), "", "a second failure is not logged");
  process_at(fixture, KEYS_FIRST_RETRY_US);
  fixture_answer(fixture_call(fixture, 2), fixture_key_set(fixture));
  log = fixture_read_log();
  cr_expect_not_null(strstr(log, "\"level\":\"info\""), "%s", log);
  cr_expect_not_null(strstr(log, "\"keys\":1"), "%s", log);
  process_at(fixture, KEYS_REFRESH_EVERY_US);
  fixture_answer(fixture_call(fixture, 3), fixture_key_set(fixture));
  cr_expect_str_eq(fixture_read_log(), "");
  fixture_close(fixture);
}

// ---- key sets ----

// Adds a key as auth.v1.JsonWebKey; its coordinates are those of the fixture's key.
static void add_key(struct fixture *fixture, struct strbuf *set, const char *kty, const char *crv, const char *kid)
{
  size_t mark = wire_begin_nested(set, 1);
  wire_write_bytes(set, 1, slice_from_string(kty));
  wire_write_bytes(set, 2, slice_from_string(crv));
  wire_write_bytes(set, 3, slice_from_string(kid));
  wire_write_bytes(set, 6, fixture->x);
  wire_write_bytes(set, 7, fixture->y);
  wire_end_nested(set, mark);
}

// Returns how many keys are known after the auth service has answered with this set.
static size_t keys_after(struct fixture *fixture, const struct strbuf *set)
{
  gateway_process(fixture->gateway, fixture_now_us);
  fixture_answer(fixture_call(fixture, 0), strbuf_slice(set));
  return token_verifier_key_count(fixture->gateway->keys.options.verifier);
}

Test(key_sets, keys_of_other_kinds_are_passed_over)
{
  struct fixture *fixture = fixture_open();
  struct strbuf set;
  strbuf_init(&set, 0);
  add_key(fixture, &set, "RSA", "P-256", "k1");
  add_key(fixture, &set, "EC", "P-384", "k2");
  add_key(fixture, &set, "EC", "P-256", "k3");
  add_key(fixture, &set, "ECX", "P-256", "k4");
  add_key(fixture, &set, "", "", "k5");
  cr_assert_eq(keys_after(fixture, &set), 1);
  cr_assert_eq(read_metric(METRIC_KEYS_REFRESHED, &SLICE("ok"), 1), 1);
  strbuf_free(&set);
  fixture_close(fixture);
}

Test(key_sets, without_a_usable_key_are_failures)
{
  struct fixture *fixture = fixture_open();
  struct strbuf set;
  strbuf_init(&set, 0);
  add_key(fixture, &set, "RSA", "", "k1");
  cr_assert_eq(keys_after(fixture, &set), 0);
  cr_assert_eq(read_metric(METRIC_KEYS_REFRESHED, &SLICE("failed"), 1), 1);
  strbuf_free(&set);
  fixture_close(fixture);
}

// Returns how many keys are known after a set of `count` of them.
static size_t keys_after_many(unsigned count)
{
  struct fixture *fixture = fixture_open();
  struct strbuf set;
  strbuf_init(&set, 0);
  for (unsigned i = 0; i < count; i++) {
    char kid[16];
    snprintf(kid, sizeof(kid), "k%u", i);
    // All keys but one are of a kind that is passed over, but they count towards the limit.
    add_key(fixture, &set, i == 0 ? "EC" : "RSA", "P-256", kid);
  }
  size_t known = keys_after(fixture, &set);
  strbuf_free(&set);
  fixture_close(fixture);
  return known;
}

Test(key_sets, are_bounded)
{
  cr_expect_eq(keys_after_many(32), 1);
  cr_expect_eq(keys_after_many(33), 0);
}

Test(key_sets, too_large_to_be_ours_are_not_read)
{
  struct fixture *fixture = fixture_open();
  struct strbuf set;
  strbuf_init(&set, 0);
  add_key(fixture, &set, "EC", "P-256", "k1");
  // The padding is a field that this contract does not know, as a later contract might have.
  static char padding[64 * 1024];
  memset(padding, 'a', sizeof(padding));
  wire_write_bytes(&set, 15, slice_make(padding, sizeof(padding)));
  cr_assert_eq(keys_after(fixture, &set), 0);
  strbuf_free(&set);
  fixture_close(fixture);
}
