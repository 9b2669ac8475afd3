// Circuit breakers: when calls of one method leave an instance, when they come back, and what becomes of them where
// there is nowhere to go.
#include <criterion/criterion.h>
#include <stdio.h>

#include "common/rpc/breaker_internal.h"
#include "common/rpc/client_internal.h"
#include "common/rpc/request_internal.h"
#include "tests/support/common/read_metric.h"
#include "tests/unit/rpc/harness.h"

#define NOW_US UINT64_C(1000000000)
#define SECOND_US UINT64_C(1000000)
// The failures in a row after which a breaker without other news opens.
#define OPENING_FAILURES 7

// ---- the state machine ----

static void note_many(struct breaker *breaker, enum breaker_outcome outcome, size_t count)
{
  for (size_t i = 0; i < count; i++)
    (void)breaker_note(breaker, outcome, NOW_US);
}

Test(breakers, open_after_some_failures_in_a_row)
{
  struct breaker breaker = {0};
  note_many(&breaker, BREAKER_FAILED, OPENING_FAILURES - 1);
  cr_expect_eq(breaker.state, BREAKER_CLOSED);
  cr_expect(breaker_note(&breaker, BREAKER_FAILED, NOW_US), "the change is told");
  cr_expect_eq(breaker.state, BREAKER_OPEN);
  cr_expect_not(breaker_note(&breaker, BREAKER_FAILED, NOW_US));
}

Test(breakers, open_where_most_calls_are_refused_or_fail)
{
  struct breaker breaker = {0};
  for (size_t i = 0; i < 30; i++) {
    note_many(&breaker, BREAKER_FAILED, 1);
    note_many(&breaker, BREAKER_REFUSED, 1);
    note_many(&breaker, BREAKER_ANSWERED, 1);
  }
  cr_expect_eq(breaker.state, BREAKER_OPEN);
}

Test(breakers, do_not_open_for_a_few_failures_among_many_answers)
{
  struct breaker breaker = {0};
  for (size_t i = 0; i < 10000; i++) {
    (void)breaker_note(&breaker, i % 5 == 0 ? BREAKER_FAILED : BREAKER_ANSWERED, NOW_US);
    cr_assert_eq(breaker.state, BREAKER_CLOSED);
  }
}

Test(breakers, are_tried_soon_and_then_more_and_more_seldom)
{
  struct breaker breaker = {0};
  cr_expect_not(breaker_take_try(&breaker, NOW_US), "one that is closed needs no try");
  note_many(&breaker, BREAKER_FAILED, OPENING_FAILURES);
  cr_expect_not(breaker_take_try(&breaker, NOW_US + BREAKER_FIRST_TRY_US - 1));
  size_t tries = 0;
  for (uint64_t now_us = NOW_US; now_us <= NOW_US + 64 * SECOND_US; now_us += 10000) {
    if (!breaker_take_try(&breaker, now_us))
      continue;
    tries++;
    cr_expect_not(breaker_take_try(&breaker, now_us), "one call only");
    (void)breaker_note(&breaker, BREAKER_FAILED, now_us);
  }
  cr_expect_eq(tries, 12, "%zu: at 1/4, 3/4, 7/4, 15/4, 31/4, 63/4 s and then every 8 s", tries);
}

Test(breakers, close_after_a_few_answers)
{
  struct breaker breaker = {0};
  note_many(&breaker, BREAKER_FAILED, 1000);
  uint64_t now_us = NOW_US + 20 * SECOND_US;
  size_t tries = 0;
  for (; breaker.state == BREAKER_OPEN && tries < 10; now_us += 10000)
    if (breaker_take_try(&breaker, now_us)) {
      tries++;
      (void)breaker_note(&breaker, BREAKER_ANSWERED, now_us);
    }
  cr_expect_eq(tries, 3);
  cr_expect_leq(now_us, NOW_US + 21 * SECOND_US, "after an answer the next try comes soon");
}

