// The protocol of Connect for calls without streams (https://connectrpc.com/docs/protocol): a message in JSON or
// protobuf is the whole body, and an error is JSON with the HTTP status that stands for its code.
#include <ctype.h>

#include "common/base/codec.h"
#include "common/base/jsontext_writer.h"
#include "gateway/connect_internal.h"
#include "gateway/grpc_status.h"
#include "gateway/reply_internal.h"

// ---- the request ----

enum step_result connect_translate_json(struct exchange *exchange, struct arena *arena)
{
  struct violations violations;
  violations_init(&violations, arena);
  const struct transcode_json_request request = {.method = exchange_method(exchange),
                                                 .json = exchange->message,
                                                 .header = exchange->input.header,
                                                 .header_arg = exchange->input.header_arg};
  if (transcode_request_from_json(&request, arena, &exchange->wire, &violations) != STATUS_OK)
    return exchange_refuse_violations(exchange, &violations);
  exchange->message = strbuf_slice(&exchange->wire);
  return STEP_NEXT;
}

static enum step_result translate_json(struct exchange *exchange)
{
  return connect_translate_json(exchange, &exchange->arena);
}

// ---- errors ----

// Writes a code as Connect names it: as the canonical codes are named, in lower case, but for one.
static void write_code(struct jsontext_writer *json, enum status code)
{
  char name[32] = "canceled";
  if (code != STATUS_CANCELLED) {
    const char *canonical = status_name(code);
    size_t size = 0;
    for (; size < sizeof(name) - 1 && canonical[size] != '\0'; size++)
      name[size] = (char)tolower((unsigned char)canonical[size]);
    name[size] = '\0';
  }
  jsontext_key_string(json, "code", slice_from_string(name));
}

static void write_details(struct jsontext_writer *json, const struct problem *problem, uint32_t retry_after_ms)
{
  struct strbuf details, text;
  strbuf_init(&details, 0);
  strbuf_init(&text, 0);
  grpc_details_write(problem, retry_after_ms, SIZE_MAX, &details);
  jsontext_key(json, SLICE("details"));
  jsontext_begin_array(json);
  struct slice rest = strbuf_slice(&details), type, value;
  while (grpc_detail_read(&rest, &type, &value)) {
    strbuf_clear(&text);
    grpc_binary_write(value, &text);
    jsontext_begin_object(json);
    jsontext_key_string(json, "type", type);
    jsontext_key_string(json, "value", strbuf_slice(&text));
    jsontext_end_object(json);
  }
  jsontext_end_array(json);
  strbuf_free(&text);
  strbuf_free(&details);
}

void connect_write_error(struct jsontext_writer *json, const struct problem *problem, uint32_t retry_after_ms)
{
  jsontext_begin_object(json);
  write_code(json, protocol_failure_code(problem));
  jsontext_key_string(json, "message", problem_sentence(problem));
  write_details(json, problem, retry_after_ms);
  jsontext_end_object(json);
}

// Returns the HTTP status of a failure: that of its code, but where HTTP itself asks for another one, and where a
// client that sees the status alone would take it for another failure.
static int choose_status(const struct problem *problem)
{
  switch (problem->http_status) {
  case 404:
  case 405:
  case 415:
  case 505:
    return problem->http_status;
  default:
    return status_http(protocol_failure_code(problem));
  }
}

enum step_result connect_fail(struct exchange *exchange, const struct problem *problem, uint32_t retry_after_ms)
{
  struct jsontext_writer json;
  strbuf_clear(&exchange->out);
  jsontext_writer_init(&json, &exchange->out);
  connect_write_error(&json, problem, retry_after_ms);
  exchange_finish_reply(exchange, choose_status(problem), "application/json", NO_STORE);
  exchange->reply.outcome = problem->http_status;
  return STEP_REPLIED;
}

// ---- success ----

// Adds the headers of a reply to a GET, which caches may keep. STEP_NEXT where a body follows.
static enum step_result begin_reply(struct exchange *exchange, struct slice response)
{
  struct slice etag;
  if (slice_equal(exchange->input.method, SLICE("POST")))
    return STEP_NEXT;
  if (!reply_add_response_headers(exchange, exchange_method(exchange)->output, response, &etag))
    return exchange_fail_unfit(exchange);
  return reply_judge_conditions(exchange, etag);
}

static enum step_result succeed_json(struct exchange *exchange, struct slice response)
{
  struct transcode_body body = {
      .message = exchange_method(exchange)->output, .wire = response, .objects_are_texts = true};
  enum step_result result = begin_reply(exchange, response);
  return result == STEP_NEXT ? reply_write_json(exchange, &body) : result;
}

static enum step_result succeed_proto(struct exchange *exchange, struct slice response)
{
  struct slice passed;
  enum step_result result = begin_reply(exchange, response);
  if (result != STEP_NEXT)
    return result;
  if (transcode_response_to_wire(exchange_method(exchange)->output, response, &exchange->wire, &passed) != STATUS_OK)
    return exchange_fail_unfit(exchange);
  strbuf_clear(&exchange->out);
  strbuf_add(&exchange->out, passed);
  exchange_finish_reply(exchange, 200, "application/proto", reply_cache_control(exchange));
  return STEP_REPLIED;
}

const struct protocol protocol_connect_json = {
    .number = PROTOCOL_CONNECT,
    .success_status = 200,
    .find_method = connect_find_method,
    .begin_body = connect_begin_body,
    .judge_body = connect_judge_body,
    .translate = translate_json,
    .succeed = succeed_json,
    .fail = connect_fail,
};

const struct protocol protocol_connect_proto = {
    .number = PROTOCOL_CONNECT,
    .success_status = 200,
    .find_method = connect_find_method,
    .begin_body = connect_begin_body,
    .judge_body = connect_judge_body,
    .translate = protocol_translate_wire,
    .succeed = succeed_proto,
    .fail = connect_fail,
};
