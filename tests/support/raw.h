// A connection to the gateway, byte by byte, for what no HTTP library sends. Every wait ends after 20 s.
#ifndef BULKHEAD_TESTS_SUPPORT_RAW_H
#define BULKHEAD_TESTS_SUPPORT_RAW_H

#include <stdbool.h>
#include <stddef.h>

struct raw_options {
  const char *url;      // "http://127.0.0.1:8080" or "https://…"; with TLS any certificate is taken
  const char *from;     // the address of this end; NULL: 127.0.0.1
  const char *alpn;     // "h2"; NULL: no ALPN
  int tls_version;      // TLS1_1_VERSION and so on, the only one that is offered; 0: all
  const char *ciphers;  // of TLS 1.2, as OpenSSL names them; NULL: all that OpenSSL has
  // Takes the errno of a connection that cannot be made or stays silent, which fails the test where this is NULL.
  // Threads other than the test's own need it, because criterion cannot end a test from there.
  int *error;
};

struct raw;

// Connects. NULL where the handshake of TLS fails, and with `error` where the connection does.
struct raw *raw_open(const struct raw_options *options);
#define RAW(...) raw_open(&(struct raw_options){__VA_ARGS__})
// Sends all of it; false where the other end has closed the connection.
bool raw_send(struct raw *raw, const void *data, size_t size);
bool raw_send_text(struct raw *raw, const char *text);
// Reads until `wanted` has come, and returns all that has come so far. Fails the test where the connection ends before.
const char *raw_read_until(struct raw *raw, const char *wanted);
// Reads until the other end closes the connection, and returns all that has come.
const char *raw_read_all(struct raw *raw);
// Reads some bytes; 0 at the end of the connection, also by a reset, and with `error` after 20 s of silence.
size_t raw_read(struct raw *raw, void *bytes, size_t size);
// Tells whether there is something to read, or the end, without waiting.
bool raw_is_readable(struct raw *raw);
// Says that nothing more will be sent (FIN), and goes on reading.
void raw_finish_sending(struct raw *raw);
// Returns what ALPN has chosen; "" for nothing.
const char *raw_protocol(struct raw *raw);
// Returns the serial number of the certificate, in hex.
const char *raw_certificate_serial(struct raw *raw);
void raw_close(struct raw **raw);
// Closes with a reset, as a process does that dies with unread bytes.
void raw_reset(struct raw **raw);

#endif
