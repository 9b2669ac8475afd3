// The host only changes the desired state under the mutex and wakes the thread, which reconciles Consul by its jobs.
#include "common/discovery/consul_internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/thread.h"
#include "common/base/uuid.h"
#include "common/discovery/consul_format_internal.h"
#include "common/discovery/consul_job_internal.h"
#include "common/observe/log.h"

#define MAX_PAUSE_MS 60000

// ---- the thread ----

static void take_new_watches(struct consul *consul)
{
  while (consul->new_watches != NULL) {
    struct job *job = consul->new_watches;
    consul->new_watches = job->next;
    job->next = consul->watches;
    consul->watches = job;
  }
}

// Turns a change of the desired state into the next request. A request in flight is waited for, because a registration
// that arrives late would undo the deregistration.
static void reconcile_registration(struct consul *consul)
{
  struct job *job = &consul->registration;
  struct desired_state *desired = &consul->desired;
  if (consul_job_is_in_flight(job) || desired->reconciled == desired->version)
    return;
  if (desired->id != NULL) {
    free(consul->registered_id);
    consul->registered_id = memory_copy_string(desired->id);
    desired->reconciled = desired->version;
    consul_job_schedule(job, JOB_REGISTER, 0);
  } else if (consul->registered_id != NULL) {
    consul_job_schedule(job, JOB_DEREGISTER, 0);
  } else {
    desired->reconciled = desired->version;
    pthread_cond_broadcast(&consul->reconciled);
  }
}

// Takes over the watches and the desired state that the host has set. False when the thread must end.
static bool take_changes(struct consul *consul)
{
  pthread_mutex_lock(&consul->mutex);
  take_new_watches(consul);
  reconcile_registration(consul);
  bool stop = consul->stop;
  pthread_mutex_unlock(&consul->mutex);
  return !stop;
}

static void begin_if_due(struct job *job, uint64_t now_us)
{
  if (!consul_job_is_in_flight(job) && job->due_us <= now_us)
    consul_job_begin(job);
}

// Sends the requests that are due. Returns the milliseconds until the next one is.
static int begin_due(struct consul *consul)
{
  uint64_t now_us = clock_now_us();
  begin_if_due(&consul->registration, now_us);
  uint64_t next_us = consul->registration.due_us;
  for (struct job *job = consul->watches; job != NULL; job = job->next) {
    begin_if_due(job, now_us);
    next_us = deadline_min(next_us, job->due_us);
  }
  uint32_t left_ms = next_us == DEADLINE_NONE ? MAX_PAUSE_MS : deadline_left_ms(next_us, now_us);
  return left_ms > MAX_PAUSE_MS ? MAX_PAUSE_MS : (int)left_ms;
}

// Handles the answers that have come. False when there were none.
static bool end_answered(struct consul *consul)
{
  CURLMsg *message;
  bool any = false;
  int left;
  while ((message = curl_multi_info_read(consul->multi, &left)) != NULL) {
    struct job *job;
    CURLcode result = message->data.result;
    CHECK(curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&job) == CURLE_OK);
    consul_job_end(job, result);
    any = true;
  }
  return any;
}

static void *run_thread(void *arg)
{
  struct consul *consul = arg;
  while (take_changes(consul)) {
    int pause_ms = begin_due(consul);
    int running;
    CHECK(curl_multi_perform(consul->multi, &running) == CURLM_OK);
    if (!end_answered(consul))
      curl_multi_poll(consul->multi, NULL, 0, pause_ms, NULL);
  }
  return NULL;
}

// ---- the host's side ----

static enum status check_url(const char *url, struct error *error)
{
  bool known = strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0;
  CURLU *parsed = curl_url();
  CHECK(parsed != NULL);
  bool valid = known && curl_url_set(parsed, CURLUPART_URL, url, 0) == CURLUE_OK;
  curl_url_cleanup(parsed);
  // The URL may hold a password, so the error does not quote it.
  return valid ? STATUS_OK
               : error_set(error, STATUS_INVALID_ARGUMENT,
                           "the URL of Consul is not an http:// or https:// URL; write it like http://127.0.0.1:8500");
}

