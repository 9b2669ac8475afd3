#include "common/security/webauthn.h"

#include <fido.h>
#include <fido/eddsa.h>
#include <fido/es256.h>
#include <fido/rs256.h>
#include <string.h>

#include "common/base/check.h"
#include "common/security/key.h"
#include "common/security/webauthn_internal.h"

// Section 6.1: the hash of the RP ID, flags and counter; more may follow.
#define RP_HASH_SIZE 32
#define FLAGS_AT 32
#define COUNTER_AT 33
#define AUTHENTICATOR_DATA_MIN 37
#define FLAG_USER_PRESENT 0x01u
#define FLAG_USER_VERIFIED 0x04u
#define FLAG_CREDENTIAL 0x40u
#define FLAG_EXTENSIONS 0x80u
// A registration goes on with a model's id, the length of the credential's id, that id, and a COSE key.
#define MODEL_ID_SIZE 16
#define ID_LENGTH_SIZE 2

const int webauthn_algorithms[WEBAUTHN_ALGORITHM_COUNT] = {COSE_ES256, COSE_EDDSA, COSE_RS256};

const char *webauthn_verdict_sentence(enum webauthn_verdict verdict)
{
#define WEBAUTHN_VERDICT_SENTENCE(name, sentence) [name] = (sentence),
  static const char *const sentences[] = {WEBAUTHN_VERDICTS(WEBAUTHN_VERDICT_SENTENCE)};
#undef WEBAUTHN_VERDICT_SENTENCE
  return sentences[verdict];
}

static const unsigned char *bytes_of(struct slice slice)
{
  return (const unsigned char *)slice.data;
}

// ---- the authenticator's data ----

