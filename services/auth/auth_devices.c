#include "services/auth/auth_devices.h"

#include <string.h>

#include "common/base/codec.h"
#include "common/base/random.h"
#include "common/base/strbuf.h"
#include "common/security/key.h"

#define ACCOUNT_BYTES 16
#define MAX_AGE_S (INT64_C(183) * 86400)

static char to_lower(char letter)
{
  return letter >= 'A' && letter <= 'Z' ? (char)(letter - 'A' + 'a') : letter;
}

const char *auth_devices_account(const char *secret, const char *email, struct arena *arena)
{
  struct strbuf text;
  strbuf_init(&text, 0);
  strbuf_printf(&text, "bulkhead account v1 %s ", secret);
  for (const char *letter = email; *letter != '\0'; letter++)
    strbuf_add_byte(&text, to_lower(*letter));
  unsigned char hash[32];
  key_sha256(strbuf_slice(&text), hash);
  key_erase(text.data, text.size);
  strbuf_free(&text);
  char *account = arena_alloc(arena, 2 * ACCOUNT_BYTES + 1);
  *hex_encode(hash, ACCOUNT_BYTES, account) = '\0';
  return account;
}

static const char *make_context(const struct device_scope *scope, struct arena *arena)
{
  return arena_printf(arena, "device of %s", scope->account);
}

static bool open_token(const struct device_scope *scope, struct slice sealed, struct arena *arena,
                       struct device *device)
{
  struct slice plain;
  if (key_open(slice_from_string(scope->secret), make_context(scope, arena), sealed, arena, &plain) != STATUS_OK ||
      plain.size != sizeof(device->id) + sizeof(device->issued_s))
    return false;
  memcpy(device->id, plain.data, sizeof(device->id));
  memcpy(&device->issued_s, plain.data + sizeof(device->id), sizeof(device->issued_s));
  return scope->now_ms / 1000 - device->issued_s < MAX_AGE_S;
}

bool auth_devices_read(const struct device_scope *scope, const char *token, struct arena *arena, struct device *device)
{
  struct strbuf sealed;
  strbuf_init(&sealed, 0);
  bool known = token != NULL && token[0] != '\0' && base64_decode(slice_from_string(token), &sealed) &&
               open_token(scope, strbuf_slice(&sealed), arena, device);
  strbuf_free(&sealed);
  return known;
}

enum status auth_devices_issue(const struct device_scope *scope, const struct device *device, struct arena *arena,
                               char **token)
{
  struct device issued;
  if (device == NULL)
    random_bytes(issued.id, sizeof(issued.id));
  else
    memcpy(issued.id, device->id, sizeof(issued.id));
  issued.issued_s = scope->now_ms / 1000;
  char plain[sizeof(issued.id) + sizeof(issued.issued_s)];
  memcpy(plain, issued.id, sizeof(issued.id));
  memcpy(plain + sizeof(issued.id), &issued.issued_s, sizeof(issued.issued_s));
  struct slice sealed;
  enum status status = key_seal(slice_from_string(scope->secret), make_context(scope, arena),
                                slice_make(plain, sizeof(plain)), arena, &sealed);
  if (status != STATUS_OK)
    return status;
  *token = base64url_string(sealed, arena);
  return STATUS_OK;
}
