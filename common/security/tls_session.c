// OpenSSL reads and writes through a BIO of our own, which takes from and adds to the buffers of the session. So every
// call returns at once, and one record costs one copy each way.
//
// OpenSSL's error queue is empty before each operation and after it, because other users of OpenSSL share the thread.
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/strbuf.h"
#include "common/security/tls.h"
#include "common/security/tls_context_internal.h"

// Holds several records of the largest size, which is 16 KiB and a little.
#define ROOM_BYTES (64u * 1024)
// The most bytes that wait for the connection. What tls_session_write adds is the caller's to limit; this one is for a
// peer that asks for answers, such as key updates, and does not read them.
#define MAX_OUTPUT_BYTES (1024u * 1024)

struct tls_session {
  SSL *ssl;
  enum tls_state state;
  struct tls_peer peer;
  char reason[256];
  // What has come and was not read: the bytes from `in_begin` to `in_end`.
  uint8_t *in;
  size_t in_begin;
  size_t in_end;
  struct strbuf out;
  size_t out_sent;
};

// ---- the buffers as OpenSSL sees them ----

static int take_input(BIO *bio, char *out, int size)
{
  struct tls_session *session = BIO_get_data(bio);
  size_t left = session->in_end - session->in_begin;
  size_t taken = (size_t)size < left ? (size_t)size : left;
  BIO_clear_retry_flags(bio);
  if (taken == 0) {
    BIO_set_retry_read(bio);
    return -1;
  }
  memcpy(out, session->in + session->in_begin, taken);
  session->in_begin += taken;
  return (int)taken;
}

static int add_output(BIO *bio, const char *bytes, int size)
{
  struct tls_session *session = BIO_get_data(bio);
  BIO_clear_retry_flags(bio);
  if (session->out.size - session->out_sent + (size_t)size > MAX_OUTPUT_BYTES)
    return -1;
  strbuf_add(&session->out, slice_make(bytes, (size_t)size));
  return size;
}

static long control(BIO *bio, int command, long number, void *arg)
{
  (void)bio, (void)number, (void)arg;
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static BIO_METHOD *method;

static void make_method(void)
{
  method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "session");
  CHECK(method != NULL && BIO_meth_set_read(method, take_input) == 1 && BIO_meth_set_write(method, add_output) == 1 &&
        BIO_meth_set_ctrl(method, control) == 1);
}

static BIO *make_bio(struct tls_session *session)
{
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, make_method);
  BIO *bio = BIO_new(method);
  CHECK(bio != NULL);
  BIO_set_data(bio, session);
  BIO_set_init(bio, 1);
  return bio;
}

// ---- state ----

// Describes OpenSSL's latest error. An alert is what the other side has said about us.
static void describe_failure(struct tls_session *session)
{
  unsigned long code = ERR_peek_last_error();
  const char *text = ERR_reason_error_string(code);
  bool is_alert = ERR_GET_LIB(code) == ERR_LIB_SSL && ERR_GET_REASON(code) > SSL_AD_REASON_OFFSET;
  if (session->peer.problem[0] != '\0')
    snprintf(session->reason, sizeof(session->reason), "%s", session->peer.problem);
  else if (text == NULL)
    snprintf(session->reason, sizeof(session->reason), "the other side does not read what it is sent");
  else
    snprintf(session->reason, sizeof(session->reason), "%s: %s",
             is_alert ? "the other side has refused this one" : "what the other side sends is no TLS 1.3", text);
}

// Notes how an operation of OpenSSL's has ended. Nothing else changes the state, but for the end of the handshake.
static void note_result(struct tls_session *session, int result)
{
  switch (SSL_get_error(session->ssl, result)) {
  case SSL_ERROR_NONE:
  case SSL_ERROR_WANT_READ:
    break;
  case SSL_ERROR_ZERO_RETURN:
    session->state = TLS_ENDED;
    break;
  default:
    describe_failure(session);
    session->state = TLS_FAILED;
  }
  ERR_clear_error();
}

