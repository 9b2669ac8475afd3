// A greeting has an nng_aio of its own, whose callback takes it from step to step. The mutex of the link guards the
// list of its greetings and `closing`; each step begins under it, so none begins once the link closes.
#include "common/rpc/link_internal.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/compiler.h"
#include "common/base/list.h"
#include "common/rpc/nng_compat_internal.h"
#include "common/rpc/tls_settings_internal.h"

// SP's numbers of the two protocols.
#define PROTOCOL_REQ 0x30
#define PROTOCOL_REP 0x31
#define GREETING_BYTES 8
// The pause after an accept that has failed, for example because there are no descriptors left.
#define ACCEPT_PAUSE_MS 10

struct rpc_link {
  struct rpc_link_options options;  // its texts are not kept
  uint8_t protocol;                 // ours
  bool is_tls;
  bool is_ipc;
  nng_stream_dialer *dialer;      // NULL when listening
  nng_stream_listener *listener;  // NULL when dialling
  nng_aio *aio;                   // of the dial or the accept
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  bool closing;
  struct list greetings;
};

enum greeting_state { GREETING_SENDING, GREETING_RECEIVING };

struct greeting {
  struct rpc_link *link;
  nng_stream *stream;
  nng_aio *aio;
  enum greeting_state state;
  uint8_t bytes[GREETING_BYTES];
  size_t done;  // bytes sent or received
  struct list node;
};

static void push_event(struct rpc_link *link, struct pipe_event event)
{
  event.link_id = link->options.id;
  pipe_events_push(link->options.events, event);
}

// ---- the greeting ----

static void write_greeting(uint8_t out[GREETING_BYTES], uint8_t protocol)
{
  memcpy(out, (const uint8_t[GREETING_BYTES]){0, 'S', 'P', 0, 0, protocol, 0, 0}, GREETING_BYTES);
}

// Returns whether the greeting is that of the protocol which talks to ours.
static bool is_greeting_right(const struct greeting *greeting)
{
  uint8_t expected[GREETING_BYTES];
  write_greeting(expected, greeting->link->protocol == PROTOCOL_REQ ? PROTOCOL_REP : PROTOCOL_REQ);
  return memcmp(greeting->bytes, expected, GREETING_BYTES) == 0;
}

// Starts the transfer of the bytes that are still missing. NNG_ECLOSED when the link closes.
static int continue_greeting(struct greeting *greeting)
{
  struct rpc_link *link = greeting->link;
  nng_iov iov = {.iov_buf = greeting->bytes + greeting->done, .iov_len = GREETING_BYTES - greeting->done};
  CHECK(nng_aio_set_iov(greeting->aio, 1, &iov) == 0);
  pthread_mutex_lock(&link->mutex);
  bool closing = link->closing;
  if (!closing && greeting->state == GREETING_SENDING)
    nng_stream_send(greeting->stream, greeting->aio);
  else if (!closing)
    nng_stream_recv(greeting->stream, greeting->aio);
  pthread_mutex_unlock(&link->mutex);
  return closing ? NNG_ECLOSED : 0;
}

// Tells the host about the connection, and frees the greeting.
static void end_greeting(struct greeting *greeting, int error)
{
  struct rpc_link *link = greeting->link;
  struct rpc_opened opened = {.stream = greeting->stream, .fd = -1, .is_ipc = link->is_ipc, .is_tls = link->is_tls};
  if (error != 0) {
    rpc_opened_discard(&opened);
    if (link->dialer != NULL)
      push_event(link, (struct pipe_event){.kind = PIPE_FAILED, .error = error});
  } else {
    if (!link->is_tls && !link->is_ipc)
      opened.fd = rpc_find_socket(opened.stream);
    push_event(link, (struct pipe_event){.kind = PIPE_OPENED, .opened = opened});
  }
  pthread_mutex_lock(&link->mutex);
  list_remove(&greeting->node);
  nng_aio_reap(greeting->aio);
  free(greeting);
  pthread_cond_signal(&link->changed);
  pthread_mutex_unlock(&link->mutex);
}

