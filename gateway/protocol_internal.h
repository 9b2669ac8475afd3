// The protocols that clients speak. A protocol says how a request names its method, how its body holds the message, and
// how answers and failures are written; who calls, what he may do, limits and the call itself are the same for all.
#ifndef BULKHEAD_GATEWAY_PROTOCOL_INTERNAL_H
#define BULKHEAD_GATEWAY_PROTOCOL_INTERNAL_H

#include "gateway/exchange_internal.h"

#define NO_STORE "no-store"

enum read_result {
  READ_MESSAGE,
  READ_NOTHING,  // all bytes were taken; with is_last, the stream has ended well
  READ_FAILED,
};

struct protocol {
  enum protocol_number number;
  size_t framing_bytes;  // that a body has beside its message
  bool is_base64;        // bodies are in base64, frames and all
  int success_status;    // the HTTP status of a reply in JSON that is a success; 0: the method's
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
  // Judges the request's head for the client's stream; NULL where every one will do.
  enum step_result (*begin_read)(struct exchange *exchange);
  // Takes the next message of the client's stream from `*bytes`; what is not whole yet is kept in exchange.in.
  // READ_FAILED: the reply says why. `*message` is valid until the next call.
  enum read_result (*read)(struct exchange *exchange, struct slice *bytes, bool is_last, struct slice *message);
  // Writes the head of a stream's reply.
  void (*begin_stream)(struct exchange *exchange);
  // Adds a message of the service to exchange.next. False where it does not fit its contract.
  bool (*put)(struct exchange *exchange, struct slice response);
  // Says that the stream has ended well, by trailers or in exchange.next.
  void (*end_stream)(struct exchange *exchange);
  // Adds to exchange.next what no reader takes for a message; NULL where the protocol has nothing of the kind.
  void (*beat)(struct exchange *exchange);

  // Makes the reply say how the request has failed. `retry_after_ms` 0: the client is told no time. Where the reply of
  // a stream has begun (exchange_is_streaming), its end says it.
  enum step_result (*fail)(struct exchange *exchange, const struct problem *problem, uint32_t retry_after_ms);
};

extern const struct protocol protocol_rest;
extern const struct protocol protocol_grpc;
extern const struct protocol protocol_grpc_web;
extern const struct protocol protocol_grpc_web_text;
extern const struct protocol protocol_connect_json;
extern const struct protocol protocol_connect_proto;
extern const struct protocol protocol_connect_stream_json;
extern const struct protocol protocol_connect_stream_proto;

// Returns the protocol of a request, by what its head says.
const struct protocol *protocol_find(const struct gateway *gateway, const struct exchange_input *input);
// Returns how many bytes the body of a call may have.
size_t protocol_body_limit(const struct protocol *protocol, const struct contract_method *method);
// Returns the value of the Allow header of a path that names a method, which Connect has; NULL for any other path.
const char *protocol_allow(const struct gateway *gateway, struct slice path);
// Returns the method that a path "/package.Service/Method" names, among those that can be called from outside; NULL
// where there is none.
const struct contract_method *protocol_find_callable(const struct gateway *gateway, struct slice path);
// Makes it the exchange's method, where the protocol has its streams.
enum step_result protocol_find_method(struct exchange *exchange);
// Answers a request whose form is not that of its protocol.
enum step_result protocol_refuse(struct exchange *exchange, enum status code, const char *detail);
// Expands what has come as gzip into exchange.plain.
enum step_result protocol_expand(struct exchange *exchange, struct slice compressed, struct slice *message);
// Lets the protobuf bytes of exchange.message pass, as far as JSON would.
enum step_result protocol_translate_wire(struct exchange *exchange);

// Returns the code of a failure. What HTTP has a status of its own for may have another code in REST.
static inline enum status protocol_failure_code(const struct problem *problem)
{
  return problem->http_status == 413 ? STATUS_RESOURCE_EXHAUSTED : problem->code;
}

static inline bool protocol_streams(const struct contract_method *method)
{
  return method->client_streams || method->server_streams;
}

#endif
