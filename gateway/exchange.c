// Runs the life of an exchange: the table of steps, waiting and going on, and the reuse of its memory.
#include "gateway/exchange.h"

#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/compiler.h"
#include "gateway/protocol_internal.h"

// Closed exchanges kept for reuse, and how much of a buffer each may keep.
#define MAX_SPARES 256
#define KEEP_BYTES ((size_t)64 * 1024)
// The status by which access logs and metrics say that the client closed the connection first; no client ever sees it.
#define HTTP_CLIENT_CLOSED 499
// How many calls are given up in one turn of the gateway: each is cancelled and refused, and others wait meanwhile.
#define MOST_GIVEN_UP 16

static const struct step {
  const char *name;
  enum step_result (*run)(struct exchange *exchange);
} steps[] = {
    {"identify", step_identify},          // request id, trace
    {"route", step_route},                // 404, 405
    {"time", step_time},                  // 400
    {"authenticate", step_authenticate},  // 401, and 503 where it cannot be said; waits for keys and exchanges
    {"authorise", step_authorise},        // 403
    {"admit", step_admit},                // 429
    {"limit", step_limit},                // 429, or waits for a share of the limit
    {"body", step_body},                  // 400, 415
    {"arrived", step_arrived},            // 504; 400 and 415, where the size was not known before
    {"translate", step_translate},        // 400 with violations
    {"own", step_own},                    // 403, where the request names whose it is
    {"attempt", step_attempt},            // logins and sign-ups: 429, after the limit was asked
    {"call", step_call},                  // waits for the service
    {"reply", step_reply},                // the service's answer or its error
};

static bool has_ended(enum exchange_state state)
{
  return state == EXCHANGE_STATE_REPLIED || state == EXCHANGE_STATE_ABANDONED;
}

// The time of a stream is that until its reply began.
static void count_request(struct exchange *exchange, int http_status)
{
  uint64_t began_us = exchange->stream.began_us;
  uint64_t until_us = began_us != 0 ? began_us : exchange->gateway->clock.now_us();
  exchange->ended_us = until_us;
  gateway_metrics_count(&exchange->gateway->api->metrics, exchange->protocol->number, exchange_method(exchange),
                        http_status, until_us - exchange->started_us);
}

static bool waits_for_others(enum exchange_state state)
{
  return state == EXCHANGE_STATE_WAITING || state == EXCHANGE_STATE_STREAMING;
}

// A call in flight keeps the deadline by itself.
void exchange_set_state(struct exchange *exchange, enum exchange_state state)
{
  enum exchange_state before = exchange->state;
  exchange->state = state;
  heap_remove(&exchange->gateway->waits, &exchange->timer);
  if (state == EXCHANGE_STATE_WAITING && exchange->call == NULL && exchange->deadline_us != DEADLINE_NONE)
    heap_insert(&exchange->gateway->waits, &exchange->timer, exchange->deadline_us);
  bool waited = waits_for_others(before);
  bool waits = waits_for_others(state);
  if (waited != waits)
    gateway_waiting(exchange->gateway, waits);
  // Each request counts once, with its first outcome.
  if (has_ended(state) && !has_ended(before))
    count_request(exchange, state == EXCHANGE_STATE_REPLIED ? exchange->reply.outcome : HTTP_CLIENT_CLOSED);
}

static enum exchange_next run_steps(struct exchange *exchange)
{
  exchange_set_state(exchange, EXCHANGE_STATE_RUNNING);
  for (;;) {
    CHECK(exchange->step < ARRAY_LEN(steps));
    switch (steps[exchange->step].run(exchange)) {
    case STEP_NEXT:
      exchange->step++;
      break;
    case STEP_REPLIED:
      exchange_set_state(exchange, EXCHANGE_STATE_REPLIED);
      return EXCHANGE_DONE;
    case STEP_WAIT:
      exchange_set_state(exchange, EXCHANGE_STATE_WAITING);
      return EXCHANGE_WAITING;
    case STEP_WANT_BODY:
      exchange_set_state(exchange, EXCHANGE_STATE_WANTS_BODY);
      return EXCHANGE_WANT_BODY;
    case STEP_WRITE:
      exchange_set_state(exchange, EXCHANGE_STATE_WRITING);
      return EXCHANGE_WRITING;
    case STEP_WANT_STREAM:
      exchange_set_state(exchange, EXCHANGE_STATE_WAITING);
      return EXCHANGE_WANT_STREAM;
    case STEP_STREAM:
      return EXCHANGE_STREAMING;
    }
  }
}

