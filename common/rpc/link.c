// The mutex guards `closing`, so that no accept begins once the link closes.
#include "common/rpc/link_internal.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/memory.h"
#include "common/observe/log.h"
#include "common/rpc/greeting_internal.h"
#include "common/rpc/nng_compat_internal.h"
#include "common/rpc/rpc.h"
#include "common/security/tls.h"

#define TLS_SCHEME_PREFIX "tls+"
// The pause after an accept that has failed, for example because there are no descriptors left.
#define ACCEPT_PAUSE_MS 10

struct rpc_link {
  struct pipe_events *events;
  uint64_t id;
  struct tls_context *tls;  // NULL without TLS
  char *service;            // that the dialled one must be; NULL when listening
  bool is_ipc;
  nng_stream_dialer *dialer;      // NULL when listening
  nng_stream_listener *listener;  // NULL when dialling
  nng_aio *aio;                   // of the dial or the accept
  pthread_mutex_t mutex;
  bool closing;
  struct greetings greetings;
};

// Translates an error code of nng's.
static enum status translate_code(int code)
{
  switch (code) {
  case 0:
    return STATUS_OK;
  case NNG_EINVAL:
  case NNG_EADDRINVAL:
  case NNG_ENOTSUP:
    return STATUS_INVALID_ARGUMENT;
  case NNG_EADDRINUSE:
    return STATUS_ALREADY_EXISTS;
  case NNG_EPERM:
    return STATUS_PERMISSION_DENIED;
  case NNG_ENOENT:
  case NNG_ENOFILES:
    return STATUS_NOT_FOUND;
  case NNG_ETIMEDOUT:
    return STATUS_DEADLINE_EXCEEDED;
  case NNG_EMSGSIZE:
  case NNG_ENOMEM:
    return STATUS_RESOURCE_EXHAUSTED;
  default:
    return STATUS_UNAVAILABLE;
  }
}

static void push_event(struct rpc_link *link, struct pipe_event event)
{
  event.link_id = link->id;
  pipe_events_push(link->events, event);
}

static void push_failure(struct rpc_link *link, const char *reason)
{
  struct pipe_event event = {.kind = PIPE_FAILED};
  snprintf(event.reason, sizeof(event.reason), "%s", reason);
  push_event(link, event);
}

// ---- the greeting ----

// Tells the host about a connection that was greeted. A listener says nothing of those that were not.
static void handle_greeted(void *arg, nng_stream *stream, struct tls_session *tls, const struct error *error)
{
  struct rpc_link *link = arg;
  if (error->status != STATUS_OK) {
    if (link->dialer != NULL)
      push_failure(link, error->message);
    return;
  }
  struct rpc_opened opened = {.stream = stream, .tls = tls, .fd = -1, .is_ipc = link->is_ipc};
  if (!link->is_ipc)
    opened.fd = rpc_find_socket(stream);
  // TLS is only done where the host's own thread reads and writes.
  if (tls != NULL && opened.fd < 0) {
    rpc_opened_discard(&opened);
    log_error("rpc", "closed a connection whose descriptor was not found; are there too many open files?");
    if (link->dialer != NULL)
      push_failure(link, "its descriptor was not found");
    return;
  }
  push_event(link, (struct pipe_event){.kind = PIPE_OPENED, .opened = opened});
}

// Greets a new connection, after a handshake if there is a TLS context.
static void start_greeting(struct rpc_link *link, nng_stream *stream)
{
  struct tls_session *tls = NULL;
  struct error error = {0};
  bool is_client = link->dialer != NULL;
  if (link->tls == NULL ||
      tls_session_open(link->tls, is_client ? TLS_CLIENT : TLS_SERVER, link->service, &tls, &error) == STATUS_OK) {
    greetings_start(&link->greetings, stream, tls);
    return;
  }
  nng_stream_close(stream);
  nng_stream_free(stream);
  if (is_client)
    push_failure(link, error.message);
}

// ---- dial and accept ----

