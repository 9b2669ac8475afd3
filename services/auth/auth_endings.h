// What has ended before its access tokens have expired, in the memory of each instance, for the gateways. All instances
// read the table `endings`, several times a second.
#ifndef BULKHEAD_SERVICES_AUTH_AUTH_ENDINGS_H
#define BULKHEAD_SERVICES_AUTH_AUTH_ENDINGS_H

#include <stdint.h>

#include "auth/v1/endings.bh.h"
#include "common/base/arena.h"
#include "common/base/hashtable.h"
#include "common/base/list.h"
#include "common/base/status.h"
#include "common/base/uuid.h"

struct pg;

struct auth_endings {
  char instance[UUID_TEXT_SIZE];  // names this list
  uint64_t sequence;              // of the entry that was added last
  int64_t horizon;                // transactions before this one have been read
  uint64_t read_us;               // when the table was read last (clock_now_us)
  struct hashtable by_id;
  struct list order;  // as they were added
};

void auth_endings_init(struct auth_endings *endings);
void auth_endings_free(struct auth_endings *endings);
// Reads what was written since the last time. May wait.
enum status auth_endings_read(struct auth_endings *endings, struct pg *pg) MUST_CHECK;

extern const struct auth_v1_ending_service_handlers auth_ending_handlers;

#endif
