// WebAuthn's checks against an authenticator in software: what is right is taken, and whatever is wrong in one thing is
// refused for that.
#include <criterion/criterion.h>
#include <string.h>

#include "common/security/webauthn.h"
#include "tests/support/common/authenticator.h"

#define BOTH (AUTHENTICATOR_PRESENT | AUTHENTICATOR_VERIFIED)

static struct arena arena;
static const struct slice origins[] = {SLICE_INIT("https://example.com"), SLICE_INIT("https://login.example.com:8443")};
static const struct webauthn_party party = {.id = "example.com", .origins = origins, .origin_count = 2};
static const struct ceremony creation = {.type = "webauthn.create",
                                         .challenge = "AQIDBAUGBwgJCgsMDQ4PEA",
                                         .origin = "https://example.com",
                                         .rp_id = "example.com",
                                         .flags = BOTH};

static void setup(void)
{
  arena_init(&arena);
}

static void teardown(void)
{
  arena_free(&arena);
}

TestSuite(webauthn, .init = setup, .fini = teardown);

static void assert_verdict(enum webauthn_verdict found, enum webauthn_verdict expected)
{
  cr_assert_eq(found, expected, "%s", webauthn_verdict_sentence(found));
}

static enum webauthn_verdict check_registration(const struct ceremony_answer *answer,
                                                struct webauthn_credential *credential)
{
  const struct webauthn_registration registration = {.client_data_json = answer->client_data_json,
                                                     .attestation_object = answer->attestation_object};
  return webauthn_check_registration(&party, &registration, &arena, credential);
}

static enum webauthn_verdict try_registration(const struct ceremony *ceremony)
{
  struct authenticator *key = authenticator_create(AUTHENTICATOR_ES256, &arena);
  struct ceremony_answer answer = authenticator_register(key, ceremony, "none", &arena);
  struct webauthn_credential credential;
  return check_registration(&answer, &credential);
}

static struct webauthn_credential enroll(struct authenticator *key)
{
  struct ceremony_answer answer = authenticator_register(key, &creation, "none", &arena);
  struct webauthn_credential credential;
  assert_verdict(check_registration(&answer, &credential), WEBAUTHN_OK);
  return credential;
}

static struct ceremony request(void)
{
  struct ceremony ceremony = creation;
  ceremony.type = "webauthn.get";
  return ceremony;
}

static enum webauthn_verdict check_sign_in(const struct ceremony_answer *answer,
                                           const struct webauthn_credential *credential, bool verification_needed,
                                           struct webauthn_proof *proof)
{
  const struct webauthn_assertion assertion = {.client_data_json = answer->client_data_json,
                                               .authenticator_data = answer->authenticator_data,
                                               .signature = answer->signature,
                                               .verification_needed = verification_needed};
  return webauthn_check_assertion(&party, &assertion, credential, &arena, proof);
}

static enum webauthn_verdict try_sign_in(const struct ceremony *ceremony)
{
  struct authenticator *key = authenticator_create(AUTHENTICATOR_ES256, &arena);
  struct webauthn_credential credential = enroll(key);
  struct ceremony_answer answer = authenticator_sign_in(key, ceremony, &arena);
  struct webauthn_proof proof;
  return check_sign_in(&answer, &credential, true, &proof);
}

// ---- what is right ----

static void round_trip(int algorithm)
{
  struct authenticator *key = authenticator_create(algorithm, &arena);
  authenticator_set_counter(key, 5);
  struct webauthn_credential credential = enroll(key);
  cr_assert_eq(credential.algorithm, algorithm);
  cr_assert(slice_equal(credential.id, authenticator_credential_id(key)));
  cr_assert_eq(credential.sign_count, 5);
  authenticator_set_counter(key, 0x01020304);
  struct ceremony ceremony = request();
  struct ceremony_answer answer = authenticator_sign_in(key, &ceremony, &arena);
  struct webauthn_proof proof;
  assert_verdict(check_sign_in(&answer, &credential, true, &proof), WEBAUTHN_OK);
  cr_assert_eq(proof.sign_count, 0x01020304);
  cr_assert(proof.user_verified);
}

