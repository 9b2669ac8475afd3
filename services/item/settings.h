// Settings of the item service beside those that every service has (common/service).
#ifndef BULKHEAD_SERVICES_ITEM_SETTINGS_H
#define BULKHEAD_SERVICES_ITEM_SETTINGS_H

#include <stdint.h>

struct item_settings {
  int64_t cache_bytes;
  int64_t sweep_interval_ms;
};

#endif
