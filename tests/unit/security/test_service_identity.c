// Hellos between services: what a right one proves, and each way in which a wrong one fails.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/strbuf.h"
#include "common/security/key.h"
#include "common/security/service_identity.h"
#include "common/security/token.h"

#define URL "tcp://127.0.0.1:7000"

static struct arena arena;
static struct error error;
static const char *auth_key, *item_key, *stranger_key;
static const char *keys;
static struct service_identity *auth, *item;

static void add_key(struct strbuf *out, const char *name, const char *pem)
{
  struct slice x, y, thumbprint;
  cr_assert_eq(key_public_parts(pem, &arena, &x, &y, &thumbprint), STATUS_OK);
  strbuf_printf(out,
                "%s{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"%s\",\"x\":\"" SLICE_FMT "\",\"y\":\"" SLICE_FMT "\"}",
                out->size == 0 ? "{\"keys\":[" : ", ", name, SLICE_ARG(x), SLICE_ARG(y));
}

static const char *finish_keys(struct strbuf *out)
{
  strbuf_add_string(out, "]}");
  const char *text = arena_string(&arena, strbuf_slice(out));
  strbuf_free(out);
  return text;
}

static struct service_identity *open_identity(const char *service, const char *key, const char *public_keys)
{
  struct service_identity *identity = NULL;
  const struct service_identity_options options = {.service = service, .private_key = key, .public_keys = public_keys};
  enum status status = service_identity_create(&options, &identity, &error);
  cr_expect_eq(status == STATUS_OK, identity != NULL);
  return identity;
}

static void setup(void)
{
  struct strbuf out;
  cr_assert_eq(key_generate(&arena, &auth_key), STATUS_OK);
  cr_assert_eq(key_generate(&arena, &item_key), STATUS_OK);
  cr_assert_eq(key_generate(&arena, &stranger_key), STATUS_OK);
  strbuf_init(&out, 0);
  add_key(&out, "auth", auth_key);
  add_key(&out, "item", item_key);
  keys = finish_keys(&out);
  auth = open_identity("auth", auth_key, keys);
  item = open_identity("item", item_key, keys);
  service_identity_set_address(auth, URL);
}

static void teardown(void)
{
  service_identity_free(&auth);
  service_identity_free(&item);
  arena_free(&arena);
}

TestSuite(service_identity, .init = setup, .fini = teardown);

static int64_t now(void)
{
  return clock_wall_us() / 1000000;
}

static struct slice greet(struct service_identity *from, const char *service, const char *url, struct slice *nonce)
{
  struct service_greeting greeting;
  cr_assert_eq(service_identity_greet(from, service, url, &arena, &greeting), STATUS_OK);
  *nonce = greeting.nonce;
  return greeting.hello;
}

static struct slice accept_hello(struct slice hello)
{
  struct service_proof proof = {.arena = &arena};
  enum status status = service_identity_accept(auth, hello, now(), &proof, &error);
  cr_assert_eq(status, STATUS_OK, "%s", error.message);
  cr_expect(slice_equal_string(proof.peer, "item"));
  return proof.answer;
}

static void expect_refused(struct slice hello, int64_t at, const char *reason)
{
  struct service_proof proof = {.arena = &arena};
  cr_expect_eq(service_identity_accept(auth, hello, at, &proof, &error), STATUS_UNAUTHENTICATED);
  cr_expect_not_null(strstr(error.message, reason), "%s instead of %s", error.message, reason);
}

static void expect_answer_refused(struct slice answer, const char *service, struct slice nonce, const char *reason)
{
  const struct service_greeting greeting = {.service = service, .nonce = nonce};
  enum status status = service_identity_check_answer(item, answer, now(), &greeting, &error);
  cr_expect_eq(status, STATUS_UNAUTHENTICATED);
  cr_expect_not_null(strstr(error.message, reason), "%s instead of %s", error.message, reason);
}

// Signs a hello as no service of ours would.
static int64_t forged_at;  // 0: now

static struct slice forge(const char *kid, const char *key, const char *issuer, const char *audience,
                          const char *subject)
{
  int64_t at = forged_at == 0 ? now() : forged_at;
  const struct token_claims claims = {
      .subject = slice_from_string(subject), .id = SLICE("nonce-1"), .issued_at = at, .expires_at = at + 60};
  const struct token_signing_key signing = {.kid = kid, .private_pem = key};
  struct slice hello;
  cr_assert_eq(token_sign(&signing, issuer, audience, &claims, &arena, &hello), STATUS_OK);
  return hello;
}

