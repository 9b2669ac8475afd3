// Closes nng sockets on a thread of its own: nng_close waits for nng's other threads, and the loop must not wait.
#ifndef BULKHEAD_RPC_REAPER_H
#define BULKHEAD_RPC_REAPER_H

#include <nng/nng.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct pipe_events;

// One socket and what nng's callbacks about it need. Made for one connection; freed once nng_close has returned.
struct rpc_link {
  nng_socket socket;
  struct pipe_events *events;
  uint64_t id;
  atomic_bool used;  // has had its connection: a second one is refused
  struct rpc_link *next;
};

struct reaper {
  pthread_t thread;
  pthread_mutex_t mutex;
  pthread_cond_t wake;
  struct rpc_link *links;
  bool stop;
};

void reaper_start(struct reaper *reaper);
// Takes over the link.
void reaper_close(struct reaper *reaper, struct rpc_link *link);
// Waits until everything is closed.
void reaper_stop(struct reaper *reaper);

#endif
