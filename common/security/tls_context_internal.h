// Private to common/security: what sessions need of a context, and how the other side's certificate is judged.
#ifndef BULKHEAD_SECURITY_TLS_CONTEXT_INTERNAL_H
#define BULKHEAD_SECURITY_TLS_CONTEXT_INTERNAL_H

#include "common/security/tls.h"

// OpenSSL's SSL.
struct ssl_st;

// The other side of a session, as the certificate check leaves it.
struct tls_peer {
  char expected[TLS_NAME_MAX_BYTES + 1];  // "" if every service is accepted
  char name[TLS_NAME_MAX_BYTES + 1];      // "" until it is proven
  char problem[192];                      // why the certificate was refused, "" if it was not
  uint64_t generation;                    // of the files that the certificate was judged with
};

// Makes the SSL object of a session, with the files as they are now. `peer` must outlive it.
enum status tls_context_make_ssl(struct tls_context *context, struct tls_peer *peer, struct ssl_st **out,
                                 struct error *error) MUST_CHECK;
// Judges the certificate of the other side of an open session again, see tls_session_recheck.
bool tls_context_recheck(struct tls_context *context, struct tls_peer *peer, struct ssl_st *ssl, int64_t now,
                         struct error *error) MUST_CHECK;

#endif
