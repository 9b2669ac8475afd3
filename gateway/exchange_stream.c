// The streams of an exchange. Messages of the service are written in the form of the protocol as they come, behind
// those that the host sends just then. The service has credit for a bounded number of bytes, and gets more when the
// client has taken them: a slow client slows its own stream, and nobody else. Messages of the client go on when the
// service has room for them.
#include "common/base/clock.h"
#include "common/base/compiler.h"
#include "gateway/protocol_internal.h"

// How often the tokens of open streams are looked at.
#define CHECK_EVERY_US 1000000
// When a caller with too many streams may try again.
#define STREAMS_RETRY_MS 5000

// ---- places ----

static enum step_result refuse_stream(struct exchange *exchange)
{
  const char *detail = arena_printf(&exchange->arena,
                                    "you have %d streams open here, or all callers together %d: end one, or try again "
                                    "later",
                                    STREAMS_OF_CALLER, STREAMS_OF_ALL);
  return exchange_fail(exchange, &(struct failure){.code = STATUS_RESOURCE_EXHAUSTED,
                                                   .reason = "TOO_MANY_STREAMS",
                                                   .detail = slice_from_string(detail),
                                                   .retry_after_ms = STREAMS_RETRY_MS});
}

// How streams are told, open ones and new ones, that the process ends.
static const struct failure is_ending = {
    .code = STATUS_UNAVAILABLE,
    .reason = RPC_NOT_APPLIED,
    .detail = SLICE_INIT("this gateway process ends; open the stream again, and another one has it"),
};

// Returns the series in which streams of the client's protocol count.
static const struct stream_series *stream_series(const struct exchange *exchange)
{
  return &exchange->gateway->api->metrics.streams[exchange->protocol->number];
}

enum step_result exchange_open_stream(struct exchange *exchange, uint64_t caller)
{
  struct gateway *gateway = exchange->gateway;
  struct exchange_stream *stream = &exchange->stream;
  if (gateway->is_ending)
    return exchange_fail(exchange, &is_ending);
  if (!stream_counts_take(&gateway->stream_counts, caller, &stream->place))
    return refuse_stream(exchange);
  stream->is_counted = true;
  if (list_empty(&gateway->streams))
    gateway->next_check_us = gateway->clock.now_us() + CHECK_EVERY_US;
  list_append(&gateway->streams, &stream->node);
  metric_add(stream_series(exchange)->open, 1);
  return STEP_NEXT;
}

void exchange_leave_stream(struct exchange *exchange)
{
  struct gateway *gateway = exchange->gateway;
  struct exchange_stream *stream = &exchange->stream;
  if (!stream->is_counted)
    return;
  stream->is_counted = false;
  (void)stream_counts_part(&gateway->stream_counts, stream->place, &stream->part_bytes, 0);
  stream_counts_return(&gateway->stream_counts, stream->place);
  list_remove(&stream->node);
  metric_add(stream_series(exchange)->open, -1);
}

// ---- the reply ----

void exchange_begin_reply(struct exchange *exchange)
{
  exchange->stream.began_us = exchange->gateway->clock.now_us();
  exchange->answered_us = exchange->stream.began_us;
  strbuf_clear(&exchange->out);
  strbuf_clear(&exchange->next);
  exchange->protocol->begin_stream(exchange);
  exchange_set_state(exchange, EXCHANGE_STATE_STREAMING);
}

void exchange_note_outcome(struct exchange *exchange, const struct rpc_status *status)
{
  limits_end_attempt(&exchange->attempt, status);
  exchange->stream.has_ended = true;
  if (status->code == STATUS_OK)
    exchange->protocol->end_stream(exchange);
  else
    (void)exchange_reply_failure(exchange, status);
}

// Tells the host of a failure that the exchange has found itself, and cancels the call.
static void end_early(struct exchange *exchange)
{
  (void)exchange_cancel_call(exchange);
  exchange_leave_stream(exchange);
  if (exchange->state == EXCHANGE_STATE_STREAMING) {
    exchange->stream.has_ended = true;
    exchange->progress(exchange->arg, EXCHANGE_STREAMING);
    return;
  }
  exchange_set_state(exchange, EXCHANGE_STATE_REPLIED);
  exchange->progress(exchange->arg, EXCHANGE_DONE);
}

// ---- messages of the service ----

static void on_message(void *arg, struct slice payload)
{
  struct exchange *exchange = arg;
  if (exchange->gateway->stopped)
    return;
  if (exchange->state != EXCHANGE_STATE_STREAMING)
    exchange_begin_reply(exchange);
  if (!exchange->protocol->put(exchange, payload)) {
    (void)exchange_fail_unfit(exchange);
    end_early(exchange);
    return;
  }
  exchange->stream.next_count++;
  exchange->stream.next_bytes += payload.size;
  exchange->stream.sent_count++;
  metric_add(stream_series(exchange)->messages_sent, 1);
  metric_add(stream_series(exchange)->bytes_sent, (int64_t)payload.size);
  exchange->progress(exchange->arg, EXCHANGE_STREAMING);
}

static void on_writable(void *arg)
{
  struct exchange *exchange = arg;
  if (!exchange->gateway->stopped)
    exchange->progress(exchange->arg, EXCHANGE_WANT_STREAM);
}

const struct rpc_stream_events exchange_stream_events = {.on_message = on_message, .on_writable = on_writable};

