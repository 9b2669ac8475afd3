// Prints an access token of a user that names no session, signed with a key of the local stack: what reads with the
// token of a login are compared with.
//
//   bench_sign USER_ID SECRET_FILE SEALED
//
// SECRET_FILE holds AUTH_KEY_SECRET, and SEALED is the key's column `sealed` in hexadecimal. Issuer and audience are
// the settings' defaults.
#include <stdio.h>

#include "common/base/arena.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/codec.h"
#include "common/base/strbuf.h"
#include "common/base/uuid.h"
#include "common/security/key.h"
#include "common/security/token.h"

// What auth_keys.c seals keys with.
#define SEAL_CONTEXT "bulkhead auth signing key 1"
#define LIFETIME_S 7200

static const char *open_key(const char *secret_file, struct slice sealed_text, struct arena *arena)
{
  struct strbuf secret;
  struct slice plain;
  strbuf_init(&secret, 0);
  CHECK(strbuf_read_file(&secret, secret_file));
  struct slice text = strbuf_slice(&secret);
  text.size = slice_find(text, '\n', 0);
  unsigned char *sealed = arena_alloc(arena, sealed_text.size / 2 + 1);
  CHECK(hex_decode(sealed_text, sealed, sealed_text.size / 2));
  CHECK(key_open(text, SEAL_CONTEXT, slice_make(sealed, sealed_text.size / 2), arena, &plain) == STATUS_OK);
  strbuf_free(&secret);
  return arena_string(arena, plain);
}

int main(int argc, char **argv)
{
  static const struct slice roles[] = {SLICE_INIT("user")};
  struct arena arena;
  struct slice x, y, kid, token;
  char id[UUID_TEXT_SIZE];
  arena_init(&arena);
  if (argc != 4) {
    fprintf(stderr, "usage: bench_sign USER_ID SECRET_FILE SEALED\n");
    return 2;
  }
  const char *pem = open_key(argv[2], slice_from_string(argv[3]), &arena);
  CHECK(key_public_parts(pem, &arena, &x, &y, &kid) == STATUS_OK);
  const struct token_signing_key key = {.kid = arena_string(&arena, kid), .private_pem = pem};
  int64_t now = clock_wall_us() / 1000000;
  uuid_v7(id);
  const struct token_claims claims = {.subject = slice_from_string(argv[1]),
                                      .id = slice_from_string(id),
                                      .roles = roles,
                                      .role_count = 1,
                                      .issued_at = now,
                                      .expires_at = now + LIFETIME_S};
  CHECK(token_sign(&key, "bulkhead", "bulkhead", &claims, &arena, &token) == STATUS_OK);
  printf(SLICE_FMT "\n", SLICE_ARG(token));
  arena_free(&arena);
  return 0;
}
