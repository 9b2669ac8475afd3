// What the process takes of memory, as metrics: what malloc has handed out beside what the process has in RAM. The
// second may grow by fragmentation and by high-water marks where the first does not.
#ifndef BULKHEAD_OBSERVE_MEMORY_METRICS_H
#define BULKHEAD_OBSERVE_MEMORY_METRICS_H

#include "common/base/memory.h"

// Makes the series, before the processes are forked that share them (metrics_attach).
void memory_metrics_make(void);
void memory_metrics_set(const struct memory_use *use);

#endif
