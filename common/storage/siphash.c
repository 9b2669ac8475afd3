#include "common/storage/siphash.h"

#include <endian.h>
#include <string.h>

struct state {
  uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotate(uint64_t value, unsigned bits)
{
  return value << bits | value >> (64 - bits);
}

static inline void mix(struct state *s)
{
  s->v0 += s->v1;
  s->v1 = rotate(s->v1, 13) ^ s->v0;
  s->v0 = rotate(s->v0, 32);
  s->v2 += s->v3;
  s->v3 = rotate(s->v3, 16) ^ s->v2;
  s->v0 += s->v3;
  s->v3 = rotate(s->v3, 21) ^ s->v0;
  s->v2 += s->v1;
  s->v1 = rotate(s->v1, 17) ^ s->v2;
  s->v2 = rotate(s->v2, 32);
}

static inline void take_word(struct state *s, uint64_t word)
{
  s->v3 ^= word;
  mix(s);
  s->v0 ^= word;
}

uint64_t siphash13(const struct siphash_key *key, struct slice bytes)
{
  struct state s = {
      .v0 = key->k0 ^ UINT64_C(0x736f6d6570736575),
      .v1 = key->k1 ^ UINT64_C(0x646f72616e646f6d),
      .v2 = key->k0 ^ UINT64_C(0x6c7967656e657261),
      .v3 = key->k1 ^ UINT64_C(0x7465646279746573),
  };
  size_t left = bytes.size;
  const char *at = bytes.data;
  for (; left >= 8; left -= 8, at += 8) {
    uint64_t word;
    memcpy(&word, at, 8);
    take_word(&s, le64toh(word));
  }
  uint64_t last = (uint64_t)(bytes.size & 0xff) << 56;
  for (size_t i = 0; i < left; i++)
    last |= (uint64_t)(unsigned char)at[i] << (8 * i);
  take_word(&s, last);
  s.v2 ^= 0xff;
  mix(&s);
  mix(&s);
  mix(&s);
  return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