static uint32_t counter_of(struct slice data)
{
  const unsigned char *at = bytes_of(data) + COUNTER_AT;
  return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static bool is_verified(struct slice data)
{
  return (bytes_of(data)[FLAGS_AT] & FLAG_USER_VERIFIED) != 0;
}

// Whether what follows the counter is what the flags announce: a credential in a registration only, and extensions.
static bool is_whole(struct slice data, bool has_credential)
{
  if (data.size < AUTHENTICATOR_DATA_MIN)
    return false;
  unsigned flags = bytes_of(data)[FLAGS_AT];
  size_t extensions = (flags & FLAG_EXTENSIONS) == 0 ? 0 : 1;
  struct slice rest = slice_skip(data, AUTHENTICATOR_DATA_MIN);
  if (((flags & FLAG_CREDENTIAL) != 0) != has_credential)
    return false;
  if (!has_credential)
    return cbor_holds_items(rest, extensions);
  if (rest.size < MODEL_ID_SIZE + ID_LENGTH_SIZE)
    return false;
  const unsigned char *length = bytes_of(rest) + MODEL_ID_SIZE;
  size_t id_size = (size_t)length[0] << 8 | length[1];
  return cbor_holds_items(slice_skip(rest, MODEL_ID_SIZE + ID_LENGTH_SIZE + id_size), 1 + extensions);
}

static enum webauthn_verdict check_data(struct slice data, const struct webauthn_party *party, bool has_credential,
                                        bool verification_needed)
{
  if (!is_whole(data, has_credential))
    return WEBAUTHN_BAD_AUTHENTICATOR_DATA;
  unsigned char hash[RP_HASH_SIZE];
  key_sha256(slice_from_string(party->id), hash);
  if (memcmp(data.data, hash, sizeof(hash)) != 0)
    return WEBAUTHN_WRONG_RP;
  if ((bytes_of(data)[FLAGS_AT] & FLAG_USER_PRESENT) == 0)
    return WEBAUTHN_NOT_PRESENT;
  return verification_needed && !is_verified(data) ? WEBAUTHN_NOT_VERIFIED : WEBAUTHN_OK;
}

// ---- keys ----

// A public key in the struct that libfido2 has for its algorithm.
union public_key {
  es256_pk_t *es256;
  eddsa_pk_t *eddsa;
  rs256_pk_t *rs256;
};

static void free_key(int algorithm, union public_key *key)
{
  if (algorithm == COSE_ES256)
    es256_pk_free(&key->es256);
  else if (algorithm == COSE_EDDSA)
    eddsa_pk_free(&key->eddsa);
  else
    rs256_pk_free(&key->rs256);
}

// Makes a key of its stored bytes. False where they are none, such as a point that is not on the curve; then nothing is
// to be freed.
static bool read_key(int algorithm, struct slice bytes, union public_key *key, const void **pointer)
{
  int result = FIDO_ERR_INTERNAL;
  if (algorithm == COSE_ES256) {
    key->es256 = es256_pk_new();
    *pointer = key->es256;
    result = key->es256 == NULL ? result : es256_pk_from_ptr(key->es256, bytes.data, bytes.size);
  } else if (algorithm == COSE_EDDSA) {
    key->eddsa = eddsa_pk_new();
    *pointer = key->eddsa;
    result = key->eddsa == NULL ? result : eddsa_pk_from_ptr(key->eddsa, bytes.data, bytes.size);
  } else if (algorithm == COSE_RS256) {
    key->rs256 = rs256_pk_new();
    *pointer = key->rs256;
    result = key->rs256 == NULL ? result : rs256_pk_from_ptr(key->rs256, bytes.data, bytes.size);
  } else {
    return false;
  }
  if (result != FIDO_OK)
    free_key(algorithm, key);
  return result == FIDO_OK;
}

// ---- registration ----

// Lets libfido2 take the authenticator's data apart, whose key must be of the algorithm. NULL where they do not fit.
static fido_cred_t *read_credential(struct slice data, int algorithm)
{
  fido_cred_t *cred = fido_cred_new();
  CHECK(cred != NULL);
  if (fido_cred_set_type(cred, algorithm) != FIDO_OK ||
      fido_cred_set_authdata_raw(cred, bytes_of(data), data.size) != FIDO_OK)
    fido_cred_free(&cred);
  return cred;
}

// A self attestation proves that who sends the key has the private one.
static bool is_self_attested(fido_cred_t *cred, const struct webauthn_party *party,
                             const struct attestation *attestation, const unsigned char client_data_hash[32])
{
  return attestation->statement_members == 2 && attestation->algorithm == fido_cred_type(cred) &&
         fido_cred_set_fmt(cred, "packed") == FIDO_OK && fido_cred_set_rp(cred, party->id, NULL) == FIDO_OK &&
         fido_cred_set_clientdata_hash(cred, client_data_hash, 32) == FIDO_OK &&
         fido_cred_set_sig(cred, bytes_of(attestation->signature), attestation->signature.size) == FIDO_OK &&
         fido_cred_verify_self(cred) == FIDO_OK;
}

static enum webauthn_verdict check_attestation(fido_cred_t *cred, const struct webauthn_party *party,
                                               const struct attestation *attestation,
                                               const unsigned char client_data_hash[32])
{
  if (slice_equal(attestation->format, SLICE("none")))
    return attestation->statement_members == 0 ? WEBAUTHN_OK : WEBAUTHN_BAD_ATTESTATION;
  if (!slice_equal(attestation->format, SLICE("packed")) || attestation->signature.data == NULL)
    return WEBAUTHN_ATTESTATION_REFUSED;
  return is_self_attested(cred, party, attestation, client_data_hash) ? WEBAUTHN_OK : WEBAUTHN_WRONG_SIGNATURE;
}

static enum webauthn_verdict keep_credential(const fido_cred_t *cred, struct slice data, struct arena *arena,
                                             struct webauthn_credential *credential)
{
  struct slice id = slice_make(fido_cred_id_ptr(cred), fido_cred_id_len(cred));
  struct slice public_key = slice_make(fido_cred_pubkey_ptr(cred), fido_cred_pubkey_len(cred));
  if (id.data == NULL || id.size == 0 || id.size > WEBAUTHN_MAX_CREDENTIAL_ID)
    return WEBAUTHN_BAD_AUTHENTICATOR_DATA;
  int algorithm = fido_cred_type(cred);
  union public_key key;
  const void *pointer;
  if (public_key.data == NULL || !read_key(algorithm, public_key, &key, &pointer))
    return WEBAUTHN_KEY_REFUSED;
  free_key(algorithm, &key);
  *credential = (struct webauthn_credential){.id = arena_copy(arena, id),
                                             .public_key = arena_copy(arena, public_key),
                                             .algorithm = algorithm,
                                             .sign_count = counter_of(data)};
  return WEBAUTHN_OK;
}

static enum webauthn_verdict check_credential(const struct webauthn_party *party,
                                              const struct webauthn_registration *registration,
                                              const struct attestation *attestation, struct arena *arena,
                                              struct webauthn_credential *credential)
{
  unsigned char client_data_hash[32];
  key_sha256(registration->client_data_json, client_data_hash);
  fido_cred_t *cred = NULL;
  for (size_t i = 0; cred == NULL && i < WEBAUTHN_ALGORITHM_COUNT; i++)
    cred = read_credential(attestation->authenticator_data, webauthn_algorithms[i]);
  if (cred == NULL)
    return WEBAUTHN_KEY_REFUSED;
  enum webauthn_verdict verdict = check_attestation(cred, party, attestation, client_data_hash);
  if (verdict == WEBAUTHN_OK)
    verdict = keep_credential(cred, attestation->authenticator_data, arena, credential);
  fido_cred_free(&cred);
  return verdict;
}

// Reads the attestation object. A statement of more than a self attestation's members is one of another kind.
static enum webauthn_verdict read_attestation(struct slice object, struct attestation *attestation)
{
  if (attestation_read(object, attestation))
    return WEBAUTHN_OK;
  bool foreign = attestation->format.data != NULL && !slice_equal(attestation->format, SLICE("none"));
  return foreign ? WEBAUTHN_ATTESTATION_REFUSED : WEBAUTHN_BAD_ATTESTATION;
}

enum webauthn_verdict webauthn_check_registration(const struct webauthn_party *party,
                                                  const struct webauthn_registration *registration, struct arena *arena,
                                                  struct webauthn_credential *credential)
{
  struct attestation attestation;
  enum webauthn_verdict verdict = client_data_check(registration->client_data_json, party, "webauthn.create", arena);
  if (verdict == WEBAUTHN_OK)
    verdict = read_attestation(registration->attestation_object, &attestation);
  if (verdict == WEBAUTHN_OK)
    verdict = check_data(attestation.authenticator_data, party, true, true);
  if (verdict == WEBAUTHN_OK)
    verdict = check_credential(party, registration, &attestation, arena, credential);
  return verdict;
}

// ---- sign-in ----

static bool is_signed(const struct webauthn_party *party, const struct webauthn_assertion *given, int algorithm,
                      const void *key)
{
  unsigned char hash[32];
  key_sha256(given->client_data_json, hash);
  fido_assert_t *assertion = fido_assert_new();
  CHECK(assertion != NULL);
  bool right = fido_assert_set_clientdata_hash(assertion, hash, sizeof(hash)) == FIDO_OK &&
               fido_assert_set_rp(assertion, party->id) == FIDO_OK && fido_assert_set_count(assertion, 1) == FIDO_OK &&
               fido_assert_set_up(assertion, FIDO_OPT_TRUE) == FIDO_OK &&
               fido_assert_set_uv(assertion, given->verification_needed ? FIDO_OPT_TRUE : FIDO_OPT_OMIT) == FIDO_OK &&
               fido_assert_set_authdata_raw(assertion, 0, bytes_of(given->authenticator_data),
                                            given->authenticator_data.size) == FIDO_OK &&
               fido_assert_set_sig(assertion, 0, bytes_of(given->signature), given->signature.size) == FIDO_OK &&
               fido_assert_verify(assertion, 0, algorithm, key) == FIDO_OK;
  fido_assert_free(&assertion);
  return right;
}

enum webauthn_verdict webauthn_check_assertion(const struct webauthn_party *party,
                                               const struct webauthn_assertion *assertion,
                                               const struct webauthn_credential *credential, struct arena *arena,
                                               struct webauthn_proof *proof)
{
  enum webauthn_verdict verdict = client_data_check(assertion->client_data_json, party, "webauthn.get", arena);
  if (verdict == WEBAUTHN_OK)
    verdict = check_data(assertion->authenticator_data, party, false, assertion->verification_needed);
  if (verdict != WEBAUTHN_OK)
    return verdict;
  union public_key key;
  const void *pointer;
  if (!read_key(credential->algorithm, credential->public_key, &key, &pointer))
    return WEBAUTHN_KEY_REFUSED;
  bool right = is_signed(party, assertion, credential->algorithm, pointer);
  free_key(credential->algorithm, &key);
  if (!right)
    return WEBAUTHN_WRONG_SIGNATURE;
  *proof = (struct webauthn_proof){.sign_count = counter_of(assertion->authenticator_data),
                                   .user_verified = is_verified(assertion->authenticator_data)};
  // An authenticator without a counter always says 0.
  bool has_counter = proof->sign_count != 0 || credential->sign_count != 0;
  return has_counter && proof->sign_count <= credential->sign_count ? WEBAUTHN_COUNTER_REGRESSED : WEBAUTHN_OK;
}
