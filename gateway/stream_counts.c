#include "gateway/stream_counts.h"

bool stream_counts_take(struct stream_counts *counts, uint64_t caller, uint16_t *place)
{
  *place = (uint16_t)(caller % STREAM_CALLERS);
  if (counts->all >= STREAMS_OF_ALL || counts->of_caller[*place] >= STREAMS_OF_CALLER)
    return false;
  counts->all++;
  counts->of_caller[*place]++;
  return true;
}

void stream_counts_return(struct stream_counts *counts, uint16_t place)
{
  counts->all--;
  counts->of_caller[place]--;
}

bool stream_counts_part(struct stream_counts *counts, uint16_t place, size_t *before, size_t now)
{
  bool grows = now > *before;
  counts->parts += now - *before;
  counts->parts_of_caller[place] += now - *before;
  *before = now;
  return !grows || (counts->parts <= STREAM_PARTS_OF_ALL && counts->parts_of_caller[place] <= STREAM_PARTS_OF_CALLER);
}
