#include "services/auth/auth_seals.h"

#include <string.h>

#include "auth/queries.bh.h"
#include "common/base/codec.h"
#include "common/base/random.h"
#include "common/base/strbuf.h"
#include "common/observe/log.h"
#include "common/security/key.h"
#include "services/auth/settings.h"

#define MIN_KEY_SECRET_BYTES 32
#define SECRET_BYTES 32

enum status auth_seals_check(const struct auth_settings *settings, struct error *error)
{
  if (strlen(settings->key_secret) < MIN_KEY_SECRET_BYTES)
    return error_set(error, STATUS_INVALID_ARGUMENT, "AUTH_KEY_SECRET must have at least %d characters",
                     MIN_KEY_SECRET_BYTES);
  const char *previous = settings->key_secret_previous;
  if (previous != NULL && strlen(previous) < MIN_KEY_SECRET_BYTES)
    return error_set(error, STATUS_INVALID_ARGUMENT, "AUTH_KEY_SECRET_PREVIOUS must have at least %d characters",
                     MIN_KEY_SECRET_BYTES);
  return STATUS_OK;
}

enum status auth_seal(const struct auth_settings *settings, const char *context, struct slice plain,
                      struct arena *arena, struct auth_sealed *sealed)
{
  *sealed = (struct auth_sealed){0};
  enum status status = key_seal(slice_from_string(settings->key_secret), context, plain, arena, &sealed->bytes);
  if (status == STATUS_OK && settings->key_secret_previous != NULL)
    status = key_seal(slice_from_string(settings->key_secret_previous), context, plain, arena, &sealed->before);
  return status;
}

static bool opens(const char *secret, const char *context, struct slice sealed, struct arena *arena,
                  struct slice *plain)
{
  return secret != NULL && sealed.data != NULL &&
         key_open(slice_from_string(secret), context, sealed, arena, plain) == STATUS_OK;
}

enum status auth_unseal(const struct auth_settings *settings, const char *context, const struct auth_sealed *sealed,
                        struct arena *arena, struct auth_opened *opened)
{
  *opened = (struct auth_opened){0};
  const char *previous = settings->key_secret_previous;
  if (opens(settings->key_secret, context, sealed->bytes, arena, &opened->plain)) {
    // The change is over: nothing is to open by the old secret any more.
    opened->outdated = previous == NULL && sealed->before.data != NULL;
    opened->renewed.bytes = sealed->bytes;
    return STATUS_OK;
  }
  if (previous == NULL)
    // The others run with a newer secret already; they keep this form until all of them do.
    return opens(settings->key_secret, context, sealed->before, arena, &opened->plain) ? STATUS_OK
                                                                                       : STATUS_FAILED_PRECONDITION;
  if (!opens(previous, context, sealed->bytes, arena, &opened->plain) &&
      !opens(previous, context, sealed->before, arena, &opened->plain) &&
      !opens(settings->key_secret, context, sealed->before, arena, &opened->plain))
    return STATUS_FAILED_PRECONDITION;
  opened->outdated = true;
  return auth_seal(settings, context, opened->plain, arena, &opened->renewed);
}

// ---- stored secrets ----

// A secret that is made once and stored under a name.
struct stored_secret {
  const char *name;
  const char *context;  // which it is sealed with
  enum status (*make)(const struct auth_settings *settings, struct pg *pg, struct arena *arena, const char **text);
};

static const char *make_random_text(struct arena *arena)
{
  unsigned char bytes[SECRET_BYTES];
  random_bytes(bytes, sizeof(bytes));
  char *text = arena_alloc(arena, 2 * SECRET_BYTES + 1);
  *hex_encode(bytes, sizeof(bytes), text) = '\0';
  key_erase(bytes, sizeof(bytes));
  return text;
}

