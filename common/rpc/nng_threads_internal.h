// How many of nng's task threads work for us.
#ifndef BULKHEAD_RPC_NNG_THREADS_INTERNAL_H
#define BULKHEAD_RPC_NNG_THREADS_INTERNAL_H

// Leaves nng one task thread and parks the others for the life of the process. Once a process; later calls do nothing.
// nng must be running: a socket has been opened. Any thread.
void nng_threads_park(void);

#endif
