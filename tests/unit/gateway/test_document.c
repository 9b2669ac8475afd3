// The problems that the OpenAPI document shows as examples are those that the gateway answers with.
#include <criterion/criterion.h>

#include "common/base/jsontext_reader.h"
#include "tests/unit/gateway/one_exchange.h"

static struct arena arena;

static void open_document(void)
{
  open_all();
  arena_init(&arena);
}

static void close_document(void)
{
  arena_free(&arena);
  close_all();
}

TestSuite(document, .init = open_document, .fini = close_document);

// Returns the value of a key of a JSON object; NULL data where the object does not have it.
static struct slice member(struct slice object, const char *key)
{
  struct jsontext_reader reader;
  struct slice value;
  jsontext_reader_init(&reader, object, JSONTEXT_MAX_DEPTH, &arena);
  cr_assert_eq(jsontext_read(&reader), JSONTEXT_OBJECT_BEGIN);
  while (jsontext_read(&reader) == JSONTEXT_KEY) {
    bool found = slice_equal_string(reader.text, key);
    cr_assert(jsontext_skip_value(&reader, &value));
    if (found)
      return value;
  }
  return (struct slice){0};
}

static struct slice example(const char *response, const char *name)
{
  const char *const keys[] = {"components", "responses", response, "content", "application/problem+json",
                              "examples",   name,        "value"};
  struct slice value = strbuf_slice(&fixture->api->openapi);
  for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
    value = member(value, keys[i]);
    cr_assert_not_null(value.data, "%s has no %s", response, keys[i]);
  }
  return value;
}

// Compares a reply with the document's example: all members but those that differ from request to request.
static void assert_like_example(const struct exchange_reply *reply, const char *response, const char *name)
{
  static const char *const MEMBERS[] = {"type", "title", "status", "detail", "code", "reason", "violations"};
  struct slice shown = example(response, name);
  for (size_t i = 0; i < ARRAY_LEN(MEMBERS); i++) {
    struct slice wanted = member(shown, MEMBERS[i]);
    struct slice got = member(reply->body, MEMBERS[i]);
    cr_assert(slice_equal(wanted, got), "%s: the document says " SLICE_FMT ", the gateway " SLICE_FMT, MEMBERS[i],
              SLICE_ARG(wanted), SLICE_ARG(got));
  }
}

Test(document, shows_a_bad_request)
{
  struct exchange_input input = fixture_input("GET", "/v1/items");
  input.authorization = fixture_bearer(fixture, NULL, 900);
  input.query = SLICE("colour=red");
  assert_like_example(start(input), "InvalidRequest", "INVALID_REQUEST");
}

Test(document, shows_a_missing_token)
{
  assert_like_example(start(fixture_input("GET", ITEM_PATH)), "Unauthenticated", "TOKEN_MISSING");
}

Test(document, shows_an_expired_token)
{
  struct exchange_input input = fixture_input("GET", ITEM_PATH);
  input.authorization = fixture_bearer(fixture, NULL, 900);
  fixture_wall_us += INT64_C(1000) * 1000000;
  assert_like_example(start(input), "Unauthenticated", "TOKEN_EXPIRED");
}

Test(document, shows_a_malformed_token)
{
  struct exchange_input input = fixture_input("GET", ITEM_PATH);
  input.authorization = SLICE("Bearer a b");
  assert_like_example(start(input), "Unauthenticated", "INVALID_TOKEN");
}

Test(document, shows_a_missing_permission)
{
  struct exchange_input input = fixture_input("DELETE", ITEM_PATH);
  input.authorization = fixture_bearer(fixture, "guest", 900);
  assert_like_example(start(input), "PermissionRequired", "PERMISSION_REQUIRED");
}

Test(document, shows_a_wrong_media_type)
{
  struct exchange_input input = fixture_input("POST", "/v1/auth/login");
  input.has_body = true;
  input.content_type = SLICE("text/plain");
  assert_like_example(start(input), "UnsupportedMediaType", "UNSUPPORTED_MEDIA_TYPE");
}

static void check_status(struct rpc_status status, const char *response, const char *name)
{
  fixture_answer_status(start_call(fixture_input("DELETE", ITEM_PATH)), &status);
  assert_like_example(exchange_reply(exchange), response, name);
}

