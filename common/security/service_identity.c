// Two verifiers, because the audience of a client's hello is a name and an address, and that of an answer a name alone.
#include "common/security/service_identity.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/compiler.h"
#include "common/base/file_stamp.h"
#include "common/base/hash.h"
#include "common/base/memory.h"
#include "common/base/random.h"
#include "common/observe/log.h"
#include "common/security/base64url_internal.h"
#include "common/security/jwk_set_internal.h"
#include "common/security/key.h"
#include "common/security/token.h"
#include "common/security/token_claims_internal.h"

#define HELLO_ISSUER "bulkhead-service"
#define HELLO_SECONDS 60
#define NONCE_BYTES 16
// The client hellos that a server remembers, so that it takes none twice. Connections are few: these are more than come
// in the time for which a hello is good.
#define REMEMBERED_HELLOS 4096

struct service_identity {
  struct arena memory;  // erased when freed
  const char *service;
  const char *private_key;
  const char *keys_path;              // NULL when the keys were given as text
  struct file_stamp keys_stamp;       // of the file when it was last tried
  struct token_verifier *of_clients;  // NULL until the address is known
  struct token_verifier *of_servers;
  struct arena keys_memory;
  struct jwk_set keys;                // in keys_memory
  uint64_t generation;                // of `keys`: how often they were read
  uint64_t taken[REMEMBERED_HELLOS];  // hashes of the nonces that came last, a ring
  size_t taken_next;
  int64_t started;  // Unix seconds: older hellos may have been taken by an earlier process
};

// ---- keys ----

static enum status use_keys(struct service_identity *identity, const struct jwk_set *keys, struct error *error)
{
  enum status status = token_verifier_set_keys(identity->of_servers, keys->keys, keys->count, error);
  if (status == STATUS_OK && identity->of_clients != NULL)
    status = token_verifier_set_keys(identity->of_clients, keys->keys, keys->count, error);
  return status;
}

// Reads the public keys from their file, or from `text` where they have none. On failure those in use stay.
static enum status read_keys(struct service_identity *identity, const char *text, struct error *error)
{
  bool from_file = identity->keys_path != NULL;
  struct arena memory;
  struct jwk_set keys;
  struct slice json = from_file ? (struct slice){0} : slice_from_string(text);
  arena_init(&memory);
  enum status status = STATUS_OK;
  identity->keys_stamp = file_stamp_take(identity->keys_path);
  if (from_file)
    status = jwk_set_read_file(identity->keys_path, &memory, &json, error);
  if (status == STATUS_OK)
    status = jwk_set_parse(json, &memory, &keys, error);
  if (status == STATUS_OK)
    status = use_keys(identity, &keys, error);
  if (status != STATUS_OK) {
    arena_free(&memory);
    return status;
  }
  arena_free(&identity->keys_memory);
  identity->keys_memory = memory;
  identity->keys = keys;
  identity->generation++;
  return STATUS_OK;
}

// Reads the file of public keys again if it has changed. The keys in use stay when it cannot be used.
static void refresh_keys(struct service_identity *identity)
{
  if (identity->keys_path == NULL)
    return;
  struct file_stamp now = file_stamp_take(identity->keys_path);
  if (file_stamp_equal(&now, &identity->keys_stamp))
    return;
  struct error error;
  if (read_keys(identity, "", &error) == STATUS_OK)
    log_info("rpc", "the services' public keys have changed and were read", LOG_STRING("file", identity->keys_path),
             LOG_INT("keys", identity->keys.count));
  else
    log_error("rpc",
              "the changed file of the services' public keys cannot be used; the old keys stay in use, also those that "
              "it no longer holds; make it again with deploy/keys",
              LOG_STRING("file", identity->keys_path), LOG_STRING("reason", error.message));
}

// Checks that the others will believe what this program signs.
static enum status check_own_key(struct service_identity *identity, struct error *error)
{
  struct slice x, y, thumbprint;
  if (key_public_parts(identity->private_key, &identity->memory, &x, &y, &thumbprint) != STATUS_OK)
    return error_set(error, STATUS_INVALID_ARGUMENT, "SERVICE_KEY is not an unencrypted P-256 private key in PEM");
  const struct token_public_key *keys = identity->keys.keys;
  for (size_t i = 0; i < identity->keys.count; i++)
    if (slice_equal_string(keys[i].kid, identity->service) && slice_equal(keys[i].x, x) && slice_equal(keys[i].y, y))
      return STATUS_OK;
  return error_set(
      error, STATUS_INVALID_ARGUMENT,
      "SERVICE_KEYS does not hold the public key of SERVICE_KEY under the id \"%s\"; deploy/keys writes both",
      identity->service);
}

