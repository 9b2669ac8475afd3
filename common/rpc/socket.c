#include "common/rpc/socket_internal.h"

#include <nng/supplemental/tls/tls.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/rpc/packet_internal.h"

// nng's dialer waits this long between attempts to make the first connection; it chooses at random below the bound.
#define RECONNECT_MIN_MS 50
#define RECONNECT_MAX_MS 2000

static enum status translate_nng_error(int code)
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
  case NNG_ECRYPTO:
  case NNG_EPEERAUTH:
    return STATUS_UNAUTHENTICATED;
  case NNG_ETIMEDOUT:
    return STATUS_DEADLINE_EXCEEDED;
  case NNG_EMSGSIZE:
  case NNG_ENOMEM:
    return STATUS_RESOURCE_EXHAUSTED;
  default:
    return STATUS_UNAVAILABLE;
  }
}

void rpc_io_init(struct rpc_io *io)
{
  CHECK(nng_aio_alloc(&io->aio, NULL, NULL) == 0);
  nng_aio_set_timeout(io->aio, NNG_DURATION_ZERO);
}

void rpc_io_free(struct rpc_io *io)
{
  if (io->aio != NULL)
    nng_aio_free(io->aio);
  io->aio = NULL;
}

nng_msg *rpc_io_receive(struct rpc_io *io, nng_socket socket)
{
  nng_recv_aio(socket, io->aio);
  nng_aio_wait(io->aio);
  return nng_aio_result(io->aio) == 0 ? nng_aio_get_msg(io->aio) : NULL;
}

bool rpc_io_send(struct rpc_io *io, nng_socket socket, nng_msg *message)
{
  nng_aio_set_msg(io->aio, message);
  nng_send_aio(socket, io->aio);
  nng_aio_wait(io->aio);
  int result = nng_aio_result(io->aio);
  if (result == 0)
    return true;
  nng_aio_set_msg(io->aio, NULL);
  // See NO ROOM in nng_compat_internal.h.
  if (result == NNG_ETIMEDOUT || result == NNG_EAGAIN)
    return false;
  nng_msg_free(message);
  return true;
}

nng_msg *rpc_message_make(uint32_t pipe, struct slice frames, uint64_t received)
{
  uint8_t tail[RPC_TAIL_MAX_BYTES];
  size_t tail_size = rpc_tail_write(received, pipe == 0 ? 0 : clock_now_us(), tail);
  nng_msg *message;
  CHECK(nng_msg_alloc(&message, frames.size + tail_size) == 0);
  char *body = nng_msg_body(message);
  if (frames.size != 0)
    memcpy(body, frames.data, frames.size);
  memcpy(body + frames.size, tail, tail_size);
  if (pipe != 0)
    CHECK(nng_msg_header_append_u32(message, pipe) == 0);
  CHECK(nng_msg_header_append_u32(message, RPC_HEADER_WORD) == 0);
  return message;
}

void rpc_socket_prepare(nng_socket socket, size_t max_message_bytes)
{
  CHECK(nng_socket_set_int(socket, NNG_OPT_SENDBUF, RPC_SOCKET_QUEUE) == 0);
  CHECK(nng_socket_set_int(socket, NNG_OPT_RECVBUF, RPC_SOCKET_QUEUE) == 0);
  // nng counts the header word of 4 bytes too.
  CHECK(nng_socket_set_size(socket, NNG_OPT_RECVMAXSZ, max_message_bytes + sizeof(uint32_t)) == 0);
}

int rpc_socket_fd(nng_socket socket, const char *option)
{
  int fd = -1;
  CHECK(nng_socket_get_int(socket, option, &fd) == 0);
  return fd;
}

static bool is_tls(const char *url)
{
  return strncmp(url, "tls+", 4) == 0;
}

// Copies the host of "tls+tcp://host:port", which the certificate must name. False when `out` is too small for it.
static bool copy_host(const char *url, char *out, size_t size)
{
  const char *host = strstr(url, "://");
  if (host == NULL)
    return false;
  host += 3;
  size_t length = strcspn(host, ":/");
  if (*host == '[') {
    host++;
    length = strcspn(host, "]");
  }
  if (length == 0 || length >= size)
    return false;
  memcpy(out, host, length);
  out[length] = '\0';
  return true;
}

