#include "common/base/hash.h"

#include <endian.h>
#include <pthread.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/random.h"

struct siphash_key {
  uint64_t k0;
  uint64_t k1;
};

struct siphash_state {
  uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotate_left(uint64_t value, unsigned bits)
{
  return value << bits | value >> (64 - bits);
}

static inline void mix_state(struct siphash_state *s)
{
  s->v0 += s->v1;
  s->v1 = rotate_left(s->v1, 13) ^ s->v0;
  s->v0 = rotate_left(s->v0, 32);
  s->v2 += s->v3;
  s->v3 = rotate_left(s->v3, 16) ^ s->v2;
  s->v0 += s->v3;
  s->v3 = rotate_left(s->v3, 21) ^ s->v0;
  s->v2 += s->v1;
  s->v1 = rotate_left(s->v1, 17) ^ s->v2;
  s->v2 = rotate_left(s->v2, 32);
}

static inline void take_word(struct siphash_state *s, uint64_t word)
{
  s->v3 ^= word;
  mix_state(s);
  s->v0 ^= word;
}

static inline struct siphash_state begin_hash(const struct siphash_key *key)
{
  return (struct siphash_state){
      .v0 = key->k0 ^ UINT64_C(0x736f6d6570736575),
      .v1 = key->k1 ^ UINT64_C(0x646f72616e646f6d),
      .v2 = key->k0 ^ UINT64_C(0x6c7967656e657261),
      .v3 = key->k1 ^ UINT64_C(0x7465646279746573),
  };
}

// Finishes the hash. `last` is the final word: the bytes that fill no whole word, and the length modulo 256 in the top
// byte.
static inline uint64_t finish_hash(struct siphash_state *s, uint64_t last)
{
  take_word(s, last);
  s->v2 ^= 0xff;
  mix_state(s);
  mix_state(s);
  mix_state(s);
  return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

static uint64_t compute_siphash(const struct siphash_key *key, struct slice bytes)
{
  struct siphash_state s = begin_hash(key);
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
  return finish_hash(&s, last);
}

static struct siphash_key process_key;

static void make_process_key(void)
{
  random_bytes(&process_key, sizeof(process_key));
}

static const struct siphash_key *get_process_key(void)
{
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  CHECK(pthread_once(&once, make_process_key) == 0);
  return &process_key;
}

uint64_t hash_bytes(struct slice bytes)
{
  return compute_siphash(get_process_key(), bytes);
}

uint64_t hash_integers(uint64_t first, uint64_t second)
{
  struct siphash_state s = begin_hash(get_process_key());
  take_word(&s, first);
  take_word(&s, second);
  return finish_hash(&s, UINT64_C(16) << 56);
}

uint64_t hash_fingerprint(struct slice bytes)
{
  static const struct siphash_key fixed_key = {0, 0};
  return compute_siphash(&fixed_key, bytes);
}
