// Host names of the tests' own, and PostgreSQL and Redis on TCP for them. The libraries call the getaddrinfo of this
// program in place of libc's:
//
//   one.test     127.0.0.1
//   two.test     127.0.0.2, where nobody listens, then 127.0.0.1
//   absent.test  does not exist until names_appear
//   silent.test  no answer until names_release
//
// Other names and numbers are libc's.
#ifndef BULKHEAD_TESTS_COMPONENT_STORAGE_NAMES_H
#define BULKHEAD_TESTS_COMPONENT_STORAGE_NAMES_H

#include <stddef.h>
#include <stdint.h>

void names_appear(void);
void names_release(void);
// Names that were looked up since the start; those of the thread that the tests, and so their loops, run on.
size_t names_looked_up(void);
size_t names_looked_up_in_place(void);

// Carries connections to a port of 127.0.0.1 to a server's unix socket.
struct front {
  int pid;
  uint16_t port;
};
void front_open(struct front *front, const char *socket_path);
void front_close(struct front *front);

#endif
