// The parts of WebAuthn's checks. Private to this folder.
#ifndef BULKHEAD_SECURITY_WEBAUTHN_INTERNAL_H
#define BULKHEAD_SECURITY_WEBAUTHN_INTERNAL_H

#include "common/security/webauthn.h"

struct client_data {
  struct slice type, challenge, origin;
  bool cross_origin;
};
// Reads client data. False for anything but an object that has type, challenge and origin once each.
bool client_data_read(struct slice json, struct arena *arena, struct client_data *data);
// Checks type and origin.
enum webauthn_verdict client_data_check(struct slice json, const struct webauthn_party *party, const char *type,
                                        struct arena *arena) MUST_CHECK;

// An attestation object, its parts in the bytes that it was read from.
struct attestation {
  struct slice format;
  struct slice authenticator_data;
  size_t statement_members;  // how many members the statement has
  bool has_algorithm;
  int64_t algorithm;
  struct slice signature;  // NULL data: none
};
// Reads an attestation object: CBOR of definite lengths (CTAP2's canonical form), and nothing behind it.
bool attestation_read(struct slice cbor, struct attestation *attestation);

// Whether the bytes are exactly so many CBOR items, of definite lengths, without tags and floats, and not deep. What
// libfido2 reads is held against this first: libcbor allocates what a head announces, and frees items by recursion.
bool cbor_holds_items(struct slice bytes, size_t count);

#endif