static struct token_verifier *make_verifier(const char *audience)
{
  // What was verified is not verified again, so the cache need not hold anything.
  return token_verifier_create(
      &(struct token_verifier_options){.issuer = HELLO_ISSUER, .audience = audience, .max_cached = 1});
}

enum status service_identity_create(const struct service_identity_options *options, struct service_identity **out,
                                    struct error *error)
{
  struct service_identity *identity = calloc(1, sizeof(*identity));
  CHECK(identity != NULL);
  arena_init(&identity->memory);
  arena_init(&identity->keys_memory);
  identity->service = arena_string(&identity->memory, slice_from_string(options->service));
  identity->private_key = arena_string(&identity->memory, slice_from_string(options->private_key));
  identity->of_servers = make_verifier(options->service);
  identity->started = clock_wall_us() / 1000000;
  const char *keys = arena_string(&identity->memory, slice_from_string(options->public_keys));
  bool is_text = !jwk_set_is_path(keys);
  identity->keys_path = is_text ? NULL : keys;
  enum status status = read_keys(identity, keys, error);
  if (status != STATUS_OK)
    error_prefix(error, "SERVICE_KEYS");
  else
    status = check_own_key(identity, error);
  *out = identity;
  if (status == STATUS_OK)
    return STATUS_OK;
  service_identity_free(out);
  error->status = STATUS_INVALID_ARGUMENT;
  return STATUS_INVALID_ARGUMENT;
}

void service_identity_free(struct service_identity **identity_pointer)
{
  struct service_identity *identity = *identity_pointer;
  *identity_pointer = NULL;
  if (identity == NULL)
    return;
  token_verifier_free(&identity->of_clients);
  token_verifier_free(&identity->of_servers);
  arena_free(&identity->keys_memory);
  arena_free(&identity->memory);
  free(identity);
}

// Makes the audience of a client's hello: the service and the address that the client has dialled.
static const char *format_audience(const char *service, const char *url, struct arena *arena)
{
  return arena_printf(arena, "%s at %s", service, url);
}

void service_identity_set_address(struct service_identity *identity, const char *url)
{
  struct error error;
  token_verifier_free(&identity->of_clients);
  identity->of_clients = make_verifier(format_audience(identity->service, url, &identity->memory));
  // The same keys were good for the other verifier.
  CHECK(use_keys(identity, &identity->keys, &error) == STATUS_OK);
}

// ---- hellos ----

static enum status sign_hello(const struct service_identity *identity, const char *audience, struct slice nonce,
                              struct arena *arena, struct slice *hello)
{
  const struct token_signing_key key = {.kid = identity->service, .private_pem = identity->private_key};
  int64_t now = clock_wall_us() / 1000000;
  const struct token_claims claims = {.subject = slice_from_string(identity->service),
                                      .id = nonce,
                                      .issued_at = now,
                                      .expires_at = now + HELLO_SECONDS};
  return token_sign(&key, HELLO_ISSUER, audience, &claims, arena, hello);
}

// Returns the key id of a token whose signature has been verified.
static struct slice get_key_id(struct slice hello, struct arena *arena)
{
  struct slice header, kid = {0};
  if (!base64url_decode_strict(slice_make(hello.data, slice_find(hello, '.', 0)), arena, &header) ||
      !token_header_parse(header, arena, &kid))
    return (struct slice){0};
  return kid;
}

static const char *name_refusal(enum token_result result)
{
  static const char *const reasons[] = {
      [TOKEN_MALFORMED] = "the hello is malformed",
      [TOKEN_UNKNOWN_KEY] = "the hello is signed with a key that SERVICE_KEYS does not hold",
      [TOKEN_FORGED] = "the signature of the hello does not fit",
      [TOKEN_EXPIRED] = "the hello has expired; compare the clocks",
      [TOKEN_NOT_YET_VALID] = "the hello is from the future; compare the clocks",
      [TOKEN_WRONG_AUDIENCE] =
          "the hello is for another service or address; compare RPC_ADVERTISE with what was dialled",
  };
  return reasons[result];
}

