// A Consul of the test's own, which it may stop, start again and make forget.
#ifndef BULKHEAD_TESTS_CONSUL_PROCESS_H
#define BULKHEAD_TESTS_CONSUL_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

struct consul_process {
  char folder[64];
  int ports[3];
  char url[64];
  pid_t pid;
};

// Chooses ports and a folder for Consul; starts nothing.
void consul_process_prepare(struct consul_process *consul);
// Starts Consul with an empty memory and waits until it answers with a leader.
void consul_process_start(struct consul_process *consul);
// Kills Consul with SIGKILL; its data is gone.
void consul_process_kill(struct consul_process *consul);
// Returns the HTTP status of a request to Consul; 0 when it did not answer.
long consul_process_request(const struct consul_process *consul, const char *method, const char *path,
                            const char *body);

#endif
