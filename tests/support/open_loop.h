// Clients that send by the clock: each at its own connection, at fixed times, however long answers take. What the
// gateway does to its connections shows as failures here, because nothing is repeated: not even what an HTTP library
// repeats unseen.
#ifndef BULKHEAD_TESTS_SUPPORT_OPEN_LOOP_H
#define BULKHEAD_TESTS_SUPPORT_OPEN_LOOP_H

#include <stddef.h>
#include <stdint.h>

#include "tests/support/http.h"

enum {
  OPEN_LOOP_CLIENTS = 200,     // every fourth makes a connection for each request, the others keep theirs
  OPEN_LOOP_PER_SECOND = 800,  // of all clients together; every fifth request changes the item, the others read it
};

struct open_loop;

struct open_loop_seen {
  size_t sent;
  size_t answered;  // with 200
  size_t failed;    // answered otherwise, or not at all
  size_t connections;
  uint64_t longest_gap_us;  // between two answers with 200, whosever
  uint64_t p99_us;          // from the time at which a request was due to its answer
};

// Starts the clients, which use an item of `owner`, on a thread of their own. They speak HTTP/1.1 to `url`, which is
// plain; NULL: BULKHEAD_URL.
struct open_loop *open_loop_start(const struct account *owner, const char *url);
// Waits until so many more requests were sent.
void open_loop_await(const struct open_loop *loop, size_t requests);
// Stops the clients and prints one line: what they saw during `event`. Asserts that every request was answered with
// 200. Nulls the pointer.
struct open_loop_seen open_loop_assert_unharmed(struct open_loop **loop, const char *event);

#endif
