#include "tests/support/raw.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/strbuf.h"
#include "tests/support/http.h"

#define WAIT_SECONDS 60

struct raw {
  int fd;
  int *error;        // NULL: what fails here fails the test
  SSL_CTX *context;  // NULL without TLS
  SSL *tls;
  struct strbuf come;  // what raw_read_until and raw_read_all have read
};

// Closes a socket on which a call has failed, and returns -1.
static int give_up(const struct raw_options *options, int fd, const char *call)
{
  int failure = errno;
  if (fd >= 0)
    close(fd);
  cr_assert_not_null(options->error, "%s: %s: %s", options->url, call, strerror(failure));
  *options->error = failure;
  return -1;
}

// Returns -1 where it fails and `error` takes why.
static int connect_socket(const struct raw_options *options)
{
  const char *port = strrchr(options->url, ':');
  struct sockaddr_in there = {.sin_family = AF_INET,
                              .sin_port = htons((uint16_t)strtoul(port + 1, NULL, 10)),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct sockaddr_in here = {.sin_family = AF_INET};
  cr_assert_eq(inet_pton(AF_INET, options->from == NULL ? "127.0.0.1" : options->from, &here.sin_addr), 1);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct timeval limit = {.tv_sec = WAIT_SECONDS};
  int on = 1;
  if (fd < 0)
    return give_up(options, fd, "socket");
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
  setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  if (bind(fd, (struct sockaddr *)&here, sizeof(here)) != 0)
    return give_up(options, fd, "bind");
  if (connect(fd, (struct sockaddr *)&there, sizeof(there)) != 0)
    return give_up(options, fd, "connect");
  return fd;
}

static void set_options(struct raw *raw, const struct raw_options *options)
{
  // What the gateway must refuse has to be offered, so OpenSSL's own refusals are turned off.
  SSL_CTX_set_security_level(raw->context, 0);
  cr_assert_eq(SSL_CTX_set_min_proto_version(raw->context, options->tls_version), 1);
  cr_assert_eq(SSL_CTX_set_max_proto_version(raw->context, options->tls_version), 1);
  cr_assert_eq(SSL_CTX_set_cipher_list(raw->context, options->ciphers == NULL ? "ALL" : options->ciphers), 1);
  if (options->alpn == NULL)
    return;
  unsigned char list[32];
  size_t size = strlen(options->alpn);
  list[0] = (unsigned char)size;
  memcpy(list + 1, options->alpn, size);
  cr_assert_eq(SSL_CTX_set_alpn_protos(raw->context, list, (unsigned)size + 1), 0);
}

struct raw *raw_open(const struct raw_options *options)
{
  struct raw *raw = calloc(1, sizeof(*raw));
  cr_assert_not_null(raw);
  strbuf_init(&raw->come, 0);
  raw->error = options->error;
  raw->fd = connect_socket(options);
  if (raw->fd < 0) {
    raw_close(&raw);
    return NULL;
  }
  if (strncmp(options->url, "https:", 6) != 0)
    return raw;
  // OpenSSL writes to a connection that the gateway has closed without asking for silence.
  signal(SIGPIPE, SIG_IGN);
  raw->context = SSL_CTX_new(TLS_client_method());
  cr_assert_not_null(raw->context);
  set_options(raw, options);
  raw->tls = SSL_new(raw->context);
  SSL_set_fd(raw->tls, raw->fd);
  if (SSL_connect(raw->tls) != 1)
    raw_close(&raw);
  return raw;
}

bool raw_send(struct raw *raw, const void *data, size_t size)
{
  const char *bytes = data;
  while (size > 0) {
    ssize_t sent;
    if (raw->tls == NULL)
      sent = send(raw->fd, bytes, size, MSG_NOSIGNAL);
    else
      sent = SSL_write(raw->tls, bytes, size > 1 << 20 ? 1 << 20 : (int)size);
    if (sent <= 0)
      return false;
    bytes += sent;
    size -= (size_t)sent;
  }
  return true;
}

bool raw_send_text(struct raw *raw, const char *text)
{
  return raw_send(raw, text, strlen(text));
}

size_t raw_read(struct raw *raw, void *bytes, size_t size)
{
  errno = 0;
  ssize_t got = raw->tls == NULL ? recv(raw->fd, bytes, size, 0) : SSL_read(raw->tls, bytes, (int)size);
  if (got < 0 && errno == EAGAIN) {
    cr_assert_not_null(raw->error, "nothing came within %d s; before that: %s", WAIT_SECONDS,
                       strbuf_cstring(&raw->come));
    *raw->error = EAGAIN;
  }
  return got > 0 ? (size_t)got : 0;
}

// Reads once more into `come`; false at the end.
static bool read_more(struct raw *raw)
{
  size_t got = raw_read(raw, strbuf_reserve(&raw->come, 4096), 4096);
  raw->come.size += got;
  return got > 0;
}

const char *raw_read_until(struct raw *raw, const char *wanted)
{
  while (strstr(strbuf_cstring(&raw->come), wanted) == NULL)
    cr_assert(read_more(raw), "the connection ended without \"%s\", after: %s", wanted, strbuf_cstring(&raw->come));
  return text("%s", strbuf_cstring(&raw->come));
}

const char *raw_read_all(struct raw *raw)
{
  while (read_more(raw))
    continue;
  return text("%s", strbuf_cstring(&raw->come));
}

bool raw_is_readable(struct raw *raw)
{
  struct pollfd poll_fd = {.fd = raw->fd, .events = POLLIN};
  return (raw->tls != NULL && SSL_pending(raw->tls) > 0) || poll(&poll_fd, 1, 0) > 0;
}

void raw_finish_sending(struct raw *raw)
{
  cr_assert_eq(shutdown(raw->fd, SHUT_WR), 0, "shutdown: %s", strerror(errno));
}

const char *raw_protocol(struct raw *raw)
{
  const unsigned char *name = NULL;
  unsigned size = 0;
  SSL_get0_alpn_selected(raw->tls, &name, &size);
  return text("%.*s", (int)size, name == NULL ? "" : (const char *)name);
}

const char *raw_certificate_serial(struct raw *raw)
{
  X509 *certificate = SSL_get1_peer_certificate(raw->tls);
  BIGNUM *number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), NULL);
  char *digits = BN_bn2hex(number);
  const char *serial = text("%s", digits);
  OPENSSL_free(digits);
  BN_free(number);
  X509_free(certificate);
  return serial;
}

void raw_close(struct raw **raw)
{
  if (*raw == NULL)
    return;
  SSL_free((*raw)->tls);
  SSL_CTX_free((*raw)->context);
  if ((*raw)->fd >= 0)
    close((*raw)->fd);
  strbuf_free(&(*raw)->come);
  free(*raw);
  *raw = NULL;
}

void raw_reset(struct raw **raw)
{
  struct linger linger = {.l_onoff = 1};
  setsockopt((*raw)->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
  raw_close(raw);
}
