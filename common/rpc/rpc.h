// What RPC clients and servers share: the context of a call and its outcome. The semantics are those of gRPC, the
// transport is nng, the wire format is proto/bulkhead/rpc/v1/packet.proto.
#ifndef BULKHEAD_RPC_RPC_H
#define BULKHEAD_RPC_RPC_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/slice.h"
#include "common/base/status.h"
#include "common/base/violation.h"

// The largest packet that either side accepts unless set otherwise, in bytes.
#define RPC_MAX_MESSAGE_BYTES (8u * 1024 * 1024)

// Every connection proves the names of both programs before it carries calls: by their certificates with TLS, by hellos
// signed with keys of their own without (common/security/service_identity.h). A side that has neither certificate nor
// identity proves nothing and asks for no proof, which is for tests of the transport only.

// The context of a call, which travels from hop to hop beside the payload (CallContext in packet.proto). Slices are
// views; an empty one means absent.
struct rpc_context {
  struct slice request_id;
  struct slice traceparent;
  struct slice access_token;  // the user's own token, which each service verifies itself; empty for an anonymous caller
  // The user, as the token proves: set by the service that has verified it, and not sent.
  struct slice caller_id;
  const struct slice *caller_roles;
  size_t caller_role_count;
  const struct slice *caller_permissions;  // what the token names beside the roles
  size_t caller_permission_count;
  bool caller_is_limited;        // the token allows nothing but its permissions: that of an API key
  struct slice caller_session;   // empty: the token names none
  int64_t caller_generation;     // of the account's tokens, which the token is of; 0: the token does not say
  int64_t caller_auth_time;      // when the user last proved who he is, in Unix seconds; 0: the token does not say
  struct slice peer_service;     // the program that has sent the call, as its connection proves it; not sent
  struct slice idempotency_key;  // empty without one, see packet.proto
  struct slice client_address;   // of the HTTP client, as text; empty without one
  struct slice user_agent;       // of the HTTP client, any text; empty for calls without side effects
};

// The reasons of UNAVAILABLE, DEADLINE_EXCEEDED and CANCELLED: they say whether the call may be repeated.
#define RPC_NOT_APPLIED "NOT_APPLIED"          // nothing has happened, and nothing will
#define RPC_OUTCOME_UNKNOWN "OUTCOME_UNKNOWN"  // the call may have been carried out, wholly or in part
// The reason of RESOURCE_EXHAUSTED where the caller has left too many bytes of replies unread. It says nothing of the
// instance; nothing has happened.
#define RPC_TOO_MANY_UNREAD_BYTES "TOO_MANY_UNREAD_BYTES"
#define RPC_UNREAD_BYTES_MESSAGE                                                                                       \
  "too many bytes of replies to this caller wait in this instance; read them, or ask for less at a time"

// The reason of UNAUTHENTICATED where the connection has not proven which service calls.
#define RPC_UNPROVEN_CALLER "UNPROVEN_CALLER"
// The reason of RESOURCE_EXHAUSTED where an instance has too much to do, whoever asks. Other reasons of it are about
// what the caller wants, and its callers' circuit breakers pass them over (common/rpc/breaker_internal.h).
#define RPC_INSTANCE_FULL "INSTANCE_FULL"

// How a call has failed, as Status in packet.proto carries it.
struct rpc_status {
  enum status code;
  struct slice message;
  struct slice reason;
  const struct violation *violations;
  size_t violation_count;
  uint32_t retry_after_ms;
  // The id of the endpoint that had the call when it ended; empty where none had it. Set by the client, and not sent.
  struct slice instance;
};

// Where an instance of a service listens.
struct rpc_endpoint {
  struct slice id;    // names the instance, such as its service id in Consul
  struct slice url;   // "tcp://127.0.0.1:4711", "ipc:///run/item.sock", "tls+tcp://…"
  struct slice zone;  // where it runs, such as a data centre; empty: not known
};

// Names the files for mutual TLS, see common/security/tls.h. With `ca_file`, both are needed and every connection is
// encrypted: URLs must be tls+tcp://. With NULL in it there is no TLS.
struct rpc_tls {
  const char *ca_file;
  const char *cert_key_file;
};

// Checks that the URL of a server asks for TLS exactly if there are certificates (`has_tls`). A server that is created
// checks the same.
enum status rpc_check_scheme(const char *listen_url, bool has_tls, struct error *error) MUST_CHECK;

#endif
