// What ends at one gateway ends at another one, whatever was restarted in between.
#include <criterion/criterion.h>
#include <string.h>

#include "tests/support/gateway.h"
#include "tests/support/http.h"
#include "tests/support/stack.h"

#define ROUNDS 3

static struct gateway_place second;

static void stop_gateway(void)
{
  if (second.name != NULL)
    gateway_stop(&second);
}

static bool is_taken(const char *token)
{
  struct http_reply reply = HTTP(.path = "/v1/users/me", .token = token, .base_url = second.plain_url);
  return reply.status == 200;
}

// Whether twenty requests in a row are refused: each of them may meet another worker of the gateway.
static bool is_revoked(const void *arg)
{
  const char *token = arg;
  for (int i = 0; i < 20; i++) {
    struct http_reply reply = HTTP(.path = "/v1/users/me", .token = token, .base_url = second.plain_url);
    if (reply.status != 401 || strcmp(http_json(&reply, "reason"), "TOKEN_REVOKED") != 0)
      return false;
  }
  return true;
}

// Ends a session at the first gateway, whose token the second one knows.
static const char *end_session(const struct account *ada)
{
  struct http_reply login = account_login(ada->email, ada->password);
  ASSERT_STATUS(login, 200);
  const char *token = http_json(&login, "accessToken");
  cr_assert(is_taken(token));
  const char *body = text("{\"refreshToken\":\"%s\"}", http_json(&login, "refreshToken"));
  ASSERT_STATUS(HTTP(.path = "/v1/auth/logout", .body = body), 204);
  wait_until(is_revoked, token, "the second gateway takes the token of an ended session");
  return token;
}

Test(fault_23_revocation, reaches_a_second_gateway_through_restarts_of_auth_and_redis, .fini = stop_gateway)
{
  static const char *const restarted[] = {"auth-1", "redis", "auth-1"};
  struct account ada = account_create();
  const char *ended[ROUNDS];
  second = gateway_start("gateway-81");
  for (size_t i = 0; i < ROUNDS; i++) {
    ended[i] = end_session(&ada);
    stack("kill", restarted[i]);
    stack("start", restarted[i]);
    wait_until_healthy();
  }
  // What has ended stays ended, and what has not goes on.
  for (size_t i = 0; i < ROUNDS; i++)
    cr_expect(is_revoked(ended[i]));
  cr_expect(is_taken(ada.token));
}

Test(fault_23_revocation, a_gateway_that_starts_later_knows_what_has_ended, .fini = stop_gateway)
{
  struct account ada = account_create();
  struct http_reply login = account_login(ada.email, ada.password);
  const char *body = text("{\"refreshToken\":\"%s\"}", ada.refresh_token);
  ASSERT_STATUS(HTTP(.path = "/v1/auth/logout", .body = body), 204);
  second = gateway_start("gateway-82");
  wait_until(is_revoked, ada.token, "a gateway that has started takes the token of an ended session");
  cr_expect(is_taken(http_json(&login, "accessToken")));
}
