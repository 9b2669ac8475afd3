// Starts probes and talks to them: signals, HTTP to the admin port, RPC as the gateway or another service would.
#ifndef BULKHEAD_TESTS_SERVICE_DRIVER_H
#define BULKHEAD_TESTS_SERVICE_DRIVER_H

#include <protobuf-c/protobuf-c.h>
#include <sys/types.h>

#include "common/base/arena.h"
#include "common/base/strbuf.h"
#include "common/rpc/rpc_client.h"

// A probe process. Its output (log and standard output) is read as it comes.
struct probe {
  pid_t pid;
  int output_fd;
  struct strbuf output;
  char folder[64];  // of its socket and its release file
  char admin[64];   // "127.0.0.1:4711", known once it has been logged
};

// Environment of the probe beside what every probe gets (PG_CONNINFO, an ipc:// address that it is its own peer at);
// NAME=value strings up to NULL, which replace those.
void probe_start(struct probe *probe, char *const *arguments, const char *const *environment);
// ... as a server, until it is ready.
void probe_serve(struct probe *probe, const char *const *environment);
// Until the admin port is known.
void probe_wait_admin(struct probe *probe);
// Reads the output until it holds `text`; fails the test when the process ends before.
void probe_wait_output(struct probe *probe, const char *text);
// Waits for its end, removes its folder; its exit code, -1 for a signal. The output stays until probe_free.
int probe_end(struct probe *probe);
void probe_free(struct probe *probe);
// SIGTERM and probe_end.
int probe_stop(struct probe *probe);
void probe_release(const struct probe *probe);

// One HTTP exchange with 127.0.0.1 ("127.0.0.1:4711"); the whole answer as text.
const char *http_at(const char *address, const char *request, struct strbuf *answer);
// ... with the admin port.
const char *probe_http(const struct probe *probe, const char *request, struct strbuf *answer);
// GET again and again until the answer holds `text`.
void probe_wait_http(const struct probe *probe, const char *path, const char *text);

// An RPC client of the test. Everything in results lives in its arena.
struct driver {
  struct arena arena;
  struct rpc_client *client;
};

struct outcome {
  struct driver *driver;
  struct rpc_call *call;
  bool done;
  enum status status;
  struct slice message;
  struct slice reason;
  uint32_t retry_after_ms;
  size_t violation_count;
  struct slice violation_field;  // of the first
  struct slice violation_description;
  struct slice payload;
};

// `as` is the peer_service that it claims.
void driver_open(struct driver *driver, const struct probe *probe, const char *as);
void driver_close(struct driver *driver);

// Begins a call with a payload; `outcome` is filled when it ends.
void driver_begin(struct driver *driver, const char *method, struct slice payload, const struct rpc_context *context,
                  uint64_t timeout_ms, struct outcome *outcome);
void driver_finish(struct driver *driver, const struct outcome *outcome);
// Goes on as a client does until the probe has closed the connection.
void driver_wait_lost(struct driver *driver);
// Begin and finish with a message and 10 s.
struct outcome driver_call(struct driver *driver, const char *method, const ProtobufCMessage *request,
                           const struct rpc_context *context);
ProtobufCMessage *driver_reply(const struct outcome *outcome, const ProtobufCMessageDescriptor *descriptor);
struct slice driver_pack(struct driver *driver, const ProtobufCMessage *message);

#endif
