// The calling side of a stream, for tests that look at each message that comes.
#ifndef BULKHEAD_TESTS_SERVICE_STREAM_CLIENT_H
#define BULKHEAD_TESTS_SERVICE_STREAM_CLIENT_H

#include <protobuf-c/protobuf-c.h>

#include "tests/support/service/driver.h"

struct stream_client {
  struct driver *driver;
  struct rpc_call *call;
  size_t count;               // messages that have come
  struct slice messages[16];  // they live in the driver's arena
  bool done;
  enum status status;
  struct slice reason;
};

// Opens a stream with the one message of a method that takes one, or with NULL where the client sends any number.
void stream_client_open(struct stream_client *client, struct driver *driver, const char *method,
                        const ProtobufCMessage *request);
void stream_client_write(struct stream_client *client, const ProtobufCMessage *message);
// Waits until `count` messages have come, and returns the last of them.
ProtobufCMessage *stream_client_await(struct stream_client *client, size_t count,
                                      const ProtobufCMessageDescriptor *descriptor);
// Waits for the end of the stream, and asserts that it has this status.
void stream_client_await_end(struct stream_client *client, enum status status);

#endif