// Checks signature, times, audience, and that the service has signed for itself. Returns what is wrong; NULL when all
// is right.
static const char *find_fault(struct service_identity *identity, struct token_verifier *verifier, struct slice hello,
                              int64_t now, const struct token_claims **claims)
{
  *claims = NULL;
  if (hello.size > SERVICE_HELLO_MAX_BYTES)
    return "the hello is too long";
  if (verifier == NULL)
    return "this service has no address yet";
  // Each hello is checked with the keys that the file holds now: one that was taken out is believed no longer.
  refresh_keys(identity);
  enum token_result result = token_verify(verifier, hello, now, claims, NULL);
  if (result != TOKEN_VALID || *claims == NULL)
    return name_refusal(result);
  struct arena scratch;
  arena_init(&scratch);
  bool is_own = slice_equal(get_key_id(hello, &scratch), (*claims)->subject);
  arena_free(&scratch);
  return is_own ? NULL : "the hello is signed with another service's key";
}

// Remembers a client's hello. False when it was taken before.
static bool remember(struct service_identity *identity, const struct token_claims *claims)
{
  uint64_t hash = hash_bytes(claims->id) ^ hash_bytes(claims->subject);
  for (size_t i = 0; i < REMEMBERED_HELLOS; i++)
    if (identity->taken[i] == hash)
      return false;
  identity->taken[identity->taken_next++ % REMEMBERED_HELLOS] = hash;
  return true;
}

enum status service_identity_greet(struct service_identity *identity, const char *service, const char *url,
                                   struct arena *arena, struct service_greeting *greeting)
{
  unsigned char bytes[NONCE_BYTES];
  random_bytes(bytes, sizeof(bytes));
  greeting->service = service;
  greeting->nonce = base64url_text(slice_make((char *)bytes, sizeof(bytes)), arena);
  return sign_hello(identity, format_audience(service, url, arena), greeting->nonce, arena, &greeting->hello);
}

enum status service_identity_check_answer(struct service_identity *identity, struct slice hello, int64_t now,
                                          const struct service_greeting *greeting, struct error *error)
{
  const struct token_claims *claims;
  const char *fault = find_fault(identity, identity->of_servers, hello, now, &claims);
  if (fault != NULL)
    return error_set(error, STATUS_UNAUTHENTICATED, "%s", fault);
  if (!slice_equal_string(claims->subject, greeting->service))
    return error_set(error, STATUS_UNAUTHENTICATED, "the server is \"" SLICE_FMT "\", not \"%s\"",
                     SLICE_ARG(claims->subject), greeting->service);
  if (!slice_equal(claims->id, greeting->nonce))
    return error_set(error, STATUS_UNAUTHENTICATED, "the hello answers another greeting");
  return STATUS_OK;
}

enum status service_identity_accept(struct service_identity *identity, struct slice hello, int64_t now,
                                    struct service_proof *proof, struct error *error)
{
  const struct token_claims *claims;
  const char *fault = find_fault(identity, identity->of_clients, hello, now, &claims);
  if (fault != NULL)
    return error_set(error, STATUS_UNAUTHENTICATED, "%s", fault);
  // A clock that was set back since the start must not lock everybody out until it has caught up.
  if (now < identity->started)
    identity->started = now;
  if (claims->issued_at < identity->started)
    return error_set(error, STATUS_UNAUTHENTICATED,
                     "the hello is from before the start of this process; if this goes on, compare the clocks");
  if (!remember(identity, claims))
    return error_set(error, STATUS_UNAUTHENTICATED, "the hello has come before");
  const char *client = arena_string(proof->arena, claims->subject);
  proof->peer = slice_from_string(client);
  if (sign_hello(identity, client, claims->id, proof->arena, &proof->answer) != STATUS_OK)
    return error_set(error, STATUS_UNAUTHENTICATED, "the answer could not be signed");
  return STATUS_OK;
}

// ---- hellos of open connections ----

void service_identity_keep(const struct service_identity *identity, struct slice hello, int64_t now, bool is_client,
                           struct service_evidence *evidence)
{
  *evidence = (struct service_evidence){
      .hello = memory_copy_text(hello), .shown_at = now, .is_client = is_client, .keys = identity->generation};
}

void service_evidence_free(struct service_evidence *evidence)
{
  free(evidence->hello);
  *evidence = (struct service_evidence){0};
}

bool service_identity_recheck(struct service_identity *identity, struct service_evidence *evidence, struct error *error)
{
  refresh_keys(identity);
  if (evidence->hello == NULL || evidence->keys == identity->generation)
    return true;
  const struct token_claims *claims;
  struct token_verifier *verifier = evidence->is_client ? identity->of_clients : identity->of_servers;
  const char *fault = find_fault(identity, verifier, slice_from_string(evidence->hello), evidence->shown_at, &claims);
  if (fault != NULL) {
    error_set(error, STATUS_UNAUTHENTICATED, "%s", fault);
    return false;
  }
  evidence->keys = identity->generation;
  return true;
}