Test(service_identity, both_sides_prove_their_names)
{
  struct slice nonce;
  struct slice answer = accept_hello(greet(item, "auth", URL, &nonce));
  const struct service_greeting greeting = {.service = "auth", .nonce = nonce};
  cr_expect_eq(service_identity_check_answer(item, answer, now(), &greeting, &error), STATUS_OK, "%s", error.message);
}

Test(service_identity, a_hello_is_taken_once)
{
  struct slice nonce;
  struct slice hello = greet(item, "auth", URL, &nonce);
  (void)accept_hello(hello);
  expect_refused(hello, now(), "has come before");
}

// What a stranger who is registered as auth receives is of no use with the real auth.
Test(service_identity, a_hello_for_another_service_or_address_is_refused)
{
  struct slice nonce;
  expect_refused(greet(item, "user", URL, &nonce), now(), "for another service or address");
  expect_refused(greet(item, "auth", "tcp://127.0.0.1:7001", &nonce), now(), "for another service or address");
  expect_refused(greet(item, "auth", "", &nonce), now(), "for another service or address");
}

Test(service_identity, a_hello_is_good_for_a_minute)
{
  struct slice nonce;
  struct slice hello = greet(item, "auth", URL, &nonce);
  expect_refused(hello, now() + 120, "has expired");
  expect_refused(hello, now() - 120, "from the future");
}

Test(service_identity, nobody_signs_for_another)
{
  static const char audience[] = "auth at " URL;
  expect_refused(forge("item", item_key, "bulkhead-service", audience, "gateway"), now(), "another service's key");
  expect_refused(forge("item", stranger_key, "bulkhead-service", audience, "item"), now(), "does not fit");
  expect_refused(forge("gateway", stranger_key, "bulkhead-service", audience, "gateway"), now(), "does not hold");
  expect_refused(forge("item", item_key, "bulkhead", audience, "item"), now(), "for another service or address");
}

Test(service_identity, an_answer_is_no_hello_and_a_hello_no_answer)
{
  struct slice nonce, other;
  struct slice answer = accept_hello(greet(item, "auth", URL, &nonce));
  expect_refused(answer, now(), "for another service or address");
  expect_answer_refused(greet(auth, "item", URL, &other), "auth", other, "for another service or address");
}

Test(service_identity, an_answer_is_for_one_greeting_of_one_client)
{
  struct slice nonce, later;
  struct slice answer = accept_hello(greet(item, "auth", URL, &nonce));
  (void)greet(item, "auth", URL, &later);
  expect_answer_refused(answer, "auth", later, "answers another greeting");
  expect_answer_refused(answer, "user", nonce, "not \"user\"");
  expect_answer_refused(forge("auth", auth_key, "bulkhead-service", "user", "auth"), "auth", SLICE("nonce-1"),
                        "for another service or address");
}

Test(service_identity, malformed_and_huge_hellos_are_refused)
{
  static char huge[SERVICE_HELLO_MAX_BYTES + 1];
  memset(huge, 'a', sizeof(huge));
  expect_refused(slice_make(huge, sizeof(huge)), now(), "too long");
  expect_refused(SLICE("a.b.c"), now(), "malformed");
  expect_refused(SLICE("x"), now(), "malformed");
}

Test(service_identity, a_server_without_address_takes_no_hello)
{
  struct slice nonce;
  struct service_proof proof = {.arena = &arena};
  struct slice hello = greet(auth, "item", URL, &nonce);
  cr_expect_eq(service_identity_accept(item, hello, now(), &proof, &error), STATUS_UNAUTHENTICATED);
}

Test(service_identity, keys_that_do_not_fit_are_refused_at_the_start)
{
  cr_expect_null(open_identity("item", auth_key, keys));
  cr_expect_null(open_identity("user", stranger_key, keys));
  cr_expect_not_null(strstr(error.message, "under the id \"user\""), "%s", error.message);
  cr_expect_null(open_identity("item", "no key", keys));
  cr_expect_null(open_identity("item", item_key, "{\"keys\":[{]}"));
  cr_expect_null(open_identity("item", item_key, "{\"keys\":[]}"));
  cr_expect_null(open_identity("item", item_key, "/nowhere/keys.json"));
  cr_expect_not_null(strstr(error.message, "/nowhere/keys.json"), "%s", error.message);
}

static void write_keys(const char *path, const char *text)
{
  char next[64];
  snprintf(next, sizeof(next), "%s.new", path);
  FILE *file = fopen(next, "w");
  cr_assert_not_null(file);
  fputs(text, file);
  fclose(file);
  cr_assert_eq(rename(next, path), 0);
}

