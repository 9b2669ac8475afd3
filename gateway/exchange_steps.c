// The steps from the request's head to the call: find the method, read the body, translate it and call the service.
// What of it differs between protocols is in rest.c, grpc.c and their like. Who calls is found out in
// exchange_authenticate.c, what he may do is judged in exchange_rights.c.
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/compiler.h"
#include "common/base/hash.h"
#include "common/base/utf8.h"
#include "common/observe/log.h"
#include "gateway/protocol_internal.h"

// How much time of a call that changes something is kept for the word of what has become of it. A service whose time is
// up cancels its statements, and waits up to 300 ms for PostgreSQL to say how they have ended. What it learns so
// reaches the client as the reason of the 503 or 504 when its own time is up.
#define REPLY_WAIT_MS 400
// No more than this part of a call's time is kept.
#define REPLY_WAIT_PART 4
// When a caller whose answers wait to be read may try again.
#define UNREAD_RETRY_MS 1000
// When a caller whose call was refused may try again: the crowd may have gone by then.
#define OVERLOAD_RETRY_MS 1000

// How much of a User-Agent services are told, in bytes.
#define MAX_USER_AGENT_BYTES 256

// ---- identify ----

enum step_result step_identify(struct exchange *exchange)
{
  const struct exchange_input *input = &exchange->input;
  exchange->protocol = protocol_find(exchange->gateway, input);
  if (request_id_valid(input->request_id)) {
    memcpy(exchange->request_id_text, input->request_id.data, input->request_id.size);
    exchange->request_id_size = input->request_id.size;
  } else {
    uuid_v7(exchange->request_id_text);
    exchange->request_id_size = UUID_TEXT_SIZE - 1;
  }
  struct trace_context parent, trace;
  if (trace_parse(input->traceparent, &parent))
    trace_child(&parent, &trace);
  else
    trace_start(&trace);
  trace_format(&trace, exchange->traceparent);
  return STEP_NEXT;
}

// ---- route ----

enum step_result step_route(struct exchange *exchange)
{
  return exchange->protocol->find_method(exchange);
}

// ---- time ----

// Answers that one header is not as it must be.
static enum step_result refuse_header(struct exchange *exchange, const struct violation *violation)
{
  return exchange_fail(exchange, &(struct failure){.code = STATUS_INVALID_ARGUMENT,
                                                   .reason = "INVALID_REQUEST",
                                                   .detail = SLICE("the request is not valid"),
                                                   .violations = violation,
                                                   .violation_count = 1});
}

enum step_result step_time(struct exchange *exchange)
{
  uint64_t limit_us;
  const struct violation *wrong = NULL;
  if (!time_limits_read(&exchange->input.time_limits, &limit_us, &wrong))
    return refuse_header(exchange, wrong);
  // The client's time counts from the arrival of the request's head.
  if (limit_us != TIME_LIMIT_NONE)
    exchange->deadline_us = exchange->started_us + limit_us;
  return STEP_NEXT;
}

static bool has_expired(const struct exchange *exchange)
{
  return exchange->deadline_us != DEADLINE_NONE && exchange->deadline_us <= exchange->gateway->clock.now_us();
}

enum step_result exchange_refuse_expired(struct exchange *exchange)
{
  return exchange_fail(
      exchange, &(struct failure){.code = STATUS_DEADLINE_EXCEEDED,
                                  .reason = RPC_NOT_APPLIED,
                                  .detail = SLICE("the time that the request gives itself is over before it began")});
}

// ---- admit ----

static uint64_t hash_of_caller(const struct exchange *exchange)
{
  return hash_bytes(exchange->caller_id.size > 0 ? exchange->caller_id : exchange->input.client_address);
}

// Makes the reply a 429, because more calls of the method come than can be answered in good time.
static enum step_result refuse_call(struct exchange *exchange)
{
  return exchange_fail(exchange,
                       &(struct failure){.code = STATUS_RESOURCE_EXHAUSTED,
                                         .reason = "OVERLOADED",
                                         .detail = SLICE("more requests of this kind come than can be answered in good "
                                                         "time; wait as long as Retry-After says"),
                                         .retry_after_ms = OVERLOAD_RETRY_MS});
}

// Refuses what would find no place at the call, before its body is read and translated. The place itself is taken when
// the call is made, because a body may come slowly.
enum step_result step_admit(struct exchange *exchange)
{
  struct gateway *gateway = exchange->gateway;
  const struct contract_method *method = exchange_method(exchange);
  if (!admission_limits(method))
    return STEP_NEXT;
  bool has_room = admission_has_room(gateway->admission, method, hash_of_caller(exchange), gateway->clock.now_us());
  return has_room ? STEP_NEXT : refuse_call(exchange);
}