static int fill_tls(nng_tls_config *config, nng_tls_mode mode, const char *url, const struct rpc_tls *tls)
{
  int result = 0;
  char host[256];
  // A client always verifies the server. A server demands certificates when it has a CA to verify them with.
  bool verify = mode == NNG_TLS_MODE_CLIENT || tls->ca_file != NULL;
  result = nng_tls_config_auth_mode(config, verify ? NNG_TLS_AUTH_MODE_REQUIRED : NNG_TLS_AUTH_MODE_NONE);
  if (result == 0 && tls->ca_file != NULL)
    result = nng_tls_config_ca_file(config, tls->ca_file);
  if (result == 0 && tls->cert_key_file != NULL)
    result = nng_tls_config_cert_key_file(config, tls->cert_key_file, NULL);
  if (result == 0 && mode == NNG_TLS_MODE_CLIENT)
    result = copy_host(url, host, sizeof(host)) ? nng_tls_config_server_name(config, host) : NNG_EADDRINVAL;
  return result;
}

// Makes the TLS settings of a URL; NULL in `out` when the URL is not a TLS one. They must not be set on the socket,
// because it would not keep a reference to them.
static int make_tls(nng_tls_config **out, nng_tls_mode mode, const char *url, const struct rpc_tls *tls)
{
  *out = NULL;
  if (!is_tls(url))
    return 0;
  int result = nng_tls_config_alloc(out, mode);
  if (result != 0)
    return result;
  result = fill_tls(*out, mode, url, tls);
  if (result != 0) {
    nng_tls_config_free(*out);
    *out = NULL;
  }
  return result;
}

static enum status set_tls_error(int result, const char *url, struct error *error)
{
  return error_set(error, translate_nng_error(result), "TLS for %s: %s: check the CA and certificate files", url,
                   nng_strerror(result));
}

static int start_dialer(nng_socket socket, const char *url, nng_tls_config *config)
{
  nng_dialer dialer;
  int result = nng_dialer_create(&dialer, socket, url);
  if (result == 0 && config != NULL)
    result = nng_dialer_set_ptr(dialer, NNG_OPT_TLS_CONFIG, config);
  if (result == 0)
    result = nng_dialer_start(dialer, NNG_FLAG_NONBLOCK);
  return result;
}

enum status rpc_socket_dial(nng_socket socket, const char *url, const struct rpc_tls *tls, struct error *error)
{
  nng_tls_config *config;
  int result = make_tls(&config, NNG_TLS_MODE_CLIENT, url, tls);
  if (result != 0)
    return set_tls_error(result, url, error);
  CHECK(nng_socket_set_ms(socket, NNG_OPT_RECONNMINT, RECONNECT_MIN_MS) == 0);
  CHECK(nng_socket_set_ms(socket, NNG_OPT_RECONNMAXT, RECONNECT_MAX_MS) == 0);
  result = start_dialer(socket, url, config);
  if (config != NULL)
    nng_tls_config_free(config);
  if (result != 0)
    return error_set(error, translate_nng_error(result), "cannot dial %s: %s", url, nng_strerror(result));
  return STATUS_OK;
}

static int start_listener(nng_listener *listener, nng_socket socket, const char *url, nng_tls_config *config)
{
  int result = nng_listener_create(listener, socket, url);
  if (result == 0 && config != NULL)
    result = nng_listener_set_ptr(*listener, NNG_OPT_TLS_CONFIG, config);
  if (result == 0)
    result = nng_listener_start(*listener, 0);
  return result;
}

enum status rpc_socket_listen(nng_socket socket, const char *url, const struct rpc_tls *tls, int *port,
                              struct error *error)
{
  nng_tls_config *config;
  int result = make_tls(&config, NNG_TLS_MODE_SERVER, url, tls);
  if (result != 0)
    return set_tls_error(result, url, error);
  nng_listener listener;
  result = start_listener(&listener, socket, url, config);
  if (config != NULL)
    nng_tls_config_free(config);
  if (result != 0)
    return error_set(error, translate_nng_error(result), "cannot listen on %s: %s", url, nng_strerror(result));
  *port = 0;
  if (strstr(url, "tcp") != NULL && nng_listener_get_int(listener, NNG_OPT_TCP_BOUND_PORT, port) != 0)
    *port = 0;
  return STATUS_OK;
}
