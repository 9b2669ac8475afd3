// The step that finds out who calls: the access token is verified. An API key is exchanged for an access token first,
// which is verified like every other one and goes to the services in the key's place.
#include "common/security/api_key.h"
#include "gateway/exchange_internal.h"

// Answers 401 with a challenge. The challenge has no error code where no token was sent (RFC 6750, section 3).
static enum step_result refuse_token(struct exchange *exchange, const char *reason, const char *text)
{
  struct slice challenge = SLICE(CHALLENGE);
  if (text != NULL)
    challenge = slice_from_string(
        arena_printf(&exchange->arena, CHALLENGE ", error=\"invalid_token\", error_description=\"%s\"", text));
  reply_add_header(exchange, AUTHENTICATE, challenge);
  return exchange_fail(
      exchange, &(struct failure){.code = STATUS_UNAUTHENTICATED, .reason = reason, .detail = slice_from_string(text)});
}

static const struct slice *copy_texts(struct exchange *exchange, const struct slice *texts, size_t count)
{
  struct slice *copies = arena_array(&exchange->arena, count, sizeof(*copies));
  for (size_t i = 0; i < count; i++)
    copies[i] = arena_copy(&exchange->arena, texts[i]);
  return copies;
}

// Copies the claims, because the verifier overwrites them in its next call.
static void take_claims(struct exchange *exchange, const struct token_claims *claims)
{
  exchange->caller_roles = copy_texts(exchange, claims->roles, claims->role_count);
  exchange->caller_role_count = claims->role_count;
  exchange->caller_permissions = copy_texts(exchange, claims->permissions, claims->permission_count);
  exchange->caller_permission_count = claims->permission_count;
  exchange->caller_is_limited = claims->is_limited;
  exchange->caller_auth_time = claims->auth_time;
  exchange->caller_id = arena_copy(&exchange->arena, claims->subject);
}

static void on_keys(void *arg)
{
  exchange_resume(arg);
}

static bool wait_for_keys(struct exchange *exchange)
{
  if (exchange->waited_for_keys)
    return false;
  exchange->waited_for_keys = true;
  exchange->key_wait.wake = on_keys;
  exchange->key_wait.arg = exchange;
  keys_wait(&exchange->gateway->keys, &exchange->key_wait);
  return true;
}

// Answers that the keys which verify tokens are missing: the token may be a good one.
static enum step_result refuse_unverified(struct exchange *exchange)
{
  return exchange_fail(exchange,
                       &(struct failure){.code = STATUS_UNAVAILABLE,
                                         .reason = RPC_NOT_APPLIED,
                                         .detail = SLICE("tokens cannot be verified right now; try again later")});
}

const char *exchange_token_reason(enum token_result result)
{
  return result == TOKEN_EXPIRED ? "TOKEN_EXPIRED" : result == TOKEN_ENDED ? "TOKEN_REVOKED" : "INVALID_TOKEN";
}

// Verifies the access token. STEP_NEXT with the result, and with the claims of a valid token; anything else when the
// client has had as many signatures checked as it may.
static enum step_result verify_token(struct exchange *exchange, struct slice token, enum token_result *result,
                                     const struct token_claims **claims)
{
  struct gateway *gateway = exchange->gateway;
  int64_t now_s = gateway->clock.wall_us() / 1000000;
  bool cached = token_verify_cached(gateway->verifier, token, now_s, claims, result);
  if (!cached) {
    enum step_result limited = exchange_limit_token(exchange);
    if (limited != STEP_NEXT)
      return limited;
    *result = token_verify(gateway->verifier, token, now_s, claims, NULL);
  }
  metric_add(cached ? gateway->api->metrics.token_hits : gateway->api->metrics.token_misses, 1);
  return STEP_NEXT;
}

// Judges an access token that a client has sent.
static enum step_result authenticate_token(struct exchange *exchange, struct slice token)
{
  struct gateway *gateway = exchange->gateway;
  const struct token_claims *claims = NULL;
  enum token_result result;
  enum step_result limited = verify_token(exchange, token, &result, &claims);
  if (limited != STEP_NEXT)
    return limited;
  if (result == TOKEN_UNKNOWN_KEY && wait_for_keys(exchange))
    return STEP_WAIT;
  if (result == TOKEN_UNKNOWN_KEY && !keys_fetched_since(&gateway->keys, &exchange->key_wait))
    return refuse_unverified(exchange);
  if (result != TOKEN_VALID)
    return refuse_token(exchange, exchange_token_reason(result), token_result_text(result));
  take_claims(exchange, claims);
  exchange->access_token = token;
  return STEP_NEXT;
}

// ---- API keys ----

static void on_exchanged(void *arg)
{
  exchange_resume(arg);
}

