// Random bytes from getrandom(2), fetched in blocks and handed out in pieces.
//
// Each thread has a buffer. After a fork the child would hand out what the parent holds too, so a fork moves a counter
// on and every buffer of an older count is thrown away.
#include "common/base/random.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/random.h>

#include "common/base/check.h"

// getrandom gives up to 256 bytes whole, without being interrupted.
#define BUFFER_BYTES 256

static _Thread_local struct {
  unsigned char bytes[BUFFER_BYTES];  // the last `left` of them are fresh, the others zero
  size_t left;
  unsigned fork_count;
} buffer;

static atomic_uint fork_count;
static pthread_once_t watch_once = PTHREAD_ONCE_INIT;

static void count_fork(void)
{
  atomic_fetch_add_explicit(&fork_count, 1, memory_order_relaxed);
}

static void watch_forks(void)
{
  CHECK(pthread_atfork(NULL, NULL, count_fork) == 0);
}

static void fill(unsigned char *out, size_t size)
{
  while (size > 0) {
    ssize_t got = getrandom(out, size, 0);
    if (got < 0) {
      // Anything but an interruption means a kernel without the call: no key may be made then.
      CHECK(errno == EINTR);
      continue;
    }
    out += got;
    size -= (size_t)got;
  }
}

static void refill(void)
{
  CHECK(pthread_once(&watch_once, watch_forks) == 0);
  buffer.fork_count = atomic_load_explicit(&fork_count, memory_order_relaxed);
  fill(buffer.bytes, sizeof(buffer.bytes));
  buffer.left = sizeof(buffer.bytes);
}

void random_bytes(void *out, size_t size)
{
  if (size == 0)
    return;
  if (size > BUFFER_BYTES / 2) {
    fill(out, size);
    return;
  }
  if (size > buffer.left || buffer.fork_count != atomic_load_explicit(&fork_count, memory_order_relaxed))
    refill();
  unsigned char *from = buffer.bytes + sizeof(buffer.bytes) - buffer.left;
  memcpy(out, from, size);
  explicit_bzero(from, size);
  buffer.left -= size;
}

uint64_t random_below(uint64_t below)
{
  CHECK(below > 0);
  // The lowest 2^64 mod below numbers are drawn again; what is left is a whole multiple of `below`.
  uint64_t threshold = (0 - below) % below;
  uint64_t value;
  do {
    random_bytes(&value, sizeof(value));
  } while (value < threshold);
  return value % below;
}
