// Processes of a test's own: services and the programs that look at them. Their output (log and standard output) is
// read as it comes; signals and HTTP to the admin port are the only other ways in.
#ifndef BULKHEAD_TESTS_SUPPORT_SERVICE_PROCESS_H
#define BULKHEAD_TESTS_SUPPORT_SERVICE_PROCESS_H

#include <sys/types.h>

#include "common/base/strbuf.h"

struct process {
  pid_t pid;
  int output_fd;
  struct strbuf output;
  char folder[64];  // of its socket and of what a test puts there
  char url[96];     // where a service that was told so takes calls: ipc://folder/rpc.sock
  char admin[64];   // "127.0.0.1:4711", known once it has been logged
};

// Makes the folder, so that others can be told of it before it runs.
void process_prepare(struct process *process);
// ... with the folder and the url of a process that has ended and been freed.
void process_prepare_again(struct process *process);
// Starts `program` (from the PATH without a slash) with NAME=value strings in its environment; both lists end with
// NULL, a later name replaces an earlier one. It is killed when the test ends without waiting for it.
void process_launch(struct process *process, const char *program, char *const *arguments,
                    const char *const *environment);
// Until the admin port is known.
void process_wait_admin(struct process *process);
// ... and /readyz answers 200.
void process_wait_ready(struct process *process);
// Reads the output until it holds `text`; fails the test when the process ends before.
void process_wait_output(struct process *process, const char *text);
// Waits for its end, removes its folder; its exit code, -1 for a signal. The output stays until process_free.
int process_end(struct process *process);
// SIGTERM and process_end.
int process_stop(struct process *process);
void process_free(struct process *process);

// One HTTP exchange with 127.0.0.1 ("127.0.0.1:4711"); the whole answer as text.
const char *http_at(const char *address, const char *request, struct strbuf *answer);
// ... with the admin port.
const char *process_http(const struct process *process, const char *request, struct strbuf *answer);
// GET again and again until the answer holds `text`.
void process_wait_http(const struct process *process, const char *path, const char *text);

#define EXPECT_OUTPUT(process, text)                                                                                   \
  cr_expect_not_null(strstr(strbuf_cstring(&(process).output), (text)), "%s", strbuf_cstring(&(process).output))
#define EXPECT_NO_OUTPUT(process, text)                                                                                \
  cr_expect_null(strstr(strbuf_cstring(&(process).output), (text)), "%s", strbuf_cstring(&(process).output))

#endif
