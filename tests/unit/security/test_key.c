// Keys: PEM, coordinates, thumbprints, signatures, sealing, SHA-256.
#include <criterion/criterion.h>
#include <openssl/err.h>

#include "common/base/codec.h"
#include "common/security/ec_key_internal.h"
#include "common/security/key.h"
#include "tests/unit/security/forge.h"

#define SECRET SLICE("0123456789abcdef0123456789abcdef")

static const char p384_pem[] = "-----BEGIN PRIVATE KEY-----\n"
                               "MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDDobOqkuonPlbyP4qjZ\n"
                               "JUnKtM1gpWYEMiXA5O6i7d53ezXhG4syENFoQnwuQp8yWsihZANiAAQJGtHLreX8\n"
                               "wIzig63aqK9C03pryvKwbKc2OEc26r8qqbS2tP4nWyL63STr7KaB0FL3ovwqyzab\n"
                               "2Na0+1van6GAUBjtSe39kX8F7PI7ySNXL1ej4clTYw3zuoUGZqy1YXw=\n"
                               "-----END PRIVATE KEY-----\n";

// A key of another curve whose coordinates have 32 bytes, too.
static const char secp256k1_pem[] = "-----BEGIN PRIVATE KEY-----\n"
                                    "MIGEAgEAMBAGByqGSM49AgEGBSuBBAAKBG0wawIBAQQghOigNahLnbBAIvnR4iz+\n"
                                    "hPJLRFxZv3EB9rr8nyijkdyhRANCAATUR4oe7ECRv7h2c0A+aMIxUqukh+cCIszY\n"
                                    "Cqk0zHABtGevBZEoi8F7b+h2CHIKS3NflayC4WTslN72qk6UQPAo\n"
                                    "-----END PRIVATE KEY-----\n";

Test(key, public_parts_of_the_example_of_rfc_7515_and_its_thumbprint)
{
  struct arena arena = {0};
  struct slice x, y, kid;
  cr_assert_eq(key_public_parts(FORGE_PRIVATE_PEM, &arena, &x, &y, &kid), STATUS_OK);
  cr_assert(slice_equal_string(x, FORGE_X));
  cr_assert(slice_equal_string(y, FORGE_Y));
  // The expected thumbprint was computed with Python's hashlib, after RFC 7638.
  cr_assert(slice_equal_string(kid, "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U"));
  arena_free(&arena);
}

Test(key, generated_keys_differ_and_are_whole)
{
  struct arena arena = {0};
  const char *one, *two;
  struct slice x, y, kid, other_x, other_y, other_kid;
  cr_assert_eq(key_generate(&arena, &one), STATUS_OK);
  cr_assert_eq(key_generate(&arena, &two), STATUS_OK);
  cr_assert(slice_starts_with(slice_from_string(one), SLICE("-----BEGIN PRIVATE KEY-----\n")));
  cr_assert_eq(key_public_parts(one, &arena, &x, &y, &kid), STATUS_OK);
  cr_assert_eq(key_public_parts(two, &arena, &other_x, &other_y, &other_kid), STATUS_OK);
  cr_assert_eq(x.size, EC_COORDINATE_TEXT_SIZE);
  cr_assert_eq(y.size, EC_COORDINATE_TEXT_SIZE);
  cr_assert_not(slice_equal(x, other_x));
  cr_assert_not(slice_equal(kid, other_kid));
  struct ec_public_key *public_key;
  cr_assert_eq(ec_public_key_create(x, y, &public_key), STATUS_OK);
  ec_public_key_free(&public_key);
  cr_assert_null(public_key);
  arena_free(&arena);
}

Test(key, what_is_no_p256_private_key_is_refused)
{
  static const char *const bad[] = {
      "",
      "no pem",
      "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
      p384_pem,
      secp256k1_pem,
      // This one is encrypted; nobody may be asked for a pass phrase.
      "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0\n\nAAAA\n"
      "-----END EC PRIVATE KEY-----\n",
  };
  struct arena arena = {0};
  for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
    struct slice x, y, kid;
    cr_assert_eq(key_public_parts(bad[i], &arena, &x, &y, &kid), STATUS_INVALID_ARGUMENT, "case %zu", i);
    cr_assert_eq(ERR_peek_error(), 0, "case %zu left an error for somebody else's TLS", i);
  }
  arena_free(&arena);
}

