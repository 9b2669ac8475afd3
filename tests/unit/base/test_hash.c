#include "common/base/hash.h"

#include <criterion/criterion.h>
#include <sys/wait.h>
#include <unistd.h>

// The vectors come from another implementation: CPython's hash of bytes is SipHash-1-3 (its key is zero under
// PYTHONHASHSEED=0).
Test(hash, a_fingerprint_is_siphash13_under_a_zero_key)
{
  static const struct {
    size_t size;
    uint64_t hash;
  } vectors[] = {{1, UINT64_C(4644417185603328019)},  {7, UINT64_C(7904145750247929094)},
                 {8, UINT64_C(4574395652268504554)},  {9, UINT64_C(17913969820989044453)},
                 {15, UINT64_C(2293029479765367930)}, {16, UINT64_C(10733781318231302930)},
                 {17, UINT64_C(7044894726457044172)}, {26, UINT64_C(3619993805786647007)}};
  for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
    cr_assert_eq(hash_fingerprint(slice_make("abcdefghijklmnopqrstuvwxyz", vectors[i].size)), vectors[i].hash, "%zu",
                 i);
}

Test(hash, integers_hash_as_their_sixteen_bytes)
{
  const uint64_t words[2] = {UINT64_C(0x0123456789abcdef), 7};
  cr_assert_eq(hash_integers(words[0], words[1]), hash_bytes(slice_make(words, sizeof(words))));
  cr_assert_neq(hash_integers(1, 2), hash_integers(2, 1));
}

// Nobody outside can know the hashes of this process; a child of it has the same, so that tables live through a fork.
Test(hash, the_key_is_the_process_own_and_is_inherited)
{
  const uint64_t here = hash_bytes(SLICE("key"));
  cr_assert_neq(here, hash_fingerprint(SLICE("key")));
  cr_assert_eq(here, hash_bytes(SLICE("key")));
  pid_t child = fork();
  if (child == 0)
    _exit(hash_bytes(SLICE("key")) == here ? 0 : 1);
  int status = -1;
  cr_assert_eq(waitpid(child, &status, 0), child);
  cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
