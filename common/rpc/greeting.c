// A greeting has an nng_aio of its own, whose callback takes it from step to step. The mutex guards the list, `closing`
// and `evicted`; each transfer begins under it, so none begins once the greeting was given up.
#include "common/rpc/greeting_internal.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/compiler.h"
#include "common/observe/log.h"
#include "common/observe/metrics.h"
#include "common/security/tls.h"

#define GREETING_BYTES 8
// The most connections of a link that have not got through. An honest one needs milliseconds.
#define MAX_GREETINGS 512

enum greeting_state {
  GREETING_HANDSHAKING,  // TLS
  GREETING_SENDING,
  GREETING_RECEIVING,
  GREETING_REFUSING,  // has failed; the alert that tells the other side why is sent
};

enum step {
  STEP_SEND,
  STEP_RECEIVE,
  STEP_END,
};

struct greeting {
  struct greetings *greetings;
  nng_stream *stream;
  struct tls_session *tls;
  nng_aio *aio;
  enum greeting_state state;
  bool sending;  // what the transfer does that runs
  bool evicted;  // was given up for newer ones
  uint64_t deadline_us;
  uint8_t bytes[GREETING_BYTES];
  size_t done;  // bytes of the greeting sent or received
  struct error error;
  struct list node;
};

static void write_greeting(uint8_t out[GREETING_BYTES], uint8_t protocol)
{
  memcpy(out, (const uint8_t[GREETING_BYTES]){0, 'S', 'P', 0, 0, protocol, 0, 0}, GREETING_BYTES);
}

// Returns whether the greeting is that of the protocol which talks to ours.
static bool is_greeting_right(const struct greeting *greeting)
{
  uint8_t expected[GREETING_BYTES];
  write_greeting(expected, greeting->greetings->protocol == SP_PROTOCOL_REQ ? SP_PROTOCOL_REP : SP_PROTOCOL_REQ);
  return memcmp(greeting->bytes, expected, GREETING_BYTES) == 0;
}

// ---- the end ----

static const char *name_reason(enum status status)
{
  switch (status) {
  case STATUS_RESOURCE_EXHAUSTED:
    return "crowd";
  case STATUS_DEADLINE_EXCEEDED:
    return "timeout";
  case STATUS_UNAUTHENTICATED:
    return "tls";
  default:
    return "greeting";
  }
}

// Writes the address of the other side, such as 10.0.0.7:5123; "" over IPC.
static void format_peer(nng_stream *stream, char *out, size_t size)
{
  nng_sockaddr address;
  char host[INET6_ADDRSTRLEN] = "";
  out[0] = '\0';
  if (nng_stream_get_addr(stream, NNG_OPT_REMADDR, &address) != 0)
    return;
  if (address.s_family == NNG_AF_INET && inet_ntop(AF_INET, &address.s_in.sa_addr, host, sizeof(host)) != NULL)
    snprintf(out, size, "%s:%u", host, (unsigned)ntohs(address.s_in.sa_port));
  if (address.s_family == NNG_AF_INET6 && inet_ntop(AF_INET6, address.s_in6.sa_addr, host, sizeof(host)) != NULL)
    snprintf(out, size, "[%s]:%u", host, (unsigned)ntohs(address.s_in6.sa_port));
}

// Returns whether a refusal may be logged now. `unlogged` becomes how many were not logged since the last one.
static bool may_log(struct greetings *greetings, uint64_t *unlogged)
{
  pthread_mutex_lock(&greetings->mutex);
  bool allowed = log_limit_pass(&greetings->refusals, clock_now_us(), unlogged);
  pthread_mutex_unlock(&greetings->mutex);
  return allowed;
}

// Counts and logs a client that was refused. A server that refuses us is logged by its endpoint.
static void report_refusal(const struct greeting *greeting)
{
  struct slice reason = slice_from_string(name_reason(greeting->error.status));
  char peer[INET6_ADDRSTRLEN + 16];
  uint64_t unlogged;
  metric_add_from_any_thread(metrics_series(METRIC_RPC_REFUSED, &reason, 1), 1);
  if (greeting->greetings->protocol == SP_PROTOCOL_REQ || !may_log(greeting->greetings, &unlogged))
    return;
  format_peer(greeting->stream, peer, sizeof(peer));
  log_warn("rpc", "refused a connection; if it is from a service, check that one's certificate and its RPC_* settings",
           LOG_STRING("peer", peer), LOG_STRING("reason", greeting->error.message), LOG_INT("refusedBefore", unlogged));
}

