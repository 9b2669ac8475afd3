// One initialisation of libsodium for the process, whoever needs it first.
#include "common/security/sodium_ready.h"

#include <pthread.h>
#include <sodium.h>

#include "common/base/check.h"

static void initialise(void)
{
  CHECK(sodium_init() >= 0);
}

void sodium_ready(void)
{
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  CHECK(pthread_once(&once, initialise) == 0);
}