Test(webauthn, takes_a_key_of_es256)
{
  round_trip(AUTHENTICATOR_ES256);
}

Test(webauthn, takes_a_key_of_eddsa)
{
  round_trip(AUTHENTICATOR_EDDSA);
}

Test(webauthn, takes_a_key_of_rs256)
{
  round_trip(AUTHENTICATOR_RS256);
}

Test(webauthn, takes_an_attestation_by_the_keys_own_signature)
{
  struct authenticator *key = authenticator_create(AUTHENTICATOR_ES256, &arena);
  struct ceremony_answer answer = authenticator_register(key, &creation, "packed", &arena);
  struct webauthn_credential credential;
  assert_verdict(check_registration(&answer, &credential), WEBAUTHN_OK);
}

Test(webauthn, takes_each_origin_of_the_party)
{
  struct ceremony ceremony = creation;
  ceremony.origin = "https://login.example.com:8443";
  assert_verdict(try_registration(&ceremony), WEBAUTHN_OK);
  ceremony.type = "webauthn.get";
  assert_verdict(try_sign_in(&ceremony), WEBAUTHN_OK);
}

Test(webauthn, client_data_may_have_members_that_nobody_knows)
{
  struct ceremony ceremony = creation;
  ceremony.more = ",\"tokenBinding\":{\"status\":\"supported\"},\"crossOrigin\":false,\"other_keys\":[1,null]";
  assert_verdict(try_registration(&ceremony), WEBAUTHN_OK);
}

Test(webauthn, as_a_second_factor_a_touch_is_enough)
{
  struct authenticator *key = authenticator_create(AUTHENTICATOR_ES256, &arena);
  struct webauthn_credential credential = enroll(key);
  struct ceremony ceremony = request();
  ceremony.flags = AUTHENTICATOR_PRESENT;
  struct ceremony_answer answer = authenticator_sign_in(key, &ceremony, &arena);
  struct webauthn_proof proof;
  assert_verdict(check_sign_in(&answer, &credential, false, &proof), WEBAUTHN_OK);
  cr_assert_not(proof.user_verified);
}

Test(webauthn, an_authenticator_without_a_counter_says_0_for_ever)
{
  struct ceremony ceremony = request();
  assert_verdict(try_sign_in(&ceremony), WEBAUTHN_OK);
}

// ---- client data ----

Test(webauthn, refuses_what_was_made_for_another_act)
{
  struct ceremony get = request();
  assert_verdict(try_registration(&get), WEBAUTHN_WRONG_TYPE);
  assert_verdict(try_sign_in(&creation), WEBAUTHN_WRONG_TYPE);
}

Test(webauthn, refuses_other_origins)
{
  static const char *const others[] = {"https://example.com.evil.org",
                                       "http://example.com",
                                       "https://example.com:8443",
                                       "https://example.com/",
                                       "null",
                                       ""};
  for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
    struct ceremony ceremony = creation;
    ceremony.origin = others[i];
    assert_verdict(try_registration(&ceremony), WEBAUTHN_WRONG_ORIGIN);
    ceremony.type = "webauthn.get";
    assert_verdict(try_sign_in(&ceremony), WEBAUTHN_WRONG_ORIGIN);
  }
}

Test(webauthn, refuses_a_frame_of_another_origin)
{
  struct ceremony ceremony = creation;
  ceremony.more = ",\"crossOrigin\":true";
  assert_verdict(try_registration(&ceremony), WEBAUTHN_CROSS_ORIGIN);
  ceremony.type = "webauthn.get";
  assert_verdict(try_sign_in(&ceremony), WEBAUTHN_CROSS_ORIGIN);
}

