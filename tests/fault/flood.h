// An attacker with thousands of connections, in a process of its own (attacker.h): each sends something at once, a
// little more every second, and is opened again about a second after the gateway has closed it.
#ifndef BULKHEAD_TESTS_FAULT_FLOOD_H
#define BULKHEAD_TESTS_FAULT_FLOOD_H

#include <stdbool.h>
#include <stddef.h>

struct flood_kind {
  const char *from;   // the first of its addresses; NULL: 127.0.0.2
  const char *first;  // what a connection sends at once; NULL: nothing
  const char *drip;   // what it sends every second after that; NULL: nothing
  size_t read_bytes;  // how much of the answers it reads a second; 0: nothing
  bool reads_all;     // it reads all at once instead
};

struct flood_counts {
  size_t attempts;    // connections that were opened, or tried to be
  size_t open;        // now
  size_t closed;      // by the gateway
  size_t longest_ms;  // the longest life of a connection that the gateway has closed
};

struct flood;

// Starts `connections` connections from `addresses` addresses. `kind` must outlive the flood.
struct flood *flood_start(const struct flood_kind *kind, size_t connections, size_t addresses);
struct flood_counts flood_count(struct flood *flood);
// Waits until so many connections have been tried.
void flood_await_attempts(struct flood *flood, size_t attempts);
// Waits until the gateway has closed so many.
void flood_await_closed(struct flood *flood, size_t closed);
// Fails the test where the system has refused the flood a socket.
void flood_stop(struct flood **flood);

#endif
