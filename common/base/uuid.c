// UUIDv7 with sub-millisecond bits: RFC 9562, section 6.2, method 3.
#include "common/base/uuid.h"

#include <stdatomic.h>
#include <stdint.h>

#include "common/base/clock.h"
#include "common/base/codec.h"
#include "common/base/random.h"

// Returns 48 bits of milliseconds and 12 of their fraction as one number that only grows. Two ids of the same moment,
// or an id after the wall clock was set back, take the next number.
static uint64_t take_stamp(void)
{
  static _Atomic uint64_t last;
  uint64_t now_us = (uint64_t)clock_wall_us();
  uint64_t stamp = now_us / 1000 << 12 | now_us % 1000 * 4096 / 1000;
  uint64_t before = atomic_load_explicit(&last, memory_order_relaxed);
  uint64_t next;
  do {
    next = stamp > before ? stamp : before + 1;
  } while (!atomic_compare_exchange_weak_explicit(&last, &before, next, memory_order_relaxed, memory_order_relaxed));
  return next;
}

static void write_text(const unsigned char bytes[16], char out[UUID_TEXT_SIZE])
{
  for (unsigned i = 0; i < 16; i++) {
    if (i == 4 || i == 6 || i == 8 || i == 10)
      *out++ = '-';
    out = hex_encode(&bytes[i], 1, out);
  }
  *out = '\0';
}

void uuid_v7(char out[UUID_TEXT_SIZE])
{
  unsigned char bytes[16];
  uint64_t stamp = take_stamp();
  uint64_t high = (stamp >> 12 << 16) | 0x7000 | (stamp & 0xFFF);
  for (unsigned i = 0; i < 8; i++)
    bytes[i] = (unsigned char)(high >> (56 - 8 * i));
  random_bytes(bytes + 8, 8);
  bytes[8] = (unsigned char)((bytes[8] & 0x3F) | 0x80);
  write_text(bytes, out);
}

static bool is_hex(char digit)
{
  char letter = (char)(digit | 0x20);
  return (digit >= '0' && digit <= '9') || (letter >= 'a' && letter <= 'f');
}

bool uuid_valid(struct slice text)
{
  if (text.size != UUID_TEXT_SIZE - 1)
    return false;
  for (size_t i = 0; i < text.size; i++) {
    bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? text.data[i] != '-' : !is_hex(text.data[i]))
      return false;
  }
  return true;
}
