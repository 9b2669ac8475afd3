// A crowd of clients that all ask at the same time: one request each, at a connection of its own.
#ifndef BULKHEAD_TESTS_FAULT_CROWD_H
#define BULKHEAD_TESTS_FAULT_CROWD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CROWD_ANSWER_BYTES = 4096 };

struct crowd_client {
  int fd;            // -1 once the answer has ended
  int status;        // 0 without an answer
  bool unapplied;    // the request had no effect and never will
  bool retry_after;  // the answer has the header
  uint64_t sent_us;
  uint64_t ended_us;
  size_t answer_bytes;
  char answer[CROWD_ANSWER_BYTES];
};

struct crowd {
  struct crowd_client *clients;
  size_t count;  // that have sent their request
  size_t most;   // that may
  size_t answered;
  size_t refused;  // with 429
  int epoll;
};

// What the clients send: `write(arg, i)` returns the bytes of the i-th request, which must ask for "Connection: close".
struct crowd_requests {
  const char *(*write)(const void *arg, size_t i);
  const void *arg;
};

// Lets one client after the other send its request, and reads answers meanwhile, until `refused` of them were refused
// with 429. Fails the test where that has not happened a minute after `most` have sent theirs.
struct crowd *crowd_until_refused(const struct crowd_requests *requests, size_t refused, size_t most);
// Lets so many more clients send their request, within `most` of crowd_until_refused, and reads the answers that are
// there.
void crowd_add(struct crowd *crowd, const struct crowd_requests *requests, size_t count);
// Reads answers until every client has one. Fails the test after a minute.
void crowd_await_all(struct crowd *crowd);
// Prints how many were answered with what, and how long the refusals took.
void crowd_print(const struct crowd *crowd, const char *what);
// Nulls the pointer.
void crowd_free(struct crowd **crowd);

#endif