// ---- body ----

// The messages of a client's stream are read, judged and translated one by one while the call runs.
enum step_result step_body(struct exchange *exchange)
{
  const struct protocol *protocol = exchange->protocol;
  if (!exchange_method(exchange)->client_streams)
    return protocol->begin_body(exchange);
  return protocol->begin_read == NULL ? STEP_NEXT : protocol->begin_read(exchange);
}

enum step_result step_arrived(struct exchange *exchange)
{
  if (has_expired(exchange))
    return exchange_refuse_expired(exchange);
  return exchange_method(exchange)->client_streams ? STEP_NEXT : exchange->protocol->judge_body(exchange);
}

enum step_result exchange_refuse_large_body(struct exchange *exchange)
{
  const char *detail =
      arena_printf(&exchange->arena, "the body may have %u bytes at most", exchange_method(exchange)->max_body_bytes);
  return exchange_fail(exchange, &(struct failure){.code = STATUS_INVALID_ARGUMENT,
                                                   .http_status = 413,
                                                   .reason = "BODY_TOO_LARGE",
                                                   .detail = slice_from_string(detail)});
}

// ---- translate ----

enum step_result exchange_refuse_violations(struct exchange *exchange, const struct violations *violations)
{
  const char *detail = "the request is not valid";
  if (violations->more > 0)
    detail = arena_printf(&exchange->arena, "the request is not valid; %zu more violations are not listed",
                          violations->more);
  return exchange_fail(exchange, &(struct failure){.code = STATUS_INVALID_ARGUMENT,
                                                   .reason = "INVALID_REQUEST",
                                                   .detail = slice_from_string(detail),
                                                   .violations = violations->items,
                                                   .violation_count = violations->count});
}

enum step_result step_translate(struct exchange *exchange)
{
  return exchange_method(exchange)->client_streams ? STEP_NEXT : exchange->protocol->translate(exchange);
}

// ---- call ----

void exchange_note_instance(struct exchange *exchange, struct slice instance)
{
  if (instance.size > INSTANCE_MAX_BYTES)
    instance = slice_make(instance.data, INSTANCE_MAX_BYTES);
  exchange->instance_size = utf8_check(instance);
  if (exchange->instance_size > 0)
    memcpy(exchange->instance_text, instance.data, exchange->instance_size);
}

bool exchange_cancel_call(struct exchange *exchange)
{
  const struct backend *backend = exchange_backend(exchange);
  struct rpc_call *call = exchange->call;
  exchange->call = NULL;
  if (backend->instance != NULL)
    exchange_note_instance(exchange, backend->instance(backend->arg, call));
  return backend->cancel(backend->arg, call);
}

static void on_called(void *arg, const struct rpc_status *status, struct slice payload)
{
  struct exchange *exchange = arg;
  exchange->call = NULL;
  exchange_note_instance(exchange, status->instance);
  exchange_leave_stream(exchange);
  if (exchange->state == EXCHANGE_STATE_STREAMING) {
    if (exchange->gateway->stopped)
      return;
    exchange_note_outcome(exchange, status);
    exchange->progress(exchange->arg, EXCHANGE_STREAMING);
    return;
  }
  exchange->answered_us = exchange->gateway->clock.now_us();
  exchange->outcome = status;
  exchange->outcome_payload = payload;
  exchange->step++;
  exchange_resume(exchange);
}

enum step_result exchange_refuse_answer(struct exchange *exchange)
{
  return exchange_fail(
      exchange, &(struct failure){.code = STATUS_RESOURCE_EXHAUSTED,
                                  .reason = "TOO_MANY_UNREAD_BYTES",
                                  .detail = SLICE("large answers to you wait here to be read; read them first, or "
                                                  "ask for fewer at a time, such as by a smaller pageSize"),
                                  .retry_after_ms = UNREAD_RETRY_MS});
}

// Takes a place among the calls in flight, and reserves room for the answer. STEP_NEXT where there is both.
static enum step_result reserve_call(struct exchange *exchange, uint64_t deadline_us, uint64_t now_us)
{
  struct gateway *gateway = exchange->gateway;
  const struct contract_method *method = exchange_method(exchange);
  const struct admission_request request = {
      .method = method, .caller = hash_of_caller(exchange), .left_us = deadline_us > now_us ? deadline_us - now_us : 0};
  bool streams = method->client_streams || method->server_streams;
  if (streams && exchange_open_stream(exchange, request.caller) != STEP_NEXT)
    return STEP_REPLIED;
  // The messages of a stream are bounded one by one.
  if (method->server_streams)
    return STEP_NEXT;
  if (!streams && admission_take(gateway->admission, &request, &exchange->place, now_us) != CONCURRENCY_ADMITTED)
    return refuse_call(exchange);
  if (answer_budget_reserve(&gateway->answers, &exchange->answer, request.caller, hash_integers((uintptr_t)method, 0)))
    return STEP_NEXT;
  admission_return(gateway->admission, &exchange->place, false, now_us);
  exchange_leave_stream(exchange);
  return exchange_refuse_answer(exchange);
}

