// A process for what attacks the stack. In the world an attacker has machines of its own. Here it shares processors
// with what it attacks and with the clients whose times a test takes, so it only gets what those leave.
//
// A thread of the test cannot be held back like that: where kernel.sched_autogroup_enabled is on, Linux shares the
// processors between sessions first, whatever the priorities of their threads are, and a thread that attacks would use
// up what the test's own clients need.
#ifndef BULKHEAD_TESTS_SUPPORT_ATTACKER_H
#define BULKHEAD_TESTS_SUPPORT_ATTACKER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

// Returns zeroed memory that the test and its attackers share. It stays until the test ends.
void *attacker_memory(size_t size);
// Runs `body(arg)` in a process of its own, which has none of the test's files. The body must return soon after
// attacker_is_wanted has become false, and must neither allocate memory nor assert: the threads that the test has
// meanwhile are not in that process.
pid_t attacker_start(void (*body)(void *arg), void *arg);
// Tells an attacker whether the test still runs.
bool attacker_is_wanted(void);
// Waits until the attacker has ended.
void attacker_join(pid_t attacker);

#endif
