// Requests that a client repeats with the same Idempotency-Key, because it does not know what became of the first.
#include <criterion/criterion.h>
#include <string.h>

#include "tests/support/http.h"
#include "tests/support/stack.h"

static struct http_reply create_item(const struct account *as, const char *key, const char *body)
{
  return HTTP(.path = "/v1/items", .token = as->token, .body = body, .headers = {text("Idempotency-Key: %s", key)});
}

static void assert_reason(const struct http_reply *reply, const char *reason)
{
  cr_assert_str_eq(http_json(reply, "reason"), reason);
}

Test(e2e_09_repeats, a_repeat_is_answered_as_the_first_was)
{
  struct account ada = account_create();
  const char *key = fresh_word();
  const char *sku = fresh_word();
  struct http_reply first = create_item(&ada, key, text("{\"sku\":\"%s\",\"name\":\"Lamp\"}", sku));
  // The same request in other bytes; the draft standard writes keys in quotes.
  struct http_reply repeat =
      create_item(&ada, text("\"%s\"", key), text("{ \"name\": \"Lamp\", \"sku\": \"%s\" }", sku));
  ASSERT_STATUS(first, 201);
  ASSERT_STATUS(repeat, 201);
  cr_assert_str_eq(repeat.body, first.body);
  cr_assert_str_eq(http_header(&repeat, "Location"), http_header(&first, "Location"));
  cr_assert_str_eq(http_header(&repeat, "ETag"), http_header(&first, "ETag"));
  struct http_reply list = HTTP(.path = text("/v1/items?ownerId=%s", ada.id), .token = ada.token);
  cr_assert_eq(http_json_count(&list, "items"), 1);
}

struct twin {
  const struct account *as;
  const char *key;
  const char *body;
  struct http_reply reply;
};

static void create_twin(void *arg)
{
  struct twin *twin = arg;
  twin->reply = create_item(twin->as, twin->key, twin->body);
}

// The gateway spreads them over both instances of the service.
Test(e2e_09_repeats, repeats_at_the_same_time_get_one_answer)
{
  enum { TWINS = 8, ROUNDS = 5 };
  struct account ada = account_create();
  for (int round = 0; round < ROUNDS; round++) {
    struct twin twins[TWINS];
    struct background *backgrounds[TWINS];
    const char *key = fresh_word();
    const char *body = text("{\"sku\":\"%s\",\"name\":\"Lamp\"}", fresh_word());
    for (int i = 0; i < TWINS; i++) {
      twins[i] = (struct twin){.as = &ada, .key = key, .body = body};
      backgrounds[i] = background_start(create_twin, &twins[i]);
    }
    for (int i = 0; i < TWINS; i++)
      background_join(backgrounds[i]);
    for (int i = 0; i < TWINS; i++) {
      ASSERT_STATUS(twins[i].reply, 201);
      cr_assert_str_eq(twins[i].reply.body, twins[0].reply.body);
    }
  }
  struct http_reply list = HTTP(.path = text("/v1/items?ownerId=%s", ada.id), .token = ada.token);
  cr_assert_eq(http_json_count(&list, "items"), ROUNDS);
}

Test(e2e_09_repeats, another_body_with_the_same_key_is_422)
{
  struct account ada = account_create();
  const char *key = fresh_word();
  ASSERT_STATUS(create_item(&ada, key, text("{\"sku\":\"%s\",\"name\":\"Lamp\"}", fresh_word())), 201);
  struct http_reply other = create_item(&ada, key, text("{\"sku\":\"%s\",\"name\":\"Lamp\"}", fresh_word()));
  ASSERT_PROBLEM(other, 422, "FAILED_PRECONDITION");
  assert_reason(&other, "IDEMPOTENCY_KEY_REUSED");
}

