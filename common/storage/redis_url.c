// Parses "redis://[user:password@]host[:port][/database]" and "unix:///path[?db=database]".
#include <stdlib.h>
#include <string.h>

#include "common/base/codec.h"
#include "common/base/memory.h"
#include "common/base/strbuf.h"
#include "common/storage/redis_internal.h"

enum { DEFAULT_PORT = 6379, MAX_DATABASE = 1000000 };

static bool decode_text(struct slice text, char **out)
{
  struct strbuf plain;
  strbuf_init(&plain, 0);
  bool good = percent_decode(text, false, &plain) && memchr(strbuf_cstring(&plain), '\0', plain.size) == NULL;
  if (good && plain.size > 0)
    *out = memory_copy_text(strbuf_slice(&plain));
  if (plain.data != NULL)
    explicit_bzero(plain.data, plain.size);
  strbuf_free(&plain);
  return good;
}

static bool parse_database(struct slice text, unsigned *database)
{
  uint64_t number = 0;
  if (text.size == 0)
    return true;
  if (!slice_to_uint64(text, 0, MAX_DATABASE, &number))
    return false;
  *database = (unsigned)number;
  return true;
}

static bool parse_userinfo(struct slice userinfo, struct redis_address *address)
{
  size_t colon = slice_find(userinfo, ':', 0);
  return decode_text(slice_make(userinfo.data, colon), &address->user) &&
         decode_text(slice_skip(userinfo, colon + 1), &address->password);
}

static bool parse_host(struct slice text, struct redis_address *address)
{
  bool bracketed = text.size > 0 && text.data[0] == '[';
  size_t end = bracketed ? slice_find(text, ']', 0) : slice_find(text, ':', 0);
  struct slice host = bracketed ? slice_make(text.data + 1, end - 1) : slice_make(text.data, end);
  if (bracketed && end == text.size)
    return false;
  struct slice rest = slice_skip(text, end + (bracketed ? 1 : 0));
  uint64_t port = DEFAULT_PORT;
  if (rest.size > 0 && (rest.data[0] != ':' || !slice_to_uint64(slice_skip(rest, 1), 1, UINT16_MAX, &port)))
    return false;
  address->port = (uint16_t)port;
  return host.size > 0 && slice_find(host, '%', 0) == host.size && decode_text(host, &address->host);
}

static enum status parse_network(struct slice rest, struct redis_address *address, struct error *error)
{
  size_t slash = slice_find(rest, '/', 0);
  struct slice authority = slice_make(rest.data, slash);
  if (!parse_database(slice_skip(rest, slash + 1), &address->database))
    return error_set(error, STATUS_INVALID_ARGUMENT, "Redis URL: the part after the host must be a database number");
  // The last '@' ends the user information, because a password that was not escaped may hold others.
  size_t at = authority.size;
  for (size_t i = 0; i < authority.size; i++)
    if (authority.data[i] == '@')
      at = i;
  if (at < authority.size) {
    if (!parse_userinfo(slice_make(authority.data, at), address))
      return error_set(error, STATUS_INVALID_ARGUMENT, "Redis URL: user or password has a broken %%XX");
    authority = slice_skip(authority, at + 1);
  }
  if (!parse_host(authority, address))
    return error_set(error, STATUS_INVALID_ARGUMENT, "Redis URL: host or port is malformed, write redis://host:6379/0");
  return STATUS_OK;
}

static enum status parse_unix(struct slice rest, struct redis_address *address, struct error *error)
{
  size_t mark = slice_find(rest, '?', 0);
  struct slice query = slice_skip(rest, mark + 1);
  if (mark == 0 || rest.data[0] != '/')
    return error_set(error, STATUS_INVALID_ARGUMENT, "Redis URL: write unix:///path/of/the.sock");
  if (query.size > 0 &&
      (!slice_starts_with(query, SLICE("db=")) || !parse_database(slice_skip(query, 3), &address->database)))
    return error_set(error, STATUS_INVALID_ARGUMENT, "Redis URL: after '?' only db=<number> is known");
  address->unix_path = memory_copy_text(slice_make(rest.data, mark));
  return STATUS_OK;
}

enum status redis_url_parse(const char *url, struct redis_address *address, struct error *error)
{
  *address = (struct redis_address){0};
  struct slice text = slice_from_string(url);
  enum status status = STATUS_INVALID_ARGUMENT;
  if (slice_starts_with(text, SLICE("redis://")))
    status = parse_network(slice_skip(text, strlen("redis://")), address, error);
  else if (slice_starts_with(text, SLICE("unix://")))
    status = parse_unix(slice_skip(text, strlen("unix://")), address, error);
  else
    error_set(error, status, "Redis URL: it must begin with redis:// or unix:// (TLS is not supported)");
  if (status != STATUS_OK)
    redis_address_clear(address);
  return status;
}

void redis_address_clear(struct redis_address *address)
{
  if (address->password != NULL)
    explicit_bzero(address->password, strlen(address->password));
  free(address->password);
  free(address->user);
  free(address->host);
  free(address->unix_path);
  *address = (struct redis_address){0};
}