// Gives the service credit for what the client has taken.
static void take_sent(struct exchange *exchange)
{
  const struct backend *backend = exchange_backend(exchange);
  struct exchange_stream *stream = &exchange->stream;
  if (stream->out_count > 0 && exchange->call != NULL)
    backend->take(backend->arg, exchange->call, stream->out_count, stream->out_bytes);
  strbuf_clear(&exchange->out);
}

struct slice exchange_stream_next(struct exchange *exchange)
{
  take_sent(exchange);
  struct strbuf sent = exchange->out;
  exchange->out = exchange->next;
  exchange->next = sent;
  struct exchange_stream *stream = &exchange->stream;
  stream->out_count = stream->next_count;
  stream->out_bytes = stream->next_bytes;
  stream->next_count = 0;
  stream->next_bytes = 0;
  return strbuf_slice(&exchange->out);
}

void exchange_stream_beat(struct exchange *exchange)
{
  bool may_begin = exchange->state == EXCHANGE_STATE_WAITING && exchange->call != NULL;
  if (may_begin && exchange_method(exchange)->server_streams)
    exchange_begin_reply(exchange);
  if (exchange->state != EXCHANGE_STATE_STREAMING || exchange->stream.has_ended)
    return;
  if (exchange->protocol->beat != NULL && exchange->out.size + exchange->next.size == 0)
    exchange->protocol->beat(exchange);
  exchange->progress(exchange->arg, EXCHANGE_STREAMING);
}

bool exchange_is_streaming(const struct exchange *exchange)
{
  return exchange->state == EXCHANGE_STATE_STREAMING;
}

bool exchange_stream_is_sent(const struct exchange *exchange)
{
  return exchange->stream.has_ended && exchange->out.size + exchange->next.size == 0;
}

void exchange_end_stream(struct exchange *exchange)
{
  exchange_set_state(exchange, EXCHANGE_STATE_REPLIED);
}

// ---- messages of the client ----

// Sends a message on. False where the reply refuses it.
static bool send_on(struct exchange *exchange, struct slice message)
{
  const struct backend *backend = exchange_backend(exchange);
  if (!backend->write(backend->arg, exchange->call, message)) {
    (void)exchange_refuse_large_body(exchange);
    return false;
  }
  exchange->stream.received_count++;
  metric_add(stream_series(exchange)->messages_received, 1);
  metric_add(stream_series(exchange)->bytes_received, (int64_t)message.size);
  return true;
}

// Counts what has come of a message that is not whole. False where the reply refuses it.
static bool count_part(struct exchange *exchange)
{
  struct exchange_stream *stream = &exchange->stream;
  if (stream_counts_part(&exchange->gateway->stream_counts, stream->place, &stream->part_bytes, exchange->in.size))
    return true;
  (void)exchange_fail(
      exchange, &(struct failure){.code = STATUS_RESOURCE_EXHAUSTED,
                                  .reason = "TOO_MANY_STREAMS",
                                  .detail = SLICE("too many bytes wait here of messages whose ends have not come; "
                                                  "open fewer streams, or send whole messages"),
                                  .retry_after_ms = STREAMS_RETRY_MS});
  return false;
}

bool exchange_feed(struct exchange *exchange, struct slice *bytes, bool is_last)
{
  const struct backend *backend = exchange_backend(exchange);
  while (exchange->call != NULL && backend->may_write(backend->arg, exchange->call)) {
    struct slice message;
    enum read_result result = exchange->protocol->read(exchange, bytes, is_last, &message);
    bool is_good = result != READ_FAILED && count_part(exchange);
    if (result == READ_NOTHING && is_good) {
      if (is_last)
        backend->half_close(backend->arg, exchange->call);
      return true;
    }
    if (!is_good || !send_on(exchange, message))
      end_early(exchange);
  }
  if (exchange->call != NULL)
    return false;
  // Nobody wants the rest.
  *bytes = (struct slice){0};
  return true;
}

// ---- streams that must end ----

// Ends a stream that the service would go on with.
static void end_stream_with(struct exchange *exchange, const struct failure *failure)
{
  (void)exchange_fail(exchange, failure);
  end_early(exchange);
}

// Ends the stream of a caller whose token has expired, or whose session has ended.
static void check_token(struct exchange *exchange)
{
  struct gateway *gateway = exchange->gateway;
  int64_t now_s = gateway->clock.wall_us() / 1000000;
  const struct token_claims *claims;
  if (exchange->access_token.size == 0)
    return;
  enum token_result result = token_verify(gateway->verifier, exchange->access_token, now_s, &claims, NULL);
  if (result == TOKEN_VALID)
    return;
  end_stream_with(exchange, &(struct failure){.code = STATUS_UNAUTHENTICATED,
                                              .reason = exchange_token_reason(result),
                                              .detail = slice_from_string(token_result_text(result))});
}

void exchange_check_streams(struct gateway *gateway, uint64_t now_us)
{
  if (list_empty(&gateway->streams) || now_us < gateway->next_check_us)
    return;
  gateway->next_check_us = now_us + CHECK_EVERY_US;
  for (struct list *node = gateway->streams.next, *next; node != &gateway->streams; node = next) {
    next = node->next;
    check_token(CONTAINER_OF(node, struct exchange, stream.node));
  }
}

void exchange_drain_streams(struct gateway *gateway)
{
  gateway->is_ending = true;
  while (!list_empty(&gateway->streams))
    end_stream_with(CONTAINER_OF(gateway->streams.next, struct exchange, stream.node), &is_ending);
}