Test(breakers, that_refusals_have_opened_close_after_a_few_answers_to_tries)
{
  struct breaker breaker = {0};
  note_many(&breaker, BREAKER_REFUSED, 1000);
  for (size_t i = 0; i < 2; i++)
    cr_expect_not(breaker_note(&breaker, BREAKER_TRY_ANSWERED, NOW_US));
  cr_expect(breaker_note(&breaker, BREAKER_TRY_ANSWERED, NOW_US));
  cr_expect_eq(breaker.state, BREAKER_CLOSED);
  note_many(&breaker, BREAKER_REFUSED, 1000);
  note_many(&breaker, BREAKER_ANSWERED, 5);
  cr_expect_eq(breaker.state, BREAKER_OPEN, "half of what is let out is answered where too much comes");
}

Test(breakers, a_try_without_an_outcome_makes_the_next_no_later)
{
  struct breaker breaker = {0};
  note_many(&breaker, BREAKER_FAILED, OPENING_FAILURES);
  uint64_t now_us = NOW_US + BREAKER_FIRST_TRY_US;
  for (size_t i = 0; i < 10; i++, now_us += BREAKER_FIRST_TRY_US) {
    cr_expect(breaker_take_try(&breaker, now_us));
    breaker_return_try(&breaker, now_us);
    cr_expect_not(breaker_take_try(&breaker, now_us), "nor any sooner");
  }
}

Test(breakers, where_all_refuse_a_tenth_of_the_calls_goes_out_in_any_case)
{
  struct breaker breaker = {0};
  note_many(&breaker, BREAKER_REFUSED, 1000);
  size_t sent = 0;
  for (size_t i = 0; i < 1000; i++)
    if (breaker_judge(&breaker, NOW_US) == BREAKER_LETS) {
      sent++;
      (void)breaker_note(&breaker, BREAKER_REFUSED, NOW_US);
    }
  cr_expect(sent >= 99 && sent <= 110, "%zu", sent);
}

// An instance that is alone does 30 of 100 calls a tick.
Test(breakers, where_all_refuse_twice_as_many_calls_go_out_as_are_answered)
{
  struct breaker breaker = {0};
  size_t sent = 0, answered = 0;
  for (uint64_t tick = 0; tick < 2000; tick++) {
    size_t room = 30;
    for (size_t i = 0; i < 100; i++) {
      uint64_t now_us = NOW_US + tick * 10000 + i;
      if (breaker_judge(&breaker, now_us) != BREAKER_LETS)
        continue;
      bool is_answered = room > 0;
      room -= is_answered ? 1 : 0;
      sent += tick < 200 ? 0 : 1;
      answered += is_answered && tick >= 200 ? 1 : 0;
      (void)breaker_note(&breaker, is_answered ? BREAKER_ANSWERED : BREAKER_REFUSED, now_us);
    }
  }
  cr_log_info("of 180,000 calls %zu were sent, and %zu of 54,000 possible answered", sent, answered);
  cr_expect_geq(answered, 54000 * 95 / 100);
  cr_expect_leq(sent, 2 * 54000 * 11 / 10);
}

Test(breakers, where_all_fail_calls_go_out_until_very_many_in_a_row_have_failed)
{
  struct breaker breaker = {0};
  note_many(&breaker, BREAKER_FAILED, BREAKER_DEAD_FAILURES - 1);
  cr_expect_eq(breaker_judge(&breaker, NOW_US), BREAKER_LETS);
  note_many(&breaker, BREAKER_FAILED, 1);
  cr_expect_eq(breaker_judge(&breaker, NOW_US), BREAKER_SHEDS_FAILING);
  cr_expect_eq(breaker_judge(&breaker, NOW_US + BREAKER_REFUSED_TRY_US), BREAKER_LETS, "a try");
  cr_expect_eq(breaker_judge(&breaker, NOW_US + BREAKER_REFUSED_TRY_US), BREAKER_SHEDS_FAILING);
  note_many(&breaker, BREAKER_ANSWERED, 1);
  cr_expect_eq(breaker.state, BREAKER_OPEN);
  cr_expect_eq(breaker_judge(&breaker, NOW_US), BREAKER_LETS, "one answer is enough");
}

