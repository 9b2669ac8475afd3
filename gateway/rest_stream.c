// Streams of REST. Those of a service leave as server-sent events (https://html.spec.whatwg.org/#server-sent-events),
// as lines of JSON (https://github.com/ndjson/ndjson-spec) or as a JSON array, by what the client accepts. That of a
// client comes as lines of JSON, each of them a message.
//
// The status of a reply has left before its messages. So a failure is told by an event, or by a last line or element
// that is cut off behind it: a client that reads on without looking still sees that the reply did not end.
#include "common/base/compiler.h"
#include "common/base/wire.h"
#include "gateway/accept.h"
#include "gateway/rest_internal.h"

enum stream_format { FORMAT_LINES, FORMAT_EVENTS, FORMAT_ARRAY };

static const struct slice FORMATS[] = {
    [FORMAT_LINES] = SLICE_INIT("application/x-ndjson"),
    [FORMAT_EVENTS] = SLICE_INIT("text/event-stream"),
    [FORMAT_ARRAY] = SLICE_INIT("application/json"),
};

// ---- the head ----

enum step_result rest_choose_format(struct exchange *exchange)
{
  const struct exchange_input *input = &exchange->input;
  struct slice accept = input->header == NULL ? (struct slice){0} : input->header(input->header_arg, "Accept");
  size_t chosen = accept_choose(accept, FORMATS, ARRAY_LEN(FORMATS));
  exchange->stream.format = (uint8_t)chosen;
  if (chosen < ARRAY_LEN(FORMATS))
    return STEP_NEXT;
  exchange->stream.format = FORMAT_LINES;
  return exchange_fail(exchange,
                       &(struct failure){.code = STATUS_INVALID_ARGUMENT,
                                         .http_status = 406,
                                         .reason = "NOT_ACCEPTABLE",
                                         .detail = SLICE("the stream leaves as application/x-ndjson, text/event-stream "
                                                         "or application/json; accept one of them")});
}

void rest_begin_stream(struct exchange *exchange)
{
  exchange_finish_reply(exchange, 200, NULL, NO_STORE);
  exchange->reply.content_type = FORMATS[exchange->stream.format];
  // Proxies that wait for a whole reply would hold the messages back.
  reply_add_header(exchange, SLICE("X-Accel-Buffering"), SLICE("no"));
  reply_add_header(exchange, SLICE("Vary"), SLICE("Accept"));
  if (exchange->stream.format == FORMAT_ARRAY)
    strbuf_add(&exchange->next, SLICE("["));
}

// ---- messages of the service ----

// Returns the text of the field by which a client resumes; empty where the message has none that fits a line.
static struct slice find_resume_text(const struct contract_field *field, struct slice wire)
{
  struct slice text = {0};
  struct wire_reader reader = wire_reader_make(wire);
  struct wire_field part;
  while (field != NULL && wire_read(&reader, &part) == WIRE_FIELD)
    if (part.number == field->number && part.type == WIRE_BYTES)
      text = part.bytes;
  for (size_t i = 0; i < text.size; i++)
    if ((unsigned char)text.data[i] < ' ')
      return (struct slice){0};
  return text;
}

static bool add_json(struct exchange *exchange, struct slice response)
{
  return transcode_wire_to_json(exchange_method(exchange)->output, response, &exchange->next) == STATUS_OK;
}

static bool put_event(struct exchange *exchange, struct slice response)
{
  struct strbuf *next = &exchange->next;
  struct slice id = find_resume_text(exchange_method(exchange)->resume_field, response);
  if (id.size > 0) {
    strbuf_add(next, SLICE("id: "));
    strbuf_add(next, id);
    strbuf_add(next, SLICE("\n"));
  }
  strbuf_add(next, SLICE("data: "));
  if (!add_json(exchange, response))
    return false;
  strbuf_add(next, SLICE("\n\n"));
  return true;
}

static bool put_element(struct exchange *exchange, struct slice response)
{
  if (exchange->stream.has_written)
    strbuf_add(&exchange->next, SLICE(","));
  return add_json(exchange, response);
}

static bool put_line(struct exchange *exchange, struct slice response)
{
  if (!add_json(exchange, response))
    return false;
  strbuf_add(&exchange->next, SLICE("\n"));
  return true;
}

bool rest_put(struct exchange *exchange, struct slice response)
{
  static bool (*const PUT[])(struct exchange *, struct slice) = {
      [FORMAT_LINES] = put_line, [FORMAT_EVENTS] = put_event, [FORMAT_ARRAY] = put_element};
  size_t before = exchange->next.size;
  bool fits = PUT[exchange->stream.format](exchange, response);
  if (!fits)
    exchange->next.size = before;
  exchange->stream.has_written |= fits;
  return fits;
}

