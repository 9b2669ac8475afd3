// TLS 1.3 between the services, on OpenSSL and apart from any socket: a session turns plaintext into bytes for the
// connection and back. Both sides always show a certificate.
//
// A certificate names its service by a URI in its subjectAltName, "bulkhead://service/NAME", and must be signed by one
// of the authorities in the CA file. Host names are not looked at, because whoever registers in Consul chooses them.
#ifndef BULKHEAD_SECURITY_TLS_H
#define BULKHEAD_SECURITY_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/slice.h"
#include "common/base/status.h"

// The longest name of a service in a certificate.
#define TLS_NAME_MAX_BYTES 63

// The files of one side. Any thread may use a context; sessions keep what they need of it.
struct tls_context;
// One connection. A session belongs to one thread at a time.
struct tls_session;

enum tls_role { TLS_CLIENT, TLS_SERVER };

enum tls_state {
  TLS_HANDSHAKING,  // the other side has not proven its name
  TLS_OPEN,         // plaintext goes both ways
  TLS_ENDED,        // the other side has ended the session in good order
  TLS_FAILED,       // the other side is not who it should be, or has sent what is not TLS
};

// Makes a context of the CA file (PEM, one or more authorities) and the file with the own certificate and its key
// (PEM). The files are read when they are first needed, and again by the first session after they have changed. A
// changed file that cannot be used is logged, and the old content stays in use.
struct tls_context *tls_context_create(const char *ca_file, const char *cert_key_file);
// Nulls the pointer and accepts NULL in it. Sessions may outlive the context.
void tls_context_free(struct tls_context **context);
// Reads the files unless they are known. Fails when they cannot be used and never could; `error` names the file.
enum status tls_context_load(struct tls_context *context, struct error *error) MUST_CHECK;

// Begins a session. A client gives the name of the service that it wants, and refuses every other; a server gives NULL
// and accepts every service of its CA. Fails only when the context's files cannot be used.
enum status tls_session_open(struct tls_context *context, enum tls_role role, const char *expected,
                             struct tls_session **out, struct error *error) MUST_CHECK;
// Nulls the pointer and accepts NULL in it.
void tls_session_free(struct tls_session **session);

// Goes on with the handshake as far as the received bytes allow. Returns the state.
enum tls_state tls_session_advance(struct tls_session *session);
enum tls_state tls_session_state(const struct tls_session *session);
// Judges the certificate of the other side of an open session again, with the context's files and the time `now` (Unix
// seconds). False when it would not be accepted any more; then `error` says why. Costs next to nothing while neither
// the files have changed nor a certificate has expired.
bool tls_session_recheck(struct tls_session *session, struct tls_context *context, int64_t now,
                         struct error *error) MUST_CHECK;
// Returns the proven name of the other side; empty while handshaking. Valid as long as the session.
struct slice tls_session_peer(const struct tls_session *session);
// Returns why the session has failed, in words for the log; "" if it has not.
const char *tls_session_reason(const struct tls_session *session);

// Returns where bytes from the connection go, and sets `size` to how many fit: 0 until tls_session_read or
// tls_session_advance has used up those before.
uint8_t *tls_session_room(struct tls_session *session, size_t *size);
// Says that `size` bytes from the connection were put into the room.
void tls_session_feed(struct tls_session *session, size_t size);
// Takes plaintext, and returns how many bytes: fewer than `size` only when the received bytes are used up or the
// session is not open any more.
size_t tls_session_read(struct tls_session *session, void *out, size_t size);

// Encrypts the plaintext. False when the session is not open, and when a mebibyte waits for the connection already,
// which ends the session.
bool tls_session_write(struct tls_session *session, struct slice plaintext) MUST_CHECK;
// Returns the bytes for the connection, also those of a handshake or of an alert. Valid until the next call that is not
// tls_session_sent.
struct slice tls_session_output(const struct tls_session *session);
// Says that the first `size` bytes of the output were sent.
void tls_session_sent(struct tls_session *session, size_t size);

#endif
