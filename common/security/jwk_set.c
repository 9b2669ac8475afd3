// Reads JWK sets with the strict reader of tokens: a member that comes twice is an error.
#include "common/security/jwk_set_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/base/compiler.h"
#include "common/security/token_json_internal.h"

#define SET_MAX_DEPTH 8
#define MAX_KEYS_BYTES 65536

struct jwk {
  struct slice kty, crv, kid, x, y;
};

static bool read_kty(struct jsontext_reader *reader, void *target)
{
  return token_read_string(reader, &((struct jwk *)target)->kty);
}

static bool read_crv(struct jsontext_reader *reader, void *target)
{
  return token_read_string(reader, &((struct jwk *)target)->crv);
}

static bool read_kid(struct jsontext_reader *reader, void *target)
{
  return token_read_string(reader, &((struct jwk *)target)->kid);
}

static bool read_x(struct jsontext_reader *reader, void *target)
{
  return token_read_string(reader, &((struct jwk *)target)->x);
}

static bool read_y(struct jsontext_reader *reader, void *target)
{
  return token_read_string(reader, &((struct jwk *)target)->y);
}

static const struct token_member key_members[] = {
    {"kty", read_kty}, {"crv", read_crv}, {"kid", read_kid}, {"x", read_x}, {"y", read_y},
};

// Tells whether another element of the array follows. The reader has no look-ahead, so the next byte says it.
static bool has_element(const struct jsontext_reader *reader)
{
  size_t at = reader->offset;
  while (at < reader->input.size && (strchr(" \t\r\n,", reader->input.data[at]) != NULL))
    at++;
  return at < reader->input.size && reader->input.data[at] == '{';
}

static bool read_keys(struct jsontext_reader *reader, void *target)
{
  struct jwk_set *set = target;
  if (jsontext_read(reader) != JSONTEXT_ARRAY_BEGIN)
    return false;
  while (has_element(reader)) {
    struct jwk key = {0};
    if (!token_read_object(reader, key_members, ARRAY_LEN(key_members), &key))
      return false;
    if (!slice_equal_string(key.kty, "EC") || !slice_equal_string(key.crv, "P-256"))
      continue;
    if (set->count == TOKEN_MAX_KEYS)
      return false;
    set->keys[set->count++] = (struct token_public_key){.kid = key.kid, .x = key.x, .y = key.y};
  }
  return jsontext_read(reader) == JSONTEXT_ARRAY_END;
}

static const struct token_member set_members[] = {{"keys", read_keys}};

enum status jwk_set_parse(struct slice json, struct arena *arena, struct jwk_set *out, struct error *error)
{
  out->count = 0;
  if (token_read_document(json, SET_MAX_DEPTH, arena, set_members, ARRAY_LEN(set_members), out))
    return STATUS_OK;
  return error_set(error, STATUS_INVALID_ARGUMENT,
                   "this is not a JWK set of at most %d keys, such as "
                   "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"item\",\"x\":\"...\",\"y\":\"...\"}]}",
                   TOKEN_MAX_KEYS);
}

bool jwk_set_is_path(const char *keys)
{
  return keys[strspn(keys, " \t\r\n")] != '{';
}

enum status jwk_set_read_file(const char *path, struct arena *arena, struct slice *out, struct error *error)
{
  char *text = arena_alloc(arena, MAX_KEYS_BYTES + 1);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t size = fd < 0 ? -1 : read(fd, text, MAX_KEYS_BYTES + 1);
  int failure = errno;
  if (fd >= 0)
    close(fd);
  if (size < 0)
    return error_set(error, STATUS_INVALID_ARGUMENT, "%s: %s", path, strerror(failure));
  if (size > MAX_KEYS_BYTES)
    return error_set(error, STATUS_INVALID_ARGUMENT, "%s has more than %d bytes", path, MAX_KEYS_BYTES);
  *out = slice_make(text, (size_t)size);
  return STATUS_OK;
}
