// Reports a broken invariant and ends the process.
#include "common/base/check.h"

#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { ROOM_MS = 1000 };

// Tells whether standard error takes the message. A pipe that nobody reads must not keep the process from ending.
static bool has_room(void)
{
  struct pollfd room = {.fd = STDERR_FILENO, .events = POLLOUT};
  return poll(&room, 1, ROOM_MS) == 1;
}

void check_failed(const char *condition, const char *file, int line)
{
  // The message goes straight to standard error, because the logger may be what is broken.
  if (has_room())
    fprintf(stderr, "%s:%d: check failed: %s\n", file, line, condition);
  abort();
}
