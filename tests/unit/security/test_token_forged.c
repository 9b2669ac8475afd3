// Tokens that were tampered with, or made without the key.
#include <criterion/criterion.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <stdlib.h>

#include "common/security/token.h"
#include "tests/unit/security/forge.h"

static struct arena arena;
static struct token_verifier *verifier;
static struct slice good;

static void setup(void)
{
  struct error error;
  verifier =
      token_verifier_create(&(struct token_verifier_options){.issuer = FORGE_ISSUER, .audience = FORGE_AUDIENCE});
  cr_assert_eq(token_verifier_set_keys(verifier, &FORGE_KEY, 1, &error), STATUS_OK);
  good = forge_token(SLICE(FORGE_HEADER), forge_claims(NULL, NULL, &arena), &arena);
}

static void teardown(void)
{
  token_verifier_free(&verifier);
  arena_free(&arena);
}

TestSuite(token_forged, .init = setup, .fini = teardown);

// Verifies a token that is not in the cache. Tests call remember_good first, because a cached neighbour must not help.
static enum token_result verify(struct slice token)
{
  const struct token_claims *claims = NULL;
  bool cached = true;
  enum token_result result = token_verify(verifier, token, FORGE_NOW, &claims, &cached);
  cr_assert_not(cached);
  cr_assert_eq(ERR_peek_error(), 0);
  return result;
}

static void remember_good(void)
{
  cr_assert_eq(verify(good), TOKEN_VALID);
}

static struct slice with_header(const char *header)
{
  return forge_token(slice_from_string(header), forge_claims(NULL, NULL, &arena), &arena);
}

static struct slice join(struct slice head, struct slice body, struct slice tail)
{
  return slice_from_string(
      arena_printf(&arena, SLICE_FMT "." SLICE_FMT "." SLICE_FMT, SLICE_ARG(head), SLICE_ARG(body), SLICE_ARG(tail)));
}

struct parts {
  struct slice head, body, tail;
};

static struct parts parts_of(struct slice token)
{
  size_t first = slice_find(token, '.', 0), second = slice_find(token, '.', first + 1);
  return (struct parts){slice_make(token.data, first), slice_make(token.data + first + 1, second - first - 1),
                        slice_skip(token, second + 1)};
}

struct header_case {
  const char *header;
  enum token_result result;
};

