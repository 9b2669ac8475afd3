// The protocols that clients speak. A protocol says how a request names its method, how its body holds the message, and
// how answers and failures are written; who calls, what he may do, limits and the call itself are the same for all.
#ifndef BULKHEAD_GATEWAY_PROTOCOL_INTERNAL_H
#define BULKHEAD_GATEWAY_PROTOCOL_INTERNAL_H

#include "gateway/exchange_internal.h"

#define NO_STORE "no-store"

struct protocol {
  const char *name;      // for logs and metrics
  size_t framing_bytes;  // that a body has beside its message
  // Finds the method that the request calls.
  enum step_result (*find_method)(struct exchange *exchange);
  // Judges the request's head for its body: asks for that, or hands on where there is none.
  enum step_result (*begin_body)(struct exchange *exchange);
  // Judges the body when it has arrived.
  enum step_result (*judge_body)(struct exchange *exchange);
  // Makes exchange.message of what has come.
  enum step_result (*translate)(struct exchange *exchange);
  // Makes the reply of a response, whose bytes are valid during the call only.
  enum step_result (*succeed)(struct exchange *exchange, struct slice response);
  // Makes the reply say how the request has failed. `retry_after_ms` 0: the client is told no time.
  enum step_result (*fail)(struct exchange *exchange, const struct problem *problem, uint32_t retry_after_ms);
};

extern const struct protocol protocol_rest;
extern const struct protocol protocol_grpc;

// Returns the protocol of a request, by what its head says.
const struct protocol *protocol_find(const struct exchange_input *input);
// Tells whether the content type is that of gRPC.
bool grpc_is_meant(const struct exchange_input *input);

#endif
