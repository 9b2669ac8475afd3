// Requests of Connect without streams (https://connectrpc.com/docs/protocol, "Unary (Request-Response) RPCs"): by POST
// the body is the message; a method that changes nothing may be called by GET, with the message in the query.
#include "common/base/codec.h"
#include "gateway/connect_internal.h"

#define VERSION_HEADER "Connect-Protocol-Version"

static bool is_get(const struct exchange *exchange)
{
  struct slice method = exchange->input.method;
  return slice_equal(method, SLICE("GET")) || slice_equal(method, SLICE("HEAD"));
}

// ---- the query ----

// Finds a parameter, percent-decoded in the arena; no data where it is absent. False where it is broken or comes twice.
// Parameters that the protocol does not have are passed over.
static bool find_parameter(struct exchange *exchange, struct slice name, struct slice *value)
{
  struct slice query = exchange->input.query;
  *value = (struct slice){0};
  for (size_t start = 0; start < query.size;) {
    size_t end = slice_find(query, '&', start);
    struct slice pair = slice_make(query.data + start, end - start);
    size_t equals = slice_find(pair, '=', 0);
    start = end + 1;
    if (!slice_equal(slice_make(pair.data, equals), name))
      continue;
    struct strbuf decoded;
    strbuf_init(&decoded, 0);
    bool is_good = value->data == NULL && percent_decode(slice_skip(pair, equals + 1), true, &decoded);
    *value = decoded.size == 0 ? SLICE("") : arena_copy(&exchange->arena, strbuf_slice(&decoded));
    strbuf_free(&decoded);
    if (!is_good)
      return false;
  }
  return true;
}

static bool is_announced_in_query(struct slice query)
{
  const struct slice wanted = SLICE("connect=v1");
  return slice_starts_with(query, wanted) || memmem(query.data, query.size, "&connect=v1", wanted.size + 1) != NULL;
}

// ---- which requests ----

// Whether the content type is this one, whatever its parameters.
static bool is_type(struct slice content_type, struct slice wanted)
{
  return slice_equal_ignore_case(slice_trim(slice_make(content_type.data, slice_find(content_type, ';', 0))), wanted);
}

static bool is_proto(struct slice content_type)
{
  return slice_equal_ignore_case(slice_trim(content_type), SLICE("application/proto"));
}

const struct protocol *connect_choose(const struct exchange_input *input)
{
  if (!slice_equal(input->method, SLICE("POST")))
    return &protocol_connect_json;
  if (is_type(input->content_type, SLICE("application/connect+json")))
    return &protocol_connect_stream_json;
  if (is_type(input->content_type, SLICE("application/connect+proto")))
    return &protocol_connect_stream_proto;
  return &protocol_connect_json;
}

bool connect_is_announced(const struct exchange_input *input)
{
  static const struct slice OWN_TYPES[] = {SLICE_INIT("application/proto"), SLICE_INIT("application/connect+json"),
                                           SLICE_INIT("application/connect+proto")};
  for (size_t i = 0; i < ARRAY_LEN(OWN_TYPES); i++)
    if (is_type(input->content_type, OWN_TYPES[i]))
      return true;
  if (input->header != NULL && input->header(input->header_arg, VERSION_HEADER).data != NULL)
    return true;
  return input->query.size > 0 && is_announced_in_query(input->query);
}

// ---- the method and the form of its message ----

static enum step_result refuse_form(struct exchange *exchange, const char *detail)
{
  return exchange_fail(exchange, &(struct failure){.code = STATUS_UNIMPLEMENTED,
                                                   .http_status = 415,
                                                   .reason = "UNSUPPORTED_MEDIA_TYPE",
                                                   .detail = slice_from_string(detail)});
}

enum step_result connect_refuse_type(struct exchange *exchange, const char *types, const char *detail)
{
  reply_add_header(exchange, SLICE("Accept-Post"), slice_from_string(types));
  return refuse_form(exchange, detail);
}

