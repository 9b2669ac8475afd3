// Closes nng sockets on a thread of its own: nng_close waits for nng's other threads, and the loop must not wait.
//
// nng 1.5.2 can hang there for good: a pipe that is closed from our side between the header and the body of a message
// that is coming in leaves its receive unfinished, and nng's one reap thread waits for it (nng 1.9 aborts such
// operations: its commit aac4dc36, "fix deadlock on socket close"). Hence two rules: connections with traffic are never
// closed from our side while the process lives (see endpoint.c, rpc_server.c), and the end of the process waits a
// bounded time only.
#ifndef BULKHEAD_RPC_REAPER_INTERNAL_H
#define BULKHEAD_RPC_REAPER_INTERNAL_H

#include <nng/nng.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/rpc/pipe_events_internal.h"

// One socket and what nng's callbacks about it need. Made for one connection; freed once nng_close has returned.
struct rpc_link {
  nng_socket socket;
  struct pipe_events *events;
  uint64_t id;
  atomic_bool used;  // has had its connection: a second one is refused
  struct rpc_link *next;
};

// Holds all that nng's callbacks and the thread may still touch when a close hangs.
struct reaper {
  struct pipe_events events;
  pthread_t thread;
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  struct rpc_link *links;
  bool stop;
  bool stopped;
};

struct reaper *reaper_start(void);
// Takes over the link.
void reaper_close(struct reaper *reaper, struct rpc_link *link);
// Waits until everything is closed, a second at most. What hangs longer is left to the end of the process.
void reaper_stop(struct reaper **reaper);

#endif
