// What ends at one gateway ends at another one, whatever is restarted in between: counts in every run, the time until
// then in the long form.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/compiler.h"
#include "tests/fault/drill.h"
#include "tests/support/gateway.h"
#include "tests/support/http.h"
#include "tests/support/stack.h"

enum { SHORT_TRIES = 10, LONG_TRIES = 100, GOAL_MS = 1000, ROUNDS = 3 };

// A gateway that has two workers shows by so many answers in a row that both refuse a token.
enum { ENOUGH = 20 };

static struct gateway_place second;

static void stop_gateway(void)
{
  if (second.name != NULL)
    gateway_stop(&second);
}

static struct http_reply ask_second(const char *token)
{
  return HTTP(.path = "/v1/users/me", .token = token, .base_url = second.plain_url);
}

static bool is_taken(const char *token)
{
  return ask_second(token).status == 200;
}

// Whether requests in a row are refused: each of them may meet another worker of the gateway.
static bool is_revoked(const void *arg)
{
  for (int i = 0; i < ENOUGH; i++) {
    struct http_reply reply = ask_second(arg);
    if (reply.status != 401 || strcmp(http_json(&reply, "reason"), "TOKEN_REVOKED") != 0)
      return false;
  }
  return true;
}

struct session {
  const char *token;
  const char *refresh_token;
};

// Logs in, and shows the access token to the second gateway.
static struct session begin_session(const struct account *ada)
{
  struct http_reply login = account_login(ada->email, ada->password);
  ASSERT_STATUS(login, 200);
  struct session session = {http_json(&login, "accessToken"), http_json(&login, "refreshToken")};
  for (int i = 0; i < ENOUGH; i++)
    cr_assert(is_taken(session.token));
  return session;
}

// Ends a session at the first gateway.
static void end_session(const struct session *session)
{
  const char *body = text("{\"refreshToken\":\"%s\"}", session->refresh_token);
  ASSERT_STATUS(HTTP(.path = "/v1/auth/logout", .body = body), 204);
}

// ---- tries ----

// What becomes of Redis in a try.
enum redis { REDIS_STAYS, REDIS_RESTARTED_BEFORE, REDIS_AWAY, REDIS_KILLED_AFTER, REDIS_FATES };

static void start_redis(void)
{
  stack("start", "redis");
}

// Returns the microseconds from the answer to a logout until the second gateway has taken the token for the last time.
static uint64_t time_try(const struct account *ada, enum redis fate, const char **token)
{
  struct session session = begin_session(ada);
  *token = session.token;
  if (fate == REDIS_RESTARTED_BEFORE || fate == REDIS_AWAY)
    stack("kill", "redis");
  if (fate == REDIS_RESTARTED_BEFORE)
    start_redis();
  end_session(&session);
  uint64_t ended_us = clock_now_us();
  if (fate == REDIS_KILLED_AFTER)
    stack_signal("redis", SIGKILL);
  uint64_t taken_us = ended_us;
  for (int refused = 0; refused < ENOUGH; refused++) {
    if (is_taken(session.token)) {
      taken_us = clock_now_us();
      refused = -1;
    }
    cr_assert_lt(clock_now_us() - ended_us, UINT64_C(180000000),
                 "the second gateway takes the token of an ended session");
  }
  cr_expect(is_revoked(session.token));
  if (fate == REDIS_AWAY || fate == REDIS_KILLED_AFTER)
    start_redis();
  return taken_us - ended_us;
}

static int compare_times(const void *a, const void *b)
{
  const uint64_t *left = a, *right = b;
  return (*left > *right) - (*left < *right);
}

static void tell(uint64_t *times_us, size_t count)
{
  size_t late = 0;
  for (size_t i = 0; i < count; i++)
    late += times_us[i] > GOAL_MS * UINT64_C(1000);
  qsort(times_us, count, sizeof(*times_us), compare_times);
  uint64_t median_us = times_us[count / 2], longest_us = times_us[count - 1];
  drill_print_line(text("| a session ends at one gateway, seen by another one; Redis restarted before, away, killed "
                        "after in three of four tries | %zu | %zu | | | | %.0f ms | | %d ms in each try | median %.0f "
                        "ms, longest %.0f ms; %s |",
                        count, count - late, (double)longest_us / 1e3, GOAL_MS, (double)median_us / 1e3,
                        (double)longest_us / 1e3,
                        late == 0 ? "reached" : text("missed: %zu of %zu took longer", late, count)));
}

Test(drill_13_revocation, reaches_a_second_gateway_whatever_redis_does, .fini = stop_gateway)
{
  const size_t tries = drill_is_long() ? LONG_TRIES : SHORT_TRIES;
  struct account ada = account_create();
  const char *tokens[LONG_TRIES];
  uint64_t times_us[LONG_TRIES];
  second = gateway_start("gateway-81");
  for (size_t i = 0; i < tries; i++)
    times_us[i] = time_try(&ada, (enum redis)(i % REDIS_FATES), &tokens[i]);
  // What has ended stays ended, and what has not goes on.
  for (size_t i = 0; i < tries; i++)
    cr_expect(is_revoked(tokens[i]));
  cr_expect(is_taken(ada.token));
  tell(times_us, tries);
}

// ---- restarts of auth ----

Test(drill_13_revocation, reaches_a_second_gateway_through_restarts_of_auth_and_redis, .fini = stop_gateway)
{
  static const char *const restarted[ROUNDS] = {"auth-1", "redis", "auth-1"};
  struct account ada = account_create();
  const char *ended[ROUNDS];
  second = gateway_start("gateway-83");
  for (size_t i = 0; i < ROUNDS; i++) {
    struct session session = begin_session(&ada);
    ended[i] = session.token;
    end_session(&session);
    stack("kill", restarted[i]);
    stack("start", restarted[i]);
    wait_until_healthy();
    wait_until(is_revoked, ended[i], "the second gateway takes the token of an ended session");
  }
  for (size_t i = 0; i < ROUNDS; i++)
    cr_expect(is_revoked(ended[i]));
  cr_expect(is_taken(ada.token));
}

Test(drill_13_revocation, a_gateway_that_starts_later_knows_what_has_ended, .fini = stop_gateway)
{
  struct account ada = account_create();
  struct http_reply login = account_login(ada.email, ada.password);
  const struct session session = {ada.token, ada.refresh_token};
  end_session(&session);
  second = gateway_start("gateway-82");
  wait_until(is_revoked, ada.token, "a gateway that has started takes the token of an ended session");
  cr_expect(is_taken(http_json(&login, "accessToken")));
}
