// Processes that stand still while their connections stay open: the other side must notice, and do without them.
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "common/rpc/liveness_internal.h"
#include "tests/support/common/read_metric.h"
#include "tests/unit/rpc/harness.h"

#define MS UINT64_C(1000)

// Two servers of one client; `still` is the one that stands still.
struct two {
  struct rig first;  // has the client
  struct rig second;
  struct rig *still;
  struct rig *other;
};

static bool both_are_ready(struct rig *rig, void *arg)
{
  struct two *two = arg;
  (void)rig;
  rig_turn(&two->second);
  return rpc_client_ready_endpoints(two->first.client, "test") == 2;
}

static void start_two(struct two *two)
{
  const struct rig_options later = {.answering = ANSWER_LATER, .without_client = true};
  rig_start(&two->first, &later);
  rig_start(&two->second, &later);
  two->first.client = rpc_client_create(&(struct rpc_client_options){0});
  const struct rpc_endpoint endpoints[] = {
      {.id = SLICE("first"), .url = slice_from_string(rig_url(&two->first))},
      {.id = SLICE("second"), .url = slice_from_string(rig_url(&two->second))},
  };
  rpc_client_set_endpoints(two->first.client, "test", endpoints, 2);
  rig_until(&two->first, both_are_ready, two);
}

static bool has_request(struct rig *rig, void *arg)
{
  struct two *two = arg;
  (void)rig;
  rig_turn(&two->second);
  return two->first.kept_count + two->second.kept_count != 0;
}

static bool second_is_ready(struct rig *rig, void *arg)
{
  struct two *two = arg;
  rig_turn(&two->second);
  return rpc_client_ready_endpoints(rig->client, "test") == 1;
}

// Calls the first server, takes it off the list and lets it stand still.
static void call_and_delist(struct two *two, struct outcome *outcome, bool repeatable)
{
  start_two(two);
  const struct rpc_endpoint first = {.id = SLICE("first"), .url = slice_from_string(rig_url(&two->first))};
  const struct rpc_endpoint second = {.id = SLICE("second"), .url = slice_from_string(rig_url(&two->second))};
  rpc_client_set_endpoints(two->first.client, "test", &first, 1);
  if (repeatable)
    rig_call_repeatable(&two->first, SLICE("x"), outcome);
  else
    rig_call(&two->first, SLICE("x"), outcome);
  rig_until_kept(&two->first, 1);
  rpc_client_set_endpoints(two->first.client, "test", &second, 1);
  rig_until(&two->first, second_is_ready, two);
  two->first.server_stopped = true;
}

static bool is_answered(struct rig *rig, void *arg)
{
  struct two *two = arg;
  (void)rig;
  rig_turn(&two->second);
  return two->first.outcomes != 0;
}

// Lets the client look at its servers as if `ms` had passed.
static uint64_t pass_time(struct rig *rig, uint64_t from_us, uint64_t ms)
{
  uint64_t now_us = from_us;
  for (; now_us <= from_us + ms * MS; now_us += LIVENESS_BUSY_LOOK_MS * MS) {
    rpc_client_process(rig->client, now_us);
    rpc_client_flush(rig->client);
  }
  return now_us;
}

static int64_t count_silent(void)
{
  return read_metric(METRIC_RPC_ENDPOINT_SILENT, &SLICE("test"), 1);
}

Test(silence, a_server_that_stands_still_gets_no_new_calls_until_it_answers_again)
{
  enum { CALLS = 20 };
  struct two two;
  struct outcome first, outcomes[CALLS];
  start_two(&two);
  rig_call(&two.first, SLICE("x"), &first);
  rig_until(&two.first, has_request, &two);
  two.still = two.first.kept_count != 0 ? &two.first : &two.second;
  two.other = two.still == &two.first ? &two.second : &two.first;
  two.still->server_stopped = true;
  pass_time(&two.first, clock_now_us(), 1000);
  cr_assert_eq(count_silent(), 1);
  two.other->answering = ANSWER_AT_ONCE;
  for (size_t i = 0; i < CALLS; i++) {
    rig_call(&two.first, SLICE("x"), &outcomes[i]);
    rpc_client_flush(two.first.client);
  }
  while (two.first.outcomes != CALLS)
    (void)is_answered(&two.first, &two), rig_turn(&two.first);
  cr_assert_eq(two.other->requests, CALLS);
  two.still->server_stopped = false;
  rig_reply_all(two.still);
  two.still->answering = ANSWER_AT_ONCE;
  while (two.first.outcomes != CALLS + 1)
    (void)is_answered(&two.first, &two), rig_turn(&two.first);
  cr_assert_eq(first.code, STATUS_OK, "it waited, and was answered");
  size_t before = two.still->requests;
  for (size_t i = 0; i < CALLS; i++) {
    rig_call(&two.first, SLICE("x"), &outcomes[i]);
    rpc_client_flush(two.first.client);
  }
  while (two.first.outcomes != 2 * CALLS + 1)
    (void)is_answered(&two.first, &two), rig_turn(&two.first);
  cr_assert_gt(two.still->requests, before, "it gets calls again");
  rig_stop(&two.first);
  rig_stop(&two.second);
}

