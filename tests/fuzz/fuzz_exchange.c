// Any bytes as a whole HTTP exchange against the real contracts, without a network:
//
//   METHOD path?query \n (Header: value \n)* \n body
//
// Content types and paths choose the protocol, as clients do: REST, gRPC, gRPC-Web or Connect. "Authorization: valid"
// stands for a good token. The service's answer is taken from the request as well: the header "Answer" is the status
// code's number, and the body what the service sent; of a stream it sends that twice before. The body of a client's
// stream comes in pieces of the size "Piece", and the service takes as many messages as "Takes" says before it waits.
// Every exchange must end in a reply that can be sent: a known status, JSON that can be read, headers without control
// characters; and a 5xx only for what the service answered.
#include <string.h>

#include "common/base/codec.h"
#include "common/base/jsontext_reader.h"
#include "common/base/wire.h"
#include "common/security/key.h"
#include "common/security/token.h"
#include "gateway/exchange.h"
#include "gateway/gateway.h"
#include "tests/fuzz/fuzz_contract.h"

#define MAX_HEADERS 16

struct header {
  struct slice name;
  struct slice value;
};

struct request {
  struct slice method, path, query, body;
  struct header headers[MAX_HEADERS];
  size_t header_count;
};

static struct gateway *gateway;
static struct arena forever;
static struct slice good_token;
// The one call that may be in flight.
static rpc_done_fn *call_done;
static void *call_arg;

static const struct rpc_stream_events *call_stream;
static size_t call_takes;  // messages of the client, before the service waits
static bool call_is_half_closed;

static struct rpc_call *backend_call(void *arg, const struct rpc_call_options *options, rpc_done_fn *done,
                                     void *done_arg)
{
  (void)arg;
  CHECK(options->deadline_us != DEADLINE_NONE && call_done == NULL);
  call_done = done;
  call_arg = done_arg;
  call_stream = options->stream;
  call_is_half_closed = false;
  return (struct rpc_call *)(void *)&call_done;
}

static bool backend_cancel(void *arg, struct rpc_call *call)
{
  (void)arg;
  (void)call;
  call_done = NULL;
  return true;
}

static void backend_take(void *arg, struct rpc_call *call, size_t count, size_t size)
{
  (void)arg;
  (void)call;
  CHECK(call_done != NULL && count > 0 && count <= 2 && size < ((size_t)1 << 24));
}

static bool backend_may_write(void *arg, struct rpc_call *call)
{
  (void)arg;
  (void)call;
  return call_takes > 0 && !call_is_half_closed;
}

static bool backend_write(void *arg, struct rpc_call *call, struct slice message)
{
  (void)arg;
  (void)call;
  (void)message;
  CHECK(call_done != NULL && call_takes > 0 && !call_is_half_closed);
  call_takes--;
  return true;
}

static void backend_half_close(void *arg, struct rpc_call *call)
{
  (void)arg;
  (void)call;
  CHECK(call_done != NULL);
  call_is_half_closed = true;
}

static void answer(enum status code, struct slice payload)
{
  rpc_done_fn *done = call_done;
  call_done = NULL;
  struct violation violation = {payload, payload};
  struct rpc_status status = {
      .code = code, .message = payload, .reason = payload, .violations = &violation, .violation_count = 1};
  done(call_arg, code == STATUS_OK ? &(struct rpc_status){.code = STATUS_OK} : &status, payload);
}

static void give_keys(struct slice x, struct slice y, struct slice kid)
{
  struct strbuf wire;
  strbuf_init(&wire, 0);
  size_t mark = wire_begin_nested(&wire, 1);
  wire_write_bytes(&wire, 1, SLICE("EC"));
  wire_write_bytes(&wire, 2, SLICE("P-256"));
  wire_write_bytes(&wire, 3, kid);
  wire_write_bytes(&wire, 6, x);
  wire_write_bytes(&wire, 7, y);
  wire_end_nested(&wire, mark);
  gateway_process(gateway, gateway->clock.now_us());
  answer(STATUS_OK, strbuf_slice(&wire));
  CHECK(keys_known(&gateway->keys));
  strbuf_free(&wire);
}

// The clock stands still, so nothing expires.
static uint64_t now_us(void)
{
  return 1000000;
}

static int64_t wall_us(void)
{
  return INT64_C(1760000000000000);
}

