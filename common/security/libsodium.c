// Initialises libsodium once for the process, at its first use.
#include "common/security/libsodium_internal.h"

#include <pthread.h>
#include <sodium.h>

#include "common/base/check.h"

static void initialise(void)
{
  CHECK(sodium_init() >= 0);
}

void initialise_libsodium(void)
{
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  CHECK(pthread_once(&once, initialise) == 0);
}
