// Signing on libjwt. Verification is not here: libjwt takes any algorithm that a token names, the last of two equal
// claims and every spelling of base64, and reads the key anew for each token.
#include "common/security/token_issue_internal.h"

#include <jwt.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/security/ec_key_internal.h"

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
  return token.size == payload_end + 1 + EC_SIGNATURE_TEXT_SIZE;
}

enum status token_issue(const char *kid, const char *private_pem, const char *claims_json, struct arena *arena,
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
    ERR_clear_error();  // or it would be taken for an error of the next TLS operation of this thread
  bool fits = signed_ok && has_es256_signature(slice_from_string(text));
  if (fits)
    *token = arena_copy(arena, slice_from_string(text));
  free(text);
  return fits ? STATUS_OK : STATUS_INVALID_ARGUMENT;
}
