// Reports a broken invariant and ends the process.
#include "common/base/check.h"

#include <stdio.h>
#include <stdlib.h>

void check_failed(const char *condition, const char *file, int line)
{
  // The message goes straight to standard error, because the logger may be what is broken.
  fprintf(stderr, "%s:%d: check failed: %s\n", file, line, condition);
  abort();
}
