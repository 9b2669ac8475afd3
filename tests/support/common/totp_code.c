#include "tests/support/common/totp_code.h"

#include <criterion/criterion.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static size_t decode(const char *base32, unsigned char *bytes, size_t most)
{
  static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  uint32_t bits = 0;
  size_t count = 0, size = 0;
  for (; *base32 != '\0'; base32++) {
    const char *letter = strchr(letters, *base32);
    cr_assert_not_null(letter);
    bits = bits << 5 | (uint32_t)(letter - letters);
    count += 5;
    if (count < 8)
      continue;
    count -= 8;
    cr_assert_lt(size, most);
    bytes[size++] = (unsigned char)(bits >> count);
  }
  return size;
}

void totp_code(const char *base32, int steps, char code[7])
{
  unsigned char secret[64], message[8], hash[EVP_MAX_MD_SIZE];
  size_t size = decode(base32, secret, sizeof(secret));
  uint64_t step = (uint64_t)(time(NULL) / 30 + steps);
  for (int i = 0; i < 8; i++)
    message[i] = (unsigned char)(step >> (56 - 8 * i));
  unsigned length = 0;
  cr_assert_not_null(HMAC(EVP_sha1(), secret, (int)size, message, sizeof(message), hash, &length));
  const unsigned char *at = hash + (hash[length - 1] & 15);
  uint32_t number = ((uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3]) & 0x7fffffff;
  snprintf(code, 7, "%06u", number % 1000000);
}