Test(e2e_09_repeats, a_batch_is_made_once)
{
  struct account ada = account_create();
  const char *key = text("Idempotency-Key: %s", fresh_word());
  const char *body =
      text("{\"items\":[{\"sku\":\"%s\",\"name\":\"a\"},{\"sku\":\"%s\",\"name\":\"b\"}]}", fresh_word(), fresh_word());
  struct http_reply first = HTTP(.path = "/v1/items:batchCreate", .token = ada.token, .body = body, .headers = {key});
  struct http_reply repeat = HTTP(.path = "/v1/items:batchCreate", .token = ada.token, .body = body, .headers = {key});
  ASSERT_STATUS(first, 200);
  ASSERT_STATUS(repeat, 200);
  cr_assert_str_eq(repeat.body, first.body);
}

Test(e2e_09_repeats, tokens_are_given_once)
{
  struct account ada = account_create();
  const char *key = text("Idempotency-Key: %s", fresh_word());
  const char *body = text("{\"email\":\"%s\",\"password\":\"%s\"}", ada.email, ada.password);
  ASSERT_STATUS(HTTP(.path = "/v1/auth/login", .body = body, .headers = {key}), 200);
  struct http_reply repeat = HTTP(.path = "/v1/auth/login", .body = body, .headers = {key});
  ASSERT_PROBLEM(repeat, 409, "ALREADY_EXISTS");
  assert_reason(&repeat, "IDEMPOTENCY_REPLY_NOT_KEPT");
  cr_assert_null(strstr(repeat.body, "accessToken"));
}

Test(e2e_09_repeats, a_repeated_sign_up_is_answered_with_the_account)
{
  const char *key = text("Idempotency-Key: %s", fresh_word());
  const char *body =
      text("{\"email\":\"%s\",\"password\":\"correct horse battery\",\"displayName\":\"Ada\"}", fresh_email());
  struct http_reply first = HTTP(.path = "/v1/users", .body = body, .headers = {key});
  struct http_reply repeat = HTTP(.path = "/v1/users", .body = body, .headers = {key});
  ASSERT_STATUS(first, 201);
  ASSERT_STATUS(repeat, 201);
  cr_assert_str_eq(repeat.body, first.body);
}

// A repeat is answered as its request was, and does not tell what has happened since. It brings nothing back.
Test(e2e_09_repeats, a_repeat_after_the_deletion_is_answered_as_the_first_was_and_brings_nothing_back)
{
  struct account ada = account_create();
  const char *key = fresh_word();
  const char *body = text("{\"sku\":\"%s\",\"name\":\"Lamp\"}", fresh_word());
  struct http_reply first = create_item(&ada, key, body);
  ASSERT_STATUS(first, 201);
  const char *path = text("/v1/items/%s", http_json(&first, "id"));
  ASSERT_STATUS(HTTP(.method = "DELETE", .path = path, .token = ada.token), 204);
  struct http_reply repeat = create_item(&ada, key, body);
  ASSERT_STATUS(repeat, 201);
  cr_assert_str_eq(repeat.body, first.body);
  ASSERT_STATUS(HTTP(.path = path, .token = ada.token), 404);
}

Test(e2e_09_repeats, a_repeated_sign_up_does_not_bring_a_deleted_account_back)
{
  const char *email = fresh_email();
  const char *key = text("Idempotency-Key: %s", fresh_word());
  const char *body = text("{\"email\":\"%s\",\"password\":\"correct horse battery\",\"displayName\":\"Ada\"}", email);
  struct http_reply first = HTTP(.path = "/v1/users", .body = body, .headers = {key});
  ASSERT_STATUS(first, 201);
  struct http_reply login = account_login(email, "correct horse battery");
  ASSERT_STATUS(login, 200);
  const char *path = text("/v1/users/%s", http_json(&first, "id"));
  ASSERT_STATUS(HTTP(.method = "DELETE", .path = path, .token = http_json(&login, "accessToken")), 204);
  struct http_reply repeat = HTTP(.path = "/v1/users", .body = body, .headers = {key});
  ASSERT_STATUS(repeat, 201);
  cr_assert_str_eq(repeat.body, first.body);
  ASSERT_STATUS(account_login(email, "correct horse battery"), 401);
}