enum step_result connect_judge_version(struct exchange *exchange)
{
  const struct exchange_input *input = &exchange->input;
  struct slice version = input->header(input->header_arg, VERSION_HEADER);
  bool is_good = version.data == NULL || slice_equal(version, SLICE("1"));
  return is_good ? STEP_NEXT
                 : protocol_refuse(exchange, STATUS_INVALID_ARGUMENT, VERSION_HEADER " must be 1, or absent");
}

static enum step_result judge_post(struct exchange *exchange)
{
  const struct exchange_input *input = &exchange->input;
  enum step_result result = connect_judge_version(exchange);
  if (result != STEP_NEXT)
    return result;
  if (is_proto(input->content_type)) {
    exchange->protocol = &protocol_connect_proto;
    return STEP_NEXT;
  }
  if (media_type_is_json(input->content_type))
    return STEP_NEXT;
  return connect_refuse_type(exchange, CONNECT_TYPES,
                             "the content type must be application/json in UTF-8, or application/proto");
}

static enum step_result judge_get(struct exchange *exchange)
{
  struct slice version, encoding;
  if (!find_parameter(exchange, SLICE("connect"), &version) ||
      (version.data != NULL && !slice_equal(version, SLICE("v1"))))
    return protocol_refuse(exchange, STATUS_INVALID_ARGUMENT, "the parameter connect must be v1, or absent");
  if (!find_parameter(exchange, SLICE("encoding"), &encoding) || encoding.data == NULL)
    return protocol_refuse(exchange, STATUS_INVALID_ARGUMENT,
                           "the parameter encoding must come once, and say json or proto");
  if (slice_equal(encoding, SLICE("proto")))
    exchange->protocol = &protocol_connect_proto;
  else if (!slice_equal(encoding, SLICE("json")))
    return refuse_form(exchange, "the parameter encoding must be json or proto");
  return STEP_NEXT;
}

// Answers a call with streams in the form of one without.
static enum step_result refuse_unary_form(struct exchange *exchange, const char *allow)
{
  if (slice_equal(exchange->input.method, SLICE("POST")))
    return connect_refuse_type(exchange, CONNECT_STREAM_TYPES,
                               "the method has a stream of messages, so that the content type must be "
                               "application/connect+json or application/connect+proto");
  reply_add_header(exchange, SLICE("Allow"), slice_from_string(allow));
  return exchange_fail(exchange,
                       &(struct failure){.code = STATUS_UNIMPLEMENTED,
                                         .http_status = 405,
                                         .reason = "METHOD_NOT_ALLOWED",
                                         .detail = SLICE("methods with a stream of messages are called by POST")});
}

static enum step_result refuse_http_method(struct exchange *exchange, const char *allow)
{
  reply_add_header(exchange, SLICE("Allow"), slice_from_string(allow));
  bool may_change = is_get(exchange);
  return exchange_fail(exchange,
                       &(struct failure){.code = STATUS_UNIMPLEMENTED,
                                         .http_status = 405,
                                         .reason = "METHOD_NOT_ALLOWED",
                                         .detail = may_change ? SLICE("this method may change something, so that it is "
                                                                      "called by POST only")
                                                              : SLICE("calls are made by POST, or by GET where the "
                                                                      "method changes nothing")});
}

enum step_result connect_find_method(struct exchange *exchange)
{
  const struct exchange_input *input = &exchange->input;
  const char *allow = protocol_allow(exchange->gateway, input->path);
  // A preflight does not say which protocol the request speaks that will follow.
  if (allow != NULL && slice_equal(input->method, SLICE("OPTIONS")))
    return exchange_describe(exchange, slice_from_string(allow));
  const struct contract_method *method = protocol_find_callable(exchange->gateway, input->path);
  if (method != NULL && protocol_streams(method))
    return refuse_unary_form(exchange, allow);
  enum step_result found = protocol_find_method(exchange);
  if (found != STEP_NEXT)
    return found;
  if (slice_equal(input->method, SLICE("POST")))
    return judge_post(exchange);
  if (is_get(exchange) && exchange_method(exchange)->no_side_effects)
    return judge_get(exchange);
  return refuse_http_method(exchange, allow);
}