Test(key, coordinates_must_be_a_point_of_the_curve_in_canonical_text)
{
  static const struct {
    struct slice x, y;
  } bad[] = {
      {SLICE_INIT(FORGE_Y), SLICE_INIT(FORGE_X)},                                        // not on the curve
      {SLICE_INIT(""), SLICE_INIT(FORGE_Y)},                                             // empty
      {SLICE_INIT(FORGE_X "A"), SLICE_INIT(FORGE_Y)},                                    // too long
      {SLICE_INIT("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVE"), SLICE_INIT(FORGE_Y)},   // too short
      {SLICE_INIT("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEV"), SLICE_INIT(FORGE_Y)},  // trailing bits
      {SLICE_INIT("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVE="), SLICE_INIT(FORGE_Y)},  // padding
      {SLICE_INIT(FORGE_X), SLICE_INIT("x/FEzRu9m36HLN/tue659LNpXW6pCyStikYjKIWI5a0")},  // other alphabet
      {SLICE_INIT("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
       SLICE_INIT("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")},  // zero
      {SLICE_INIT("_____________________________________v__________"), SLICE_INIT(FORGE_Y)},
  };
  for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
    struct ec_public_key *key;
    cr_assert_eq(ec_public_key_create(bad[i].x, bad[i].y, &key), STATUS_INVALID_ARGUMENT, "case %zu", i);
    cr_assert_eq(ERR_peek_error(), 0, "case %zu", i);
  }
}

Test(key, base64url_has_one_text_for_each_byte_string)
{
  static const struct {
    const char *text;
    size_t size;  // of the bytes; SIZE_MAX where the text is refused
  } cases[] = {{"", 0},
               {"AA", 1},
               {"AAA", 2},
               {"AAAA", 3},
               {"-_-_", 3},
               {"A", SIZE_MAX},
               {"AAAAA", SIZE_MAX},
               {"AB", SIZE_MAX},
               {"AAB", SIZE_MAX},
               {"AA==", SIZE_MAX},
               {"+/AA", SIZE_MAX},
               {"AA\n", SIZE_MAX},
               {"A AA", SIZE_MAX},
               {"AAAAAAAAA", SIZE_MAX}};
  for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
    struct arena arena = {0};
    struct slice bytes;
    bool decoded = base64url_decode_strict(slice_from_string(cases[i].text), &arena, &bytes);
    cr_expect_eq(decoded, cases[i].size != SIZE_MAX, "%s", cases[i].text);
    if (decoded)
      cr_expect_eq(bytes.size, cases[i].size, "%s", cases[i].text);
    arena_free(&arena);
  }
}

// The example is that of RFC 7515 appendix A.3.
Test(key, signature_of_the_example_of_rfc_7515)
{
  struct slice input = SLICE("eyJhbGciOiJFUzI1NiJ9."
                             "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt"
                             "cGxlLmNvbS9pc19yb290Ijp0cnVlfQ");
  struct slice text = SLICE("DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q");
  struct arena arena = {0};
  struct slice signature;
  struct ec_public_key *key;
  cr_assert_eq(ec_public_key_create(SLICE(FORGE_X), SLICE(FORGE_Y), &key), STATUS_OK);
  cr_assert(base64url_decode_strict(text, &arena, &signature));
  cr_assert_eq(signature.size, EC_SIGNATURE_SIZE);
  unsigned char *bytes = (unsigned char *)arena_string(&arena, signature);
  cr_assert(ec_verify_signature(key, input, bytes));
  cr_assert_not(ec_verify_signature(key, slice_skip(input, 1), bytes));
  for (size_t bit = 0; bit < 8 * EC_SIGNATURE_SIZE; bit++) {
    bytes[bit / 8] = (unsigned char)(bytes[bit / 8] ^ 1 << bit % 8);
    cr_assert_not(ec_verify_signature(key, input, bytes), "bit %zu", bit);
    bytes[bit / 8] = (unsigned char)(bytes[bit / 8] ^ 1 << bit % 8);
  }
  cr_assert_eq(ERR_peek_error(), 0);
  ec_public_key_free(&key);
  arena_free(&arena);
}

Test(key, sealed_bytes_open_again_and_differ_each_time)
{
  struct arena arena = {0};
  struct slice plain = SLICE("a private key"), one, two, opened;
  cr_assert_eq(key_seal(SECRET, "signing-key", plain, &arena, &one), STATUS_OK);
  cr_assert_eq(key_seal(SECRET, "signing-key", plain, &arena, &two), STATUS_OK);
  cr_assert_not(slice_equal(one, two));
  cr_assert_eq(key_open(SECRET, "signing-key", one, &arena, &opened), STATUS_OK);
  cr_assert(slice_equal(opened, plain));
  cr_assert_eq(key_seal(SECRET, "empty", slice_make(NULL, 0), &arena, &one), STATUS_OK);
  cr_assert_eq(key_open(SECRET, "empty", one, &arena, &opened), STATUS_OK);
  cr_assert_eq(opened.size, 0);
  arena_free(&arena);
}

