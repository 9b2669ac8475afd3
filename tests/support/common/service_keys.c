#include "tests/support/common/service_keys.h"

#include <stdio.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/compiler.h"
#include "common/base/strbuf.h"
#include "common/security/key.h"
#include "common/security/token.h"

static const char *names[16] = {"gateway", "auth", "user", "item", "probe", "test", "tester"};

static struct arena memory;
static const char *private_key;
static struct slice x, y;

const char *service_keys_private(void)
{
  struct slice thumbprint;
  if (private_key == NULL) {
    CHECK(key_generate(&memory, &private_key) == STATUS_OK);
    CHECK(key_public_parts(private_key, &memory, &x, &y, &thumbprint) == STATUS_OK);
  }
  return private_key;
}

static void add_key(struct strbuf *out, const char *name)
{
  strbuf_printf(out,
                "%s{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"%s\",\"x\":\"" SLICE_FMT "\",\"y\":\"" SLICE_FMT "\"}",
                out->data[out->size - 1] == '[' ? "" : ",", name, SLICE_ARG(x), SLICE_ARG(y));
}

// Adds a name to those that have keys, unless it is among them.
static void add_name(const char *name)
{
  size_t i = 0;
  while (i < ARRAY_LEN(names) && names[i] != NULL && strcmp(names[i], name) != 0)
    i++;
  CHECK(i < ARRAY_LEN(names));
  if (names[i] == NULL)
    names[i] = arena_string(&memory, slice_from_string(name));
}

const char *service_keys_public(const char *name)
{
  struct strbuf out;
  (void)service_keys_private();
  add_name(name);
  strbuf_init(&out, 0);
  strbuf_add_string(&out, "{\"keys\":[");
  for (size_t i = 0; i < ARRAY_LEN(names) && names[i] != NULL; i++)
    add_key(&out, names[i]);
  strbuf_add_string(&out, "]}");
  const char *text = arena_string(&memory, strbuf_slice(&out));
  strbuf_free(&out);
  return text;
}

void service_keys_write(const char *path, const char *const *listed)
{
  struct strbuf out;
  (void)service_keys_private();
  strbuf_init(&out, 0);
  strbuf_add_string(&out, "{\"keys\":[");
  for (size_t i = 0; listed[i] != NULL; i++)
    add_key(&out, listed[i]);
  strbuf_add_string(&out, "]}");
  const char *temporary = arena_printf(&memory, "%s.new", path);
  FILE *file = fopen(temporary, "we");
  CHECK(file != NULL && fputs(strbuf_cstring(&out), file) >= 0 && fclose(file) == 0 && rename(temporary, path) == 0);
  strbuf_free(&out);
}

struct service_identity *service_keys_identity(const char *name)
{
  return service_keys_identity_by(name, service_keys_public(name));
}

struct service_identity *service_keys_identity_by(const char *name, const char *public_keys)
{
  struct service_identity *identity;
  struct error error;
  const struct service_identity_options options = {
      .service = name, .private_key = service_keys_private(), .public_keys = public_keys};
  enum status status = service_identity_create(&options, &identity, &error);
  CHECK(status == STATUS_OK);
  return identity;
}

struct slice service_keys_token(struct slice user, const struct slice *roles, size_t role_count, int64_t auth_time,
                                struct slice session)
{
  static uint64_t number;
  int64_t now = clock_wall_us() / 1000000;
  const char *id = arena_printf(&memory, "test-%llu", (unsigned long long)number++);
  const struct token_claims claims = {.subject = user,
                                      .roles = roles,
                                      .role_count = role_count,
                                      .id = slice_from_string(id),
                                      .issued_at = now,
                                      .expires_at = now + 900,
                                      .session = session,
                                      .auth_time = auth_time};
  const struct token_signing_key key = {.kid = "auth", .private_pem = service_keys_private()};
  struct slice token;
  CHECK(token_sign(&key, "bulkhead", "bulkhead", &claims, &memory, &token) == STATUS_OK);
  return token;
}
