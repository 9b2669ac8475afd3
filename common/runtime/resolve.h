// Resolves host names without blocking the loop, by getaddrinfo(3) on a thread of the pool: /etc/hosts, DNS and
// whatever else the machine is set up to ask. Look-ups take at most half of the pool's threads, so that a resolver that
// does not answer leaves the other half to CPU-bound work (task_offload).
#ifndef BULKHEAD_RUNTIME_RESOLVE_H
#define BULKHEAD_RUNTIME_RESOLVE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/runtime/loop.h"

#define ADDRESS_LIST_MAX 8
// The longest IPv6 text (45), '%' and the name of an interface (15), terminated.
#define ADDRESS_TEXT_BYTES 64

struct address_list {
  size_t count;
  char texts[ADDRESS_LIST_MAX][ADDRESS_TEXT_BYTES];  // numeric, the one to try first (RFC 6724) in front
};

// Returns true for a name that needs a look-up; false for a numeric address, the path of a unix socket (which begins
// with '/' or '@') and "".
bool host_is_name(const char *host);

struct loop_resolve;
// Starts a look-up. `done(arg, found, reason)` is called once, later, on the loop's thread, outside tasks, and the
// handle is freed before. `found` is valid during the call. When nothing was found, its count is 0 and `reason` says
// why and names the host; otherwise `reason` is NULL. A look-up takes as long as the machine's resolver does: whoever
// has less time cancels it. The host is copied. Returns NULL, and `done` is not called, for a text that cannot be a
// host name.
struct loop_resolve *loop_resolve_start(struct loop *loop, const char *host,
                                        void (*done)(void *arg, const struct address_list *found, const char *reason),
                                        void *arg);
// Cancels a look-up: `done` will not be called. Nulls the pointer and accepts NULL in it. A look-up that a thread has
// begun goes on there, and loop_free waits for its end.
void loop_resolve_cancel(struct loop_resolve **resolve);

#endif
