#include "common/security/api_key.h"

#include <string.h>

#include "common/base/random.h"
#include "common/security/key.h"

#define PREFIX_BYTES (sizeof(API_KEY_PREFIX) - 1)
#define CHECKSUM_BYTES 6
// What the checksum is made of.
#define CHECKED_BYTES (API_KEY_BYTES - CHECKSUM_BYTES)

static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
#define BASE (sizeof(digits) - 1)

static uint32_t compute_crc(const char *text, size_t size)
{
  uint32_t crc = UINT32_MAX;
  for (size_t i = 0; i < size; i++) {
    crc ^= (unsigned char)text[i];
    for (int bit = 0; bit < 8; bit++)
      crc = (crc >> 1) ^ (UINT32_C(0xEDB88320) & (0 - (crc & 1)));
  }
  return ~crc;
}

static void write_checksum(const char *checked, char out[CHECKSUM_BYTES])
{
  uint32_t crc = compute_crc(checked, CHECKED_BYTES);
  for (size_t i = CHECKSUM_BYTES; i > 0; i--) {
    out[i - 1] = digits[crc % BASE];
    crc /= BASE;
  }
}

void api_key_make(char out[API_KEY_SIZE])
{
  memcpy(out, API_KEY_PREFIX, PREFIX_BYTES);
  for (size_t i = PREFIX_BYTES; i < CHECKED_BYTES; i++)
    out[i] = digits[random_below(BASE)];
  write_checksum(out, out + CHECKED_BYTES);
  out[API_KEY_BYTES] = '\0';
}

bool api_key_is_meant(struct slice token)
{
  return token.size >= PREFIX_BYTES && memcmp(token.data, API_KEY_PREFIX, PREFIX_BYTES) == 0;
}

static bool is_digit(char c)
{
  return c != '\0' && strchr(digits, c) != NULL;
}

bool api_key_is_well_formed(struct slice text)
{
  if (text.size != API_KEY_BYTES || !api_key_is_meant(text))
    return false;
  for (size_t i = PREFIX_BYTES; i < API_KEY_BYTES; i++)
    if (!is_digit(text.data[i]))
      return false;
  char checksum[CHECKSUM_BYTES];
  write_checksum(text.data, checksum);
  return memcmp(checksum, text.data + CHECKED_BYTES, CHECKSUM_BYTES) == 0;
}

void api_key_hash(struct slice key, unsigned char out[API_KEY_HASH_BYTES])
{
  key_sha256(key, out);
}
