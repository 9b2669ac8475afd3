// A client and a server on one thread. The test turns them until what it waits for has happened.
#ifndef BULKHEAD_TESTS_RPC_HARNESS_H
#define BULKHEAD_TESTS_RPC_HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/clock.h"
#include "common/rpc/rpc_client.h"
#include "common/rpc/rpc_server.h"

// A deadline far beyond anything a test waits for, so that none fires by chance on a slow machine.
#define TEST_DEADLINE_US (clock_now_us() + 120 * UINT64_C(1000000))

struct rig;

// How one call ended.
struct outcome {
  struct rig *rig;
  bool done;
  size_t order;  // the n-th to end, from 1
  enum status code;
  char message[128];
  char reason[64];
  char field[64];
  char instance[64];
  uint32_t retry_after_ms;
  size_t payload_size;
  char payload[64];  // its beginning
};

enum answering {
  ANSWER_AT_ONCE,  // echoes the payload
  ANSWER_LATER,    // keeps the requests
};

// Serves the streams of a rig; the requests are kept or answered like others.
struct stream_host {
  void (*on_message)(struct rig *rig, struct rpc_request *request, struct slice payload);
  void (*on_half_close)(struct rig *rig, struct rpc_request *request);
  void (*on_writable)(struct rig *rig, struct rpc_request *request);
};

struct rig {
  const struct stream_host *streams;  // NULL: none are served
  struct rpc_server *server;
  struct rpc_server *other;  // a second server of "test", which is turned too; NULL without
  struct rpc_client *client;
  struct service_identity *server_identity;  // of the service "test"; NULL without with_hellos
  struct service_identity *client_identity;  // of "tester"
  bool server_stopped;                       // the server is not turned
  bool client_stopped;                       // the client is not turned
  enum answering answering;
  struct rpc_request **kept;
  size_t kept_count;
  size_t kept_capacity;
  size_t requests;
  size_t cancels;
  size_t outcomes;
  char url[64];
};

// Fields that are 0 mean the defaults. The server listens on a free port of the loopback.
struct rig_options {
  size_t max_message_bytes;
  size_t max_calls_in_flight;
  size_t max_streams;
  size_t max_unsent_bytes;  // the client's
  enum answering answering;
  const struct stream_host *streams;
  bool without_client;
  bool with_hellos;    // both sides prove their names
  struct rpc_tls tls;  // the server's
};

void rig_start(struct rig *rig, const struct rig_options *options);
void rig_stop(struct rig *rig);
// Starts a server on `url` beside or instead of the rig's own.
struct rpc_server *rig_listen(struct rig *rig, const char *url, const struct rig_options *options);
// Starts a rig with a second server, `other`. The test answers the requests to both (ANSWER_LATER).
void rig_start_two(struct rig *rig);
// Returns the address of the rig's server.
const char *rig_url(struct rig *rig);
// Sets the endpoints of the service "test" to one on this port of the loopback.
void rig_set_endpoint(struct rig *rig, int port);
// Sets the endpoints to those on these ports.
void rig_set_endpoints(struct rig *rig, const int *ports, size_t count);

// Turns both once; waits up to 5 ms for something to happen.
void rig_turn(struct rig *rig);
// Turns until `done(rig, arg)` is true; fails the test after 60 s.
void rig_until(struct rig *rig, bool (*done)(struct rig *rig, void *arg), void *arg);
void rig_until_ready(struct rig *rig, size_t endpoints);
void rig_until_done(struct rig *rig, struct outcome *outcomes, size_t count);
void rig_until_kept(struct rig *rig, size_t count);

// Calls a method whose repeat does nothing more.
struct rpc_call *rig_call_repeatable(struct rig *rig, struct slice payload, struct outcome *outcome);
// The same, with a second request after `hedge_after_ms` without a reply.
struct rpc_call *rig_call_hedged(struct rig *rig, uint32_t hedge_after_ms, uint64_t deadline_us,
                                 struct outcome *outcome);
struct rpc_call *rig_call(struct rig *rig, struct slice payload, struct outcome *outcome);
struct rpc_call *rig_call_until(struct rig *rig, struct slice payload, uint64_t deadline_us, struct outcome *outcome);
// Calls another method than the usual one.
struct rpc_call *rig_call_method(struct rig *rig, struct slice method, struct outcome *outcome);
// Calls on behalf of the user whom `token` names.
struct rpc_call *rig_call_as(struct rig *rig, struct slice token, struct slice payload, struct outcome *outcome);
// Calls with a deadline, and waits `reply_wait_ms` longer than that for the reply.
struct rpc_call *rig_call_patiently(struct rig *rig, uint64_t deadline_us, uint32_t reply_wait_ms,
                                    struct outcome *outcome);
// Opens a stream, whose events get `outcome`. A deadline of 0 means TEST_DEADLINE_US.
struct rpc_call *rig_open_stream(struct rig *rig, struct rpc_call_options options, struct outcome *outcome);
// Replies to the kept request `index` with its own payload and removes it from `kept`.
void rig_reply(struct rig *rig, size_t index);
void rig_reply_all(struct rig *rig);

#endif