static const struct header_case header_cases[] = {
    {FORGE_HEADER, TOKEN_VALID},
    {"{\"kid\":\"test-1\",\"alg\":\"ES256\"}", TOKEN_VALID},
    {"{\"alg\":\"ES256\",\"kid\":\"test-1\",\"typ\":\"jwt\"}", TOKEN_VALID},
    {"{\"alg\":\"ES256\",\"kid\":\"test-1\",\"jku\":\"https://evil.example/keys\"}", TOKEN_VALID},  // never asked
    {"{\"alg\":\"none\",\"kid\":\"test-1\"}", TOKEN_MALFORMED},
    {"{\"alg\":\"None\",\"kid\":\"test-1\"}", TOKEN_MALFORMED},
    {"{\"alg\":\"HS256\",\"kid\":\"test-1\"}", TOKEN_MALFORMED},
    {"{\"alg\":\"RS256\",\"kid\":\"test-1\"}", TOKEN_MALFORMED},
    {"{\"alg\":\"ES384\",\"kid\":\"test-1\"}", TOKEN_MALFORMED},
    {"{\"alg\":\"es256\",\"kid\":\"test-1\"}", TOKEN_MALFORMED},
    {"{\"alg\":[\"ES256\"],\"kid\":\"test-1\"}", TOKEN_MALFORMED},
    {"{\"alg\":null,\"kid\":\"test-1\"}", TOKEN_MALFORMED},
    {"{\"kid\":\"test-1\"}", TOKEN_MALFORMED},
    {"{\"alg\":\"ES256\"}", TOKEN_MALFORMED},
    {"{\"alg\":\"ES256\",\"kid\":\"\"}", TOKEN_MALFORMED},
    {"{\"alg\":\"ES256\",\"kid\":7}", TOKEN_MALFORMED},
    {"{\"alg\":\"ES256\",\"kid\":\"test-2\"}", TOKEN_UNKNOWN_KEY},
    {"{\"alg\":\"ES256\",\"kid\":\"test-1 \"}", TOKEN_MALFORMED},
    {"{\"alg\":\"ES256\",\"kid\":\"../../etc/passwd\"}", TOKEN_UNKNOWN_KEY},
    {"{\"alg\":\"ES256\",\"kid\":\"test-1\",\"typ\":\"at+jwt\"}", TOKEN_MALFORMED},
    {"{\"alg\":\"ES256\",\"kid\":\"test-1\",\"typ\":\"JWE\"}", TOKEN_MALFORMED},
    {"{\"alg\":\"ES256\",\"kid\":\"test-1\",\"crit\":[]}", TOKEN_MALFORMED},
    {"{\"alg\":\"ES256\",\"kid\":\"test-1\",\"crit\":[\"b64\"],\"b64\":false}", TOKEN_MALFORMED},
    {"{\"alg\":\"none\",\"alg\":\"ES256\",\"kid\":\"test-1\"}", TOKEN_MALFORMED},
    {"{\"alg\":\"ES256\",\"alg\":\"none\",\"kid\":\"test-1\"}", TOKEN_MALFORMED},
    {"{\"alg\":\"ES256\",\"\\u0061lg\":\"none\",\"kid\":\"test-1\"}", TOKEN_MALFORMED},
    {"{\"alg\":\"ES256\",\"kid\":\"test-1\"} ", TOKEN_VALID},
    {"{\"alg\":\"ES256\",\"kid\":\"test-1\"}x", TOKEN_MALFORMED},
    {"[]", TOKEN_MALFORMED},
    {"\"ES256\"", TOKEN_MALFORMED},
    {"{", TOKEN_MALFORMED},
    {" ", TOKEN_MALFORMED},
};

Test(token_forged, header_decides_nothing_but_the_key)
{
  for (size_t i = 0; i < ARRAY_LEN(header_cases); i++) {
    enum token_result result = verify(with_header(header_cases[i].header));
    cr_assert_eq(result, header_cases[i].result, "%s gives \"%s\"", header_cases[i].header, token_result_text(result));
  }
}

Test(token_forged, unsigned_token)
{
  struct slice body = parts_of(good).body;
  struct slice none = base64url_text(SLICE("{\"alg\":\"none\",\"kid\":\"test-1\"}"), &arena);
  cr_assert_eq(verify(join(none, body, SLICE(""))), TOKEN_MALFORMED);
  cr_assert_eq(verify(join(none, body, parts_of(good).tail)), TOKEN_MALFORMED);
  cr_assert_eq(verify(join(parts_of(good).head, body, SLICE(""))), TOKEN_MALFORMED);
}

// A known attack: HMAC with the public key, which everybody has, as the secret.
Test(token_forged, public_key_as_secret)
{
  static const char pem[] = "-----BEGIN PUBLIC KEY-----\n"
                            "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV7\n"
                            "6e8Tus9uPHvRVEXH8UTNG72bfocs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==\n"
                            "-----END PUBLIC KEY-----\n";
  struct slice body = parts_of(good).body;
  static const struct {
    const char *header;
    const EVP_MD *(*digest)(void);
  } cases[] = {{"{\"alg\":\"HS256\",\"kid\":\"test-1\"}", EVP_sha256},
               {"{\"alg\":\"HS512\",\"kid\":\"test-1\"}", EVP_sha512}};
  for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
    struct slice head = base64url_text(slice_from_string(cases[i].header), &arena);
    const char *input = arena_printf(&arena, SLICE_FMT "." SLICE_FMT, SLICE_ARG(head), SLICE_ARG(body));
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned size;
    cr_assert(HMAC(cases[i].digest(), pem, sizeof pem - 1, (const unsigned char *)input, strlen(input), mac, &size));
    cr_assert_eq(verify(join(head, body, base64url_text(slice_make(mac, size), &arena))), TOKEN_MALFORMED);
  }
}

