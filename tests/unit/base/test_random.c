#include "common/base/random.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

// 16 bytes that are equal by chance happen once in 2^128 runs.
enum { KEY = 16 };

Test(random, sizes_of_every_kind_are_filled_and_no_more)
{
  // Below, at and above what the buffer serves, and what one getrandom call gives.
  static const size_t SIZES[] = {1, 7, 16, 127, 128, 129, 255, 256, 257, 1000};
  for (size_t i = 0; i < sizeof(SIZES) / sizeof(SIZES[0]); i++) {
    // After 64 rounds a byte that is written was other than zero at some time, but for one chance in 256^64.
    unsigned char seen[1001] = {0};
    for (int round = 0; round < 64; round++) {
      unsigned char bytes[1001] = {0};
      random_bytes(bytes, SIZES[i]);
      cr_assert_eq(bytes[SIZES[i]], 0, "wrote past %zu", SIZES[i]);
      for (size_t at = 0; at < SIZES[i]; at++)
        seen[at] |= bytes[at];
    }
    cr_assert_null(memchr(seen, 0, SIZES[i]), "a byte of %zu is never written", SIZES[i]);
  }
}

Test(random, the_same_bytes_do_not_come_twice)
{
  enum { COUNT = 200 };
  unsigned char keys[COUNT][KEY];
  for (int i = 0; i < COUNT; i++)
    random_bytes(keys[i], KEY);
  for (int i = 0; i < COUNT; i++)
    for (int j = i + 1; j < COUNT; j++)
      cr_assert_neq(memcmp(keys[i], keys[j], KEY), 0, "%d and %d", i, j);
}

static void read_from_child(unsigned char key[KEY])
{
  int ends[2];
  cr_assert_eq(pipe(ends), 0);
  pid_t child = fork();
  cr_assert_geq(child, 0);
  if (child == 0) {
    unsigned char bytes[KEY];
    random_bytes(bytes, sizeof(bytes));
    _exit(write(ends[1], bytes, sizeof(bytes)) == KEY ? 0 : 1);
  }
  close(ends[1]);
  cr_assert_eq(read(ends[0], key, KEY), KEY);
  close(ends[0]);
  int status;
  cr_assert_eq(waitpid(child, &status, 0), child);
  cr_assert_eq(status, 0);
}

Test(random, a_forked_child_has_bytes_of_its_own)
{
  // The parent's buffer is filled and half used, as nginx's master leaves it to its workers.
  unsigned char parent[KEY];
  unsigned char first[KEY];
  unsigned char second[KEY];
  random_bytes(parent, KEY);
  read_from_child(first);
  read_from_child(second);
  random_bytes(parent, KEY);
  cr_assert_neq(memcmp(first, second, KEY), 0, "two children share bytes");
  cr_assert_neq(memcmp(first, parent, KEY), 0, "child and parent share bytes");
  cr_assert_neq(memcmp(second, parent, KEY), 0, "child and parent share bytes");
}

static void *read_in_thread(void *arg)
{
  random_bytes(arg, KEY);
  return NULL;
}

Test(random, threads_have_bytes_of_their_own)
{
  unsigned char mine[KEY];
  unsigned char theirs[KEY];
  pthread_t thread;
  random_bytes(mine, KEY);
  cr_assert_eq(pthread_create(&thread, NULL, read_in_thread, theirs), 0);
  pthread_join(thread, NULL);
  cr_assert_neq(memcmp(mine, theirs, KEY), 0);
}

Test(random, below_covers_its_range_and_no_more)
{
  unsigned seen[6] = {0};
  for (int i = 0; i < 6000; i++) {
    uint64_t value = random_below(6);
    cr_assert_lt(value, 6);
    seen[value]++;
  }
  // 1000 of each on average; fewer than 700 is ten standard deviations away.
  for (int i = 0; i < 6; i++)
    cr_assert_gt(seen[i], 700, "%d came %u times", i, seen[i]);
  cr_assert_eq(random_below(1), 0);
}

Test(random, below_is_unbiased_where_a_plain_remainder_is_not)
{
  // With 3 * 2^62 a plain remainder gives the lowest third twice as often as the others: a half instead of a third.
  uint64_t third = UINT64_C(1) << 62;
  int low = 0;
  for (int i = 0; i < 6000; i++)
    low += random_below(3 * third) < third;
  cr_assert(low > 1700 && low < 2300, "%d of 6000 in the lowest third", low);
}

Test(random, below_0_aborts, .signal = SIGABRT)
{
  random_below(0);
}
