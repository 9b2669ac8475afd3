#include "services/auth/factor_codes.h"

#include <string.h>

#include "common/base/codec.h"
#include "common/base/random.h"
#include "common/base/strbuf.h"
#include "common/security/key.h"
#include "common/security/totp.h"

#define GROUPS 4
#define LETTERS_OF_GROUP 4

// Without those that look alike: 0 and o, 1, i and l.
static const char letters[] = "abcdefghjkmnpqrstuvwxyz23456789";

const char *factor_code_fold(const char *given, struct arena *arena)
{
  char *folded = arena_alloc(arena, strlen(given) + 1);
  size_t size = 0;
  for (; *given != '\0'; given++) {
    if (*given == ' ' || *given == '-')
      continue;
    folded[size++] = *given >= 'A' && *given <= 'Z' ? (char)(*given - 'A' + 'a') : *given;
  }
  folded[size] = '\0';
  return folded;
}

bool factor_code_is_totp(const char *folded)
{
  return strlen(folded) == TOTP_DIGITS && strspn(folded, "0123456789") == TOTP_DIGITS;
}

char *recovery_code_new(struct arena *arena)
{
  char *code = arena_alloc(arena, GROUPS * (LETTERS_OF_GROUP + 1));
  char *out = code;
  for (int i = 0; i < GROUPS; i++) {
    for (int k = 0; k < LETTERS_OF_GROUP; k++)
      *out++ = letters[random_below(sizeof(letters) - 1)];
    *out++ = i + 1 < GROUPS ? '-' : '\0';
  }
  return code;
}

char *recovery_code_hash(const char *stored_secret, const char *user_id, const char *folded, struct arena *arena)
{
  struct strbuf text;
  strbuf_init(&text, 0);
  strbuf_printf(&text, "bulkhead recovery code 1 %s %s %s", stored_secret, user_id, folded);
  unsigned char hash[32];
  key_sha256(strbuf_slice(&text), hash);
  key_erase(text.data, text.size);
  strbuf_free(&text);
  char *hex = arena_alloc(arena, 2 * sizeof(hash) + 1);
  *hex_encode(hash, sizeof(hash), hex) = '\0';
  return hex;
}

static const char *make_context(const char *user_id, const char *factor_id, struct arena *arena)
{
  return arena_printf(arena, "bulkhead totp 1 of %s, %s", user_id, factor_id);
}

enum status factor_secret_seal(const char *stored_secret, const char *user_id, const char *factor_id,
                               struct slice secret, struct arena *arena, struct slice *sealed)
{
  return key_seal(slice_from_string(stored_secret), make_context(user_id, factor_id, arena), secret, arena, sealed);
}

enum status factor_secret_open(const char *stored_secret, const char *user_id, const char *factor_id,
                               struct slice sealed, struct arena *arena, struct slice *secret)
{
  return key_open(slice_from_string(stored_secret), make_context(user_id, factor_id, arena), sealed, arena, secret);
}