enum tls_state tls_session_advance(struct tls_session *session)
{
  if (session->state != TLS_HANDSHAKING)
    return session->state;
  ERR_clear_error();
  int result = SSL_do_handshake(session->ssl);
  if (result == 1)
    session->state = TLS_OPEN;
  else
    note_result(session, result);
  return session->state;
}

enum tls_state tls_session_state(const struct tls_session *session)
{
  return session->state;
}

bool tls_session_recheck(struct tls_session *session, struct tls_context *context, int64_t now, struct error *error)
{
  return tls_context_recheck(context, &session->peer, session->ssl, now, error);
}

struct slice tls_session_peer(const struct tls_session *session)
{
  return session->state == TLS_HANDSHAKING ? (struct slice){0} : slice_from_string(session->peer.name);
}

const char *tls_session_reason(const struct tls_session *session)
{
  return session->reason;
}

// ---- receiving ----

uint8_t *tls_session_room(struct tls_session *session, size_t *size)
{
  if (session->in_begin == session->in_end)
    session->in_begin = session->in_end = 0;
  *size = session->in_end == 0 ? ROOM_BYTES : 0;
  return session->in;
}

void tls_session_feed(struct tls_session *session, size_t size)
{
  CHECK(session->in_end + size <= ROOM_BYTES);
  session->in_end += size;
}

size_t tls_session_read(struct tls_session *session, void *out, size_t size)
{
  size_t total = 0;
  while (session->state == TLS_OPEN && total < size) {
    size_t got = 0;
    ERR_clear_error();
    int result = SSL_read_ex(session->ssl, (char *)out + total, size - total, &got);
    total += got;
    if (result == 1)
      continue;
    note_result(session, result);
    break;
  }
  return total;
}

// ---- sending ----

bool tls_session_write(struct tls_session *session, struct slice plaintext)
{
  size_t written;
  if (session->state != TLS_OPEN)
    return false;
  if (plaintext.size == 0)
    return true;
  ERR_clear_error();
  int result = SSL_write_ex(session->ssl, plaintext.data, plaintext.size, &written);
  if (result == 1)
    return true;
  note_result(session, result);
  session->state = TLS_FAILED;
  return false;
}

struct slice tls_session_output(const struct tls_session *session)
{
  return slice_skip(strbuf_slice(&session->out), session->out_sent);
}

void tls_session_sent(struct tls_session *session, size_t size)
{
  session->out_sent += size;
  CHECK(session->out_sent <= session->out.size);
  if (session->out_sent < session->out.size)
    return;
  session->out_sent = 0;
  strbuf_clear(&session->out);
}

// ---- life ----

enum status tls_session_open(struct tls_context *context, enum tls_role role, const char *expected,
                             struct tls_session **out, struct error *error)
{
  size_t size = expected == NULL ? 0 : strlen(expected);
  if (size > TLS_NAME_MAX_BYTES)
    return error_set(error, STATUS_INVALID_ARGUMENT, "the name \"%s\" is longer than a certificate can prove",
                     expected);
  struct tls_session *session = calloc(1, sizeof(*session));
  CHECK(session != NULL);
  if (size != 0)
    memcpy(session->peer.expected, expected, size);
  enum status status = tls_context_make_ssl(context, &session->peer, &session->ssl, error);
  if (status != STATUS_OK) {
    tls_session_free(&session);
    return status;
  }
  session->in = malloc(ROOM_BYTES);
  CHECK(session->in != NULL);
  BIO *bio = make_bio(session);
  SSL_set_bio(session->ssl, bio, bio);
  if (role == TLS_CLIENT)
    SSL_set_connect_state(session->ssl);
  else
    SSL_set_accept_state(session->ssl);
  *out = session;
  return STATUS_OK;
}

void tls_session_free(struct tls_session **session_pointer)
{
  struct tls_session *session = *session_pointer;
  *session_pointer = NULL;
  if (session == NULL)
    return;
  SSL_free(session->ssl);
  strbuf_free(&session->out);
  free(session->in);
  free(session);
}
