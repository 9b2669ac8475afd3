// Signing on libjwt. Verification is not here: libjwt accepts any algorithm that a token names, the last of two equal
// claims and every spelling of base64, and parses the key again for each token.
#include "common/security/token_issue_internal.h"

#include <jwt.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/security/ec_key_internal.h"

static bool sign_claims(jwt_t *jwt, const char *kid, const char *private_pem, const char *claims_json, char **text)
{
  if (jwt_set_alg(jwt, JWT_ALG_ES256, (const unsigned char *)private_pem, (int)strlen(private_pem)) != 0 ||
      jwt_add_header(jwt, "kid", kid) != 0 || jwt_add_grants_json(jwt, claims_json) != 0)
    return false;
  *text = jwt_encode_str(jwt);
  return *text != NULL;
}

// Tells by its length whether the signature is one of P-256, because libjwt signs with a key of any curve.
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
  bool signed_ok = sign_claims(jwt, kid, private_pem, claims_json, &text);
  jwt_free(jwt);
  if (!signed_ok)
    ERR_clear_error();  // a stale entry would be taken for an error of this thread's next TLS operation
  bool fits = signed_ok && has_es256_signature(slice_from_string(text));
  if (fits)
    *token = arena_copy(arena, slice_from_string(text));
  free(text);
  return fits ? STATUS_OK : STATUS_INVALID_ARGUMENT;
}