Test(breakers, what_an_instance_says_it_cannot_do_now_is_never_refused_for_it)
{
  struct breaker breaker = {0};
  note_many(&breaker, BREAKER_UNABLE, OPENING_FAILURES);
  cr_expect_eq(breaker.state, BREAKER_OPEN, "another instance may be able to");
  note_many(&breaker, BREAKER_UNABLE, 1000);
  cr_expect_eq(breaker_judge(&breaker, NOW_US), BREAKER_LETS);
  // The instance did not say so at first, until it knew.
  note_many(&breaker, BREAKER_FAILED, BREAKER_DEAD_FAILURES);
  cr_expect_eq(breaker_judge(&breaker, NOW_US), BREAKER_SHEDS_FAILING);
  note_many(&breaker, BREAKER_UNABLE, 1);
  cr_expect_eq(breaker_judge(&breaker, NOW_US), BREAKER_LETS);
}

Test(breakers, of_an_instance_are_made_for_methods_that_fail)
{
  struct breaker_set set = {0};
  cr_expect_not(breaker_set_note(&set, 3, BREAKER_ANSWERED, NOW_US));
  cr_expect_eq(set.count, 0);
  for (size_t i = 0; i < OPENING_FAILURES; i++)
    cr_expect_eq(breaker_set_note(&set, 3, BREAKER_FAILED, NOW_US), i + 1 == OPENING_FAILURES);
  cr_expect(set.open == 1 && breaker_set_is_open(&set, 3));
  cr_expect_not(breaker_set_is_open(&set, 2));
  cr_expect_not(breaker_set_is_open(&set, 4));
  cr_expect_null(breaker_set_find(&set, 4));
  breaker_set_free(&set);
}

// ---- the client ----

#define BAD SLICE("test.v1.Test/Bad")
#define GOOD SLICE("test.v1.Test/Good")

static const struct rpc_status broken = {.code = STATUS_INTERNAL, .message = SLICE_INIT("broken")};
static const struct rpc_status unable = {.code = STATUS_UNAVAILABLE, .reason = SLICE_INIT(RPC_NOT_APPLIED)};
static const struct rpc_status full = {.code = STATUS_RESOURCE_EXHAUSTED, .reason = SLICE_INIT(RPC_INSTANCE_FULL)};

// What answers a call: the servers in `failing` answer one of the method BAD with `failure`.
struct answers {
  const struct rpc_status *failure;
  const struct rpc_server *const *failing;  // two; NULL for none
  struct outcome *outcome;
  const struct rpc_server *at;  // where the call came to; NULL: nowhere
};

static bool answer_until_done(struct rig *rig, void *arg)
{
  struct answers *answers = arg;
  while (rig->kept_count > 0) {
    struct rpc_request *request = rig->kept[--rig->kept_count];
    const struct rpc_server *at = answers->at = request->server;
    bool fails =
        slice_equal(rpc_request_method(request), BAD) && (at == answers->failing[0] || at == answers->failing[1]);
    rpc_request_reply(request, fails ? answers->failure : NULL, SLICE("fine"));
  }
  return answers->outcome->done;
}

// Makes one call, which the servers in `failing` answer with `failure` if it is of the method BAD. Returns the server
// that it came to; NULL if it came to none.
static const struct rpc_server *call_once(struct rig *rig, struct slice method, const struct rpc_status *failure,
                                          const struct rpc_server *const failing[2], struct outcome *outcome)
{
  struct answers answers = {.failure = failure, .failing = failing, .outcome = outcome};
  rig_call_method(rig, method, outcome);
  rig_until(rig, answer_until_done, &answers);
  return answers.at;
}

// Calls BAD once. Returns whether the call was refused in the client.
static bool is_shed(struct rig *rig, void *arg)
{
  const struct answers *answers = arg;
  return call_once(rig, BAD, answers->failure, answers->failing, answers->outcome) == NULL;
}

static bool is_sent(struct rig *rig, void *arg)
{
  return !is_shed(rig, arg);
}

// The same. Returns whether no breaker is open any more.
static bool are_closed(struct rig *rig, void *arg)
{
  (void)is_shed(rig, arg);
  return !rig->client->channels->has_open;
}