void exchange_resume(struct exchange *exchange)
{
  exchange_set_state(exchange, EXCHANGE_STATE_RUNNING);
  if (exchange->gateway->stopped)
    return;
  enum exchange_next next = run_steps(exchange);
  if (next != EXCHANGE_WAITING)
    exchange->progress(exchange->arg, next);
}

static struct exchange *take_spare(struct gateway *gateway)
{
  struct exchange *exchange = gateway->spare;
  if (exchange != NULL) {
    gateway->spare = exchange->next_spare;
    gateway->spare_count--;
    if (gateway->spare_count < gateway->spare_least)
      gateway->spare_least = gateway->spare_count;
    return exchange;
  }
  exchange = calloc(1, sizeof(*exchange));
  CHECK(exchange != NULL);
  strbuf_init(&exchange->wire, 0);
  strbuf_init(&exchange->out, 0);
  strbuf_init(&exchange->next, 0);
  strbuf_init(&exchange->in, 0);
  strbuf_init(&exchange->plain, 0);
  strbuf_init(&exchange->scratch, 0);
  return exchange;
}

struct exchange *exchange_open(struct gateway *gateway, exchange_progress_fn *progress, void *arg)
{
  struct exchange *exchange = take_spare(gateway);
  exchange->gateway = gateway;
  exchange->protocol = &protocol_rest;
  exchange->progress = progress;
  exchange->arg = arg;
  exchange->started_us = gateway->clock.now_us();
  exchange->deadline_us = DEADLINE_NONE;
  key_wait_init(&exchange->key_wait);
  api_key_wait_init(&exchange->api_key_wait);
  limit_wait_init(&exchange->limit_wait);
  return exchange;
}

enum exchange_next exchange_start(struct exchange *exchange, const struct exchange_input *input)
{
  CHECK(exchange->state == EXCHANGE_STATE_OPEN);
  exchange->input = *input;
  return run_steps(exchange);
}

size_t exchange_body_limit(const struct exchange *exchange)
{
  CHECK(exchange->state == EXCHANGE_STATE_WANTS_BODY);
  return protocol_body_limit(exchange->protocol, exchange_method(exchange));
}

enum exchange_next exchange_body(struct exchange *exchange, struct slice body)
{
  CHECK(exchange->state == EXCHANGE_STATE_WANTS_BODY);
  exchange->body = body;
  // The step that asked for the body is done.
  exchange->step++;
  return run_steps(exchange);
}

enum exchange_next exchange_write(struct exchange *exchange)
{
  if (exchange->state != EXCHANGE_STATE_WRITING)
    return EXCHANGE_WAITING;
  if (exchange_write_piece(exchange) == STEP_WRITE)
    return EXCHANGE_WRITING;
  exchange_set_state(exchange, EXCHANGE_STATE_REPLIED);
  return EXCHANGE_DONE;
}

size_t exchange_write_bytes(const struct exchange *exchange)
{
  return exchange->wire.size;
}

// Cancels the call in flight, or the wait for keys, so that no progress is reported any more. Returns whether the
// service may have begun the call.
static bool cancel_wait(struct exchange *exchange)
{
  keys_stop_waiting(&exchange->key_wait);
  api_key_wait_stop(&exchange->api_key_wait);
  limit_wait_stop(&exchange->limit_wait);
  limits_abandon_attempt(&exchange->attempt);
  exchange_leave_stream(exchange);
  return exchange->call != NULL && exchange_cancel_call(exchange);
}