// Hands the connection over, or frees it, and frees the greeting.
static void end_greeting(struct greeting *greeting)
{
  struct greetings *greetings = greeting->greetings;
  if (greeting->error.status != STATUS_OK) {
    if (greeting->error.status != STATUS_CANCELLED)
      report_refusal(greeting);
    nng_stream_close(greeting->stream);
    nng_stream_free(greeting->stream);
    greeting->stream = NULL;
    tls_session_free(&greeting->tls);
  }
  greetings->on_end(greetings->arg, greeting->stream, greeting->tls, &greeting->error);
  pthread_mutex_lock(&greetings->mutex);
  list_remove(&greeting->node);
  greetings->count--;
  nng_aio_reap(greeting->aio);
  free(greeting);
  pthread_cond_signal(&greetings->changed);
  pthread_mutex_unlock(&greetings->mutex);
}

// ---- steps ----

// Notes that the greeting was given up.
static void note_cancelled(struct greeting *greeting)
{
  pthread_mutex_lock(&greeting->greetings->mutex);
  bool evicted = greeting->evicted;
  pthread_mutex_unlock(&greeting->greetings->mutex);
  if (evicted)
    error_set(&greeting->error, STATUS_RESOURCE_EXHAUSTED, "too many others have connected before it got through");
  else
    error_set(&greeting->error, STATUS_CANCELLED, "this side closes");
}

static enum step fail(struct greeting *greeting, enum status status, const char *message)
{
  error_set(&greeting->error, status, "%s", message);
  if (greeting->tls == NULL || greeting->state == GREETING_REFUSING || tls_session_output(greeting->tls).size == 0)
    return STEP_END;
  greeting->state = GREETING_REFUSING;
  return STEP_SEND;
}

static enum step check_greeting(struct greeting *greeting)
{
  if (!is_greeting_right(greeting))
    return fail(greeting, STATUS_FAILED_PRECONDITION, "the other side has sent a greeting that is not ours");
  return STEP_END;
}

// Chooses what comes next without TLS.
static enum step choose_plain_step(struct greeting *greeting)
{
  if (greeting->done < GREETING_BYTES)
    return greeting->state == GREETING_SENDING ? STEP_SEND : STEP_RECEIVE;
  if (greeting->state == GREETING_RECEIVING)
    return check_greeting(greeting);
  greeting->state = GREETING_RECEIVING;
  greeting->done = 0;
  return STEP_RECEIVE;
}

// Chooses what comes next with TLS: bytes that OpenSSL wants to send always go first.
static enum step choose_tls_step(struct greeting *greeting)
{
  struct tls_session *tls = greeting->tls;
  if (greeting->state == GREETING_REFUSING)
    return tls_session_output(tls).size != 0 ? STEP_SEND : STEP_END;
  // A write that fails is seen by the session's state below.
  if (tls_session_advance(tls) == TLS_OPEN && greeting->state == GREETING_HANDSHAKING &&
      tls_session_write(tls, slice_make(greeting->bytes, GREETING_BYTES)))
    greeting->state = GREETING_RECEIVING;
  if (greeting->state == GREETING_RECEIVING)
    greeting->done += tls_session_read(tls, greeting->bytes + greeting->done, GREETING_BYTES - greeting->done);
  if (tls_session_state(tls) == TLS_ENDED)
    return fail(greeting, STATUS_UNAUTHENTICATED, "the other side has ended the session during the greeting");
  if (tls_session_state(tls) == TLS_FAILED)
    return fail(greeting, STATUS_UNAUTHENTICATED, tls_session_reason(tls));
  if (tls_session_output(tls).size != 0)
    return STEP_SEND;
  return greeting->done < GREETING_BYTES ? STEP_RECEIVE : check_greeting(greeting);
}

// Returns the bytes that a transfer moves.
static nng_iov find_transfer(struct greeting *greeting, enum step step)
{
  if (greeting->tls == NULL)
    return (nng_iov){.iov_buf = greeting->bytes + greeting->done, .iov_len = GREETING_BYTES - greeting->done};
  if (step == STEP_SEND) {
    struct slice output = tls_session_output(greeting->tls);
    return (nng_iov){.iov_buf = (void *)(uintptr_t)output.data, .iov_len = output.size};
  }
  size_t size;
  uint8_t *room = tls_session_room(greeting->tls, &size);
  return (nng_iov){.iov_buf = room, .iov_len = size};
}

