// Lets other tasks run, from the middle of a test.
#ifndef BULKHEAD_TESTS_SUPPORT_YIELD_TASK_H
#define BULKHEAD_TESTS_SUPPORT_YIELD_TASK_H

// Waits until all tasks that are runnable now have run once, without ending the turn of the loop: its hooks do not run
// in between. The current task must be neither cancelled nor past its deadline.
void yield_task(void);

#endif
