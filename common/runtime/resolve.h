// Host names to addresses, without holding up the loop: getaddrinfo(3) and with it /etc/hosts, DNS and whatever else
// the machine is set up to ask, on a thread of the pool. Look-ups take half of the pool's threads at most, so that a
// resolver that does not answer leaves the other half to CPU-bound work (task_offload).
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

// False for what needs no look-up: a numeric address, the path of a unix socket ('/' or '@' in front), "".
bool host_is_name(const char *host);

struct loop_resolve;
// `done(arg, found, reason)` comes once, later, on the loop's thread, outside tasks; the handle is gone then. `found`
// is valid during the call. Where nothing was found its count is 0 and `reason` says why, naming the host, else
// `reason` is NULL. It takes as long as the machine's resolver does, so whoever has less time cancels. The host is
// copied. NULL, and no call, for a text that cannot be a host name.
struct loop_resolve *loop_resolve_start(struct loop *loop, const char *host,
                                        void (*done)(void *arg, const struct address_list *found, const char *reason),
                                        void *arg);
// `done` will not be called. Nulls the pointer, accepts NULL. A look-up that a thread has begun goes on there, unheard:
// loop_free waits for its end.
void loop_resolve_cancel(struct loop_resolve **resolve);

#endif