Test(document, shows_a_service_that_is_away)
{
  check_status((struct rpc_status){.code = STATUS_UNAVAILABLE, .reason = SLICE("NOT_APPLIED")}, "ServiceUnavailable",
               "NOT_APPLIED");
}

Test(document, shows_a_service_that_went_in_the_middle)
{
  check_status((struct rpc_status){.code = STATUS_UNAVAILABLE,
                                   .reason = SLICE("OUTCOME_UNKNOWN"),
                                   .message = SLICE("the connection to the service broke")},
               "ServiceUnavailable", "OUTCOME_UNKNOWN");
}

Test(document, shows_a_deadline_after_which_nothing_has_happened)
{
  check_status((struct rpc_status){.code = STATUS_DEADLINE_EXCEEDED, .reason = SLICE("NOT_APPLIED")}, "GatewayTimeout",
               "NOT_APPLIED");
}

Test(document, shows_a_deadline_after_which_nobody_knows)
{
  check_status((struct rpc_status){.code = STATUS_DEADLINE_EXCEEDED, .reason = SLICE("OUTCOME_UNKNOWN")},
               "GatewayTimeout", "OUTCOME_UNKNOWN");
}

Test(document, shows_too_many_requests)
{
  check_status((struct rpc_status){.code = STATUS_RESOURCE_EXHAUSTED}, "TooManyRequests", "TOO_MANY_REQUESTS");
}

Test(document, shows_an_internal_error)
{
  check_status((struct rpc_status){.code = STATUS_INTERNAL}, "Problem", "INTERNAL");
}

Test(document, shows_a_body_that_is_too_large)
{
  struct exchange_input input = fixture_input("POST", "/v1/items");
  input.authorization = fixture_bearer(fixture, NULL, 900);
  input.has_body = true;
  input.content_type = SLICE("application/json");
  input.body_bytes = 524289;
  cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_DONE);
  assert_like_example(exchange_reply(exchange), "ContentTooLarge", "BODY_TOO_LARGE");
}

Test(document, shows_a_stale_precondition)
{
  fixture_answer_status(start_call(fixture_input("GET", ITEM_PATH)),
                        &(struct rpc_status){.code = STATUS_ABORTED,
                                             .reason = SLICE("ETAG_MISMATCH"),
                                             .message = SLICE("it has changed since you read it; read it again and "
                                                              "repeat the change")});
  assert_like_example(exchange_reply(exchange), "PreconditionFailed", "ETAG_MISMATCH");
}

Test(document, shows_an_excluded_state)
{
  check_status((struct rpc_status){.code = STATUS_ABORTED,
                                   .reason = SLICE("ETAG_EXCLUDED"),
                                   .message = SLICE("it is in a state that If-None-Match excludes")},
               "PreconditionFailed", "ETAG_EXCLUDED");
}

// Creates an item and lets the service answer with `status`.
static const struct exchange_reply *refuse_creation(const struct rpc_status *status)
{
  struct exchange_input input = fixture_input("POST", "/v1/items");
  input.authorization = fixture_bearer(fixture, NULL, 900);
  input.has_body = true;
  input.content_type = SLICE("application/json");
  cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_WANT_BODY);
  cr_assert_eq(exchange_body(exchange, SLICE("{\"sku\":\"s\",\"name\":\"n\"}")), EXCHANGE_WAITING);
  fixture_answer_status(fixture_call(fixture, 1), status);
  return exchange_reply(exchange);
}

Test(document, shows_an_idempotency_key_that_was_used_with_another_request)
{
  const struct rpc_status status = {.code = STATUS_FAILED_PRECONDITION,
                                    .reason = SLICE("IDEMPOTENCY_KEY_REUSED"),
                                    .message = SLICE("this Idempotency-Key was used with another request; use a new "
                                                     "key for a new request")};
  assert_like_example(refuse_creation(&status), "KeyReused", "IDEMPOTENCY_KEY_REUSED");
}

Test(document, shows_a_repeat_whose_reply_is_not_kept)
{
  const struct rpc_status status = {.code = STATUS_ALREADY_EXISTS,
                                    .reason = SLICE("IDEMPOTENCY_REPLY_NOT_KEPT"),
                                    .message = SLICE("the request with this Idempotency-Key has succeeded, and its "
                                                     "reply is not kept because it held secrets; repeat the request "
                                                     "with a new key")};
  assert_like_example(refuse_creation(&status), "ReplyNotKept", "IDEMPOTENCY_REPLY_NOT_KEPT");
}