static void set_up(void)
{
  static const struct gateway_clock clock = {now_us, wall_us};
  struct strbuf content;
  strbuf_init(&content, 0);
  struct api *api;
  struct error error;
  CHECK(api_load(fuzz_read_protoset(&content), &api, &error) == STATUS_OK);
  strbuf_free(&content);
  gateway = gateway_create(&(struct gateway_options){.api = api,
                                                     .issuer = "issuer",
                                                     .audience = "audience",
                                                     .backend = {.call = backend_call,
                                                                 .cancel = backend_cancel,
                                                                 .take = backend_take,
                                                                 .may_write = backend_may_write,
                                                                 .write = backend_write,
                                                                 .half_close = backend_half_close},
                                                     .clock = &clock});
  const char *pem;
  struct slice x, y, kid;
  CHECK(key_generate(&forever, &pem) == STATUS_OK);
  CHECK(key_public_parts(pem, &forever, &x, &y, &kid) == STATUS_OK);
  struct slice role = SLICE("admin");
  struct token_claims claims = {.subject = SLICE("01936b5e-7c1a-7d3e-9f00-000000000001"),
                                .roles = &role,
                                .role_count = 1,
                                .id = SLICE("01936b5e-7c1a-7d3e-9f00-000000000002"),
                                .issued_at = wall_us() / 1000000,
                                .expires_at = wall_us() / 1000000 + 900};
  struct slice token;
  CHECK(token_sign(&(struct token_signing_key){.kid = arena_string(&forever, kid), .private_pem = pem}, "issuer",
                   "audience", &claims, &forever, &token) == STATUS_OK);
  good_token = slice_from_string(arena_printf(&forever, "Bearer " SLICE_FMT, SLICE_ARG(token)));
  give_keys(x, y, kid);
}

static struct slice cut(struct slice *rest, char at)
{
  size_t end = slice_find(*rest, at, 0);
  struct slice part = slice_make(rest->data, end);
  *rest = slice_skip(*rest, end + 1);
  return part;
}

static void parse(struct request *request, struct slice rest)
{
  struct slice line = cut(&rest, '\n');
  request->method = cut(&line, ' ');
  request->path = cut(&line, '?');
  request->query = line;
  while (rest.size > 0) {
    line = cut(&rest, '\n');
    if (line.size == 0)
      break;
    struct slice name = cut(&line, ':');
    if (request->header_count < MAX_HEADERS)
      request->headers[request->header_count++] = (struct header){slice_trim(name), slice_trim(line)};
  }
  request->body = rest;
}

static struct slice find_header(void *arg, const char *name)
{
  const struct request *request = arg;
  for (size_t i = 0; i < request->header_count; i++)
    if (slice_equal_ignore_case(request->headers[i].name, slice_from_string(name)))
      return request->headers[i].value;
  return (struct slice){0};
}

static void check_json(struct slice text)
{
  struct arena arena;
  arena_init(&arena);
  struct jsontext_reader reader;
  jsontext_reader_init(&reader, text, JSONTEXT_MAX_DEPTH, &arena);
  CHECK(jsontext_skip_value(&reader, NULL));
  CHECK(jsontext_read(&reader) == JSONTEXT_END);
  arena_free(&arena);
}

static bool has_field(const struct exchange_headers *list, const char *name)
{
  for (size_t i = 0; i < list->count; i++)
    if (slice_equal_string(list->items[i].name, name))
      return true;
  return false;
}

// Expects a status, and a message only where it is good.
static void check_grpc(const struct exchange_reply *reply)
{
  CHECK(reply->http_status == 200);
  CHECK(has_field(&reply->headers, "grpc-status") != has_field(&reply->trailers, "grpc-status"));
  CHECK(has_field(&reply->headers, "grpc-status") == reply->has_no_body);
  CHECK((reply->body.size == 0) == reply->has_no_body);
}

// Takes a frame off the front and returns its first byte.
static unsigned char cut_frame(struct slice *body)
{
  CHECK(body->size >= 5);
  const unsigned char *prefix = (const unsigned char *)body->data;
  size_t size = (size_t)prefix[1] << 24 | (size_t)prefix[2] << 16 | (size_t)prefix[3] << 8 | prefix[4];
  CHECK(size <= body->size - 5);
  *body = slice_skip(*body, 5 + size);
  return *prefix;
}

// Expects a message at most, and then a status.
static void check_grpc_web(const struct exchange_reply *reply)
{
  struct strbuf bytes;
  strbuf_init(&bytes, 0);
  struct slice body = reply->body;
  if (slice_starts_with(reply->content_type, SLICE("application/grpc-web-text"))) {
    CHECK(base64_decode(body, &bytes));
    body = strbuf_slice(&bytes);
  }
  CHECK(reply->http_status == 200 && !reply->has_no_body && reply->trailers.count == 0);
  unsigned char first = cut_frame(&body);
  CHECK(first == 0x80 || (first == 0 && cut_frame(&body) == 0x80));
  CHECK(body.size == 0);
  strbuf_free(&bytes);
}

// Expects a message at most, and then JSON that says how the call has ended.
static void check_connect_stream(const struct exchange_reply *reply)
{
  struct slice body = reply->body;
  CHECK(reply->http_status == 200 && !reply->has_no_body && reply->trailers.count == 0);
  struct slice end = body;
  unsigned char first = cut_frame(&body);
  if (first == 0) {
    end = body;
    first = cut_frame(&body);
  }
  CHECK(first == 2 && body.size == 0);
  check_json(slice_skip(end, 5));
}

static void check_fields(const struct exchange_headers *list)
{
  for (size_t i = 0; i < list->count; i++)
    for (size_t at = 0; at < list->items[i].value.size; at++)
      CHECK((unsigned char)list->items[i].value.data[at] >= ' ');
}