// ---- the message ----

// Tells whether what has come is compressed by gzip; refuses any other coding. `where` names what says it.
static enum step_result judge_coding(struct exchange *exchange, struct slice coding, const char *where,
                                     bool *is_compressed)
{
  *is_compressed = slice_equal_ignore_case(coding, SLICE("gzip"));
  if (*is_compressed || coding.size == 0 || slice_equal_ignore_case(coding, SLICE("identity")))
    return STEP_NEXT;
  reply_add_header(exchange, SLICE("Accept-Encoding"), SLICE("gzip, identity"));
  return exchange_fail(exchange,
                       &(struct failure){.code = STATUS_UNIMPLEMENTED,
                                         .http_status = 415,
                                         .reason = "UNSUPPORTED_MEDIA_TYPE",
                                         .detail = slice_from_string(arena_printf(
                                             &exchange->arena, "%s must be gzip or identity, or absent", where))});
}

static enum step_result judge_body_coding(struct exchange *exchange, bool *is_compressed)
{
  const struct exchange_input *input = &exchange->input;
  return judge_coding(exchange, input->header(input->header_arg, "Content-Encoding"), "Content-Encoding",
                      is_compressed);
}

enum step_result connect_begin_body(struct exchange *exchange)
{
  const struct exchange_input *input = &exchange->input;
  bool is_compressed;
  if (is_get(exchange))
    return input->has_body ? protocol_refuse(exchange, STATUS_INVALID_ARGUMENT, "a GET takes no body") : STEP_NEXT;
  enum step_result result = judge_body_coding(exchange, &is_compressed);
  if (result != STEP_NEXT || !input->has_body)
    return result;
  if (input->body_bytes > exchange_method(exchange)->max_body_bytes)
    return exchange_refuse_large_body(exchange);
  return STEP_WANT_BODY;
}

// Takes the message out of the query. Its bytes lie where the values of the reply's headers come after the call.
static enum step_result read_query(struct exchange *exchange, bool *is_compressed)
{
  struct slice text, base64, coding;
  if (!find_parameter(exchange, SLICE("message"), &text) || text.data == NULL)
    return protocol_refuse(exchange, STATUS_INVALID_ARGUMENT,
                           "the parameter message must come once, with the message percent-encoded");
  if (!find_parameter(exchange, SLICE("base64"), &base64) || !find_parameter(exchange, SLICE("compression"), &coding))
    return protocol_refuse(exchange, STATUS_INVALID_ARGUMENT,
                           "the parameters base64 and compression must come once at most, percent-encoded");
  exchange->message = text;
  if (slice_equal(base64, SLICE("1"))) {
    strbuf_clear(&exchange->scratch);
    if (!base64_decode(text, &exchange->scratch))
      return protocol_refuse(exchange, STATUS_INVALID_ARGUMENT,
                             "the parameter message is not base64, as base64=1 says");
    exchange->message = strbuf_slice(&exchange->scratch);
  }
  if (exchange->message.size > exchange_method(exchange)->max_body_bytes)
    return exchange_refuse_large_body(exchange);
  return judge_coding(exchange, coding, "the parameter compression", is_compressed);
}

enum step_result connect_judge_body(struct exchange *exchange)
{
  bool is_compressed;
  exchange->message = exchange->body;
  enum step_result result =
      is_get(exchange) ? read_query(exchange, &is_compressed) : judge_body_coding(exchange, &is_compressed);
  // Nothing is never compressed.
  if (result != STEP_NEXT || !is_compressed || exchange->message.size == 0)
    return result;
  return protocol_expand(exchange, exchange->message, &exchange->message);
}
