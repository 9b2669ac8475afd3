// The jobs of Consul's thread. A job is a request to Consul that is sent again and again: soon after an answer, with
// back-off after an error.
#ifndef BULKHEAD_DISCOVERY_CONSUL_JOB_INTERNAL_H
#define BULKHEAD_DISCOVERY_CONSUL_JOB_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/strbuf.h"
#include "common/base/uuid.h"
#include "common/discovery/consul_internal.h"
#include "common/discovery/consul_recall_internal.h"
#include "common/discovery/http_internal.h"
#include "common/observe/metrics.h"

// What the next request of a job asks for.
enum job_kind {
  JOB_WATCH,       // the instances of a service, once they have changed
  JOB_REGISTER,    // that Consul registers us
  JOB_CHECK,       // whether Consul still has our registration
  JOB_DEREGISTER,  // that Consul removes our registration
};

#define JOB_REASON_SIZE 96

struct job {
  struct job *next;
  enum job_kind kind;
  struct consul *consul;
  struct http_exchange exchange;
  uint64_t due_us;  // when the next request is sent; DEADLINE_NONE for never
  uint32_t backoff_ms;
  uint32_t failures;             // requests that have failed since the last answer
  char reason[JOB_REASON_SIZE];  // of the last of them
  char *service;                 // JOB_WATCH
  uint64_t index;                // JOB_WATCH: X-Consul-Index of the last answer
  struct consul_recall recall;   // JOB_WATCH
};

// What the host wants Consul to hold about this process. `version` grows with each change; the thread has reconciled
// Consul with it once `reconciled` is the same.
struct desired_state {
  char *id;  // NULL: not to be registered
  char check_id[UUID_TEXT_SIZE];
  struct strbuf body;
  uint64_t version;
  uint64_t reconciled;
  bool is_unwaited;  // a deregistration was begun, and nobody has waited for it
};

struct consul {
  char *url;
  char *token;
  uint32_t wait_ms;
  void (*on_list)(void *arg, const char *service, struct endpoint_list *list);
  void *arg;
  CURLM *multi;
  pthread_t thread;
  atomic_bool up;
  struct metric_series *up_metric;
  struct metric_series *errors_metric;
  // Only the thread uses the members from here to `registered_check_id`.
  struct job *watches;
  struct job registration;
  char *registered_id;  // the id of the last registration that was sent to Consul; NULL: none was
  char registered_check_id[UUID_TEXT_SIZE];
  // The host and the thread use the members below, under the mutex.
  pthread_mutex_t mutex;
  pthread_cond_t reconciled;  // desired.reconciled has changed
  struct job *new_watches;
  struct desired_state desired;
  bool stop;
};

// Returns whether a request of the job has been sent and not been answered.
bool consul_job_is_in_flight(const struct job *job);
// Sends the job's request.
void consul_job_begin(struct job *job);
// Handles the end of the job's request, and schedules the next one.
void consul_job_end(struct job *job, CURLcode result);
// Lets the job send a request of this kind after a pause.
void consul_job_schedule(struct job *job, enum job_kind kind, uint32_t pause_ms);
// Frees what the job holds, and gives up a request in flight.
void consul_job_clear(struct job *job);

#endif
