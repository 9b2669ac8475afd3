// Requests of one kind that arrive by the clock, at any rate: what many clients do who do not know of each other, and
// do not ask less because answers are slow. Or so many clients who each ask again as soon as they are answered, to
// learn how much can be served.
//
// The generator runs on the caller's thread and keeps what each request met. It speaks HTTP/1.1 over connections that
// are kept, from several addresses, and takes its share of the processors: surge_see tells how large that was, and how
// late requests left.
#ifndef BULKHEAD_TESTS_FAULT_SURGE_H
#define BULKHEAD_TESTS_FAULT_SURGE_H

#include <stddef.h>
#include <stdint.h>

struct surge_phase {
  unsigned per_second;  // requests that arrive; 0: `clients` ask in a closed loop
  unsigned clients;
  unsigned ms;
};

// What the requests met that were due in a span of time. Times count from when a request was due.
struct surge_seen {
  double seconds;
  size_t sent;
  size_t good;     // 2xx
  size_t refused;  // 429
  size_t aside;    // 308: nginx answers so for some paths by itself, which is what a refusal costs at least
  size_t failed;   // anything else, and no answer
  size_t unsent;   // so many requests were in flight that no client was left for them
  double goodput;  // answers with 2xx that came within the span, a second
  uint64_t good_p50_us, good_p99_us;
  uint64_t refused_p50_us, refused_p99_us;
  uint64_t aside_p50_us, aside_p99_us;
  uint64_t late_p99_us;  // how long after it was due a request left
  double cpu;            // processors that the generator itself has used, 1 for all of one
  double waited;         // the part of the time in which it waited for a processor
};

struct surge;

// `requests` are whole requests of HTTP/1.1, which are sent in turns; they must outlive the surge. `url` is plain;
// NULL: BULKHEAD_URL.
struct surge *surge_create(const char *const *requests, size_t count, const char *url);
// Lets a phase pass. What is in flight at its end goes on in the next one.
void surge_run(struct surge *surge, const struct surge_phase *phase);
// Waits until all that were sent have ended.
void surge_settle(struct surge *surge);
// Sums up a phase, by its number, without the first `skip_ms` of it.
struct surge_seen surge_see(const struct surge *surge, size_t phase, unsigned skip_ms);
// Returns how long after the begin of the phase the last request was due that was not answered with 2xx, or after
// longer than `slow_us`; 0 without one.
uint64_t surge_trouble_us(const struct surge *surge, size_t phase, uint64_t slow_us);
// Returns the first answer that was neither a success nor a refusal; NULL without one.
const char *surge_first_failure(const struct surge *surge);
void surge_free(struct surge **surge);

#endif
