// The client data of a passkey: the JSON that a browser makes and the authenticator signs the hash of.
#include "common/base/codec.h"
#include "common/base/jsontext_reader.h"
#include "common/base/strbuf.h"
#include "common/security/webauthn_internal.h"

// Level 2 has one object in it (tokenBinding); browsers may add more.
#define MAX_DEPTH 8

// Reads the value of a key that must be a text and must come once.
static bool read_text(struct jsontext_reader *reader, struct slice *text)
{
  if (text->data != NULL || jsontext_read(reader) != JSONTEXT_STRING)
    return false;
  *text = reader->text;
  if (text->data == NULL)
    text->data = "";
  return true;
}

static bool read_flag(struct jsontext_reader *reader, bool *seen, bool *flag)
{
  enum jsontext_token token = jsontext_read(reader);
  if (*seen || (token != JSONTEXT_TRUE && token != JSONTEXT_FALSE))
    return false;
  *seen = true;
  *flag = token == JSONTEXT_TRUE;
  return true;
}

static bool read_member(struct jsontext_reader *reader, struct client_data *data, bool *cross_origin_seen)
{
  struct slice key = reader->text;
  if (slice_equal(key, SLICE("type")))
    return read_text(reader, &data->type);
  if (slice_equal(key, SLICE("challenge")))
    return read_text(reader, &data->challenge);
  if (slice_equal(key, SLICE("origin")))
    return read_text(reader, &data->origin);
  if (slice_equal(key, SLICE("crossOrigin")))
    return read_flag(reader, cross_origin_seen, &data->cross_origin);
  return jsontext_skip_value(reader, NULL);
}

bool client_data_read(struct slice json, struct arena *arena, struct client_data *data)
{
  *data = (struct client_data){0};
  struct jsontext_reader reader;
  jsontext_reader_init(&reader, json, MAX_DEPTH, arena);
  if (jsontext_read(&reader) != JSONTEXT_OBJECT_BEGIN)
    return false;
  bool cross_origin_seen = false;
  enum jsontext_token token = jsontext_read(&reader);
  for (; token == JSONTEXT_KEY; token = jsontext_read(&reader))
    if (!read_member(&reader, data, &cross_origin_seen))
      return false;
  return token == JSONTEXT_OBJECT_END && jsontext_read(&reader) == JSONTEXT_END && data->type.data != NULL &&
         data->challenge.data != NULL && data->origin.data != NULL;
}

static bool is_of_party(const struct webauthn_party *party, struct slice origin)
{
  for (size_t i = 0; i < party->origin_count; i++)
    if (slice_equal(party->origins[i], origin))
      return true;
  return false;
}

enum webauthn_verdict client_data_check(struct slice json, const struct webauthn_party *party, const char *type,
                                        struct arena *arena)
{
  struct client_data data;
  if (!client_data_read(json, arena, &data))
    return WEBAUTHN_BAD_CLIENT_DATA;
  if (!slice_equal_string(data.type, type))
    return WEBAUTHN_WRONG_TYPE;
  if (!is_of_party(party, data.origin))
    return WEBAUTHN_WRONG_ORIGIN;
  return data.cross_origin ? WEBAUTHN_CROSS_ORIGIN : WEBAUTHN_OK;
}

enum webauthn_verdict webauthn_read_challenge(struct slice client_data_json, struct arena *arena,
                                              struct slice *challenge)
{
  struct client_data data;
  if (!client_data_read(client_data_json, arena, &data))
    return WEBAUTHN_BAD_CLIENT_DATA;
  struct strbuf bytes;
  strbuf_init(&bytes, 0);
  bool sound = base64_decode(data.challenge, &bytes);
  *challenge = arena_copy(arena, strbuf_slice(&bytes));
  strbuf_free(&bytes);
  return sound ? WEBAUTHN_OK : WEBAUTHN_BAD_CLIENT_DATA;
}

// ---- the party ----

static bool is_domain(struct slice text)
{
  if (text.size == 0 || text.size > 253 || text.data[0] == '.' || text.data[text.size - 1] == '.')
    return false;
  for (size_t i = 0; i < text.size; i++) {
    char c = text.data[i];
    bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
    if (!plain || (c == '.' && text.data[i - 1] == '.'))
      return false;
  }
  return true;
}

static bool is_under(struct slice host, struct slice domain)
{
  if (slice_equal(host, domain))
    return true;
  return host.size > domain.size + 1 && host.data[host.size - domain.size - 1] == '.' &&
         slice_equal(slice_skip(host, host.size - domain.size), domain);
}

static bool is_localhost(struct slice host)
{
  return is_under(host, SLICE("localhost"));
}

// Reads an origin of the domain, and cuts off a default port, which browsers do not write.
static bool read_origin(struct slice *origin, struct slice domain)
{
  bool https = slice_starts_with(*origin, SLICE("https://"));
  if (!https && !slice_starts_with(*origin, SLICE("http://")))
    return false;
  struct slice authority = slice_skip(*origin, https ? 8 : 7);
  struct slice host = slice_make(authority.data, slice_find(authority, ':', 0));
  struct slice port_text = slice_skip(authority, host.size + 1);
  uint64_t port = 0;
  if (host.size < authority.size && !slice_to_uint64(port_text, 1, 65535, &port))
    return false;
  if (port == (https ? 443 : 80))
    origin->size -= port_text.size + 1;
  return is_domain(host) && is_under(host, domain) && (https || is_localhost(host));
}

static bool is_separator(char c)
{
  return c == ' ' || c == ',';
}

enum status webauthn_party_read(const char *id, const char *origins, struct arena *arena, struct webauthn_party *party,
                                const char **sentence)
{
  struct slice domain = slice_from_string(id);
  *party = (struct webauthn_party){.id = id};
  if (!is_domain(domain)) {
    *sentence = "AUTH_PASSKEY_RP_ID must be a domain in lower case, such as example.com or localhost";
    return STATUS_INVALID_ARGUMENT;
  }
  struct slice all = slice_from_string(origins);
  struct slice *list = arena_array(arena, all.size / 2 + 1, sizeof(*list));
  for (size_t at = 0; at < all.size;) {
    size_t end = at;
    while (end < all.size && !is_separator(all.data[end]))
      end++;
    struct slice origin = slice_make(all.data + at, end - at);
    at = end + 1;
    if (origin.size == 0)
      continue;
    if (!read_origin(&origin, domain)) {
      *sentence = arena_printf(arena,
                               "AUTH_PASSKEY_ORIGINS names \"" SLICE_FMT
                               "\", which must be https:// and %s or a name below it, in lower case, perhaps with a "
                               "port, and without a slash at the end (http:// on localhost only)",
                               SLICE_ARG(origin), id);
      return STATUS_INVALID_ARGUMENT;
    }
    list[party->origin_count++] = arena_copy(arena, origin);
  }
  party->origins = list;
  if (party->origin_count > 0)
    return STATUS_OK;
  *sentence = "AUTH_PASSKEY_ORIGINS must name the origins of the pages that passkeys are used on, such as "
              "https://example.com";
  return STATUS_INVALID_ARGUMENT;
}
