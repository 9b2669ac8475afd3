// Sends mails by SMTP (RFC 5321) from tasks. Curl does it on a thread of the mailer's, so that a slow server holds up
// neither the loop nor the pool of threads; connections are kept for the mails that follow.
#ifndef BULKHEAD_MAIL_MAILER_H
#define BULKHEAD_MAIL_MAILER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/slice.h"
#include "common/base/status.h"

struct loop;
struct mailer;

// The strings are copied.
struct mailer_options {
  // smtp://HOST:PORT, or smtps:// for TLS from the first byte.
  const char *url;
  // The account at the server; NULL or "" for none. Never sent without TLS, but to this machine itself where
  // `without_tls` is set.
  const char *user;
  const char *password;
  // A file with the certificates (PEM) that the server's is proven by; NULL or "" for the system's.
  const char *ca_file;
  // Without it a server at an smtp:// URL must offer STARTTLS (RFC 3207).
  bool without_tls;
};

// INVALID_ARGUMENT unless the URL is one of smtp or smtps without user, password, path and query, and where
// `without_tls` would send a password to another machine in the clear.
enum status mailer_create(struct loop *loop, const struct mailer_options *options, struct mailer **out,
                          struct error *error) MUST_CHECK;
// Ends the thread, and gives up what is under way; no task may wait in mailer_send. Nulls the pointer and accepts NULL
// in it.
void mailer_free(struct mailer **pointer);

// Sends a message that mail_compose made, from the current task, until its deadline at the latest. OK once the server
// has taken it. UNAVAILABLE where it cannot be sent now: no connection, no TLS, a wrong account, a refused sender, a
// temporary refusal (4yz), or too many mails at once; FAILED_PRECONDITION where the server refused this recipient or
// this message for good (5yz). DEADLINE_EXCEEDED and CANCELLED as every wait; it may have been sent then, and after
// UNAVAILABLE in the rare case that the connection broke between the message and the answer: the same message, sent
// again, has the same id. `error` says what the server answered and holds neither address nor text.
enum status mailer_send(struct mailer *mailer, const char *from, const char *to, struct slice message,
                        struct error *error) MUST_CHECK;

#endif