Test(silence, calls_at_a_server_that_is_off_the_list_and_stands_still_end_before_their_deadline)
{
  struct two two;
  struct outcome outcome;
  call_and_delist(&two, &outcome, false);
  pass_time(&two.first, clock_now_us(), LIVENESS_LOST_MS + 1000);
  cr_assert(outcome.done);
  cr_assert_eq(outcome.code, STATUS_UNAVAILABLE);
  cr_assert_str_eq(outcome.reason, RPC_OUTCOME_UNKNOWN);
  rig_stop(&two.first);
  rig_stop(&two.second);
}

Test(silence, repeatable_calls_at_a_server_that_is_off_the_list_and_stands_still_go_to_another)
{
  struct two two;
  struct outcome outcome;
  call_and_delist(&two, &outcome, true);
  two.second.answering = ANSWER_AT_ONCE;
  pass_time(&two.first, clock_now_us(), 1500);
  rig_until(&two.first, is_answered, &two);
  cr_assert_eq(outcome.code, STATUS_OK);
  cr_assert_eq(two.second.requests, 1);
  rig_stop(&two.first);
  rig_stop(&two.second);
}

// A single server is called although it is silent: nobody else could take the call, and the pause may be short.
Test(silence, the_only_server_is_called_although_it_stands_still)
{
  struct rig rig;
  struct outcome outcomes[2];
  rig_start(&rig, &(struct rig_options){0});
  rig.server_stopped = true;
  rig_call(&rig, SLICE("x"), &outcomes[0]);
  pass_time(&rig, clock_now_us(), 2000);
  cr_assert_eq(count_silent(), 1);
  rig_call(&rig, SLICE("x"), &outcomes[1]);
  rig.server_stopped = false;
  rig_until_done(&rig, outcomes, 2);
  cr_assert_eq(outcomes[0].code, STATUS_OK);
  cr_assert_eq(outcomes[1].code, STATUS_OK);
  rig_stop(&rig);
}

Test(silence, a_server_that_stays_silent_loses_its_connection_and_is_dialled_again)
{
  struct rig rig;
  struct outcome outcome, next;
  rig_start(&rig, &(struct rig_options){.answering = ANSWER_LATER});
  rig_call(&rig, SLICE("x"), &outcome);
  rig_until_kept(&rig, 1);
  rig.server_stopped = true;
  pass_time(&rig, clock_now_us(), LIVENESS_LOST_MS + 500);
  cr_assert(outcome.done);
  cr_assert_eq(outcome.code, STATUS_UNAVAILABLE);
  cr_assert_str_eq(outcome.reason, RPC_OUTCOME_UNKNOWN);
  cr_assert_eq(rpc_client_ready_endpoints(rig.client, "test"), 0);
  rig.server_stopped = false;
  rig.answering = ANSWER_AT_ONCE;
  rig_until_ready(&rig, 1);
  rig_call(&rig, SLICE("x"), &next);
  rig_until_done(&rig, &next, 1);
  cr_assert_eq(next.code, STATUS_OK);
  rig_stop(&rig);
}

// Nothing is called over the connection: it is asked now and then all the same.
Test(silence, an_idle_server_that_stands_still_loses_its_connection_too)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){0});
  uint64_t now_us = clock_now_us();
  rig.server_stopped = true;
  now_us = pass_time(&rig, now_us, LIVENESS_IDLE_ASK_MS - 1000);
  cr_assert_eq(rpc_client_ready_endpoints(rig.client, "test"), 1);
  pass_time(&rig, now_us, LIVENESS_LOST_MS + 3000);
  cr_assert_eq(rpc_client_ready_endpoints(rig.client, "test"), 0);
  rig.server_stopped = false;
  rig_stop(&rig);
}

// ---- clients that do not read ----

// Replies of one packet each. 32 packets can leave, and those that wait are between the two limits of the server: 8 and
// 16 messages.
enum { MAX_MESSAGE = 128 * 1024, LARGE = 100 * 1024, REPLIES = 44 };

