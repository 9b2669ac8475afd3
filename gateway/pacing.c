#include "gateway/pacing.h"

bool pacing_is_very_large(size_t bytes)
{
  return bytes > PACING_LARGE_BYTES;
}

bool pacing_is_other(int http_status, size_t bytes)
{
  return http_status != 429 && !pacing_is_very_large(bytes);
}

uint32_t pacing_pause_ms(uint64_t now_us, uint64_t other_us)
{
  return other_us != 0 && now_us < other_us + PACING_OTHERS_US ? PACING_PAUSE_MS : 0;
}