// Takes a greeting further after a transfer. Returns what has gone wrong, or 0; `ended` when there is nothing left to
// do.
static int advance_greeting(struct greeting *greeting, bool *ended)
{
  int error = nng_aio_result(greeting->aio);
  if (error != 0)
    return error;
  greeting->done += nng_aio_count(greeting->aio);
  if (greeting->done == GREETING_BYTES && greeting->state == GREETING_RECEIVING) {
    *ended = true;
    return is_greeting_right(greeting) ? 0 : NNG_EPROTO;
  }
  if (greeting->done == GREETING_BYTES) {
    greeting->state = GREETING_RECEIVING;
    greeting->done = 0;
  }
  return continue_greeting(greeting);
}

static void run_greeting(void *arg)
{
  bool ended = false;
  int error = advance_greeting(arg, &ended);
  if (ended || error != 0)
    end_greeting(arg, error);
}

static void start_greeting(struct rpc_link *link, nng_stream *stream)
{
  struct greeting *greeting = calloc(1, sizeof(*greeting));
  CHECK(greeting != NULL);
  *greeting = (struct greeting){.link = link, .stream = stream, .state = GREETING_SENDING};
  list_init(&greeting->node);
  write_greeting(greeting->bytes, link->protocol);
  CHECK(nng_aio_alloc(&greeting->aio, run_greeting, greeting) == 0);
  nng_aio_set_timeout(greeting->aio, RPC_GREETING_TIMEOUT_MS);
  pthread_mutex_lock(&link->mutex);
  list_append(&link->greetings, &greeting->node);
  pthread_mutex_unlock(&link->mutex);
  int error = continue_greeting(greeting);
  if (error != 0)
    end_greeting(greeting, error);
}

// ---- dial and accept ----

static void handle_dialled(void *arg)
{
  struct rpc_link *link = arg;
  int error = nng_aio_result(link->aio);
  if (error == 0)
    start_greeting(link, nng_aio_get_output(link->aio, 0));
  else
    push_event(link, (struct pipe_event){.kind = PIPE_FAILED, .error = error});
}

// Takes the next client, or waits for a moment first. Does nothing once the link closes.
static void accept_next(struct rpc_link *link, bool at_once)
{
  pthread_mutex_lock(&link->mutex);
  if (!link->closing && at_once)
    nng_stream_listener_accept(link->listener, link->aio);
  else if (!link->closing)
    nng_sleep_aio(ACCEPT_PAUSE_MS, link->aio);
  pthread_mutex_unlock(&link->mutex);
}

static void handle_accepted(void *arg)
{
  struct rpc_link *link = arg;
  int error = nng_aio_result(link->aio);
  // A pause has no output.
  nng_stream *stream = error == 0 ? nng_aio_get_output(link->aio, 0) : NULL;
  if (stream != NULL)
    start_greeting(link, stream);
  accept_next(link, error == 0);
}

// ---- life ----

static struct rpc_link *make_link(const struct rpc_link_options *options, uint8_t protocol)
{
  struct rpc_link *link = calloc(1, sizeof(*link));
  CHECK(link != NULL);
  link->options = *options;
  link->protocol = protocol;
  link->is_tls = strncmp(options->url, "tls+", 4) == 0;
  link->is_ipc = strncmp(options->url, "ipc", 3) == 0;
  CHECK(pthread_mutex_init(&link->mutex, NULL) == 0);
  CHECK(pthread_cond_init(&link->changed, NULL) == 0);
  list_init(&link->greetings);
  CHECK(nng_aio_alloc(&link->aio, protocol == PROTOCOL_REQ ? handle_dialled : handle_accepted, link) == 0);
  rpc_prepare_nng();
  return link;
}

static int open_dialer(struct rpc_link *link, nng_tls_config *config)
{
  int result = nng_stream_dialer_alloc(&link->dialer, link->options.url);
  if (result == 0 && !link->is_ipc)
    result = nng_stream_dialer_set_bool(link->dialer, NNG_OPT_TCP_NODELAY, true);
  if (result == 0 && config != NULL)
    result = nng_stream_dialer_set_ptr(link->dialer, NNG_OPT_TLS_CONFIG, config);
  return result;
}