static int64_t count_opened(void)
{
  struct slice label = SLICE("test");
  return read_metric(METRIC_RPC_BREAKERS_OPENED, &label, 1);
}

static int64_t count_open(void)
{
  return read_metric(METRIC_RPC_BREAKERS_OPEN, &SLICE("test"), 1);
}

static int64_t count_ejected(void)
{
  struct slice labels[] = {SLICE("test"), SLICE("failures")};
  return read_metric(METRIC_RPC_EJECTED, labels, 2);
}

static int64_t count_shed(const char *reason)
{
  struct slice labels[] = {SLICE("test"), slice_from_string(reason)};
  return read_metric(METRIC_RPC_SHED, labels, 2);
}

// Makes one call of the method GOOD. Returns whether it came to the first server.
static bool good_comes_to_first(struct rig *rig, void *arg)
{
  const struct answers *answers = arg;
  return call_once(rig, GOOD, NULL, answers->failing, answers->outcome) == rig->server;
}

// After each failure the instance answers a call of GOOD, however slow the machine makes it look beside the other: one
// that only fails is ejected as a whole.
Test(breakers, calls_of_a_method_that_one_instance_fails_go_to_the_other_and_its_other_methods_go_on)
{
  enum { ROUNDS = 100 };
  struct rig rig;
  rig_start_two(&rig);
  const struct rpc_server *const failing[2] = {rig.server, NULL};
  struct outcome outcome;
  struct answers good = {.failing = failing, .outcome = &outcome};
  size_t failed = 0;
  for (size_t i = 0; i < ROUNDS; i++) {
    (void)call_once(&rig, BAD, &broken, failing, &outcome);
    if (outcome.code == STATUS_OK)
      continue;
    failed++;
    rig_until(&rig, good_comes_to_first, &good);
  }
  cr_expect_gt(failed, 0);
  cr_expect_lt(failed, ROUNDS / 4, "%zu calls failed", failed);
  cr_expect_eq(count_ejected(), 0);
  cr_expect_geq(count_opened(), 1);
  rig_stop(&rig);
}

Test(breakers, where_a_method_fails_everywhere_it_is_refused_here_at_last_and_others_are_served)
{
  enum { CALLS = 3 * BREAKER_DEAD_FAILURES };
  struct rig rig;
  rig_start_two(&rig);
  const struct rpc_server *const failing[2] = {rig.server, rig.other};
  size_t sent = 0;
  struct outcome outcome;
  for (size_t i = 0; i < CALLS; i++)
    sent += call_once(&rig, BAD, &broken, failing, &outcome) != NULL ? 1 : 0;
  cr_expect_geq(sent, BREAKER_DEAD_FAILURES);
  cr_expect_lt(sent, CALLS);
  cr_expect_eq(count_shed("failing"), (int64_t)(CALLS - sent));
  cr_expect_eq(count_open(), 2, "one for each instance");
  rig_until(&rig, is_shed, &(struct answers){.failure = &broken, .failing = failing, .outcome = &outcome});
  cr_expect_eq(outcome.code, STATUS_UNAVAILABLE);
  cr_expect_str_eq(outcome.reason, RPC_NOT_APPLIED);
  cr_expect_gt(outcome.retry_after_ms, 0);
  (void)call_once(&rig, GOOD, NULL, failing, &outcome);
  cr_expect_eq(outcome.code, STATUS_OK);
  // The fault is mended: a try finds out.
  const struct rpc_server *const none[2] = {NULL, NULL};
  rig_until(&rig, is_sent, &(struct answers){.failure = &broken, .failing = none, .outcome = &outcome});
  cr_expect_eq(outcome.code, STATUS_OK);
  rig_stop(&rig);
  cr_expect_eq(count_open(), 0, "nobody has one any more");
}

static bool has_no_ejected(struct rig *rig, void *arg)
{
  (void)rig;
  (void)arg;
  return read_metric(METRIC_RPC_EJECTED_NOW, &SLICE("test"), 1) == 0;
}