// Starts a rig whose client has stopped reading, while replies wait for it.
static void start_unread(struct rig *rig, struct slice token, struct outcome *outcomes, size_t count)
{
  char *bytes = calloc(1, LARGE);
  rig_start(rig, &(struct rig_options){.max_message_bytes = MAX_MESSAGE, .answering = ANSWER_LATER});
  for (size_t i = 0; i < count; i++) {
    rig_call_as(rig, token, slice_make(bytes, LARGE), &outcomes[i]);
    rpc_client_flush(rig->client);
  }
  rig_until_kept(rig, count);
  rig->client_stopped = true;
  while (rig->kept_count != 0) {
    rig_reply(rig, 0);
    rpc_server_flush(rig->server);
  }
  free(bytes);
}

Test(silence, requests_of_a_client_that_leaves_many_replies_unread_are_refused_before_they_begin)
{
  struct rig rig;
  static struct outcome outcomes[REPLIES], late, after;
  start_unread(&rig, SLICE(""), outcomes, REPLIES);
  rig_call(&rig, SLICE("late"), &late);
  rpc_client_flush(rig.client);
  for (size_t i = 0; i < 20; i++)
    rig_turn(&rig);
  cr_assert_eq(rig.requests, REPLIES, "the handler does not see it");
  rig.client_stopped = false;
  rig_until_done(&rig, outcomes, REPLIES);
  rig_until_done(&rig, &late, 1);
  cr_assert_eq(late.code, STATUS_RESOURCE_EXHAUSTED, "%d %s", (int)late.code, late.message);
  cr_assert_str_eq(late.reason, RPC_TOO_MANY_UNREAD_BYTES);
  cr_assert_gt(late.retry_after_ms, 0);
  rig.answering = ANSWER_AT_ONCE;
  rig_call(&rig, SLICE("after"), &after);
  rig_until_done(&rig, &after, 1);
  cr_assert_eq(after.code, STATUS_OK, "it has read its replies, so it is served again");
  rig_stop(&rig);
}

static bool has_refused(struct rig *rig, void *arg)
{
  const struct outcome *outcome = arg;
  (void)rig;
  return outcome->done;
}

// 34 replies are two more than can leave, and one of them is more than half of a message.
Test(silence, a_caller_who_leaves_replies_unread_holds_up_nobody_else)
{
  enum { HOARDED = 34 };
  struct rig rig;
  static struct outcome outcomes[HOARDED], same, other;
  start_unread(&rig, SLICE("hoarder"), outcomes, HOARDED);
  rig_call_as(&rig, SLICE("hoarder"), SLICE("x"), &same);
  rig_call_as(&rig, SLICE("somebody"), SLICE("x"), &other);
  rpc_client_flush(rig.client);
  while (rig.requests == HOARDED)
    rig_turn(&rig);
  cr_assert_eq(rig.requests, HOARDED + 1, "the other caller's request begins");
  rig_reply_all(&rig);
  rig.client_stopped = false;
  rig_until(&rig, has_refused, &same);
  rig_until(&rig, has_refused, &other);
  cr_assert_eq(same.code, STATUS_RESOURCE_EXHAUSTED, "%s", same.message);
  cr_assert_eq(other.code, STATUS_OK, "%s", other.message);
  rig_until_done(&rig, outcomes, HOARDED);
  rig_stop(&rig);
}

Test(silence, a_client_that_takes_nothing_for_ten_seconds_must_connect_again)
{
  struct rig rig;
  static struct outcome outcomes[REPLIES], after;
  start_unread(&rig, SLICE(""), outcomes, REPLIES);
  uint64_t now_us = clock_now_us();
  for (size_t i = 0; i < 10; i++, now_us += 1000 * MS)
    rpc_server_process(rig.server, now_us);
  cr_assert_not(rpc_server_idle(rig.server), "not before");
  for (size_t i = 0; i < 2; i++, now_us += 1000 * MS)
    rpc_server_process(rig.server, now_us);
  cr_assert(rpc_server_idle(rig.server), "what it has not read is dropped with its connection");
  rig.client_stopped = false;
  rig_until_done(&rig, outcomes, REPLIES);
  size_t answered = 0;
  for (size_t i = 0; i < REPLIES; i++) {
    answered += outcomes[i].code == STATUS_OK ? 1 : 0;
    if (outcomes[i].code != STATUS_OK)
      cr_assert_str_eq(outcomes[i].reason, RPC_OUTCOME_UNKNOWN);
  }
  cr_assert_gt(answered, 0, "what has left arrives");
  cr_assert_lt(answered, REPLIES);
  rig_until_ready(&rig, 1);
  rig.answering = ANSWER_AT_ONCE;
  rig_call(&rig, SLICE("after"), &after);
  rig_until_done(&rig, &after, 1);
  cr_assert_eq(after.code, STATUS_OK);
  rig_stop(&rig);
}