enum status consul_start(const struct consul_options *options, struct consul **out, struct error *error)
{
  http_init();
  enum status status = check_url(options->url, error);
  if (status != STATUS_OK)
    return status;
  struct consul *consul = calloc(1, sizeof(*consul));
  CHECK(consul != NULL);
  consul->url = memory_copy_string(options->url);
  size_t length = strlen(consul->url);
  if (consul->url[length - 1] == '/')
    consul->url[length - 1] = '\0';
  consul->token = memory_copy_string(options->token);
  consul->wait_ms = options->wait_ms;
  consul->on_list = options->on_list;
  consul->arg = options->arg;
  consul->up_metric = metrics_single(METRIC_CONSUL_UP);
  consul->errors_metric = metrics_single(METRIC_DISCOVERY_ERRORS);
  consul->registration = (struct job){.kind = JOB_REGISTER, .consul = consul, .due_us = DEADLINE_NONE};
  strbuf_init(&consul->desired.body, 0);
  consul->multi = curl_multi_init();
  CHECK(consul->multi != NULL);
  CHECK(pthread_mutex_init(&consul->mutex, NULL) == 0);
  condition_init(&consul->reconciled);
  CHECK(thread_start(&consul->thread, run_thread, consul));
  *out = consul;
  return STATUS_OK;
}

static void free_jobs(struct job *job)
{
  while (job != NULL) {
    struct job *next = job->next;
    consul_job_clear(job);
    free(job);
    job = next;
  }
}

static void wake_thread(struct consul *consul)
{
  curl_multi_wakeup(consul->multi);
}

void consul_free(struct consul **consul_pointer)
{
  struct consul *consul = *consul_pointer;
  if (consul == NULL)
    return;
  *consul_pointer = NULL;
  pthread_mutex_lock(&consul->mutex);
  consul->stop = true;
  pthread_mutex_unlock(&consul->mutex);
  wake_thread(consul);
  pthread_join(consul->thread, NULL);
  free_jobs(consul->watches);
  free_jobs(consul->new_watches);
  consul_job_clear(&consul->registration);
  curl_multi_cleanup(consul->multi);
  pthread_cond_destroy(&consul->reconciled);
  pthread_mutex_destroy(&consul->mutex);
  strbuf_free(&consul->desired.body);
  free(consul->desired.id);
  free(consul->registered_id);
  free(consul->url);
  free(consul->token);
  free(consul);
}

void consul_watch(struct consul *consul, const char *service, const struct endpoint_list *saved)
{
  struct job *job = calloc(1, sizeof(*job));
  CHECK(job != NULL);
  job->kind = JOB_WATCH;
  job->consul = consul;
  job->service = memory_copy_string(service);
  if (saved != NULL)
    job->recall.known = endpoint_list_copy(saved);
  pthread_mutex_lock(&consul->mutex);
  job->next = consul->new_watches;
  consul->new_watches = job;
  pthread_mutex_unlock(&consul->mutex);
  wake_thread(consul);
}

static void set_desired_id(struct consul *consul, const char *id)
{
  free(consul->desired.id);
  consul->desired.id = memory_copy_string(id);
  consul->desired.version++;
  wake_thread(consul);
}

void consul_register(struct consul *consul, const struct discovery_registration *registration)
{
  pthread_mutex_lock(&consul->mutex);
  uuid_v7(consul->desired.check_id);
  strbuf_clear(&consul->desired.body);
  consul_write_registration(&consul->desired.body, registration, consul->desired.check_id);
  set_desired_id(consul, registration->id);
  pthread_mutex_unlock(&consul->mutex);
}

void consul_deregister(struct consul *consul, uint32_t timeout_ms)
{
  uint64_t end_us = deadline_after_ms(clock_now_us(), timeout_ms);
  pthread_mutex_lock(&consul->mutex);
  if (consul->desired.id != NULL || consul->desired.is_unwaited) {
    if (consul->desired.id != NULL)
      set_desired_id(consul, NULL);
    consul->desired.is_unwaited = timeout_ms == 0;
    while (consul->desired.reconciled != consul->desired.version &&
           condition_wait_until(&consul->reconciled, &consul->mutex, end_us))
      continue;
  }
  pthread_mutex_unlock(&consul->mutex);
}

bool consul_up(const struct consul *consul)
{
  return atomic_load(&consul->up);
}