Test(breakers, a_gauge_shows_how_many_instances_are_ejected_now)
{
  struct rig rig;
  rig_start_two(&rig);
  struct endpoint *endpoint = endpoint_of(rig.client->channels->candidates[0]);
  cr_expect(has_no_ejected(&rig, NULL));
  for (size_t i = 0; i < 2; i++) {
    channel_eject_failing(endpoint);
    rig_turn(&rig);
    cr_expect_eq(read_metric(METRIC_RPC_EJECTED_NOW, &SLICE("test"), 1), 1);
    if (i == 0)
      rig_until(&rig, has_no_ejected, NULL);
  }
  rig_stop(&rig);
  cr_expect(has_no_ejected(NULL, NULL));
}

// The database is away from all instances, and some calls would be answered from a cache.
Test(breakers, where_all_instances_say_that_they_cannot_now_every_call_is_sent)
{
  struct rig rig;
  rig_start_two(&rig);
  const struct rpc_server *const failing[2] = {rig.server, rig.other}, *const none[2] = {NULL, NULL};
  struct outcome outcome;
  for (size_t i = 0; i < 10 * BREAKER_DEAD_FAILURES; i++)
    cr_assert_not_null(call_once(&rig, BAD, &unable, failing, &outcome));
  cr_expect_eq(count_shed("failing"), 0);
  (void)call_once(&rig, BAD, &unable, none, &outcome);
  cr_expect_eq(outcome.code, STATUS_OK);
  rig_stop(&rig);
}

Test(breakers, an_instance_that_is_alone_and_refuses_is_still_tried)
{
  enum { CALLS = 200 };
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.answering = ANSWER_LATER});
  const struct rpc_server *const failing[2] = {rig.server, NULL}, *const none[2] = {NULL, NULL};
  size_t sent = 0;
  struct outcome outcome;
  for (size_t i = 0; i < CALLS; i++)
    sent += call_once(&rig, BAD, &full, failing, &outcome) != NULL ? 1 : 0;
  cr_expect_lt(sent, CALLS / 2);
  cr_expect_eq(count_shed("refusing"), (int64_t)(CALLS - sent));
  rig_until(&rig, is_shed, &(struct answers){.failure = &full, .failing = failing, .outcome = &outcome});
  cr_expect_eq(outcome.code, STATUS_RESOURCE_EXHAUSTED);
  cr_expect_str_eq(outcome.reason, RPC_NOT_APPLIED);
  cr_expect_gt(outcome.retry_after_ms, 0);
  rig_until(&rig, are_closed, &(struct answers){.failure = &full, .failing = none, .outcome = &outcome});
  cr_expect_eq(outcome.code, STATUS_OK);
  rig_stop(&rig);
}

Test(breakers, are_forgotten_with_the_process_that_they_were_of)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.answering = ANSWER_LATER});
  const struct rpc_server *const failing[2] = {rig.server, NULL}, *const none[2] = {NULL, NULL};
  struct outcome outcome;
  for (size_t i = 0; i < BREAKER_DEAD_FAILURES; i++)
    (void)call_once(&rig, BAD, &broken, failing, &outcome);
  rig_until(&rig, is_shed, &(struct answers){.failure = &broken, .failing = failing, .outcome = &outcome});
  cr_expect_eq(outcome.code, STATUS_UNAVAILABLE);
  char url[64];
  snprintf(url, sizeof(url), "%s", rig_url(&rig));
  rpc_server_free(&rig.server);
  rig_until_ready(&rig, 0);
  rig.server = rig_listen(&rig, url, &(struct rig_options){0});
  rig_until_ready(&rig, 1);
  cr_expect_eq(call_once(&rig, BAD, &broken, none, &outcome), rig.server);
  cr_expect_eq(outcome.code, STATUS_OK);
  rig_stop(&rig);
}

