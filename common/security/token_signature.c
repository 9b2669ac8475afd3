// libjwt behind two functions. What it does not check, the callers do: it takes any algorithm that the token names, the
// first of two equal claims, and every spelling of base64.
#include "common/security/token_signature.h"

#include <jwt.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/security/token.h"

bool token_signature_fits(struct slice token, const char *public_pem)
{
  char text[TOKEN_MAX_BYTES + 1];
  CHECK(token.size <= TOKEN_MAX_BYTES);
  memcpy(text, token.data, token.size);
  text[token.size] = '\0';
  jwt_t *jwt = NULL;
  int result = jwt_decode(&jwt, text, (const unsigned char *)public_pem, (int)strlen(public_pem));
  // A second look at the algorithm, by what libjwt itself used: with NONE nothing has been verified.
  bool fits = result == 0 && jwt != NULL && jwt_get_alg(jwt) == JWT_ALG_ES256;
  jwt_free(jwt);
  // A failure leaves entries in the error queue of this thread, and nginx's TLS would take them for its own.
  if (!fits)
    ERR_clear_error();
  return fits;
}

static bool sign(jwt_t *jwt, const char *kid, const char *private_pem, const char *claims_json, char **text)
{
  if (jwt_set_alg(jwt, JWT_ALG_ES256, (const unsigned char *)private_pem, (int)strlen(private_pem)) != 0 ||
      jwt_add_header(jwt, "kid", kid) != 0 || jwt_add_grants_json(jwt, claims_json) != 0)
    return false;
  *text = jwt_encode_str(jwt);
  return *text != NULL;
}

// libjwt signs with a key of any curve, and the signature's length shows which it was.
static bool has_es256_signature(struct slice token)
{
  size_t header_end = slice_find(token, '.', 0);
  size_t payload_end = slice_find(token, '.', header_end + 1);
  return token.size == payload_end + 1 + TOKEN_SIGNATURE_TEXT_SIZE;
}

enum status token_signature_make(const char *kid, const char *private_pem, const char *claims_json, struct arena *arena,
                                 struct slice *token)
{
  // OpenSSL, through libjwt, would ask for the pass phrase at the terminal.
  if (strstr(private_pem, "ENCRYPTED") != NULL)
    return STATUS_INVALID_ARGUMENT;
  jwt_t *jwt = NULL;
  CHECK(jwt_new(&jwt) == 0);
  char *text = NULL;
  bool signed_ok = sign(jwt, kid, private_pem, claims_json, &text);
  jwt_free(jwt);
  if (!signed_ok)
    ERR_clear_error();
  bool fits = signed_ok && has_es256_signature(slice_from_string(text));
  if (fits)
    *token = arena_copy(arena, slice_from_string(text));
  free(text);
  return fits ? STATUS_OK : STATUS_INVALID_ARGUMENT;
}