Test(token_forged, another_key_under_our_key_id)
{
  struct error error;
  // The point -P has the same x; with it as the key nothing of P's may pass.
  struct token_public_key other = {.kid = SLICE("test-1"),
                                   .x = SLICE("MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4"),
                                   .y = SLICE("4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM")};
  cr_assert_eq(token_verifier_set_keys(verifier, &other, 1, &error), STATUS_OK);
  cr_assert_eq(verify(good), TOKEN_FORGED);
}

Test(token_forged, each_flipped_bit_anywhere)
{
  remember_good();
  char *bytes = arena_alloc(&arena, good.size);
  memcpy(bytes, good.data, good.size);
  for (size_t i = 0; i < good.size; i++)
    for (int bit = 0; bit < 8; bit += i % 16 == 0 ? 1 : 5) {
      bytes[i] = (char)(good.data[i] ^ (1 << bit));
      cr_assert_neq(verify(slice_make(bytes, good.size)), TOKEN_VALID, "byte %zu bit %d", i, bit);
      bytes[i] = good.data[i];
    }
}

Test(token_forged, cut_at_every_length)
{
  remember_good();
  for (size_t size = 0; size < good.size; size++)
    cr_assert_eq(verify(slice_make(good.data, size)), TOKEN_MALFORMED, "%zu bytes", size);
}

Test(token_forged, exchanged_parts)
{
  struct slice admin = forge_token(SLICE(FORGE_HEADER), forge_claims("roles", "[\"admin\"]", &arena), &arena);
  struct parts ours = parts_of(good), theirs = parts_of(admin);
  remember_good();
  cr_assert_eq(verify(join(theirs.head, theirs.body, ours.tail)), TOKEN_FORGED);
  cr_assert_eq(verify(join(ours.head, ours.body, theirs.tail)), TOKEN_FORGED);
}

Test(token_forged, wrong_number_of_parts_and_stray_bytes)
{
  static const struct {
    const char *before, *after;
  } cases[] = {
      {"", "."},       {".", ""}, {"", ".e30"}, {"e30.", ""}, {"", " "},   {" ", ""},    {"", "\n"},
      {"Bearer ", ""}, {"", "="}, {"", "\r\n"}, {"\t", ""},   {"", "%00"}, {"", ",e30"}, {"\xef\xbb\xbf", ""},
  };
  remember_good();
  for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
    const char *text = arena_printf(&arena, "%s" SLICE_FMT "%s", cases[i].before, SLICE_ARG(good), cases[i].after);
    cr_assert_eq(verify(slice_from_string(text)), TOKEN_MALFORMED, "case %zu", i);
  }
  cr_assert_eq(verify(SLICE("")), TOKEN_MALFORMED);
  cr_assert_eq(verify(SLICE(".")), TOKEN_MALFORMED);
  cr_assert_eq(verify(SLICE("..")), TOKEN_MALFORMED);
  cr_assert_eq(verify(SLICE("...")), TOKEN_MALFORMED);
}

Test(token_forged, zero_bytes_end_nothing)
{
  remember_good();
  char *bytes = arena_alloc(&arena, good.size + 8);
  memcpy(bytes, good.data, good.size);
  memcpy(bytes + good.size, "\0garbage", 8);
  cr_assert_eq(verify(slice_make(bytes, good.size + 1)), TOKEN_MALFORMED);
  cr_assert_eq(verify(slice_make(bytes, good.size + 8)), TOKEN_MALFORMED);
  for (size_t i = 0; i < good.size; i += 7) {
    bytes[i] = '\0';
    cr_assert_eq(verify(slice_make(bytes, good.size)), TOKEN_MALFORMED, "at %zu", i);
    bytes[i] = good.data[i];
  }
}

