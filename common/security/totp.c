#include "common/security/totp.h"

#include <inttypes.h>
#include <liboath/oath.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/codec.h"
#include "common/base/strbuf.h"

// How many steps a clock may be off, either way (RFC 6238, section 5.2).
#define SKEW 1

enum status totp_generate(struct slice secret, int64_t step, unsigned digits, char code[TOTP_MAX_DIGITS + 1])
{
  CHECK(digits >= TOTP_DIGITS && digits <= TOTP_MAX_DIGITS);
  if (step < 0)
    return STATUS_INVALID_ARGUMENT;
  CHECK(oath_init() == OATH_OK);
  int made =
      oath_hotp_generate(secret.data, secret.size, (uint64_t)step, digits, false, OATH_HOTP_DYNAMIC_TRUNCATION, code);
  return made == OATH_OK ? STATUS_OK : STATUS_INTERNAL;
}

bool totp_matches(struct slice secret, const char *code, int64_t now_s, int64_t last_step, int64_t *step)
{
  if (strlen(code) != TOTP_DIGITS)
    return false;
  bool matches = false;
  for (int64_t s = now_s / TOTP_STEP_S - SKEW; s <= now_s / TOTP_STEP_S + SKEW; s++) {
    char right[TOTP_MAX_DIGITS + 1];
    if (totp_generate(secret, s, TOTP_DIGITS, right) != STATUS_OK)
      continue;
    if (sodium_memcmp(right, code, TOTP_DIGITS) == 0 && s > last_step && !matches) {
      matches = true;
      *step = s;
    }
  }
  return matches;
}

const char *totp_base32(struct slice secret, struct arena *arena)
{
  char *made = NULL;
  size_t size = 0;
  CHECK(oath_base32_encode(secret.data, secret.size, &made, &size) == OATH_OK);
  while (size > 0 && made[size - 1] == '=')
    size--;
  const char *base32 = arena_string(arena, slice_make(made, size));
  sodium_memzero(made, size);
  free(made);
  return base32;
}

const char *totp_uri(const char *base32, const char *issuer, const char *account, struct arena *arena)
{
  struct strbuf name, owner;
  strbuf_init(&name, 0);
  strbuf_init(&owner, 0);
  percent_encode(slice_from_string(issuer), &name);
  percent_encode(slice_from_string(account), &owner);
  const char *uri = arena_printf(arena,
                                 "otpauth://totp/" SLICE_FMT ":" SLICE_FMT "?secret=%s&issuer=" SLICE_FMT
                                 "&algorithm=SHA1&digits=%d&period=%d",
                                 SLICE_ARG(strbuf_slice(&name)), SLICE_ARG(strbuf_slice(&owner)), base32,
                                 SLICE_ARG(strbuf_slice(&name)), TOTP_DIGITS, TOTP_STEP_S);
  strbuf_free(&name);
  strbuf_free(&owner);
  return uri;
}
