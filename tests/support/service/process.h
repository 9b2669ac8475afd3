// Processes that a test starts: services and the programs that look at them. Their output (log and standard output) is
// read as it comes; signals and HTTP to the admin port are the only other ways in. When a test fails, the runner prints
// the whole output of its processes. Every wait fails the test after a minute.
#ifndef BULKHEAD_TESTS_SUPPORT_SERVICE_PROCESS_H
#define BULKHEAD_TESTS_SUPPORT_SERVICE_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/strbuf.h"

struct process {
  pid_t pid;
  int output_fd;   // reads the file that the process writes into
  bool has_ended;  // its exit has been seen, though not collected
  struct strbuf output;
  char folder[64];  // holds its socket and what a test puts there
  char url[96];     // where a service is told to take calls: ipc://folder/rpc.sock
  char admin[64];   // "127.0.0.1:4711", known once it has been logged
};

// Prepares a process before it runs: makes its folder, so that other processes can be told its address.
void process_prepare(struct process *process);
// Prepares a process once more after it has ended and been freed, with the same folder and url.
void process_prepare_again(struct process *process);
// Starts `program` (from the PATH without a slash) with NAME=value strings in its environment; both lists end with
// NULL, a later name replaces an earlier one, and NAME alone removes it. The process is killed when the test ends
// without waiting for it.
void process_launch(struct process *process, const char *program, char *const *arguments,
                    const char *const *environment);
// Waits until the admin port is known.
void process_wait_admin(struct process *process);
// Waits until the admin port is known and /readyz answers 200.
void process_wait_ready(struct process *process);
// Reads the output until it holds `text`; fails the test when the process ends before.
void process_wait_output(struct process *process, const char *text);
// Waits for the end of the process, removes its folder, and returns its exit code; -1 for a signal. The output stays
// until process_free.
int process_end(struct process *process);
// Sends SIGTERM and waits for the end; returns what process_end does.
int process_stop(struct process *process);
void process_free(struct process *process);

// Makes one HTTP exchange with an address such as "127.0.0.1:4711" and returns the whole answer as text.
const char *http_at(const char *address, const char *request, struct strbuf *answer);
// Makes one HTTP exchange with the process's admin port and returns the whole answer as text.
const char *process_http(const struct process *process, const char *request, struct strbuf *answer);
// Repeats GET `path` until the answer holds `text`; fails the test after a minute.
void process_wait_http(const struct process *process, const char *path, const char *text);

// Returns when a wait that begins now gives up, on the monotonic clock: in a minute, far more than anything here takes.
uint64_t patience_end_us(void);

#define EXPECT_OUTPUT(process, text)                                                                                   \
  cr_expect_not_null(strstr(strbuf_cstring(&(process).output), (text)), "no \"%s\" in: %s", text,                      \
                     strbuf_cstring(&(process).output))
#define EXPECT_NO_OUTPUT(process, text)                                                                                \
  cr_expect_null(strstr(strbuf_cstring(&(process).output), (text)), "%s", strbuf_cstring(&(process).output))

#endif