void exchange_expire_waits(struct gateway *gateway, uint64_t now_us)
{
  struct heap_node *first;
  while ((first = heap_first(&gateway->waits)) != NULL && first->key <= now_us) {
    struct exchange *exchange = CONTAINER_OF(first, struct exchange, timer);
    (void)cancel_wait(exchange);
    (void)exchange_refuse_expired(exchange);
    exchange_set_state(exchange, EXCHANGE_STATE_REPLIED);
    exchange->progress(exchange->arg, EXCHANGE_DONE);
  }
}

// Gives a call in flight up, because there is no room for its answer: the reply becomes a 429, and the host is told.
// Does nothing for a call that may change something, or has ended.
static void give_up_call(struct exchange *exchange)
{
  bool is_read = exchange->call != NULL && exchange_method(exchange)->no_side_effects;
  if (exchange->state != EXCHANGE_STATE_WAITING || !is_read)
    return;
  (void)cancel_wait(exchange);
  (void)exchange_refuse_answer(exchange);
  exchange_set_state(exchange, EXCHANGE_STATE_REPLIED);
  exchange->progress(exchange->arg, EXCHANGE_DONE);
}

void exchange_give_up_excess(struct gateway *gateway)
{
  for (size_t i = 0; i < MOST_GIVEN_UP && !list_empty(&gateway->excess); i++) {
    struct answer_share *share = CONTAINER_OF(gateway->excess.next, struct answer_share, node);
    list_remove(&share->node);
    give_up_call(CONTAINER_OF(share, struct exchange, answer));
  }
}

// Returns the value of the Allow header for a method that nginx itself refuses (TRACE and CONNECT everywhere). A path
// without a route is one of the pages that nginx and the gateway serve by themselves, which can only be read.
static struct slice list_allowed_methods(struct exchange *exchange)
{
  const struct gateway *gateway = exchange->gateway;
  const char *allow = contract_allow(gateway->api->contract, exchange->input.path, &exchange->arena);
  if (allow == NULL)
    allow = protocol_allow(gateway, exchange->input.path);
  return allow == NULL ? SLICE("GET, HEAD, OPTIONS") : slice_from_string(allow);
}

// Makes the reply for a method that nginx does not take. OPTIONS of its pages is answered.
static void answer_method(struct exchange *exchange)
{
  struct slice allow = list_allowed_methods(exchange);
  if (slice_equal(exchange->input.method, SLICE("OPTIONS"))) {
    exchange_describe(exchange, allow);
    return;
  }
  reply_add_header(exchange, SLICE("Allow"), allow);
  exchange_fail(exchange, &(struct failure){.code = problem_code(405), .http_status = 405});
}

void exchange_fail_http(struct exchange *exchange, const struct exchange_input *input, int http_status)
{
  bool may_have_begun = cancel_wait(exchange);
  if (exchange->state == EXCHANGE_STATE_OPEN) {
    exchange->input = *input;
    step_identify(exchange);
  }
  exchange->reply = (struct exchange_reply){0};
  bool reads_body = exchange->state == EXCHANGE_STATE_WANTS_BODY;
  // What fails while a body is stored is a lack of memory or disk, which passes.
  if (reads_body && http_status == 500)
    http_status = 503;
  struct failure failure = {.code = problem_code(http_status), .http_status = http_status};
  if (reads_body && http_status == 503)
    failure.detail = SLICE("the server has no room for the body right now; try again later");
  if ((http_status == 503 || http_status == 504) && !may_have_begun)
    failure.reason = RPC_NOT_APPLIED;
  if (http_status == 405)
    answer_method(exchange);
  else if (reads_body && http_status == 413)
    exchange_refuse_large_body(exchange);
  else
    exchange_fail(exchange, &failure);
  exchange_set_state(exchange, EXCHANGE_STATE_REPLIED);
}

const struct exchange_reply *exchange_reply(const struct exchange *exchange)
{
  CHECK(exchange->state == EXCHANGE_STATE_REPLIED || exchange->state == EXCHANGE_STATE_STREAMING);
  return &exchange->reply;
}

void exchange_note_sent(struct exchange *exchange)
{
  struct gateway *gateway = exchange->gateway;
  if (exchange->place.is_held)
    admission_return(gateway->admission, &exchange->place, exchange->is_carried_out, gateway->clock.now_us());
}