// Which of two members holds would be a matter of the reader.
Test(webauthn, refuses_client_data_with_a_member_twice)
{
  static const char *const twice[] = {",\"origin\":\"https://evil.org\"", ",\"type\":\"webauthn.get\"",
                                      ",\"challenge\":\"AA\"", ",\"crossOrigin\":true,\"crossOrigin\":false"};
  for (size_t i = 0; i < sizeof(twice) / sizeof(*twice); i++) {
    struct ceremony ceremony = creation;
    ceremony.more = twice[i];
    assert_verdict(try_registration(&ceremony), WEBAUTHN_BAD_CLIENT_DATA);
  }
}

Test(webauthn, refuses_client_data_that_are_no_such_object)
{
  static const char *const texts[] = {"",
                                      "{}",
                                      "[]",
                                      "null",
                                      "{\"type\":\"webauthn.get\"}",
                                      "{\"type\":1,\"challenge\":\"AA\",\"origin\":\"https://example.com\"}",
                                      "{\"type\":\"webauthn.get\",\"challenge\":\"AA\",\"origin\":[]}",
                                      "{\"type\":\"webauthn.get\",\"challenge\":\"AA\",\"origin\":\"x\"} x",
                                      "{\"type\":\"webauthn.get\",\"challenge\":\"AA\",\"origin\":\"x\"",
                                      "{\"type\":\"webauthn.get\",\"challenge\":\"*\",\"origin\":\"x\"}"};
  for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
    struct slice challenge;
    assert_verdict(webauthn_read_challenge(slice_from_string(texts[i]), &arena, &challenge), WEBAUTHN_BAD_CLIENT_DATA);
  }
}

Test(webauthn, reads_the_challenge)
{
  struct authenticator *key = authenticator_create(AUTHENTICATOR_ES256, &arena);
  struct ceremony_answer answer = authenticator_register(key, &creation, "none", &arena);
  struct slice challenge;
  assert_verdict(webauthn_read_challenge(answer.client_data_json, &arena, &challenge), WEBAUTHN_OK);
  cr_assert(slice_equal(challenge, SLICE("\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10")));
}

// ---- the authenticator's data ----

Test(webauthn, refuses_a_passkey_of_another_site)
{
  struct ceremony ceremony = creation;
  ceremony.rp_id = "evil.org";
  assert_verdict(try_registration(&ceremony), WEBAUTHN_WRONG_RP);
  ceremony.type = "webauthn.get";
  assert_verdict(try_sign_in(&ceremony), WEBAUTHN_WRONG_RP);
}

Test(webauthn, refuses_an_absent_or_unverified_user)
{
  struct ceremony ceremony = creation;
  ceremony.flags = AUTHENTICATOR_VERIFIED;
  assert_verdict(try_registration(&ceremony), WEBAUTHN_NOT_PRESENT);
  ceremony.flags = AUTHENTICATOR_PRESENT;
  assert_verdict(try_registration(&ceremony), WEBAUTHN_NOT_VERIFIED);
  ceremony.type = "webauthn.get";
  assert_verdict(try_sign_in(&ceremony), WEBAUTHN_NOT_VERIFIED);
  ceremony.flags = AUTHENTICATOR_VERIFIED;
  assert_verdict(try_sign_in(&ceremony), WEBAUTHN_NOT_PRESENT);
}

Test(webauthn, refuses_every_shorter_attestation_object)
{
  struct authenticator *key = authenticator_create(AUTHENTICATOR_ES256, &arena);
  struct ceremony_answer whole = authenticator_register(key, &creation, "none", &arena);
  for (size_t size = 0; size < whole.attestation_object.size; size++) {
    struct ceremony_answer cut = whole;
    cut.attestation_object = arena_copy(&arena, slice_make(whole.attestation_object.data, size));
    struct webauthn_credential credential;
    cr_assert_neq(check_registration(&cut, &credential), WEBAUTHN_OK, "%zu bytes were taken", size);
  }
}

