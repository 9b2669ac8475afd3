// What strangers send as passkeys. The first byte chooses what the rest is; everything else is right:
//   'c'  client data of a registration and of a sign-in
//   'o'  an attestation object
//   'd'  the authenticator's data, in a good attestation object and in a sign-in
//   's'  the signature of a sign-in
//   'p'  the origins of the settings
#include <stdint.h>
#include <string.h>

#include "common/base/check.h"
#include "common/security/webauthn.h"
#include "tests/support/common/authenticator.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct slice origins[] = {SLICE_INIT("https://example.com")};
static const struct webauthn_party party = {.id = "example.com", .origins = origins, .origin_count = 1};
static const struct ceremony creation = {.type = "webauthn.create",
                                         .challenge = "AQIDBAUGBwgJCgsMDQ4PEA",
                                         .origin = "https://example.com",
                                         .rp_id = "example.com",
                                         .flags = AUTHENTICATOR_PRESENT | AUTHENTICATOR_VERIFIED};

// A passkey that is registered and has signed in, once for all inputs.
static struct ceremony_answer registration, sign_in;
static struct webauthn_credential registered;

static void set_up(void)
{
  static struct arena arena;
  struct authenticator *key = authenticator_create(AUTHENTICATOR_ES256, &arena);
  struct ceremony request = creation;
  request.type = "webauthn.get";
  registration = authenticator_register(key, &creation, "none", &arena);
  sign_in = authenticator_sign_in(key, &request, &arena);
  const struct webauthn_registration given = {.client_data_json = registration.client_data_json,
                                              .attestation_object = registration.attestation_object};
  CHECK(webauthn_check_registration(&party, &given, &arena, &registered) == WEBAUTHN_OK);
}

// Returns an attestation object "none" around the authenticator's data.
static struct slice wrap(struct slice data, struct arena *arena)
{
  static const char head[] = "\xa3\x63"
                             "fmt\x64none\x67"
                             "attStmt\xa0\x68"
                             "authData\x59";
  size_t head_size = sizeof(head) - 1;
  size_t kept = data.size < 65535 ? data.size : 65535;
  char *object = arena_alloc(arena, head_size + 2 + kept);
  memcpy(object, head, head_size);
  object[head_size] = (char)(kept >> 8);
  object[head_size + 1] = (char)kept;
  // cppcheck-suppress knownConditionTrueFalse
  if (kept > 0)
    memcpy(object + head_size + 2, data.data, kept);
  return slice_make(object, head_size + 2 + kept);
}

static void try_registration(struct slice client_data, struct slice object, struct arena *arena)
{
  const struct webauthn_registration given = {.client_data_json = client_data, .attestation_object = object};
  struct webauthn_credential credential;
  if (webauthn_check_registration(&party, &given, arena, &credential) != WEBAUTHN_OK)
    return;
  struct slice challenge;
  CHECK(credential.id.size > 0 && credential.id.size <= WEBAUTHN_MAX_CREDENTIAL_ID && credential.public_key.size > 0);
  (void)!webauthn_read_challenge(client_data, arena, &challenge);
}

// What is not signed is never taken; only what was made by the key itself is.
static void try_sign_in(const struct ceremony_answer *answer, struct arena *arena)
{
  const struct webauthn_assertion given = {.client_data_json = answer->client_data_json,
                                           .authenticator_data = answer->authenticator_data,
                                           .signature = answer->signature,
                                           .verification_needed = true};
  struct webauthn_proof proof;
  if (webauthn_check_assertion(&party, &given, &registered, arena, &proof) == WEBAUTHN_OK)
    CHECK(slice_equal(answer->client_data_json, sign_in.client_data_json) &&
          slice_equal(answer->authenticator_data, sign_in.authenticator_data));
}

static void try_part(char part, struct slice rest, struct arena *arena)
{
  struct ceremony_answer answer = sign_in;
  struct webauthn_party read;
  const char *sentence;
  if (part == 'c') {
    answer.client_data_json = rest;
    try_registration(rest, registration.attestation_object, arena);
  } else if (part == 'o') {
    try_registration(registration.client_data_json, rest, arena);
  } else if (part == 'd') {
    answer.authenticator_data = rest;
    try_registration(registration.client_data_json, wrap(rest, arena), arena);
  } else if (part == 's') {
    answer.signature = rest;
  } else if (part == 'p' &&
             webauthn_party_read("example.com", arena_string(arena, rest), arena, &read, &sentence) == STATUS_OK) {
    CHECK(read.origin_count > 0);
  }
  try_sign_in(&answer, arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  if (registered.id.size == 0)
    set_up();
  struct arena arena;
  arena_init(&arena);
  if (size > 0)
    try_part((char)data[0], slice_make(data + 1, size - 1), &arena);
  arena_free(&arena);
  return 0;
}