void rest_beat(struct exchange *exchange)
{
  static const struct slice SILENCE[] = {
      [FORMAT_LINES] = SLICE_INIT("\n"), [FORMAT_EVENTS] = SLICE_INIT(":\n\n"), [FORMAT_ARRAY] = SLICE_INIT(" ")};
  strbuf_add(&exchange->next, SILENCE[exchange->stream.format]);
}

// ---- the end ----

void rest_end_stream(struct exchange *exchange)
{
  exchange->reply.outcome = 200;
  if (exchange->stream.format == FORMAT_ARRAY)
    strbuf_add(&exchange->next, SLICE("]"));
  // Browsers would open the stream again.
  else if (exchange->stream.format == FORMAT_EVENTS)
    strbuf_add(&exchange->next, SLICE("event: end\ndata: {}\n\n"));
}

void rest_fail_stream(struct exchange *exchange, const struct problem *problem)
{
  struct strbuf *next = &exchange->next;
  if (exchange->stream.format == FORMAT_EVENTS) {
    strbuf_add(next, SLICE("event: problem\ndata: "));
    problem_write(problem, next);
    strbuf_add(next, SLICE("\n\n"));
    return;
  }
  if (exchange->stream.format == FORMAT_ARRAY && exchange->stream.has_written)
    strbuf_add(next, SLICE(","));
  problem_write(problem, next);
  strbuf_add(next, SLICE("\n"));
  exchange->reply.is_cut = true;
}

// ---- the client's stream ----

// Takes the next line of `*bytes`: where it lies, or from exchange.in, where it has come in pieces.
static enum read_result find_line(struct exchange *exchange, struct slice *bytes, bool is_last, struct slice *line)
{
  struct strbuf *in = &exchange->in;
  size_t max_bytes = exchange_method(exchange)->max_body_bytes;
  size_t end = slice_find(*bytes, '\n', 0);
  bool is_whole = end < bytes->size || (is_last && in->size + end > 0);
  if (in->size + end > max_bytes) {
    (void)exchange_refuse_large_body(exchange);
    return READ_FAILED;
  }
  struct slice part = slice_make(bytes->data, end);
  *bytes = slice_skip(*bytes, end + 1);
  if (in->size > 0 || !is_whole) {
    strbuf_add(in, part);
    part = strbuf_slice(in);
  }
  *line = part;
  return is_whole ? READ_MESSAGE : READ_NOTHING;
}

// Says in which line a mistake is, before its place there.
static void name_line(struct exchange *exchange, struct violations *violations)
{
  for (size_t i = 0; i < violations->count; i++) {
    struct violation *violation = &violations->items[i];
    const char *dot = violation->field.size > 0 ? "." : "";
    violation->field = slice_from_string(arena_printf(&exchange->line_arena, "[%zu]%s" SLICE_FMT,
                                                      exchange->stream.lines - 1, dot, SLICE_ARG(violation->field)));
  }
}

static enum read_result translate_line(struct exchange *exchange, struct slice line, struct slice *message)
{
  // A stream has any number of lines.
  arena_reset(&exchange->line_arena);
  strbuf_clear(&exchange->wire);
  struct violations violations;
  violations_init(&violations, &exchange->line_arena);
  struct transcode_request request = {
      .route = &exchange->route,
      .query = exchange->input.query,
      .body = line,
      .header = exchange->input.header,
      .header_arg = exchange->input.header_arg,
  };
  if (transcode_request_to_wire(&request, &exchange->line_arena, &exchange->wire, &violations) != STATUS_OK) {
    name_line(exchange, &violations);
    (void)exchange_refuse_violations(exchange, &violations);
    return READ_FAILED;
  }
  *message = strbuf_slice(&exchange->wire);
  return READ_MESSAGE;
}

enum read_result rest_read_line(struct exchange *exchange, struct slice *bytes, bool is_last, struct slice *message)
{
  for (;;) {
    struct slice line;
    enum read_result result = find_line(exchange, bytes, is_last, &line);
    if (result != READ_MESSAGE)
      return result;
    exchange->in.size = 0;
    exchange->stream.lines++;
    // A line without anything keeps a connection from being silent.
    if (slice_trim(line).size > 0 && !slice_equal(line, SLICE("\r")))
      return translate_line(exchange, line, message);
  }
}