Test(webauthn, refuses_bytes_behind_the_attestation_object)
{
  struct authenticator *key = authenticator_create(AUTHENTICATOR_ES256, &arena);
  struct ceremony_answer answer = authenticator_register(key, &creation, "none", &arena);
  char *longer = arena_zalloc(&arena, answer.attestation_object.size + 1);
  memcpy(longer, answer.attestation_object.data, answer.attestation_object.size);
  answer.attestation_object = slice_make(longer, answer.attestation_object.size + 1);
  struct webauthn_credential credential;
  assert_verdict(check_registration(&answer, &credential), WEBAUTHN_BAD_ATTESTATION);
}

// libcbor allocates what a head announces, and frees what lies deep by recursion: neither may reach it.
static enum webauthn_verdict try_key(struct slice key)
{
  struct authenticator *made = authenticator_create(AUTHENTICATOR_ES256, &arena);
  struct ceremony_answer answer = authenticator_register(made, &creation, "none", &arena);
  // The key follows 37 bytes, the model's id, the length of the credential's id and that id.
  size_t before = answer.attestation_object.size - answer.authenticator_data.size + 37 + 18 + 20;
  struct slice old = slice_skip(answer.attestation_object, before);
  char *object = arena_zalloc(&arena, answer.attestation_object.size);
  memcpy(object, answer.attestation_object.data, before);
  memcpy(object + before, key.data, key.size < old.size ? key.size : old.size);
  answer.attestation_object = slice_make(object, answer.attestation_object.size);
  struct webauthn_credential credential;
  return check_registration(&answer, &credential);
}

Test(webauthn, refuses_a_key_that_announces_more_than_it_has)
{
  assert_verdict(try_key(SLICE("\x9b\x00\x00\x00\x01\x3e\xf9\x9a\x12")), WEBAUTHN_BAD_AUTHENTICATOR_DATA);
  assert_verdict(try_key(SLICE("\xbb\x7f\xff\xff\xff\xff\xff\xff\xff")), WEBAUTHN_BAD_AUTHENTICATOR_DATA);
  assert_verdict(try_key(SLICE("\x5b\xff\xff\xff\xff\xff\xff\xff\xff")), WEBAUTHN_BAD_AUTHENTICATOR_DATA);
  assert_verdict(try_key(SLICE("\x9f\x01\x02\xff")), WEBAUTHN_BAD_AUTHENTICATOR_DATA);
}

Test(webauthn, refuses_a_key_of_lists_in_lists)
{
  char deep[77];
  memset(deep, 0x81, sizeof(deep));
  assert_verdict(try_key(slice_make(deep, sizeof(deep))), WEBAUTHN_BAD_AUTHENTICATOR_DATA);
}

Test(webauthn, refuses_attestations_that_it_does_not_know)
{
  struct authenticator *key = authenticator_create(AUTHENTICATOR_ES256, &arena);
  struct ceremony_answer answer = authenticator_register(key, &creation, "fido-u2f", &arena);
  struct webauthn_credential credential;
  assert_verdict(check_registration(&answer, &credential), WEBAUTHN_ATTESTATION_REFUSED);
}

// The key's own signature covers the challenge, so another challenge breaks it.
Test(webauthn, refuses_a_self_attestation_with_a_wrong_signature)
{
  struct authenticator *key = authenticator_create(AUTHENTICATOR_ES256, &arena);
  struct ceremony other = creation;
  other.challenge = "AAAA";
  struct ceremony_answer answer = authenticator_register(key, &creation, "packed", &arena);
  answer.client_data_json = authenticator_register(key, &other, "packed", &arena).client_data_json;
  struct webauthn_credential credential;
  assert_verdict(check_registration(&answer, &credential), WEBAUTHN_WRONG_SIGNATURE);
}

// ---- signatures and counters ----

Test(webauthn, refuses_what_another_key_has_signed)
{
  struct authenticator *key = authenticator_create(AUTHENTICATOR_ES256, &arena);
  struct authenticator *other = authenticator_create(AUTHENTICATOR_ES256, &arena);
  struct webauthn_credential credential = enroll(key);
  struct ceremony ceremony = request();
  struct ceremony_answer answer = authenticator_sign_in(other, &ceremony, &arena);
  struct webauthn_proof proof;
  assert_verdict(check_sign_in(&answer, &credential, true, &proof), WEBAUTHN_WRONG_SIGNATURE);
}