Test(service_identity, a_service_that_is_added_is_known_without_a_restart)
{
  char path[] = "/tmp/bulkhead-keys-XXXXXX";
  close(mkstemp(path));
  write_keys(path, keys);
  service_identity_free(&auth);
  auth = open_identity("auth", auth_key, path);
  cr_assert_not_null(auth, "%s", error.message);
  service_identity_set_address(auth, URL);
  struct slice hello = forge("note", stranger_key, "bulkhead-service", "auth at " URL, "note");
  expect_refused(hello, now(), "does not hold");
  write_keys(path, "not a key set");
  expect_refused(hello, now(), "does not hold");
  struct slice nonce;
  (void)accept_hello(greet(item, "auth", URL, &nonce));
  struct strbuf out;
  strbuf_init(&out, 0);
  add_key(&out, "auth", auth_key);
  add_key(&out, "note", stranger_key);
  write_keys(path, finish_keys(&out));
  struct service_proof proof = {.arena = &arena};
  cr_expect_eq(service_identity_accept(auth, hello, now(), &proof, &error), STATUS_OK, "%s", error.message);
  cr_expect(slice_equal_string(proof.peer, "note"));
  unlink(path);
}

Test(service_identity, a_key_that_is_removed_or_replaced_is_believed_no_longer)
{
  char path[] = "/tmp/bulkhead-keys-XXXXXX";
  struct slice nonce;
  struct strbuf out;
  close(mkstemp(path));
  write_keys(path, keys);
  service_identity_free(&auth);
  auth = open_identity("auth", auth_key, path);
  cr_assert_not_null(auth, "%s", error.message);
  service_identity_set_address(auth, URL);
  (void)accept_hello(greet(item, "auth", URL, &nonce));
  strbuf_init(&out, 0);
  add_key(&out, "auth", auth_key);
  write_keys(path, finish_keys(&out));
  expect_refused(greet(item, "auth", URL, &nonce), now(), "does not hold");
  write_keys(path, keys);
  (void)accept_hello(greet(item, "auth", URL, &nonce));
  strbuf_init(&out, 0);
  add_key(&out, "auth", auth_key);
  add_key(&out, "item", stranger_key);
  write_keys(path, finish_keys(&out));
  expect_refused(greet(item, "auth", URL, &nonce), now(), "does not fit");
  unlink(path);
}

// What a process has taken is forgotten when it ends.
Test(service_identity, a_hello_from_before_the_start_is_refused)
{
  forged_at = now() - 30;
  struct slice hello = forge("item", item_key, "bulkhead-service", "auth at " URL, "item");
  expect_refused(hello, now(), "from before the start");
  struct slice nonce;
  (void)accept_hello(greet(item, "auth", URL, &nonce));
  // A clock that was set back makes the start earlier, too.
  struct service_proof proof = {.arena = &arena};
  cr_expect_eq(service_identity_accept(auth, hello, forged_at, &proof, &error), STATUS_OK, "%s", error.message);
}

// ---- hellos of open connections ----

Test(service_identity, a_hello_that_was_taken_is_checked_again_with_the_keys_that_hold_now)
{
  char path[] = "/tmp/bulkhead-keys-XXXXXX";
  struct slice nonce;
  struct strbuf out;
  struct service_evidence evidence;
  close(mkstemp(path));
  write_keys(path, keys);
  service_identity_free(&auth);
  auth = open_identity("auth", auth_key, path);
  cr_assert_not_null(auth, "%s", error.message);
  service_identity_set_address(auth, URL);
  struct slice hello = greet(item, "auth", URL, &nonce);
  (void)accept_hello(hello);
  service_identity_keep(auth, hello, now(), true, &evidence);
  cr_expect(service_identity_recheck(auth, &evidence, &error));
  strbuf_init(&out, 0);
  add_key(&out, "item", item_key);
  add_key(&out, "note", stranger_key);
  add_key(&out, "auth", auth_key);
  write_keys(path, finish_keys(&out));
  cr_expect(service_identity_recheck(auth, &evidence, &error), "other keys have changed: %s", error.message);
  strbuf_init(&out, 0);
  add_key(&out, "auth", auth_key);
  add_key(&out, "item", stranger_key);
  write_keys(path, finish_keys(&out));
  cr_expect_not(service_identity_recheck(auth, &evidence, &error));
  cr_expect_not_null(strstr(error.message, "does not fit"), "%s", error.message);
  write_keys(path, keys);
  cr_expect(service_identity_recheck(auth, &evidence, &error), "%s", error.message);
  service_evidence_free(&evidence);
  unlink(path);
}
