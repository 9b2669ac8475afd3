// Whether an instance is kept out of the choice because it fails or is slow where others are not. It comes back by
// itself; an instance that fails again at once is out for twice as long.
#ifndef BULKHEAD_RPC_EJECTION_INTERNAL_H
#define BULKHEAD_RPC_EJECTION_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

// The failures in a row after which an instance may be ejected.
#define EJECTION_FAILURES 5
#define EJECTION_FIRST_US UINT64_C(1000000)
#define EJECTION_MAX_US UINT64_C(30000000)
// How long an instance must do well after an ejection, so that the next one is short again.
#define EJECTION_FORGET_US UINT64_C(30000000)

// A zeroed one is that of a healthy instance.
struct ejection {
  uint32_t failures;  // in a row
  uint32_t rounds;    // ejections that have not been forgotten
  uint64_t until_us;
};

// Notes how a call has ended. Returns whether the instance has failed often enough to be ejected.
bool ejection_note(struct ejection *ejection, bool failed, uint64_t now_us);
// Ejects the instance. The first failure after its return ejects it again.
void ejection_begin(struct ejection *ejection, uint64_t now_us);
// Lets the instance return at once, because too few others are left.
void ejection_end(struct ejection *ejection, uint64_t now_us);

static inline bool ejection_is_active(const struct ejection *ejection, uint64_t now_us)
{
  return now_us < ejection->until_us;
}

#endif