Test(webauthn, refuses_every_changed_byte)
{
  struct authenticator *key = authenticator_create(AUTHENTICATOR_EDDSA, &arena);
  struct webauthn_credential credential = enroll(key);
  struct ceremony ceremony = request();
  struct ceremony_answer whole = authenticator_sign_in(key, &ceremony, &arena);
  struct slice *const parts[] = {&whole.client_data_json, &whole.authenticator_data, &whole.signature};
  for (size_t part = 0; part < 3; part++)
    for (size_t i = 0; i < parts[part]->size; i++) {
      char *bytes = (char *)parts[part]->data;
      bytes[i] ^= 1;
      struct webauthn_proof proof;
      cr_assert_neq(check_sign_in(&whole, &credential, true, &proof), WEBAUTHN_OK, "part %zu, byte %zu", part, i);
      bytes[i] ^= 1;
    }
}

Test(webauthn, refuses_a_counter_that_does_not_grow)
{
  struct authenticator *key = authenticator_create(AUTHENTICATOR_ES256, &arena);
  authenticator_set_counter(key, 7);
  struct webauthn_credential credential = enroll(key);
  struct ceremony ceremony = request();
  struct webauthn_proof proof;
  static const uint32_t counters[] = {7, 6, 0};
  for (size_t i = 0; i < 3; i++) {
    authenticator_set_counter(key, counters[i]);
    struct ceremony_answer answer = authenticator_sign_in(key, &ceremony, &arena);
    assert_verdict(check_sign_in(&answer, &credential, true, &proof), WEBAUTHN_COUNTER_REGRESSED);
  }
}

Test(webauthn, refuses_a_stored_key_that_is_none)
{
  struct authenticator *key = authenticator_create(AUTHENTICATOR_ES256, &arena);
  struct webauthn_credential credential = enroll(key);
  struct ceremony ceremony = request();
  struct ceremony_answer answer = authenticator_sign_in(key, &ceremony, &arena);
  struct webauthn_proof proof;
  credential.algorithm = -65535;
  assert_verdict(check_sign_in(&answer, &credential, true, &proof), WEBAUTHN_KEY_REFUSED);
}

// ---- settings ----

Test(webauthn, reads_a_party)
{
  struct webauthn_party read;
  const char *sentence;
  cr_assert_eq(
      webauthn_party_read("example.com", "https://example.com, https://a.example.com:8443", &arena, &read, &sentence),
      STATUS_OK);
  cr_assert_eq(read.origin_count, 2);
  cr_assert(slice_equal(read.origins[1], SLICE("https://a.example.com:8443")));
  cr_assert_eq(webauthn_party_read("localhost", "http://localhost:80", &arena, &read, &sentence), STATUS_OK);
  cr_assert(slice_equal(read.origins[0], SLICE("http://localhost")));
}

Test(webauthn, refuses_a_party_that_no_browser_would_take)
{
  static const char *const pairs[][2] = {
      {"", "https://example.com"},
      {"Example.com", "https://example.com"},
      {"https://example.com", "https://example.com"},
      {"example.com", ""},
      {"example.com", "http://example.com"},
      {"example.com", "https://example.com/"},
      {"example.com", "https://example.com:0"},
      {"example.com", "https://badexample.com"},
      {"example.com", "https://example.com https://evil.org"},
      {"localhost", "ftp://localhost"},
  };
  for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++) {
    struct webauthn_party read;
    const char *sentence = NULL;
    cr_assert_eq(webauthn_party_read(pairs[i][0], pairs[i][1], &arena, &read, &sentence), STATUS_INVALID_ARGUMENT,
                 "%s %s", pairs[i][0], pairs[i][1]);
    cr_assert_not_null(sentence);
  }
}
