// Everything that exists because of how nng behaves. Read in the source of nng 1.5.2 (Debian 12). The log names a
// version that was not tested. Each quirk says when its workaround can go.
//
//   HOPS              nng's sockets hand each step of a message (header, body, queue, sent) to another thread. A lone
//                     call woke eight threads, each for 10 to 20 us. So streams (stream_internal.h) use nng's byte
//                     streams, which read and write in the calling thread, and speak SP themselves. Can go when nng's
//                     sockets do that.
//   DESCRIPTOR        nng does not tell the descriptor of a byte stream, which the host's loop has to watch.
//                     rpc_find_socket looks for the socket that has the same two addresses. Where it finds none, nng's
//                     threads wake the loop instead, which costs speed only. And nng has no way to ask for what can be
//                     moved at once, because a timeout of zero ends a transfer before it is tried: so a transfer is
//                     started and cancelled at once, which leaves a finished one as it is. Can go when nng tells the
//                     descriptor.
//   TASK THREADS      What still runs on nng's threads (dials, handshakes, greetings and IPC) runs as tasks on one of
//                     2 x CPUs threads. Waking another one for each step costs more than the step.
//                     rpc_limit_nng_threads leaves one at work. Can go when IPC is as fast without it. nng 1.7 has
//                     nng_init_set_parameter(NNG_INIT_NUM_TASK_THREADS), but its minimum is 2.
//   NAGLE             nng 1.5.2 documents that NNG_OPT_TCP_NODELAY is set by default, but on POSIX systems it is not. A
//                     link sets it. Can go with any version that sets it.
//   CLOSE HANGS       nng_close of one of nng's sockets waits for nng's other threads, and may wait for ever. Closing a
//                     byte stream does not. Only the benchmark and tests use sockets, as strangers that speak SP, and
//                     leave them open until the process ends.
#ifndef BULKHEAD_RPC_NNG_COMPAT_INTERNAL_H
#define BULKHEAD_RPC_NNG_COMPAT_INTERNAL_H

#include <nng/nng.h>

#if NNG_MAJOR_VERSION != 1
#error "common/rpc is written for nng 1: go through the list of quirks at the top of this file before using another one"
#endif

// Prepares nng for this process: limits its threads, and logs a version that was not tested. Called before the first
// link is opened; later calls do nothing.
void rpc_prepare_nng(void);

// Finds the socket under a TCP stream. Returns a duplicate of its descriptor, which the caller closes; -1 when there is
// none.
int rpc_find_socket(nng_stream *stream);

// Leaves one of nng's task threads at work and parks the others. Returns at once; later calls do nothing. nng must have
// started before.
//
// Can only cost speed, never progress. One task thread is fewer than nng ever starts, so a task of nng's might wait for
// another one that no thread is left to run. A parked thread therefore gives nng a probe task every second; when the
// probe is not run within a second, all parked threads go back to work for the life of the process, with a log line.
void rpc_limit_nng_threads(void);

#endif
