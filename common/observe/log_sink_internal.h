// Where the lines of the log go: standard error, which is often a pipe to a collector. A collector that stops reading
// must not stop the process, so nothing here waits for it. Lines that the pipe does not take are kept in a queue of
// bounded size, which a thread empties; it exists only meanwhile. Lines that do not fit in the queue are dropped and
// counted, and a line says how many were dropped once there is room. Lines keep their order.
//
// O_NONBLOCK belongs to an open file description, and the one of standard error is shared with whoever started this
// process. It is therefore left alone: a pipe or a terminal is opened once more, for this process only.
#ifndef BULKHEAD_OBSERVE_LOG_SINK_INTERNAL_H
#define BULKHEAD_OBSERVE_LOG_SINK_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/slice.h"

// Makes the counter of dropped lines, so that it can be shared between processes, and has the log survive a fork. Call
// it once.
void log_sink_init(void);

// The lock under which lines are made and sent.
void log_sink_lock(void);
void log_sink_unlock(void);

// Sends one whole line, or keeps it, or drops it. The caller holds the lock.
void log_sink_send(struct slice line);

// Gives what is kept a chance to be written, for `timeout_ms` at most.
void log_sink_flush(uint32_t timeout_ms);
// Writes what is kept from a signal handler that ends the process. It may wait for the reader, so the caller bounds it.
void log_sink_flush_at_crash(void);

// Makes the line that says how many lines were dropped. log.c implements it. The sink calls it under the lock; the text
// is good until the next call.
struct slice log_make_gap_line(uint64_t dropped);

#endif
