// Everything that exists because of how nng behaves. Read in the source of nng 1.5.2 (Debian 12). The unit tests, those
// of TLS apart, also pass when the same program runs on libnng 1.8.0 or 1.11.0. The log names any other version. Each
// quirk says when its workaround can go.
//
//   TASK THREADS      nng runs each step of a message (header, body, queue, sent) as a task on one of 2 x CPUs threads.
//                     Waking another thread for each step costs more than the step: a packet took 16 context switches.
//                     rpc_limit_nng_threads leaves one thread at work. Can go when bench_rpc shows the same rate
//                     without it. nng 1.7 has nng_init_set_parameter(NNG_INIT_NUM_TASK_THREADS), but its minimum is 2,
//                     which costs a fifth of the rate.
//   CLOSE HANGS       nng_close waits for nng's other threads, and may wait for ever: a pipe that we close between the
//                     header and the body of an incoming message leaves its receive unfinished. nng 1.9 aborts such
//                     operations (commit aac4dc36, "fix deadlock on socket close"). So rpc_closer closes sockets on a
//                     thread of its own and the end of the process waits a bounded time. For the same reason a
//                     connection with traffic is never closed from our side while the process lives. Can go with 1.9.
//   REDIAL            A dialer connects again by itself after a loss and delivers what is still queued in the socket to
//                     whoever answers. So a socket serves one connection: rpc_link refuses the second one, and the
//                     endpoint makes a new socket. Every version does this; it can go when a dialer has a setting
//                     against it.
//   RAW REP DROPS     A raw REP socket drops a message when its queue of 64 for that pipe is full (xrep.c). So a server
//                     keeps at most RPC_WINDOW_PACKETS unacked on a connection. The same in 1.11. Can go when a raw REP
//                     send reports a full pipe; the acks stay, because corking needs them.
//   EARLY SENDS       A raw REP socket drops what is sent to a connection between NNG_PIPE_EV_ADD_PRE and ADD_POST
//                     (seen with 1.5.2). So the server's GOAWAY waits for PIPE_STARTED. Can go when a raw REP send
//                     reports a pipe that has not started.
//   LATE EVENTS       NNG_PIPE_EV_ADD_POST may run after the first packet of a connection has come. So a packet proves
//                     to the client that it is connected (endpoint_receive). Can go when nng orders the two.
//   CLOSE LEAKS       A message that is being sent while its socket closes is leaked. So the client sends no CANCEL
//                     frames while it ends. Can go when LeakSanitizer is quiet without that rule.
//   NO ROOM           With a timeout of zero, "no room now" is reported as NNG_ETIMEDOUT (1.5.2) or NNG_EAGAIN; see
//                     rpc_io_send. NNG_OPT_SENDBUF and RECVBUF (default 0 and 1) size the socket's upper queues, and a
//                     send reports no room when the upper queue is full. NNG_OPT_RECVFD and SENDFD are level-triggered
//                     for as long as the socket can receive or send.
#ifndef BULKHEAD_RPC_NNG_COMPAT_INTERNAL_H
#define BULKHEAD_RPC_NNG_COMPAT_INTERNAL_H

#include <nng/nng.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/rpc/pipe_events_internal.h"

#if NNG_MAJOR_VERSION != 1
#error "common/rpc is written for nng 1: go through the list of quirks at the top of this file before using another one"
#endif

// RAW REP DROPS: the queue of a pipe holds 64 packets; half of that is safe.
#define RPC_WINDOW_PACKETS 32

// ---- task threads ----

// Leaves one of nng's task threads at work and parks the others. Returns at once; later calls do nothing. A socket must
// have been opened before.
//
// Can only cost speed, never progress. One task thread is fewer than nng ever starts, so a task of nng's might wait for
// another one that no thread is left to run. A parked thread therefore gives nng a probe task every second; when the
// probe is not run within a second, all parked threads go back to work for the life of the process, with a log line.
void rpc_limit_nng_threads(void);

// ---- sockets with one connection ----

// An nng socket and what nng's callbacks about it need.
struct rpc_link {
  nng_socket socket;
  struct pipe_events *events;
  uint64_t id;            // in the events of this link
  atomic_bool connected;  // has had its only connection
  struct rpc_link *next;  // in the closer's list
};

// Opens a raw REQ socket for one outgoing connection. PIPE_STARTED and PIPE_CLOSED go to `events`, which must live as
// long as the closer that closes the link.
struct rpc_link *rpc_link_open_client(struct pipe_events *events, uint64_t id, size_t max_message_bytes);
// Opens a raw REP socket for any number of incoming connections. PIPE_OPENED comes before the first packet can,
// PIPE_STARTED once the socket sends to the connection: nng drops what is sent to it before.
struct rpc_link *rpc_link_open_server(struct pipe_events *events, size_t max_message_bytes);

// ---- closing ----

// A thread that closes links. It also owns the event queue, because nng's callbacks may use it while a close hangs.
struct rpc_closer;

struct rpc_closer *rpc_closer_start(void);
struct pipe_events *rpc_closer_events(struct rpc_closer *closer);
// Closes the link in the background and frees it. NULL is accepted.
void rpc_closer_close(struct rpc_closer *closer, struct rpc_link **link);
// Waits until all links are closed, a second at most. A close that hangs longer is left to the end of the process,
// together with the memory that nng may still use. NULL is accepted.
void rpc_closer_free(struct rpc_closer **closer);

#endif
