// Whether the process at the other end of a connection still answers. An open connection proves little: the kernel goes
// on taking bytes for a process that is stopped or hangs, and says nothing of a host that has vanished.
//
// The owner looks at the connection when a timer fires, and tells how many bytes have come so far. While nothing comes
// although something is awaited, the other side is asked for a packet. Who leaves the question without an answer is
// silent after LIVENESS_SILENT_MS: others should get the new calls. After LIVENESS_LOST_MS the connection is lost.
//
// The time in which our own process did not run does not count, because whatever came in it has not been read.
#ifndef BULKHEAD_RPC_LIVENESS_INTERNAL_H
#define BULKHEAD_RPC_LIVENESS_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

// The time between two looks while something is awaited or comes, and while nothing does.
#define LIVENESS_BUSY_LOOK_MS 250
#define LIVENESS_IDLE_LOOK_MS 1000
// A connection on which nothing is awaited is asked after this time.
#define LIVENESS_IDLE_ASK_MS 10000
// The time between the question and the verdicts.
#define LIVENESS_SILENT_MS 500
#define LIVENESS_LOST_MS 5000

enum liveness_verdict {
  LIVENESS_FINE,
  LIVENESS_ASK,     // the owner must ask for a packet now
  LIVENESS_SILENT,  // asked some time ago, and nothing has come since
  LIVENESS_LOST,    // asked long ago, and nothing has come since
};

struct liveness {
  uint64_t heard_us;   // when bytes had come at a look, or the beginning
  uint64_t looked_us;  // the last look, or the beginning
  uint64_t
      asked_us;  // when the other side was asked, on a clock that stands still while our process does; 0: not asked
  uint64_t received;  // bytes that had come by then
};

// Begins with a new connection. `asked` says that the other side has been asked for a packet already.
void liveness_begin(struct liveness *liveness, bool asked, uint64_t now_us);
// Judges the connection at `now_us`, by the bytes `received` so far. `awaited` says that an answer is due, such as that
// of a call.
enum liveness_verdict liveness_look(struct liveness *liveness, uint64_t received, bool awaited, uint64_t now_us);
// Returns when the owner must look next.
uint64_t liveness_next_look_us(const struct liveness *liveness, bool awaited);

#endif