static enum step_result refuse_idempotency_key(struct exchange *exchange)
{
  static const struct violation violation = {
      .field = SLICE_INIT("Idempotency-Key"),
      .description = SLICE_INIT("must come once, with 1 to 128 visible characters"),
  };
  limits_end_attempt(&exchange->attempt, &(struct rpc_status){.code = STATUS_INVALID_ARGUMENT});
  return refuse_header(exchange, &violation);
}

// Returns when the client must have its answer: after the method's time, or before, when the client's is over. The
// method's time counts from here. nginx bounds how slowly a client may send its body.
static uint64_t find_answer_deadline(const struct exchange *exchange, uint64_t now_us)
{
  return deadline_min(deadline_after_ms(now_us, exchange_method(exchange)->timeout_ms), exchange->deadline_us);
}

// Returns how much of the time is kept for the reply to a call whose time is up. None of a read's, because what has
// become of it does not matter.
static uint32_t find_reply_wait_ms(const struct exchange *exchange, uint64_t answer_us, uint64_t now_us)
{
  if (exchange_method(exchange)->no_side_effects)
    return 0;
  uint32_t part_ms = deadline_left_ms(answer_us, now_us) / REPLY_WAIT_PART;
  return part_ms < REPLY_WAIT_MS ? part_ms : REPLY_WAIT_MS;
}

// Returns the User-Agent for the audit log; empty for calls without side effects, which are not noted there.
static struct slice find_user_agent(const struct exchange *exchange)
{
  const struct exchange_input *input = &exchange->input;
  if (exchange_method(exchange)->no_side_effects || input->header == NULL)
    return (struct slice){0};
  struct slice agent = input->header(input->header_arg, "User-Agent");
  if (agent.size > MAX_USER_AGENT_BYTES)
    agent = slice_make(agent.data, MAX_USER_AGENT_BYTES);
  return slice_make(agent.data, utf8_check(agent));
}

enum step_result step_call(struct exchange *exchange)
{
  const struct contract_method *method = exchange_method(exchange);
  struct slice key = {0};
  if (method->takes_idempotency_key && !idempotency_key_read(exchange->input.idempotency_key, &key))
    return refuse_idempotency_key(exchange);
  uint64_t now_us = exchange->gateway->clock.now_us();
  uint64_t answer_us = find_answer_deadline(exchange, now_us);
  uint32_t reply_wait_ms = find_reply_wait_ms(exchange, answer_us, now_us);
  uint64_t deadline_us = answer_us - (uint64_t)reply_wait_ms * 1000;
  if (reserve_call(exchange, answer_us, now_us) != STEP_NEXT) {
    limits_end_attempt(&exchange->attempt, &(struct rpc_status){.code = STATUS_RESOURCE_EXHAUSTED});
    return STEP_REPLIED;
  }
  exchange->call_context = (struct rpc_context){
      .request_id = exchange_request_id(exchange),
      .traceparent = slice_make(exchange->traceparent, TRACEPARENT_SIZE - 1),
      .access_token = exchange->access_token,
      .idempotency_key = key,
      .client_address = exchange->input.client_address,
      .user_agent = find_user_agent(exchange),
  };
  bool streams = method->client_streams || method->server_streams;
  struct rpc_call_options options = {
      .service = method->service,
      .method = method->full_name,
      .payload = method->client_streams ? (struct slice){0} : exchange->message,
      .deadline_us = deadline_us,
      .reply_wait_ms = reply_wait_ms,
      .context = &exchange->call_context,
      .keeps_request = true,
      // A reply that is not kept cannot be given to a repeat.
      .is_repeatable = method->no_side_effects || (key.size > 0 && !method->secret_reply),
      .hedge_after_ms = method->hedge_after_ms,
      .stream = streams ? &exchange_stream_events : NULL,
      .credit_bytes = streams ? STREAM_UNREAD_BYTES : 0,
      .writes_messages = method->client_streams,
  };
  const struct backend *backend = exchange_backend(exchange);
  exchange->called_us = now_us;
  exchange->call = backend->call(backend->arg, &options, on_called, exchange);
  return method->client_streams ? STEP_WANT_STREAM : STEP_WAIT;
}