static void handle_dialled(void *arg)
{
  struct rpc_link *link = arg;
  int error = nng_aio_result(link->aio);
  if (error == 0)
    start_greeting(link, nng_aio_get_output(link->aio, 0));
  else
    push_failure(link, nng_strerror(error));
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

struct tls_context *rpc_tls_open(const struct rpc_tls *tls)
{
  return tls->ca_file == NULL ? NULL : tls_context_create(tls->ca_file, tls->cert_key_file);
}

static struct rpc_link *make_link(const struct rpc_link_options *options, uint8_t protocol)
{
  struct rpc_link *link = calloc(1, sizeof(*link));
  CHECK(link != NULL);
  link->events = options->events;
  link->id = options->id;
  link->service = memory_copy_string(options->service);
  link->is_ipc = strncmp(options->url, "ipc", 3) == 0;
  link->tls = link->is_ipc ? NULL : options->tls;
  CHECK(pthread_mutex_init(&link->mutex, NULL) == 0);
  greetings_init(&link->greetings, protocol, handle_greeted, link);
  CHECK(nng_aio_alloc(&link->aio, protocol == SP_PROTOCOL_REQ ? handle_dialled : handle_accepted, link) == 0);
  rpc_prepare_nng();
  return link;
}

static int open_dialer(struct rpc_link *link, const char *url)
{
  int result = nng_stream_dialer_alloc(&link->dialer, url);
  if (result == 0 && !link->is_ipc)
    result = nng_stream_dialer_set_bool(link->dialer, NNG_OPT_TCP_NODELAY, true);
  return result;
}

static int open_listener(struct rpc_link *link, const char *url)
{
  int result = nng_stream_listener_alloc(&link->listener, url);
  if (result == 0 && !link->is_ipc)
    result = nng_stream_listener_set_bool(link->listener, NNG_OPT_TCP_NODELAY, true);
  return result == 0 ? nng_stream_listener_listen(link->listener) : result;
}

static bool wants_tls(const char *url)
{
  return strncmp(url, TLS_SCHEME_PREFIX, strlen(TLS_SCHEME_PREFIX)) == 0;
}

// Checks that the URL asks for TLS exactly if there are certificates: otherwise whoever can put a URL into Consul could
// have calls sent in clear.
static enum status check_encryption(const char *url, bool has_tls, struct error *error)
{
  if (wants_tls(url) && !has_tls)
    return error_set(error, STATUS_INVALID_ARGUMENT, "%s needs RPC_TLS_CA and RPC_TLS_CERT_KEY", url);
  if (!wants_tls(url) && has_tls)
    return error_set(error, STATUS_INVALID_ARGUMENT,
                     "%s is without encryption, but RPC_TLS_CA is set: it must be tls+tcp://host:port", url);
  return STATUS_OK;
}

// A listener on this machine alone (IPC) needs no encryption.
enum status rpc_check_scheme(const char *listen_url, bool has_tls, struct error *error)
{
  return strncmp(listen_url, "ipc:", 4) == 0 ? STATUS_OK : check_encryption(listen_url, has_tls, error);
}

static enum status check_url(const struct rpc_link_options *options, bool is_client, struct error *error)
{
  bool has_tls = options->tls != NULL;
  enum status status =
      is_client ? check_encryption(options->url, has_tls, error) : rpc_check_scheme(options->url, has_tls, error);
  return status == STATUS_OK && wants_tls(options->url) ? tls_context_load(options->tls, error) : status;
}

// Makes a link and opens its dialer or its listener. NULL on failure.
static struct rpc_link *open_link(const struct rpc_link_options *options, bool is_client, struct error *error)
{
  if (check_url(options, is_client, error) != STATUS_OK)
    return NULL;
  struct rpc_link *link = make_link(options, is_client ? SP_PROTOCOL_REQ : SP_PROTOCOL_REP);
  // TLS is ours, so nng only knows of TCP.
  const char *url = options->url + (link->tls != NULL ? strlen(TLS_SCHEME_PREFIX) : 0);
  int result = is_client ? open_dialer(link, url) : open_listener(link, url);
  if (result == 0)
    return link;
  error_set(error, translate_code(result), "cannot %s %s: %s", is_client ? "dial" : "listen on", options->url,
            nng_strerror(result));
  rpc_link_close(&link);
  return NULL;
}

enum status rpc_link_dial(const struct rpc_link_options *options, struct rpc_link **out, struct error *error)
{
  struct rpc_link *link = open_link(options, true, error);
  if (link == NULL)
    return error->status;
  nng_aio_set_timeout(link->aio, RPC_GREETING_TIMEOUT_MS);
  nng_stream_dialer_dial(link->dialer, link->aio);
  *out = link;
  return STATUS_OK;
}

enum status rpc_link_listen(const struct rpc_link_options *options, struct rpc_link **out, int *port,
                            struct error *error)
{
  struct rpc_link *link = open_link(options, false, error);
  if (link == NULL)
    return error->status;
  *port = 0;
  if (!link->is_ipc && nng_stream_listener_get_int(link->listener, NNG_OPT_TCP_BOUND_PORT, port) != 0)
    *port = 0;
  accept_next(link, true);
  *out = link;
  return STATUS_OK;
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
  greetings_close(&link->greetings);
  nng_aio_free(link->aio);
  if (link->dialer != NULL)
    nng_stream_dialer_free(link->dialer);
  if (link->listener != NULL)
    nng_stream_listener_free(link->listener);
  greetings_free(&link->greetings);
  pthread_mutex_destroy(&link->mutex);
  free(link->service);
  free(link);
}
