// Helper threads, and conditions whose waits end at a deadline on the monotonic clock.
#ifndef BULKHEAD_BASE_THREAD_H
#define BULKHEAD_BASE_THREAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/compiler.h"

// Starts a thread that runs `run(arg)` with all signals blocked, so that they stay with the threads that handle them.
// The caller joins or detaches it. False, with errno set, when the system has no thread left.
bool thread_start(pthread_t *thread, void *(*run)(void *arg), void *arg) MUST_CHECK;

// Asks the kernel for shorter and earlier turns of the calling thread, and of those that it starts from now on: what
// wakes it is answered sooner where others want the processor, too, and its share of it stays as it was. Linux 6.12 and
// later do so, others take no notice.
void thread_ask_for_short_turns(void);

// Initialises a condition for condition_wait_until. The caller destroys it with pthread_cond_destroy.
void condition_init(pthread_cond_t *condition);
// Waits for the condition until `deadline_us` (monotonic clock, or DEADLINE_NONE); the caller holds the mutex. Returns
// false once the deadline has passed. May return true without a signal, so the caller checks in a loop what it waits
// for.
bool condition_wait_until(pthread_cond_t *condition, pthread_mutex_t *mutex, uint64_t deadline_us) MUST_CHECK;

#endif
