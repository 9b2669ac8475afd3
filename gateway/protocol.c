// Finds the protocol of a request, and holds what protocols share that name a method by a path
// "/package.Service/Method" and may bring protobuf bytes.
#include "gateway/connect_internal.h"
#include "gateway/grpc_internal.h"
#include "gateway/gzip.h"
#include "gateway/protocol_internal.h"

// Little is taken of what expands, because the room for bodies is counted by what has come, and the worker does nothing
// else meanwhile.
#define MAX_EXPANDED_BYTES (512u * 1024)

const struct contract_method *protocol_find_callable(const struct gateway *gateway, struct slice path)
{
  if (path.size == 0)
    return NULL;
  struct slice name = slice_skip(path, 1);
  const struct contract_method *method = contract_method_by_name(gateway->api->contract, name);
  bool is_callable = method != NULL && method->policy.access != ACCESS_INTERNAL;
  return is_callable ? method : own_services_find(gateway->own, name);
}

// Tells whether a path is as those of calls are: "/package.Service/Method". Those of routes are not, so that little is
// looked up for them.
static bool has_form_of_call(struct slice path)
{
  if (path.size < 2)
    return false;
  size_t slash = slice_find(path, '/', 1);
  return slash < path.size && slice_find(path, '/', slash + 1) == path.size && slice_find(path, '.', 1) < slash;
}

// Tells whether a request means Connect: its path names a method, or says of itself that it is a call.
static bool means_connect(const struct gateway *gateway, const struct exchange_input *input)
{
  if (!has_form_of_call(input->path))
    return false;
  return protocol_find_callable(gateway, input->path) != NULL || connect_is_announced(input);
}

const struct protocol *protocol_find(const struct gateway *gateway, const struct exchange_input *input)
{
  switch (grpc_read_type(input->content_type)) {
  case GRPC_TYPE_NATIVE:
    return input->is_http2 ? &protocol_grpc : &protocol_rest;
  case GRPC_TYPE_WEB:
    return &protocol_grpc_web;
  case GRPC_TYPE_WEB_TEXT:
    return &protocol_grpc_web_text;
  case GRPC_TYPE_NONE:
    break;
  }
  return means_connect(gateway, input) ? connect_choose(input) : &protocol_rest;
}

const char *protocol_allow(const struct gateway *gateway, struct slice path)
{
  const struct contract_method *method = protocol_find_callable(gateway, path);
  if (method == NULL)
    return NULL;
  return method->no_side_effects && !protocol_streams(method) ? "GET, HEAD, POST, OPTIONS" : "POST, OPTIONS";
}

enum step_result protocol_find_method(struct exchange *exchange)
{
  const struct contract_method *method = protocol_find_callable(exchange->gateway, exchange->input.path);
  const char *problem = NULL;
  if (method == NULL)
    problem = "there is no such method; the path must be /package.Service/Method";
  else if (method->client_streams && exchange->protocol->read == NULL)
    problem = "the method takes a stream of messages, which this protocol does not have; call it by gRPC "
              "or Connect";
  else if (method->server_streams && exchange->protocol->put == NULL)
    problem = "the method sends a stream of messages, which this protocol does not have; call it by gRPC "
              "or Connect";
  if (problem != NULL)
    return exchange_fail(exchange, &(struct failure){.code = STATUS_UNIMPLEMENTED,
                                                     .http_status = 404,
                                                     .reason = "NO_SUCH_METHOD",
                                                     .detail = slice_from_string(problem)});
  exchange->method = method;
  return STEP_NEXT;
}

size_t protocol_body_limit(const struct protocol *protocol, const struct contract_method *method)
{
  size_t limit = method->max_body_bytes + protocol->framing_bytes;
  return protocol->is_base64 ? (limit + 2) / 3 * 4 : limit;
}

enum step_result protocol_refuse(struct exchange *exchange, enum status code, const char *detail)
{
  return exchange_fail(exchange, &(struct failure){.code = code,
                                                   .http_status = 400,
                                                   .reason = "INVALID_REQUEST",
                                                   .detail = slice_from_string(detail)});
}

enum step_result protocol_expand(struct exchange *exchange, struct slice compressed, struct slice *message)
{
  uint32_t max_bytes = exchange_method(exchange)->max_body_bytes;
  if (max_bytes > MAX_EXPANDED_BYTES)
    max_bytes = MAX_EXPANDED_BYTES;
  struct strbuf *out = &exchange->plain;
  strbuf_clear(out);
  out->max_size = max_bytes;
  bool is_whole = gzip_expand(compressed, out);
  bool is_too_large = out->failed;
  out->max_size = 0;
  *message = strbuf_slice(out);
  if (is_too_large)
    return exchange_fail(
        exchange,
        &(struct failure){.code = STATUS_RESOURCE_EXHAUSTED,
                          .http_status = 413,
                          .reason = "BODY_TOO_LARGE",
                          .detail = slice_from_string(arena_printf(
                              &exchange->arena, "a compressed message may expand to %u bytes at most", max_bytes))});
  return is_whole ? STEP_NEXT : protocol_refuse(exchange, STATUS_INVALID_ARGUMENT, "the message is not whole gzip");
}

enum step_result protocol_translate_wire(struct exchange *exchange)
{
  struct violations violations;
  violations_init(&violations, &exchange->arena);
  const struct transcode_wire_request request = {.method = exchange_method(exchange),
                                                 .wire = exchange->message,
                                                 .header = exchange->input.header,
                                                 .header_arg = exchange->input.header_arg};
  enum status status = transcode_request_from_wire(&request, &exchange->wire, &exchange->message, &violations);
  return status == STATUS_OK ? STEP_NEXT : exchange_refuse_violations(exchange, &violations);
}
