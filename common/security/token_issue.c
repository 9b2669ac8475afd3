// Tokens are written by libjwt and signed here: libjwt would parse the key's PEM again for each of them, which takes
// several times as long as the signature. Verification is not here either: libjwt accepts any algorithm that a token
// names, the last of two equal claims and every spelling of base64.
#include "common/security/token_issue_internal.h"

#include <jwt.h>
#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/codec.h"
#include "common/base/strbuf.h"
#include "common/security/ec_key_internal.h"

// Takes a text of libjwt's and adds its base64url.
static bool add_part(char *json, struct strbuf *token)
{
  if (json != NULL)
    base64url_encode(slice_from_string(json), token);
  free(json);
  return json != NULL;
}

static bool write_parts(jwt_t *jwt, const char *kid, const char *claims_json, struct strbuf *token)
{
  if (jwt_add_header(jwt, "alg", "ES256") != 0 || jwt_add_header(jwt, "kid", kid) != 0 ||
      jwt_add_header(jwt, "typ", "JWT") != 0 || jwt_add_grants_json(jwt, claims_json) != 0)
    return false;
  if (!add_part(jwt_get_headers_json(jwt, NULL), token))
    return false;
  strbuf_add_byte(token, '.');
  return add_part(jwt_get_grants_json(jwt, NULL), token);
}

enum status token_issue(const char *kid, const struct private_key *key, const char *claims_json, struct arena *arena,
                        struct slice *token)
{
  jwt_t *jwt = NULL;
  struct strbuf text;
  strbuf_init(&text, 0);
  CHECK(jwt_new(&jwt) == 0);
  bool ok = write_parts(jwt, kid, claims_json, &text);
  jwt_free(jwt);
  if (ok) {
    unsigned char signature[EC_SIGNATURE_SIZE];
    ec_sign(key, strbuf_slice(&text), signature);
    strbuf_add_byte(&text, '.');
    base64url_encode(slice_make(signature, sizeof(signature)), &text);
    *token = arena_copy(arena, strbuf_slice(&text));
  }
  strbuf_free(&text);
  return ok ? STATUS_OK : STATUS_INVALID_ARGUMENT;
}
