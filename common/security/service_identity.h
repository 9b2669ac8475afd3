// Proves the name of a program to the program at the other end of a connection without TLS, by hellos: tokens (token.h)
// that are signed with a key of the service's own.
//
// The client's hello names itself (sub), the service that it has dialled and the address at which (aud), and a nonce
// (jti). The server answers with a hello that names itself, is for the client, and repeats the nonce. So a hello is
// worth nothing to another service than the one that was dialled, nor to the same service at another address: a
// stranger who is registered under a service's name cannot pass the hello on to the real one. A hello is good for a
// minute, and its key id must be its subject: no service signs for another.
//
// A server takes each hello once. It remembers them in memory, so it takes none from before its own start: a client
// whose clock is some seconds behind gets through that many seconds after a server's restart, because it dials again
// with a new hello. What is left: a hello of a client whose clock is ahead can be repeated after a restart for as long
// as the clock is ahead, and instances that share one advertised address do not know what the others have taken.
//
// The connection itself is neither encrypted nor protected from whoever can change its packets; TLS does that.
// One thread.
#ifndef BULKHEAD_SECURITY_SERVICE_IDENTITY_H
#define BULKHEAD_SECURITY_SERVICE_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/slice.h"
#include "common/base/status.h"

// A longer hello is refused before it is read.
#define SERVICE_HELLO_MAX_BYTES 2048

struct service_identity;

struct service_identity_options {
  const char *service;      // the name of this program: "item"
  const char *private_key;  // PEM
  // The public keys of all services: a JWK set whose key ids are the services' names, or the path of a file that holds
  // one. A file that has changed is read again before the next hello is checked; while it cannot be used, the keys read
  // before stay.
  const char *public_keys;
};

// Reads the keys. INVALID_ARGUMENT when one cannot be used, or `public_keys` has another or no key for `service`.
enum status service_identity_create(const struct service_identity_options *options, struct service_identity **out,
                                    struct error *error) MUST_CHECK;
// Nulls the pointer and accepts NULL in it.
void service_identity_free(struct service_identity **identity);

// Sets the address at which clients dial this program. Until then no client's hello can be taken.
void service_identity_set_address(struct service_identity *identity, const char *url);

// What a client keeps of its hello until the answer comes.
struct service_greeting {
  const char *service;  // whom it was made for
  struct slice hello;
  struct slice nonce;  // what the answer must repeat
};

// Makes a client's hello for the server of `service`, which must outlive the greeting, at `url`. The texts of the
// greeting are in `arena`.
enum status service_identity_greet(struct service_identity *identity, const char *service, const char *url,
                                   struct arena *arena, struct service_greeting *greeting) MUST_CHECK;
// Checks whether `hello` is the answer to the greeting at `now` (Unix seconds). Else UNAUTHENTICATED, and `error` says
// why.
enum status service_identity_check_answer(struct service_identity *identity, struct slice hello, int64_t now,
                                          const struct service_greeting *greeting, struct error *error) MUST_CHECK;

// What a server learns from a client's hello.
struct service_proof {
  struct arena *arena;  // of the texts; set by the caller
  struct slice peer;    // the client's name
  struct slice answer;  // the hello for the client
};

// The hello that has proven the name of a connection's other side, kept to be checked again. All zero where none was
// needed.
struct service_evidence {
  char *hello;
  int64_t shown_at;  // Unix seconds
  bool is_client;    // who has shown it
  uint64_t keys;     // the generation of the keys that it was checked with
};
// Keeps a hello that was taken at `now`. The caller frees it with service_evidence_free.
void service_identity_keep(const struct service_identity *identity, struct slice hello, int64_t now, bool is_client,
                           struct service_evidence *evidence);
// Frees what service_identity_keep has made, and accepts evidence that is all zero.
void service_evidence_free(struct service_evidence *evidence);
// Checks whether the hello would still be taken at its time, with the keys that hold now. Else false, and `error` says
// why. Costs next to nothing while the keys have not changed.
bool service_identity_recheck(struct service_identity *identity, struct service_evidence *evidence,
                              struct error *error) MUST_CHECK;

// Checks a client's hello at `now` (Unix seconds), and fills `proof`. UNAUTHENTICATED where it proves nothing; then
// `error` says why.
enum status service_identity_accept(struct service_identity *identity, struct slice hello, int64_t now,
                                    struct service_proof *proof, struct error *error) MUST_CHECK;

#endif
