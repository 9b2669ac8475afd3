// What one argon2id hash costs in CPU, with nothing else on the machine: as many at a time as the auth service
// computes. Prints the milliseconds of CPU for each.
//
// bench_argon2 [seconds, default 3]
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/security/password.h"

// As many as auth_passwords.c computes at a time at most.
#define MAX_THREADS 4

// The defaults of AUTH_ARGON2_PASSES and AUTH_ARGON2_MEMORY.
static const struct password_cost cost = {.operations = 2, .memory_bytes = 19 << 20};

struct hasher {
  pthread_t thread;
  const char *hash;
  uint64_t end_us;
  unsigned long count;
};

static void *compare_until_end(void *arg)
{
  struct hasher *hasher = arg;
  while (clock_now_us() < hasher->end_us) {
    CHECK(password_verify(SLICE("correct horse battery"), hasher->hash) == PASSWORD_RIGHT);
    hasher->count++;
  }
  return NULL;
}

static double cpu_ms(void)
{
  struct timespec used;
  CHECK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used) == 0);
  return (double)used.tv_sec * 1e3 + (double)used.tv_nsec / 1e6;
}

int main(int argc, char **argv)
{
  struct hasher hashers[MAX_THREADS];
  char hash[PASSWORD_HASH_SIZE];
  long cores = sysconf(_SC_NPROCESSORS_ONLN);
  size_t threads = cores < 1 ? 1 : cores > MAX_THREADS ? MAX_THREADS : (size_t)cores;
  unsigned long count = 0;
  uint64_t seconds = argc > 1 ? strtoul(argv[1], NULL, 10) : 3;
  CHECK(password_hash(SLICE("correct horse battery"), &cost, hash) == STATUS_OK);
  double begin_ms = cpu_ms();
  for (size_t i = 0; i < threads; i++) {
    hashers[i] = (struct hasher){.hash = hash, .end_us = clock_now_us() + seconds * 1000000};
    CHECK(pthread_create(&hashers[i].thread, NULL, compare_until_end, &hashers[i]) == 0);
  }
  for (size_t i = 0; i < threads; i++) {
    CHECK(pthread_join(hashers[i].thread, NULL) == 0);
    count += hashers[i].count;
  }
  printf("%.2f\n", (cpu_ms() - begin_ms) / (double)count);
  return 0;
}