Test(key, every_changed_bit_other_context_and_other_secret_keep_it_shut)
{
  struct arena arena = {0};
  struct slice sealed, opened;
  cr_assert_eq(key_seal(SECRET, "a", SLICE("plain"), &arena, &sealed), STATUS_OK);
  char *bytes = arena_alloc(&arena, sealed.size);
  memcpy(bytes, sealed.data, sealed.size);
  for (size_t bit = 0; bit < sealed.size * 8; bit++) {
    bytes[bit / 8] = (char)(bytes[bit / 8] ^ (1 << bit % 8));
    cr_assert_eq(key_open(SECRET, "a", slice_make(bytes, sealed.size), &arena, &opened), STATUS_FAILED_PRECONDITION,
                 "bit %zu", bit);
    bytes[bit / 8] = (char)(bytes[bit / 8] ^ (1 << bit % 8));
  }
  for (size_t size = 0; size < sealed.size; size++)
    cr_assert_eq(key_open(SECRET, "a", slice_make(bytes, size), &arena, &opened), STATUS_FAILED_PRECONDITION);
  cr_assert_eq(key_open(SECRET, "b", sealed, &arena, &opened), STATUS_FAILED_PRECONDITION);
  cr_assert_eq(key_open(SLICE("another secret of at least 32 bytes"), "a", sealed, &arena, &opened),
               STATUS_FAILED_PRECONDITION);
  cr_assert_eq(key_open(SECRET, "a", slice_make(bytes, sealed.size), &arena, &opened), STATUS_OK);
  arena_free(&arena);
}

// Keys that are sealed in the database must open after an upgrade.
Test(key, what_an_earlier_release_sealed_still_opens)
{
  static const char hex[] =
      "0164bbb9a2f554b0b4ff0e6eadb33179749e3431fd681db9c1e3fa5d7438f4306e471a556fa70e4768a1a71e2bc2";
  unsigned char bytes[sizeof(hex) / 2];
  struct arena arena = {0};
  struct slice opened;
  cr_assert(hex_decode(slice_from_string(hex), bytes, sizeof(bytes)));
  cr_assert_eq(key_open(SECRET, "signing-key", slice_make(bytes, sizeof(bytes)), &arena, &opened), STATUS_OK);
  cr_assert(slice_equal_string(opened, "plain"));
  arena_free(&arena);
}

Test(key, a_short_secret_seals_nothing)
{
  struct arena arena = {0};
  struct slice sealed;
  cr_assert_eq(key_seal(SLICE("31 bytes are one byte too few.."), "a", SLICE("x"), &arena, &sealed),
               STATUS_INVALID_ARGUMENT);
  arena_free(&arena);
}

// Clean-ups run in reverse order, so this one, registered first, runs after the erasing.
static void expect_erased(void *arg)
{
  const struct slice *secret = arg;
  for (size_t i = 0; i < secret->size; i++)
    CHECK(secret->data[i] == 0);
}

Test(key, an_opened_secret_and_a_new_private_key_are_erased_with_the_arena)
{
  struct arena arena = {0};
  static struct slice opened, pem;
  arena_on_free(&arena, expect_erased, &opened);
  arena_on_free(&arena, expect_erased, &pem);
  struct slice sealed;
  cr_assert_eq(key_seal(SECRET, "a", SLICE("plain"), &arena, &sealed), STATUS_OK);
  cr_assert_eq(key_open(SECRET, "a", sealed, &arena, &opened), STATUS_OK);
  const char *text;
  cr_assert_eq(key_generate(&arena, &text), STATUS_OK);
  pem = slice_from_string(text);
  cr_assert_gt(pem.size, 200);
  arena_free(&arena);
}

Test(key, sha256_of_the_example_of_fips_180)
{
  unsigned char digest[32], expected[32];
  key_sha256(SLICE("abc"), digest);
  cr_assert(
      hex_decode(SLICE("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"), expected, sizeof expected));
  cr_assert_arr_eq(digest, expected, sizeof digest);
}

Test(key, erase_zeroes)
{
  char bytes[4] = {1, 2, 3, 4};
  key_erase(bytes, 3);
  cr_assert_arr_eq(bytes, ((char[]){0, 0, 0, 4}), 4);
  key_erase(NULL, 0);
}
