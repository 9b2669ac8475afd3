// An authenticator in software, and the browser in front of it: makes what passkeys send, right or wrong in one thing.
#ifndef BULKHEAD_TESTS_SUPPORT_COMMON_AUTHENTICATOR_H
#define BULKHEAD_TESTS_SUPPORT_COMMON_AUTHENTICATOR_H

#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/slice.h"

// COSE algorithms.
#define AUTHENTICATOR_ES256 (-7)
#define AUTHENTICATOR_EDDSA (-8)
#define AUTHENTICATOR_RS256 (-257)

#define AUTHENTICATOR_PRESENT 0x01
#define AUTHENTICATOR_VERIFIED 0x04

struct authenticator;

// Makes an authenticator with one fresh key. It lives in the arena.
struct authenticator *authenticator_create(int algorithm, struct arena *arena);
struct slice authenticator_credential_id(const struct authenticator *authenticator);
// Sets what the next answer says of how often the key was used.
void authenticator_set_counter(struct authenticator *authenticator, uint32_t counter);

// What a page asks for, and what is done with it.
struct ceremony {
  const char *type;  // "webauthn.create" or "webauthn.get"
  const char *challenge;
  const char *origin;
  const char *rp_id;
  const char *more;  // further members of the client data, such as ",\"crossOrigin\":true"; NULL for none
  uint8_t flags;     // AUTHENTICATOR_...
};
// What goes to the server. A registration has an attestation object, a sign-in has data of the authenticator and a
// signature.
struct ceremony_answer {
  struct slice client_data_json;
  struct slice attestation_object;
  struct slice authenticator_data;
  struct slice signature;
};
// `format` of the attestation: "none", or "packed" signed by the key itself.
struct ceremony_answer authenticator_register(struct authenticator *authenticator, const struct ceremony *ceremony,
                                              const char *format, struct arena *arena);
struct ceremony_answer authenticator_sign_in(struct authenticator *authenticator, const struct ceremony *ceremony,
                                             struct arena *arena);

// Write the answers as a browser's toJSON() does.
const char *authenticator_registration_json(const struct authenticator *authenticator,
                                            const struct ceremony_answer *answer, struct arena *arena);
const char *authenticator_sign_in_json(const struct authenticator *authenticator, const struct ceremony_answer *answer,
                                       const char *user_handle, struct arena *arena);

#endif