// Starts a transfer. False when the link closes.
static bool start_transfer(struct greeting *greeting, enum step step)
{
  struct greetings *greetings = greeting->greetings;
  uint32_t left_ms = deadline_left_ms(greeting->deadline_us, clock_now_us());
  nng_iov iov = find_transfer(greeting, step);
  CHECK(nng_aio_set_iov(greeting->aio, 1, &iov) == 0);
  // A timeout of zero would end the transfer before it is tried.
  nng_aio_set_timeout(greeting->aio, left_ms == 0 ? 1 : (nng_duration)left_ms);
  greeting->sending = step == STEP_SEND;
  pthread_mutex_lock(&greetings->mutex);
  bool stopped = greetings->closing || greeting->evicted;
  if (!stopped && greeting->sending)
    nng_stream_send(greeting->stream, greeting->aio);
  else if (!stopped)
    nng_stream_recv(greeting->stream, greeting->aio);
  pthread_mutex_unlock(&greetings->mutex);
  return !stopped;
}

static void take_step(struct greeting *greeting)
{
  enum step step = greeting->tls == NULL ? choose_plain_step(greeting) : choose_tls_step(greeting);
  if (step != STEP_END && start_transfer(greeting, step))
    return;
  if (step != STEP_END)
    note_cancelled(greeting);
  end_greeting(greeting);
}

static void note_moved(struct greeting *greeting, size_t size)
{
  if (greeting->tls == NULL)
    greeting->done += size;
  else if (greeting->sending)
    tls_session_sent(greeting->tls, size);
  else
    tls_session_feed(greeting->tls, size);
}

// Notes why a transfer has failed. While the other side is told of a refusal, that one stays the reason.
static void note_failure(struct greeting *greeting, int result)
{
  if (result == NNG_ECANCELED)
    note_cancelled(greeting);
  else if (greeting->state == GREETING_REFUSING)
    return;
  else if (result == NNG_ETIMEDOUT)
    error_set(&greeting->error, STATUS_DEADLINE_EXCEEDED, "the other side has not finished its greeting within %d s",
              RPC_GREETING_TIMEOUT_MS / 1000);
  else
    error_set(&greeting->error, STATUS_UNAVAILABLE, "during the greeting: %s", nng_strerror(result));
}

static void handle_transfer(void *arg)
{
  struct greeting *greeting = arg;
  int result = nng_aio_result(greeting->aio);
  if (result == 0) {
    note_moved(greeting, nng_aio_count(greeting->aio));
    take_step(greeting);
    return;
  }
  note_failure(greeting, result);
  end_greeting(greeting);
}

// ---- life ----

void greetings_init(struct greetings *greetings, uint8_t protocol, greeting_end_fn *on_end, void *arg)
{
  *greetings = (struct greetings){.protocol = protocol, .on_end = on_end, .arg = arg};
  CHECK(pthread_mutex_init(&greetings->mutex, NULL) == 0);
  CHECK(pthread_cond_init(&greetings->changed, NULL) == 0);
  list_init(&greetings->members);
}

// Gives up the oldest greeting if there are too many. The caller holds the mutex.
static void make_room(struct greetings *greetings)
{
  if (greetings->count < MAX_GREETINGS)
    return;
  for (struct list *node = greetings->members.next; node != &greetings->members; node = node->next) {
    struct greeting *oldest = CONTAINER_OF(node, struct greeting, node);
    if (oldest->evicted)
      continue;
    oldest->evicted = true;
    nng_aio_cancel(oldest->aio);
    return;
  }
}

void greetings_start(struct greetings *greetings, nng_stream *stream, struct tls_session *tls)
{
  struct greeting *greeting = calloc(1, sizeof(*greeting));
  CHECK(greeting != NULL);
  *greeting = (struct greeting){
      .greetings = greetings,
      .stream = stream,
      .tls = tls,
      .state = tls == NULL ? GREETING_SENDING : GREETING_HANDSHAKING,
      .deadline_us = deadline_after_ms(clock_now_us(), RPC_GREETING_TIMEOUT_MS),
  };
  write_greeting(greeting->bytes, greetings->protocol);
  CHECK(nng_aio_alloc(&greeting->aio, handle_transfer, greeting) == 0);
  pthread_mutex_lock(&greetings->mutex);
  make_room(greetings);
  list_append(&greetings->members, &greeting->node);
  greetings->count++;
  pthread_mutex_unlock(&greetings->mutex);
  take_step(greeting);
}

void greetings_close(struct greetings *greetings)
{
  pthread_mutex_lock(&greetings->mutex);
  greetings->closing = true;
  for (struct list *node = greetings->members.next; node != &greetings->members; node = node->next)
    nng_aio_cancel(CONTAINER_OF(node, struct greeting, node)->aio);
  while (!list_empty(&greetings->members))
    pthread_cond_wait(&greetings->changed, &greetings->mutex);
  pthread_mutex_unlock(&greetings->mutex);
}

void greetings_free(struct greetings *greetings)
{
  pthread_cond_destroy(&greetings->changed);
  pthread_mutex_destroy(&greetings->mutex);
}
