// How a gateway learns what has ended.
#include <criterion/criterion.h>

#include "auth/v1/endings.pb-c.h"
#include "common/base/check.h"
#include "gateway/endings_peers.h"
#include "tests/unit/gateway/one_exchange.h"

static struct endings endings;
static struct backend played;
static struct slice asked_payload;
static rpc_done_fn *answer;
static void *answer_arg;
static int calls;
static Auth__V1__ListEndingsRequest *request_in_hand;

static struct rpc_call *play_call(void *arg, const struct rpc_call_options *options, rpc_done_fn *done, void *done_arg)
{
  (void)arg;
  asked_payload = arena_copy(&fixture->arena, options->payload);
  answer = done;
  answer_arg = done_arg;
  calls++;
  return (struct rpc_call *)(void *)&calls;
}

static bool play_cancel(void *arg, struct rpc_call *call)
{
  (void)arg;
  (void)call;
  answer = NULL;
  return true;
}

static uint64_t now_us(void)
{
  return fixture_now_us;
}

static int64_t wall_us(void)
{
  return fixture_wall_us;
}

static void open_endings(void)
{
  open_all();
  played = (struct backend){.call = play_call, .cancel = play_cancel};
  endings_init(&endings,
               &(struct endings_options){
                   .backend = &played, .verifier = fixture->gateway->verifier, .now_us = now_us, .wall_us = wall_us});
}

static void close_endings(void)
{
  endings_stop(&endings);
  auth__v1__list_endings_request__free_unpacked(request_in_hand, NULL);
  close_all();
}

TestSuite(endings, .init = open_endings, .fini = close_endings);

// Lets it ask. The request is valid until it asks again.
static const Auth__V1__ListEndingsRequest *ask(void)
{
  int before = calls;
  endings_process(&endings, fixture_now_us);
  cr_assert_eq(calls, before + 1, "it does not ask");
  auth__v1__list_endings_request__free_unpacked(request_in_hand, NULL);
  request_in_hand =
      auth__v1__list_endings_request__unpack(NULL, asked_payload.size, (const uint8_t *)asked_payload.data);
  cr_assert_not_null(request_in_hand);
  return request_in_hand;
}

static void reply(char *instance, uint64_t sequence, Auth__V1__Ending *ending, bool more)
{
  Auth__V1__EndingsPosition position = AUTH__V1__ENDINGS_POSITION__INIT;
  position.instance = instance;
  position.sequence = sequence;
  Auth__V1__ListEndingsResponse response = AUTH__V1__LIST_ENDINGS_RESPONSE__INIT;
  response.position = &position;
  response.endings = &ending;
  response.n_endings = ending == NULL ? 0 : 1;
  response.more = more;
  uint8_t bytes[512];
  CHECK(auth__v1__list_endings_response__get_packed_size(&response) <= sizeof(bytes));
  size_t size = auth__v1__list_endings_response__pack(&response, bytes);
  answer(answer_arg, &(struct rpc_status){.code = STATUS_OK}, slice_make(bytes, size));
}

Test(endings, a_token_of_what_has_ended_is_refused_though_it_was_known)
{
  struct exchange_input input = fixture_input("GET", ITEM_PATH);
  input.authorization = fixture_bearer(fixture, NULL, 900);
  (void)start_call(input);
  exchange_close(&exchange);
  exchange = fixture_exchange(fixture);

  (void)ask();
  Auth__V1__Ending ending = AUTH__V1__ENDING__INIT;
  ending.user_id = FIXTURE_USER_ID;
  ending.generation = 2;
  ending.expire_s = fixture_wall_us / 1000000 + 900;
  reply("one", 1, &ending, false);
  const struct exchange_reply *refused = start(input);
  assert_problem(refused, 401, "\"reason\":\"TOKEN_REVOKED\"");
  assert_header(refused, "WWW-Authenticate",
                "Bearer realm=\"bulkhead\", error=\"invalid_token\", error_description=\"the access token was revoked; "
                "refresh it or log in again\"");
}

Test(endings, each_instance_is_asked_for_what_it_has_added_since)
{
  cr_assert_eq(ask()->n_positions, 0);
  reply("one", 7, NULL, false);
  cr_expect_eq(endings_next_timeout_us(&endings), fixture_now_us + ENDINGS_EVERY_US);
  fixture_now_us += ENDINGS_EVERY_US;
  cr_assert_eq(ask()->n_positions, 1);
  reply("two", 3, NULL, false);
  fixture_now_us += ENDINGS_EVERY_US;
  const Auth__V1__ListEndingsRequest *request = ask();
  cr_assert_eq(request->n_positions, 2);
  cr_expect_str_eq(request->positions[0]->instance, "one");
  cr_expect_eq(request->positions[0]->sequence, 7);
  cr_expect_eq(request->positions[1]->sequence, 3);
  reply("one", 8, NULL, false);
  // Restarted instances have other names; the oldest are forgotten.
  for (int i = 0; i < 2 * ENDINGS_MAX_INSTANCES; i++) {
    fixture_now_us += ENDINGS_EVERY_US;
    cr_assert_leq(ask()->n_positions, ENDINGS_MAX_INSTANCES);
    reply(arena_printf(&fixture->arena, "instance-%d", i), 1, NULL, false);
  }
}

Test(endings, a_list_that_is_longer_than_a_reply_is_asked_for_at_once)
{
  Auth__V1__Ending ending = AUTH__V1__ENDING__INIT;
  ending.user_id = FIXTURE_USER_ID;
  ending.session_id = FIXTURE_ITEM_ID;
  ending.expire_s = fixture_wall_us / 1000000 + 900;
  (void)ask();
  reply("one", 1, &ending, true);
  (void)ask();
  reply("one", 1, NULL, false);
}

Test(endings, a_failure_is_followed_by_another_try)
{
  (void)ask();
  answer(answer_arg, &(struct rpc_status){.code = STATUS_UNAVAILABLE}, (struct slice){0});
  cr_expect(endings.outage.failing);
  endings_process(&endings, fixture_now_us);
  cr_expect_eq(calls, 1, "it waits before it asks again");
  fixture_now_us += ENDINGS_EVERY_US;
  (void)ask();
  answer(answer_arg, &(struct rpc_status){.code = STATUS_OK}, SLICE("\xff\xff"));
  fixture_now_us += ENDINGS_EVERY_US;
  (void)ask();
  reply("one", 0, NULL, false);
  cr_expect_not(endings.outage.failing);
}