static enum status make_derivation(const struct auth_settings *settings, struct pg *pg, struct arena *arena,
                                   const char **text)
{
  struct auth_db_list_keys_row *keys = NULL;
  size_t count = 0;
  enum status status = auth_db_list_keys(query_on(pg), arena, &keys, &count);
  if (status != STATUS_OK)
    return status;
  const char *used = settings->key_secret_previous == NULL ? settings->key_secret : settings->key_secret_previous;
  *text = count > 0 ? used : make_random_text(arena);
  return STATUS_OK;
}

static enum status make_audit_key(const struct auth_settings *settings, struct pg *pg, struct arena *arena,
                                  const char **text)
{
  (void)settings;
  (void)pg;
  return key_generate(arena, text);
}

static const struct stored_secret derivation = {
    .name = "derivation", .context = "bulkhead auth stored secret 1", .make = make_derivation};
static const struct stored_secret audit_key = {
    .name = "audit_key", .context = "bulkhead auth audit key 1", .make = make_audit_key};

// Stores the secret; of instances that start together one wins.
static enum status add_secret(const struct stored_secret *secret, const struct auth_settings *settings, struct pg *pg,
                              struct arena *arena)
{
  const char *text = NULL;
  struct auth_sealed sealed;
  enum status status = secret->make(settings, pg, arena, &text);
  if (status == STATUS_OK)
    status = auth_seal(settings, secret->context, slice_from_string(text), arena, &sealed);
  if (status != STATUS_OK)
    return status;
  const struct auth_db_add_stored_secret_params params = {
      .name = secret->name, .sealed = sealed.bytes, .sealed_before = sealed.before};
  return auth_db_add_stored_secret(query_on(pg), &params, arena);
}

static enum status reseal_secret(const struct stored_secret *secret, struct pg *pg, const struct auth_opened *opened,
                                 struct slice old, struct arena *arena)
{
  if (!opened->outdated)
    return STATUS_OK;
  const struct auth_db_reseal_stored_secret_params params = {.name = secret->name,
                                                             .sealed = opened->renewed.bytes,
                                                             .sealed_before = opened->renewed.before,
                                                             .old_sealed = old};
  return auth_db_reseal_stored_secret(query_on(pg), &params, arena);
}

// Reads the stored secret, and makes it where there is none.
static enum status read_secret(const struct stored_secret *secret, const struct auth_settings *settings, struct pg *pg,
                               struct arena *arena, struct auth_db_get_stored_secret_row *row)
{
  enum status status = auth_db_get_stored_secret(query_on(pg), secret->name, arena, row);
  if (status != STATUS_NOT_FOUND)
    return status;
  status = add_secret(secret, settings, pg, arena);
  return status == STATUS_OK ? auth_db_get_stored_secret(query_on(pg), secret->name, arena, row) : status;
}

static enum status load(const struct stored_secret *secret, const struct auth_settings *settings, struct pg *pg,
                        struct arena *arena, const char **text, struct error *error)
{
  struct auth_db_get_stored_secret_row row;
  enum status status = read_secret(secret, settings, pg, arena, &row);
  if (status != STATUS_OK)
    return error_set(error, status, "the stored secret \"%s\" could not be read from the database", secret->name);
  struct auth_opened opened;
  const struct auth_sealed sealed = {.bytes = row.sealed, .before = row.sealed_before};
  status = auth_unseal(settings, secret->context, &sealed, arena, &opened);
  if (status != STATUS_OK)
    return error_set(error, status,
                     "AUTH_KEY_SECRET does not open the stored secret \"%s\"; start with the secret that it was sealed "
                     "with, or give that one as AUTH_KEY_SECRET_PREVIOUS",
                     secret->name);
  *text = arena_string(arena, opened.plain);
  return reseal_secret(secret, pg, &opened, row.sealed, arena);
}

enum status auth_seals_load_secret(const struct auth_settings *settings, struct pg *pg, struct arena *arena,
                                   const char **secret, struct error *error)
{
  return load(&derivation, settings, pg, arena, secret, error);
}

enum status auth_seals_load_audit_key(const struct auth_settings *settings, struct pg *pg, struct arena *arena,
                                      const char **pem, struct error *error)
{
  return load(&audit_key, settings, pg, arena, pem, error);
}
