// The last words of a process that found its own invariant broken.
#include "common/base/check.h"

#include <stdio.h>
#include <stdlib.h>

void check_failed(const char *condition, const char *file, int line)
{
  // Standard error is unbuffered, and no logger is asked: it may be what is broken.
  fprintf(stderr, "%s:%d: check failed: %s\n", file, line, condition);
  abort();
}
