// How many streams one worker holds, in all and for each caller: a stream may last for hours, and what its client does
// not read takes memory (STREAM_UNREAD_BYTES). Callers share places by a hash, so two may share their bound by chance.
#ifndef BULKHEAD_GATEWAY_STREAM_COUNTS_H
#define BULKHEAD_GATEWAY_STREAM_COUNTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// How much a service sends of a stream that the client has not read. One message more may exceed it.
#define STREAM_UNREAD_BYTES (64u * 1024)
#define STREAMS_OF_CALLER 256
#define STREAMS_OF_ALL 4096
#define STREAM_CALLERS 1024
// How many bytes of messages that have come in part wait for the rest, of one caller and of all.
#define STREAM_PARTS_OF_CALLER ((size_t)8 * 1024 * 1024)
#define STREAM_PARTS_OF_ALL ((size_t)64 * 1024 * 1024)

// Zeroed: none.
struct stream_counts {
  size_t all;
  uint16_t of_caller[STREAM_CALLERS];
  size_t parts;
  size_t parts_of_caller[STREAM_CALLERS];
};

// Counts a stream of the caller, a hash. False where he or all have as many as they may. `*place` is for
// stream_counts_return.
bool stream_counts_take(struct stream_counts *counts, uint64_t caller, uint16_t *place);
void stream_counts_return(struct stream_counts *counts, uint16_t place);
// Counts that `now` bytes of a message have come in part where `*before` had, and keeps that there. False where there
// is no room for as many; they are counted all the same.
bool stream_counts_part(struct stream_counts *counts, uint16_t place, size_t *before, size_t now);

#endif
