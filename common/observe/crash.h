// Reports a crash on standard error before the process dies: the signal, the method, request id and trace id that the
// crashing thread worked on, and its backtrace.
//
//   crash: SIGSEGV at address 0x8 in item.v1.ItemService/GetItem, request 0197..., trace 4bf9...
//   build/release/bin/item(call_fail+0x12)[0x5581...]
//   build/release/bin/item(+0x1f00c)[0x5581...]
//
// The process then ends by the same signal as without the report, and dumps core if cores are enabled.
// deploy/debug/addresses turns the lines into functions, files and line numbers.
#ifndef BULKHEAD_OBSERVE_CRASH_H
#define BULKHEAD_OBSERVE_CRASH_H

// Reports SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGABRT (a failed CHECK) from here on. Call it on the thread that runs
// tasks, before it does: the report runs on a stack of its own there, so that it also works when a task's stack
// overflows. Under AddressSanitizer its own report comes first, the method and ids follow it.
void crash_report_install(void);

#endif
