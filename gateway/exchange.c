// The life of an exchange: the table of steps, waiting and going on, and the reuse of its memory.
#include "gateway/exchange.h"

#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/compiler.h"
#include "gateway/exchange_internal.h"

// Closed exchanges kept for reuse, and how much of a buffer each may keep.
#define MAX_SPARES 256
#define KEEP_BYTES ((size_t)64 * 1024)

static const struct step {
  const char *name;
  enum step_result (*run)(struct exchange *exchange);
} steps[] = {
    {"identify", step_identify},          // request id, trace
    {"route", step_route},                // 404, 405
    {"authenticate", step_authenticate},  // 401, and 503 without keys
    {"authorise", step_authorise},        // 403
    {"body", step_body},                  // 400, 415
    {"translate", step_translate},        // 400 with violations
    {"call", step_call},                  // waits for the service
    {"reply", step_reply},                // the service's answer or its error
};

static void set_waiting(struct exchange *exchange, bool waiting)
{
  if (exchange->waiting == waiting)
    return;
  exchange->waiting = waiting;
  gateway_waiting(exchange->gateway, waiting);
}

static void count(struct exchange *exchange, int http_status)
{
  if (exchange->counted)
    return;
  exchange->counted = true;
  uint64_t now_us = exchange->gateway->clock.now_us();
  gateway_metrics_count(&exchange->gateway->api->metrics, exchange_method(exchange), http_status,
                        now_us - exchange->started_us);
}

static enum exchange_next run(struct exchange *exchange)
{
  while (!exchange->replied) {
    CHECK(exchange->step < ARRAY_LEN(steps));
    switch (steps[exchange->step].run(exchange)) {
    case STEP_NEXT:
      exchange->step++;
      break;
    case STEP_REPLIED:
      CHECK(exchange->replied);
      break;
    case STEP_WAIT:
      set_waiting(exchange, true);
      return EXCHANGE_WAITING;
    case STEP_WANT_BODY:
      return EXCHANGE_WANT_BODY;
    }
  }
  count(exchange, exchange->reply.http_status);
  return EXCHANGE_DONE;
}

void exchange_resume(struct exchange *exchange)
{
  set_waiting(exchange, false);
  if (exchange->gateway->stopped)
    return;
  enum exchange_next next = run(exchange);
  if (next != EXCHANGE_WAITING)
    exchange->progress(exchange->arg, next);
}

static struct exchange *take_spare(struct gateway *gateway)
{
  struct exchange *exchange = gateway->spare;
  if (exchange != NULL) {
    gateway->spare = exchange->next_spare;
    gateway->spare_count--;
    return exchange;
  }
  exchange = calloc(1, sizeof(*exchange));
  CHECK(exchange != NULL);
  strbuf_init(&exchange->wire, 0);
  strbuf_init(&exchange->out, 0);
  return exchange;
}

struct exchange *exchange_open(struct gateway *gateway, exchange_progress_fn *progress, void *arg)
{
  struct exchange *exchange = take_spare(gateway);
  exchange->gateway = gateway;
  exchange->progress = progress;
  exchange->arg = arg;
  exchange->started_us = gateway->clock.now_us();
  key_wait_init(&exchange->key_wait);
  return exchange;
}

enum exchange_next exchange_start(struct exchange *exchange, const struct exchange_input *input)
{
  CHECK(exchange->step == 0 && !exchange->replied);
  exchange->input = *input;
  return run(exchange);
}

enum exchange_next exchange_body(struct exchange *exchange, struct slice body)
{
  CHECK(!exchange->replied && !exchange->waiting);
  exchange->body = body;
  exchange->body_read = true;
  return run(exchange);
}

static void stop_waiting(struct exchange *exchange)
{
  keys_stop_waiting(&exchange->key_wait);
  if (exchange->call != NULL)
    exchange->gateway->backend.cancel(exchange->gateway->backend.arg, exchange->call);
  exchange->call = NULL;
  set_waiting(exchange, false);
}

// nginx refuses TRACE and CONNECT everywhere. What is no route is one of the pages that nginx and the gateway serve by
// themselves, which are only read.
static struct slice allowed_methods(const struct exchange *exchange)
{
  const struct exchange_input *input = &exchange->input;
  struct contract_route route;
  const char *allow = NULL;
  enum status status = contract_route(exchange->gateway->api->contract, input->method, input->path, &route, &allow);
  return status != STATUS_UNIMPLEMENTED || allow == NULL ? SLICE("GET, HEAD") : slice_from_string(allow);
}

void exchange_fail_http(struct exchange *exchange, const struct exchange_input *input, int http_status)
{
  stop_waiting(exchange);
  if (!exchange->identified) {
    exchange->input = *input;
    step_identify(exchange);
  }
  exchange->reply = (struct exchange_reply){0};
  if (http_status == 405)
    reply_add_header(exchange, SLICE("Allow"), allowed_methods(exchange));
  exchange_fail(exchange, &(struct failure){.code = problem_code(http_status), .http_status = http_status});
  count(exchange, http_status);
}

const struct exchange_reply *exchange_reply(const struct exchange *exchange)
{
  CHECK(exchange->replied);
  return &exchange->reply;
}

struct exchange_facts exchange_facts(const struct exchange *exchange)
{
  struct exchange_facts facts = {.caller_id = exchange->caller_id};
  if (exchange->identified) {
    facts.request_id = exchange_request_id(exchange);
    facts.trace_id = trace_id_of(slice_make(exchange->traceparent, TRACEPARENT_SIZE - 1));
  }
  if (exchange_method(exchange) != NULL)
    facts.method = exchange_method(exchange)->full_name;
  return facts;
}

void exchange_abandon(struct exchange *exchange)
{
  stop_waiting(exchange);
  if (!exchange->replied)
    count(exchange, 499);
}

static void keep_little(struct strbuf *buf)
{
  if (buf->capacity > KEEP_BYTES)
    strbuf_free(buf);
  strbuf_clear(buf);
}

static void destroy(struct exchange *exchange)
{
  arena_free(&exchange->arena);
  strbuf_free(&exchange->wire);
  strbuf_free(&exchange->out);
  free(exchange);
}

void exchange_close(struct exchange **exchange)
{
  struct exchange *gone = *exchange;
  *exchange = NULL;
  if (gone == NULL)
    return;
  struct gateway *gateway = gone->gateway;
  exchange_abandon(gone);
  if (gateway->spare_count >= MAX_SPARES) {
    destroy(gone);
    return;
  }
  arena_reset(&gone->arena);
  keep_little(&gone->wire);
  keep_little(&gone->out);
  memset(gone, 0, offsetof(struct exchange, arena));
  gone->next_spare = gateway->spare;
  gateway->spare = gone;
  gateway->spare_count++;
}

void exchange_free_spares(struct gateway *gateway)
{
  while (gateway->spare != NULL) {
    struct exchange *gone = gateway->spare;
    gateway->spare = gone->next_spare;
    destroy(gone);
  }
  gateway->spare_count = 0;
}