// The last character of a signature has unused bits; each value of them would be another spelling of the same bytes.
Test(token_forged, other_spellings_of_the_same_bytes)
{
  static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  remember_good();
  char *bytes = arena_alloc(&arena, good.size);
  memcpy(bytes, good.data, good.size);
  size_t digit = (size_t)(strchr(alphabet, good.data[good.size - 1]) - alphabet);
  cr_assert_eq(digit % 16, 0);
  for (size_t unused = 1; unused < 16; unused++) {
    bytes[good.size - 1] = alphabet[digit + unused];
    cr_assert_eq(verify(slice_make(bytes, good.size)), TOKEN_MALFORMED);
  }
  // Padding gives one more spelling.
  struct parts parts = parts_of(good);
  const char *padded = arena_printf(&arena, SLICE_FMT "==", SLICE_ARG(parts.head));
  cr_assert_eq(verify(join(slice_from_string(padded), parts.body, parts.tail)), TOKEN_MALFORMED);
}

static struct slice with_signature(const unsigned char signature[64])
{
  struct parts parts = parts_of(good);
  return join(parts.head, parts.body, base64url_text(slice_make(signature, 64), &arena));
}

// RFC 7518 does not ask for a low s, and OpenSSL makes both, so both are accepted. Tokens differ by jti, not by
// signature.
Test(token_forged, high_and_low_s_are_the_same_to_us)
{
  struct parts parts = parts_of(good);
  struct slice input = slice_make(good.data, parts.head.size + 1 + parts.body.size);
  unsigned char signature[64];
  forge_signature(input, true, signature);
  cr_assert_eq(verify(with_signature(signature)), TOKEN_VALID);
  forge_signature(input, false, signature);
  cr_assert_eq(verify(with_signature(signature)), TOKEN_VALID);
}

// CVE-2022-21449: a signature of zeros must fit nothing.
Test(token_forged, zero_and_out_of_range_signatures)
{
  unsigned char signature[64] = {0};
  cr_assert_eq(verify(with_signature(signature)), TOKEN_FORGED);
  signature[31] = 1;
  cr_assert_eq(verify(with_signature(signature)), TOKEN_FORGED);
  signature[63] = 1;
  cr_assert_eq(verify(with_signature(signature)), TOKEN_FORGED);
  memset(signature, 0xff, sizeof signature);
  cr_assert_eq(verify(with_signature(signature)), TOKEN_FORGED);
  // DER, as X.509 uses it, is another format.
  struct parts parts = parts_of(good);
  cr_assert_eq(
      verify(join(parts.head, parts.body, base64url_text(SLICE("0E\x02 12345678901234567890123456789012"), &arena))),
      TOKEN_MALFORMED);
}

Test(token_forged, too_long)
{
  struct slice huge = slice_make(arena_zalloc(&arena, 10240), 10240);
  cr_assert_eq(verify(huge), TOKEN_MALFORMED);
  char *text = arena_alloc(&arena, 10240);
  memset(text, 'A', 10240);
  cr_assert_eq(verify(slice_make(text, 10240)), TOKEN_MALFORMED);
  // The claims are too long, though correctly signed.
  const char *wide = arena_printf(&arena, "\"%04000d\"", 1);
  struct slice token = forge_token(SLICE(FORGE_HEADER), forge_claims("extra", wide, &arena), &arena);
  cr_assert_gt(token.size, TOKEN_MAX_BYTES);
  cr_assert_eq(verify(token), TOKEN_MALFORMED);
  wide = arena_printf(&arena, "\"%02500d\"", 1);
  token = forge_token(SLICE(FORGE_HEADER), forge_claims("extra", wide, &arena), &arena);
  cr_assert_lt(token.size, TOKEN_MAX_BYTES);
  cr_assert_eq(verify(token), TOKEN_VALID);
}

Test(token_forged, a_refused_token_is_not_remembered)
{
  unsigned char signature[64] = {1};
  struct slice token = with_signature(signature);
  for (int i = 0; i < 3; i++)
    cr_assert_eq(verify(token), TOKEN_FORGED);
}