struct exchange_facts exchange_facts(const struct exchange *exchange)
{
  struct exchange_facts facts = {.caller_id = exchange->caller_id,
                                 .protocol = slice_from_string(protocol_name(exchange->protocol->number)),
                                 .instance = slice_make(exchange->instance_text, exchange->instance_size),
                                 .reason = exchange->reply.reason,
                                 .messages_received = exchange->stream.received_count,
                                 .messages_sent = exchange->stream.sent_count};
  if (exchange->request_id_size > 0) {
    facts.request_id = exchange_request_id(exchange);
    facts.trace_id = trace_id_of(slice_make(exchange->traceparent, TRACEPARENT_SIZE - 1));
  }
  const struct contract_method *method = exchange_method(exchange);
  if (method != NULL) {
    facts.method = method->full_name;
    facts.rate_class = exchange_rate_class(exchange);
  }
  return facts;
}

uint64_t exchange_phase_us(const struct exchange *exchange, enum exchange_phase phase)
{
  uint64_t now_us = phase == EXCHANGE_PHASE_REPLY || exchange->ended_us == 0 ? exchange->gateway->clock.now_us() : 0;
  uint64_t ended_us = exchange->ended_us != 0 ? exchange->ended_us : now_us;
  uint64_t called_us = exchange->called_us != 0 ? exchange->called_us : ended_us;
  uint64_t answered_us = exchange->answered_us != 0 ? exchange->answered_us : ended_us;
  switch (phase) {
  case EXCHANGE_PHASE_PREPARE:
    return called_us - exchange->started_us;
  case EXCHANGE_PHASE_SERVICE:
    return answered_us - called_us;
  case EXCHANGE_PHASE_REPLY:
    break;
  }
  return now_us - answered_us;
}

void exchange_abandon(struct exchange *exchange)
{
  (void)cancel_wait(exchange);
  if (!has_ended(exchange->state))
    exchange_set_state(exchange, EXCHANGE_STATE_ABANDONED);
}

// Empties a buffer for the next request, and frees it where it has become large.
static void empty_buffer(struct strbuf *buf)
{
  if (buf->capacity > KEEP_BYTES)
    strbuf_free(buf);
  strbuf_clear(buf);
}

static void destroy_exchange(struct exchange *exchange)
{
  arena_free(&exchange->arena);
  arena_free(&exchange->line_arena);
  strbuf_free(&exchange->wire);
  strbuf_free(&exchange->out);
  strbuf_free(&exchange->next);
  strbuf_free(&exchange->in);
  strbuf_free(&exchange->plain);
  strbuf_free(&exchange->scratch);
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
  answer_budget_release(&gateway->answers, &gone->answer);
  admission_return(gateway->admission, &gone->place, false, gateway->clock.now_us());
  if (gateway->spare_count >= MAX_SPARES) {
    destroy_exchange(gone);
    return;
  }
  arena_reset(&gone->arena);
  arena_reset(&gone->line_arena);
  empty_buffer(&gone->wire);
  empty_buffer(&gone->out);
  empty_buffer(&gone->next);
  empty_buffer(&gone->in);
  empty_buffer(&gone->plain);
  empty_buffer(&gone->scratch);
  memset(gone, 0, offsetof(struct exchange, arena));
  gone->next_spare = gateway->spare;
  gateway->spare = gone;
  gateway->spare_count++;
}

// Frees all spare exchanges but the first `kept`, which are those that were used last.
static void free_spares_behind(struct gateway *gateway, size_t kept)
{
  struct exchange **end = &gateway->spare;
  for (size_t i = 0; i < kept; i++)
    end = &(*end)->next_spare;
  while (*end != NULL) {
    struct exchange *gone = *end;
    *end = gone->next_spare;
    destroy_exchange(gone);
  }
  gateway->spare_count = kept;
  gateway->spare_least = kept;
}

void exchange_trim_spares(struct gateway *gateway)
{
  free_spares_behind(gateway, gateway->spare_count - gateway->spare_least);
}

void exchange_free_spares(struct gateway *gateway)
{
  free_spares_behind(gateway, 0);
}