// Answers that a key cannot be exchanged now: it may be a good one.
static enum step_result refuse_unexchanged(struct exchange *exchange)
{
  return exchange_fail(exchange,
                       &(struct failure){.code = STATUS_UNAVAILABLE,
                                         .reason = RPC_NOT_APPLIED,
                                         .detail = SLICE("API keys cannot be checked right now; try again later")});
}

// Answers that the key is none, or none any more. A guess counts as a wrong token does, unless it has been counted when
// it was exchanged.
static enum step_result refuse_key(struct exchange *exchange, const char *text)
{
  enum step_result limited = exchange->has_exchanged ? STEP_NEXT : exchange_limit_token(exchange);
  return limited == STEP_NEXT ? refuse_token(exchange, "INVALID_API_KEY", text) : limited;
}

// Has the key exchanged, once for each request.
static enum step_result exchange_key(struct exchange *exchange, struct api_key_use *use)
{
  if (exchange->has_exchanged)
    return refuse_unexchanged(exchange);
  enum step_result limited = exchange_limit_token(exchange);
  if (limited != STEP_NEXT)
    return limited;
  exchange->has_exchanged = true;
  exchange->api_key_wait.wake = on_exchanged;
  exchange->api_key_wait.arg = exchange;
  bool waits = api_keys_exchange(&exchange->gateway->api_keys, use, &exchange->api_key_wait);
  return waits ? STEP_WAIT : refuse_unexchanged(exchange);
}

static enum step_result take_key(struct exchange *exchange, struct slice token, const struct token_claims *claims)
{
  take_claims(exchange, claims);
  exchange->key_id = arena_copy(&exchange->arena, claims->session);
  // The next exchange of the key frees the text.
  exchange->access_token = arena_copy(&exchange->arena, token);
  return STEP_NEXT;
}

// Verifies the token that stands for a key. One that has ended, or whose signing key is void, is exchanged for another:
// only the auth service says what becomes of the key.
static enum step_result verify_key(struct exchange *exchange, struct api_key_use *use, struct slice token)
{
  struct gateway *gateway = exchange->gateway;
  int64_t now_s = gateway->clock.wall_us() / 1000000;
  const struct token_claims *claims = NULL;
  bool cached;
  enum token_result result = token_verify(gateway->verifier, token, now_s, &claims, &cached);
  metric_add(cached ? gateway->api->metrics.token_hits : gateway->api->metrics.token_misses, 1);
  // A key's expiry has no leeway, where its token's has.
  bool is_over = result == TOKEN_VALID && now_s >= claims->expires_at && !exchange->has_exchanged;
  bool is_of_another_time = exchange->has_exchanged && (result == TOKEN_EXPIRED || result == TOKEN_NOT_YET_VALID);
  if (is_of_another_time || result == TOKEN_VALID)
    api_keys_note_clock(&gateway->api_keys, is_of_another_time);
  if (result == TOKEN_VALID && !is_over)
    return take_key(exchange, token, claims);
  if (result == TOKEN_UNKNOWN_KEY && wait_for_keys(exchange))
    return STEP_WAIT;
  if (result == TOKEN_ENDED && exchange->has_exchanged)
    return refuse_key(exchange, "the API key has just been revoked");
  return exchange_key(exchange, use);
}

static enum step_result authenticate_key(struct exchange *exchange, struct slice key)
{
  if (!api_key_is_well_formed(key))
    return refuse_key(exchange, "the API key is not whole: its checksum does not fit");
  const struct rpc_context context = {
      .request_id = exchange_request_id(exchange),
      .traceparent = slice_make(exchange->traceparent, TRACEPARENT_SIZE - 1),
      .client_address = exchange->input.client_address,
  };
  struct api_key_use use = {.text = key, .context = &context};
  api_key_hash(key, use.hash);
  struct slice token;
  switch (api_keys_find(&exchange->gateway->api_keys, &use, &token)) {
  case API_KEY_KNOWN:
    return verify_key(exchange, &use, token);
  case API_KEY_REFUSED:
    return refuse_key(exchange, "the API key is unknown, revoked or expired, or its account is suspended");
  case API_KEY_UNKNOWN:
    break;
  }
  return exchange_key(exchange, &use);
}

enum step_result step_authenticate(struct exchange *exchange)
{
  if (!policy_needs_token(&exchange_method(exchange)->policy))
    return STEP_NEXT;
  struct slice token;
  switch (bearer_token(exchange->input.authorization, &token)) {
  case BEARER_ABSENT:
    return refuse_token(exchange, "TOKEN_MISSING", NULL);
  case BEARER_MALFORMED:
    return refuse_token(exchange, "INVALID_TOKEN", "the access token is malformed");
  case BEARER_TOKEN:
    break;
  }
  if (!keys_known(&exchange->gateway->keys))
    return wait_for_keys(exchange) ? STEP_WAIT : refuse_unverified(exchange);
  return api_key_is_meant(token) ? authenticate_key(exchange, token) : authenticate_token(exchange, token);
}