Test(breakers, refusals_of_one_caller_open_none)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.answering = ANSWER_LATER});
  const struct rpc_server *const refusing[2] = {rig.server, NULL};
  const struct slice reasons[] = {SLICE("RESOURCE_EXHAUSTED"), SLICE(RPC_TOO_MANY_UNREAD_BYTES)};
  for (size_t i = 0; i < 200; i++) {
    const struct rpc_status limited = {.code = STATUS_RESOURCE_EXHAUSTED, .reason = reasons[i % 2]};
    struct outcome outcome;
    cr_assert_eq(call_once(&rig, BAD, &limited, refusing, &outcome), rig.server);
  }
  cr_expect_eq(count_opened(), 0);
  cr_expect_eq(count_shed("refusing"), 0);
  rig_stop(&rig);
}

// The only endpoint of the rig, once it has failed so often that the breaker of BAD is open.
static struct endpoint *open_breaker(struct rig *rig)
{
  const struct rpc_server *const failing[2] = {rig->server, NULL};
  struct outcome outcome;
  for (size_t i = 0; i < OPENING_FAILURES; i++)
    (void)call_once(rig, BAD, &broken, failing, &outcome);
  cr_assert(rig->client->channels->has_open);
  return endpoint_of(rig->client->channels->candidates[0]);
}

Test(breakers, a_try_whose_caller_goes_is_given_back)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.answering = ANSWER_LATER});
  struct endpoint *endpoint = open_breaker(&rig);
  struct breaker *breaker = &endpoint->breakers.breakers[endpoint->breakers.count - 1];
  breaker->next_try_us = 0;
  struct outcome outcome;
  struct rpc_call *call = rig_call_method(&rig, BAD, &outcome);
  cr_assert(call->attempt.is_try);
  cr_expect_eq(breaker->pause_us, 2 * BREAKER_FIRST_TRY_US);
  rig_until_kept(&rig, 1);
  (void)rpc_call_cancel(call);
  cr_expect_eq(breaker->pause_us, BREAKER_FIRST_TRY_US);
  rig_stop(&rig);
}

Test(breakers, a_call_that_comes_too_late_takes_no_try)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.answering = ANSWER_LATER});
  struct endpoint *endpoint = open_breaker(&rig);
  struct breaker *breaker = &endpoint->breakers.breakers[endpoint->breakers.count - 1];
  struct outcome outcome;
  struct rpc_call *call = rig_call_method(&rig, GOOD, &outcome);
  rig_until_kept(&rig, 1);
  breaker->next_try_us = 0;
  client_set_call_state(call, CALL_DETACHED);
  call->entry = method_metrics_find(&rig.client->methods, BAD);
  call->deadline_us = 1;
  client_place_call(call, NULL, NOW_US);
  cr_expect_eq(breaker->next_try_us, 0, "the try is left for a call that can be sent");
  rig_until_done(&rig, &outcome, 1);
  cr_expect_eq(outcome.code, STATUS_DEADLINE_EXCEEDED);
  rig_stop(&rig);
}

Test(breakers, nothing_is_refused_here_while_an_instance_that_does_the_method_has_no_room)
{
  struct rig rig;
  rig_start_two(&rig);
  const struct rpc_server *const failing[2] = {rig.server, rig.other}, *const none[2] = {NULL, NULL};
  struct outcome outcome;
  rig_until(&rig, is_shed, &(struct answers){.failure = &broken, .failing = failing, .outcome = &outcome});
  // One of them is another process now, and has no room.
  struct endpoint *closed = endpoint_of(rig.client->channels->candidates[0]);
  struct endpoint *dead = endpoint_of(rig.client->channels->candidates[1]);
  dead->breakers.breakers[dead->breakers.count - 1].failed_in_a_row = BREAKER_DEAD_FAILURES;
  breaker_set_free(&closed->breakers);
  rig.client->channels->balancer.max_in_flight = 1;
  closed->load.calls_in_flight = 1;
  for (size_t i = 0; i < 20; i++) {
    cr_expect_not_null(call_once(&rig, BAD, &broken, failing, &outcome));
    cr_expect_eq(outcome.code, STATUS_INTERNAL);
  }
  closed->load.calls_in_flight = 0;
  (void)call_once(&rig, BAD, &broken, none, &outcome);
  cr_expect_eq(outcome.code, STATUS_OK);
  rig_stop(&rig);
}
