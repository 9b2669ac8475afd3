// Host names for tests, and PostgreSQL and Redis on TCP behind them. The libraries call this program's getaddrinfo in
// place of libc's. It knows:
//
//   one.test     127.0.0.1
//   two.test     127.0.0.2, where nobody listens, then 127.0.0.1
//   absent.test  does not exist until names_appear
//   silent.test  no answer until names_release
//
// libc resolves every other name.
#ifndef BULKHEAD_TESTS_COMPONENT_STORAGE_NAMES_H
#define BULKHEAD_TESTS_COMPONENT_STORAGE_NAMES_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

void names_appear(void);
void names_release(void);
// The first counts the names that were resolved since the start; the second only those resolved on the loop's thread.
size_t names_looked_up(void);
size_t names_looked_up_in_place(void);

// A process that forwards connections from a port of 127.0.0.1 to a server's unix socket.
struct front {
  int pid;
  uint16_t port;
  atomic_int *signals;  // that it has handled; shared with it
};
void front_open(struct front *front, const char *socket_path);
void front_close(struct front *front);
// Lets the front's host vanish: what is sent to it is swallowed, whether it opens a connection or comes on an open one.
void front_vanish(const struct front *front);
void front_return(const struct front *front);

#endif
