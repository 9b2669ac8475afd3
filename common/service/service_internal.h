// Private to common/service: the process as a whole. One struct service exists in a process; its loop's thread owns it.
#ifndef BULKHEAD_SERVICE_SERVICE_INTERNAL_H
#define BULKHEAD_SERVICE_SERVICE_INTERNAL_H

#include "common/base/memory.h"
#include "common/base/strmap.h"
#include "common/discovery/discovery.h"
#include "common/observe/trace.h"
#include "common/service/admin_internal.h"
#include "common/service/cache_instances_internal.h"
#include "common/service/callers_internal.h"
#include "common/service/common_settings_internal.h"
#include "common/service/dispatch_internal.h"
#include "common/service/jobs_internal.h"
#include "common/service/readiness_internal.h"
#include "common/service/rpc_pump_internal.h"
#include "common/service/service.h"

struct service {
  const struct service_definition *definition;
  struct arena arena;  // settings, names
  struct common_settings common;
  void *settings;  // values of the service's own table

  struct loop *loop;
  struct pg *pg;
  struct redis *redis;
  struct discovery *discovery;
  struct loop_watch *discovery_watch;
  struct strmap watched;              // peers whose endpoints are followed
  struct service_identity *identity;  // NULL without SERVICE_KEY
  struct rpc_client *client;
  struct rpc_pump client_pump;
  struct cache_instances cache_instances;
  struct callers callers;
  struct rpc_server *server;
  struct rpc_pump server_pump;
  const struct rpc_binding *bindings;  // all that is served, known once the process listens
  size_t binding_count;
  struct dispatch dispatch;
  struct descriptor_set *descriptors;  // NULL until the first call to grpc.reflection.v1
  struct admin *admin;
  struct list backgrounds;
  struct jobs *jobs;  // NULL before the start, and without kinds of jobs
  struct loop_timer *trim_timer;
  struct memory_trim trim;

  void *state;
  bool has_started;  // definition.start succeeded
  enum service_phase phase;
  struct task *main_task;   // the start or the command at work; cancelled by a signal
  const char *stop_reason;  // NULL until a signal or a failure
  uint64_t began_us;
  int exit_code;
};

// Loads the settings into service->common and ->settings. Appends a line to `problems` for each that cannot be used.
enum status service_load_settings(struct service *service, const struct service_definition *definition,
                                  struct strbuf *problems) MUST_CHECK;

// Checks the settings that were loaded as far as that goes without connecting or listening, with the functions by which
// the process is opened. Appends a line to `problems` for each thing with which the service could not serve.
enum status service_check_settings(const struct service *service, struct strbuf *problems) MUST_CHECK;

// Reads the keys that prove the name of this service where connections have no TLS. Without SERVICE_KEY, OK and none.
enum status service_make_identity(const struct service *service, struct service_identity **out,
                                  struct error *error) MUST_CHECK;

// Returns the connection string of the role that owns the schema.
const char *service_migrate_conninfo(const struct service *service);

// Opens what both serving and commands need: the loop, PostgreSQL, Redis, discovery and the RPC client. SIGTERM and
// SIGINT call `on_signal(service, number)` from here on.
enum status service_open(struct service *service, void (*on_signal)(void *service, int number),
                         struct error *error) MUST_CHECK;
// Closes everything; accepts a service that service_open has left half-built.
void service_close(struct service *service);

// Makes an RPC client by the service's settings; the caller drives and frees it.
struct rpc_client *service_make_client(struct service *service);

// Follows the endpoints of `peer`, a text that lives as long as the service.
void service_follow_peer(struct service *service, const char *peer);

// Starts a background task as service_background does. Lists of tasks show `method`, a text that outlives the task.
void background_start(struct service *service, struct slice method, void (*body)(void *arg), void *arg);
// Cancels the background tasks and waits for their end, at most `grace_ms`; false if some have not ended. Must be
// called from a task.
bool background_end_all(struct service *service, uint64_t grace_ms) MUST_CHECK;
// Waits until `reached` is true, at most `ms`; false if it was not. Must be called from a task that is neither
// cancelled nor past its deadline.
bool service_wait_until(const struct service *service, bool (*reached)(const struct service *service),
                        uint64_t ms) MUST_CHECK;

// Returns what decides whether this instance may get calls.
struct readiness service_readiness(const struct service *service);

// Returns how long calls may take to end after SIGTERM: as long as the longest may take at all, unless DRAIN_TIMEOUT
// says otherwise.
uint64_t service_drain_timeout_ms(const struct service *service);
// Serves until SIGTERM or SIGINT; returns the exit code.
int service_serve(struct service *service);

#endif
