// A client that makes requests without a pause, one at a time, while a test does something to the stack. It has an item
// of its own.
#ifndef BULKHEAD_TESTS_SUPPORT_STEADY_CLIENT_H
#define BULKHEAD_TESTS_SUPPORT_STEADY_CLIENT_H

#include <stddef.h>

#include "tests/support/http.h"

struct steady_client;

enum steady_requests {
  STEADY_READS,
  STEADY_READS_AND_WRITES,  // every fifth request changes the item
};

// Creates an item of `owner`, and starts the client on a thread of its own.
struct steady_client *steady_client_start(const struct account *owner, enum steady_requests requests);
// Returns the path of the item.
const char *steady_client_path(const struct steady_client *client);
// Waits until the client has had answers to `requests` more.
void steady_client_await(const struct steady_client *client, size_t requests);
// Stops the client, and asserts that at most `tolerated` requests were answered with anything but 200. Nulls the
// pointer.
void steady_client_end(struct steady_client **client, size_t tolerated);

#endif