static void check_reply(const struct exchange_reply *reply, bool service_failed)
{
  check_fields(&reply->headers);
  check_fields(&reply->trailers);
  CHECK(reply->outcome < 500 || service_failed);
  if (slice_equal(reply->content_type, SLICE("application/grpc"))) {
    check_grpc(reply);
    return;
  }
  if (slice_starts_with(reply->content_type, SLICE("application/grpc-web"))) {
    check_grpc_web(reply);
    return;
  }
  if (slice_starts_with(reply->content_type, SLICE("application/connect+"))) {
    check_connect_stream(reply);
    return;
  }
  CHECK(reply->http_status >= 200 && reply->http_status < 600);
  // A message of Connect may have no bytes.
  if (slice_equal(reply->content_type, SLICE("application/proto")))
    return;
  CHECK((reply->body.size == 0) == (reply->http_status == 204 || reply->http_status == 304));
  if (reply->body.size > 0)
    check_json(reply->body);
}

static void on_progress(void *arg, enum exchange_next next)
{
  *(enum exchange_next *)arg = next;
}

static size_t read_number(const struct request *request, const char *name, size_t otherwise)
{
  uint64_t number;
  bool is_there = slice_to_uint64(find_header((void *)(uintptr_t)request, name), 0, 1000000, &number);
  return is_there ? (size_t)number : otherwise;
}

// Feeds the body in pieces; what the service does not take now is fed again, as a host does.
static void feed(struct exchange *exchange, const struct request *request)
{
  size_t piece = read_number(request, "Piece", request->body.size);
  struct slice rest = request->body;
  for (bool is_last = false; !is_last;) {
    size_t size = piece == 0 || piece > rest.size ? rest.size : piece;
    struct slice bytes = slice_make(rest.data, size);
    rest = slice_skip(rest, size);
    is_last = rest.size == 0;
    while (!exchange_feed(exchange, &bytes, is_last))
      call_takes = 3;
    CHECK(bytes.size == 0);
  }
}

// Has the service send the body as a message, twice.
static void send_messages(struct exchange *exchange, struct slice payload)
{
  for (int i = 0; i < 2 && call_done != NULL; i++) {
    call_stream->on_message(call_arg, payload);
    exchange_stream_beat(exchange);
  }
}

// Takes all that a stream has to send.
static void drain(struct exchange *exchange)
{
  for (int i = 0; !exchange_stream_is_sent(exchange); i++) {
    CHECK(i < 4);
    (void)exchange_stream_next(exchange);
  }
  const struct exchange_reply *reply = exchange_reply(exchange);
  CHECK(reply->http_status == 200);
  check_fields(&reply->headers);
  check_fields(&reply->trailers);
  exchange_end_stream(exchange);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  if (gateway == NULL)
    set_up();
  struct request request = {0};
  parse(&request, size == 0 ? SLICE("") : slice_make(data, size));
  struct exchange_input input = {
      .method = request.method,
      .path = request.path,
      .query = request.query,
      .authorization = find_header(&request, "Authorization"),
      .content_type = find_header(&request, "Content-Type"),
      .if_none_match = find_header(&request, "If-None-Match"),
      .request_id = find_header(&request, "X-Request-Id"),
      .traceparent = find_header(&request, "traceparent"),
      .idempotency_key = find_header(&request, "Idempotency-Key"),
      .time_limits = {.request_timeout = find_header(&request, "Request-Timeout"),
                      .grpc_timeout = find_header(&request, "Grpc-Timeout"),
                      .connect_timeout_ms = find_header(&request, "Connect-Timeout-Ms")},
      .is_http2 = true,
      .has_body = find_header(&request, "Content-Type").size > 0,
      .header = find_header,
      .header_arg = &request,
  };
  if (slice_equal(input.authorization, SLICE("valid")))
    input.authorization = good_token;
  uint64_t code = STATUS_OK;
  if (!slice_to_uint64(find_header(&request, "Answer"), 0, STATUS_UNAUTHENTICATED, &code))
    code = STATUS_OK;

  enum exchange_next next;
  struct exchange *exchange = exchange_open(gateway, on_progress, &next);
  next = exchange_start(exchange, &input);
  if (next == EXCHANGE_WANT_BODY)
    next = exchange_body(exchange, request.body);
  call_takes = read_number(&request, "Takes", 1000000);
  if (next == EXCHANGE_WANT_STREAM)
    feed(exchange, &request);
  bool called = call_done != NULL;
  if (called && call_stream != NULL && next != EXCHANGE_DONE)
    send_messages(exchange, request.body);
  if (call_done != NULL)
    answer((enum status)code, request.body);
  bool streams = exchange_is_streaming(exchange);
  if (streams)
    drain(exchange);
  while (next == EXCHANGE_WRITING)
    next = exchange_write(exchange);
  // An unknown key may wait for fresh ones; the client gives up then.
  if (next == EXCHANGE_DONE && !streams)
    check_reply(exchange_reply(exchange), called);
  exchange_close(&exchange);
  CHECK(gateway->in_flight == 0 && call_done == NULL);
  return 0;
}
