// What the gateway's own services share. Private to gateway/own_*.c.
#ifndef BULKHEAD_GATEWAY_OWN_SERVICES_INTERNAL_H
#define BULKHEAD_GATEWAY_OWN_SERVICES_INTERNAL_H

#include "common/base/list.h"
#include "common/base/strbuf.h"
#include "gateway/own_services.h"

// A call that has not ended.
struct own_call {
  struct own_services *own;
  struct list node;  // in own.due while it has something to do, else in own.idle
  const struct own_kind *kind;
  rpc_done_fn *done;
  const struct rpc_stream_events *events;
  void *arg;
  uint64_t deadline_us;
  struct strbuf request;  // the message of the client that was not answered yet
  bool has_request;       // of a stream of the client: `request` is one
  bool is_closed;         // of a stream of the client: no more come
  bool was_refused;       // of a stream of the client: it waits to be told that it may send more
  size_t untaken;         // messages that were sent and that the client has not taken yet
  int told;               // of a watch: the status that was sent last; 0: none
  bool *files_sent;       // of reflection; NULL before the first answer
};

struct own_kind {
  const char *method;
  const char *contract;  // the method of the contracts that it is; NULL: of the same name
  // Does what there is to do. It must return right after own_call_send or own_call_end, because the call may be gone.
  void (*go_on)(struct own_call *call);
};

extern const struct own_kind own_health_check;
extern const struct own_kind own_health_list;
extern const struct own_kind own_health_watch;
extern const struct own_kind own_reflection;
extern const struct own_kind own_reflection_alpha;

// Sends a message of a stream.
void own_call_send(struct own_call *call, struct slice message);
// Ends a call and frees it. `response` counts for a call without a stream that ends well.
void own_call_end(struct own_call *call, const struct rpc_status *status, struct slice response);
// Tells whether calls of a service reach it; of all services where it is NULL.
bool own_services_are_ready(const struct own_services *own, const char *service);
const struct api *own_services_api(const struct own_services *own);
const struct contract *own_services_contract(const struct own_services *own);

#endif
