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
