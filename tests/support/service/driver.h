// An RPC client for tests: it talks to one service as the gateway or another service would.
#ifndef BULKHEAD_TESTS_SUPPORT_SERVICE_DRIVER_H
#define BULKHEAD_TESTS_SUPPORT_SERVICE_DRIVER_H

#include <protobuf-c/protobuf-c.h>

#include "common/base/arena.h"
#include "common/rpc/rpc_client.h"

// A client that speaks to one service. Everything in results lives in its arena.
struct driver {
  struct arena arena;
  struct service_identity *identity;
  const char *service;  // whom it calls
  struct rpc_client *client;
  // The token that was sent last, and whose it is.
  struct slice token;
  struct slice user;
  size_t user_roles;
  int64_t user_auth_time;
  struct slice user_session;
};

struct outcome {
  struct driver *driver;
  struct rpc_call *call;
  bool done;
  enum status status;
  struct slice message;
  struct slice reason;
  uint32_t retry_after_ms;
  size_t violation_count;
  struct slice violation_field;  // of the first violation
  struct slice violation_description;
  struct slice payload;
};

// Notes which service takes calls at `url`, because a client that connects must name it. Both texts are copied.
void driver_know(const char *url, const char *service);
// `url` is that of a service whose process was given to driver_know, `as` the name that the client proves. Connected
// when it returns: a call waits for that a second only, which a busy machine may take.
void driver_open(struct driver *driver, const char *url, const char *as);
void driver_close(struct driver *driver);

// Returns the context with an access token of its user, unless it has one; NULL is that of nobody.
struct rpc_context driver_authenticate(struct driver *driver, const struct rpc_context *context);
// Begins a call with a payload; `outcome` is filled when it ends. The user of the context (caller_id, caller_roles,
// caller_auth_time, caller_session) goes along as an access token, unless the context has one.
void driver_begin(struct driver *driver, const char *method, struct slice payload, const struct rpc_context *context,
                  uint64_t timeout_ms, struct outcome *outcome);
void driver_finish(struct driver *driver, const struct outcome *outcome);

// A call that is begun later, with all that goes along. Its request lives in the driver's arena.
struct prepared_call {
  struct driver *driver;
  const char *method;
  struct slice request;
  struct rpc_context context;
};
struct prepared_call driver_prepare(struct driver *driver, const char *method, const ProtobufCMessage *request,
                                    const struct rpc_context *context);
// Begins a prepared call with a timeout of 30 s.
void driver_begin_prepared(const struct prepared_call *call, struct outcome *outcome);

// Runs the client once; waits up to a second for something to happen.
void driver_turn(struct driver *driver);
// Runs the client until the service has closed the connection.
void driver_wait_lost(struct driver *driver);
// Makes a call with a message and a timeout of 10 s, and returns its outcome.
struct outcome driver_call(struct driver *driver, const char *method, const ProtobufCMessage *request,
                           const struct rpc_context *context);
ProtobufCMessage *driver_reply(const struct outcome *outcome, const ProtobufCMessageDescriptor *descriptor);
struct slice driver_pack(struct driver *driver, const ProtobufCMessage *message);

#endif