static int open_listener(struct rpc_link *link, nng_tls_config *config)
{
  int result = nng_stream_listener_alloc(&link->listener, link->options.url);
  if (result == 0 && !link->is_ipc)
    result = nng_stream_listener_set_bool(link->listener, NNG_OPT_TCP_NODELAY, true);
  if (result == 0 && config != NULL)
    result = nng_stream_listener_set_ptr(link->listener, NNG_OPT_TLS_CONFIG, config);
  return result == 0 ? nng_stream_listener_listen(link->listener) : result;
}

// Opens the dialer or the listener. On failure the link is closed.
static enum status open_link(struct rpc_link *link, int (*open)(struct rpc_link *link, nng_tls_config *config),
                             const char *verb, struct error *error)
{
  nng_tls_config *config = NULL;
  bool is_client = link->protocol == PROTOCOL_REQ;
  const char *url = link->options.url;
  int result = rpc_tls_config_make(&config, is_client, url, link->options.tls);
  enum status status = STATUS_OK;
  if (result != 0) {
    status = error_set(error, rpc_nng_status(result), "TLS for %s: %s: check the CA and certificate files", url,
                       nng_strerror(result));
  } else if ((result = open(link, config)) != 0) {
    status = error_set(error, rpc_nng_status(result), "cannot %s %s: %s", verb, url, nng_strerror(result));
  }
  if (config != NULL)
    nng_tls_config_free(config);
  link->options.url = NULL;
  link->options.tls = NULL;
  return status;
}

enum status rpc_link_dial(const struct rpc_link_options *options, struct rpc_link **out, struct error *error)
{
  struct rpc_link *link = make_link(options, PROTOCOL_REQ);
  enum status status = open_link(link, open_dialer, "dial", error);
  if (status != STATUS_OK) {
    rpc_link_close(&link);
    return status;
  }
  nng_aio_set_timeout(link->aio, RPC_GREETING_TIMEOUT_MS);
  nng_stream_dialer_dial(link->dialer, link->aio);
  *out = link;
  return STATUS_OK;
}

enum status rpc_link_listen(const struct rpc_link_options *options, struct rpc_link **out, int *port,
                            struct error *error)
{
  struct rpc_link *link = make_link(options, PROTOCOL_REP);
  bool has_port = strstr(options->url, "tcp") != NULL;
  enum status status = open_link(link, open_listener, "listen on", error);
  if (status != STATUS_OK) {
    rpc_link_close(&link);
    return status;
  }
  *port = 0;
  if (has_port && nng_stream_listener_get_int(link->listener, NNG_OPT_TCP_BOUND_PORT, port) != 0)
    *port = 0;
  accept_next(link, true);
  *out = link;
  return STATUS_OK;
}

static void cancel_greetings(struct rpc_link *link)
{
  pthread_mutex_lock(&link->mutex);
  for (struct list *node = link->greetings.next; node != &link->greetings; node = node->next)
    nng_aio_cancel(CONTAINER_OF(node, struct greeting, node)->aio);
  while (!list_empty(&link->greetings))
    pthread_cond_wait(&link->changed, &link->mutex);
  pthread_mutex_unlock(&link->mutex);
}

void rpc_link_close(struct rpc_link **link_pointer)
{
  struct rpc_link *link = *link_pointer;
  *link_pointer = NULL;
  if (link == NULL)
    return;
  pthread_mutex_lock(&link->mutex);
  link->closing = true;
  pthread_mutex_unlock(&link->mutex);
  if (link->dialer != NULL)
    nng_stream_dialer_close(link->dialer);
  if (link->listener != NULL)
    nng_stream_listener_close(link->listener);
  nng_aio_stop(link->aio);
  cancel_greetings(link);
  nng_aio_free(link->aio);
  if (link->dialer != NULL)
    nng_stream_dialer_free(link->dialer);
  if (link->listener != NULL)
    nng_stream_listener_free(link->listener);
  pthread_cond_destroy(&link->changed);
  pthread_mutex_destroy(&link->mutex);
  free(link);
}

const char *rpc_link_error(int code)
{
  return nng_strerror(code);
}
