// What a relying party checks of passkeys: W3C Web Authentication, Level 2, sections 7.1 (registration) and 7.2
// (sign-in). Pure functions over the bytes that a browser sends, which are hostile. Challenges and counters of the
// database are the caller's; COSE keys and signatures are libfido2's.
#ifndef BULKHEAD_SECURITY_WEBAUTHN_H
#define BULKHEAD_SECURITY_WEBAUTHN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/slice.h"
#include "common/base/status.h"

// The longest credential id that the specification allows.
#define WEBAUTHN_MAX_CREDENTIAL_ID 1023

// Why a passkey was refused, as a sentence for the user's developer.
#define WEBAUTHN_VERDICTS(X)                                                                                           \
  X(WEBAUTHN_OK, "the passkey is right")                                                                               \
  X(WEBAUTHN_BAD_CLIENT_DATA, "response.clientDataJSON is not what a browser makes; send it as the browser gave it")   \
  X(WEBAUTHN_WRONG_TYPE, "response.clientDataJSON is of another act: registrations are webauthn.create, sign-ins "     \
                         "webauthn.get")                                                                               \
  X(WEBAUTHN_WRONG_ORIGIN, "the passkey was used on a page of an origin that AUTH_PASSKEY_ORIGINS does not name")      \
  X(WEBAUTHN_CROSS_ORIGIN, "the passkey was used in a frame of another origin; open the page by itself")               \
  X(WEBAUTHN_BAD_ATTESTATION, "response.attestationObject is not one; send it as the browser gave it")                 \
  X(WEBAUTHN_ATTESTATION_REFUSED, "the attestation is not accepted; ask the browser for the attestation \"none\"")     \
  X(WEBAUTHN_BAD_AUTHENTICATOR_DATA, "the authenticator's data are not whole; send them as the browser gave them")     \
  X(WEBAUTHN_WRONG_RP, "the passkey belongs to another site than AUTH_PASSKEY_RP_ID names")                            \
  X(WEBAUTHN_NOT_PRESENT, "the authenticator did not ask for its user's presence")                                     \
  X(WEBAUTHN_NOT_VERIFIED, "the authenticator did not verify its user by PIN, fingerprint or face; use one that can")  \
  X(WEBAUTHN_KEY_REFUSED, "the passkey's key is of a kind that the options did not offer")                             \
  X(WEBAUTHN_WRONG_SIGNATURE, "the passkey's signature is wrong")                                                      \
  X(WEBAUTHN_COUNTER_REGRESSED, "the passkey's counter went back, so there may be a copy of it; register a new one")

#define WEBAUTHN_VERDICT_NAME(name, sentence) name,
enum webauthn_verdict { WEBAUTHN_VERDICTS(WEBAUTHN_VERDICT_NAME) };
#undef WEBAUTHN_VERDICT_NAME

const char *webauthn_verdict_sentence(enum webauthn_verdict verdict);

// The site that passkeys belong to.
struct webauthn_party {
  const char *id;               // a domain, such as "example.com"
  const struct slice *origins;  // of its pages, such as "https://www.example.com"
  size_t origin_count;
};

// Reads a party from settings: a domain in lower case, and origins separated by spaces or commas, each of which is that
// domain's or a subdomain's, by https or, on localhost, http. INVALID_ARGUMENT with a sentence. `arena` holds the
// result, and `id` must outlive it.
enum status webauthn_party_read(const char *id, const char *origins, struct arena *arena, struct webauthn_party *party,
                                const char **sentence) MUST_CHECK;

// COSE algorithms that are offered and accepted, the best first.
#define WEBAUTHN_ALGORITHM_COUNT 3
extern const int webauthn_algorithms[WEBAUTHN_ALGORITHM_COUNT];

// Reads the challenge that a browser was given, as bytes in `arena`; what it is worth is for the caller to judge.
enum webauthn_verdict webauthn_read_challenge(struct slice client_data_json, struct arena *arena,
                                              struct slice *challenge) MUST_CHECK;

struct webauthn_registration {
  struct slice client_data_json;
  struct slice attestation_object;
};
// A passkey as the server keeps it.
struct webauthn_credential {
  struct slice id;
  struct slice public_key;  // as libfido2 has it for the algorithm
  int algorithm;            // COSE
  uint32_t sign_count;
};
// Checks a registration, whose user must have been verified. The attestation is "none", or "packed" by the passkey's
// own key. The credential's bytes lie in `arena`.
enum webauthn_verdict webauthn_check_registration(const struct webauthn_party *party,
                                                  const struct webauthn_registration *registration, struct arena *arena,
                                                  struct webauthn_credential *credential) MUST_CHECK;

struct webauthn_assertion {
  struct slice client_data_json;
  struct slice authenticator_data;
  struct slice signature;
  bool verification_needed;  // the passkey is all that the user proves himself by
};
// What an assertion that is right says.
struct webauthn_proof {
  uint32_t sign_count;
  bool user_verified;
};
// Checks an assertion with the key and the counter of a stored credential.
enum webauthn_verdict webauthn_check_assertion(const struct webauthn_party *party,
                                               const struct webauthn_assertion *assertion,
                                               const struct webauthn_credential *credential, struct arena *arena,
                                               struct webauthn_proof *proof) MUST_CHECK;

#endif
