// Jobs and a thread. A job is a request to Consul that is sent again and again: soon after an answer, with back-off
// after an error. The host only changes the desired state under the mutex and wakes the thread, which reconciles
// Consul.
#include "common/discovery/consul_internal.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/backoff.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/random.h"
#include "common/base/thread.h"
#include "common/base/uuid.h"
#include "common/discovery/consul_format_internal.h"
#include "common/discovery/consul_recall_internal.h"
#include "common/discovery/http_internal.h"
#include "common/observe/log.h"
#include "common/observe/metrics.h"

#define BACKOFF_FIRST_MS 250
#define BACKOFF_MAX_MS 15000
// The pause between two queries of one service, so that a service that flaps does not make the thread spin.
#define QUERY_PAUSE_MS 50
// The pause after an answer without an index, because Consul cannot wait for changes then.
#define POLL_PAUSE_MS 1000
#define REGISTRATION_CHECK_MS 3000
#define ANSWER_TIMEOUT_MS 5000
#define MAX_PAUSE_MS 60000

// What the next request of a job asks for.
enum job_kind {
  JOB_WATCH,       // the instances of a service, once they have changed
  JOB_REGISTER,    // that Consul registers us
  JOB_CHECK,       // whether Consul still has our registration
  JOB_DEREGISTER,  // that Consul removes our registration
};

struct job {
  struct job *next;
  enum job_kind kind;
  struct consul *consul;
  struct http_exchange exchange;
  uint64_t due_us;  // when the next request is sent; DEADLINE_NONE for never
  uint32_t backoff_ms;
  char *service;                // JOB_WATCH
  uint64_t index;               // JOB_WATCH: X-Consul-Index of the last answer
  struct consul_recall recall;  // JOB_WATCH
};

// What the host wants Consul to hold about this process. `version` grows with each change; the thread has reconciled
// Consul with it once `reconciled` is the same.
struct desired_state {
  char *id;  // NULL: not to be registered
  struct strbuf body;
  uint64_t version;
  uint64_t reconciled;
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
  // Only the thread uses the members from here to `registered_id`.
  struct job *watches;
  struct job registration;
  char *registered_id;  // the id of the last registration that was sent to Consul; NULL: none was
  // The host and the thread use the members below, under the mutex.
  pthread_mutex_t mutex;
  pthread_cond_t reconciled;  // desired.reconciled has changed
  struct job *new_watches;
  struct desired_state desired;
  bool stop;
};

// ---- requests ----

static void begin_watch(struct consul *consul, struct job *job)
{
  uint32_t jitter_ms = (uint32_t)random_below(consul->wait_ms / 16 + 1);
  uint32_t wait_ms = consul->wait_ms + jitter_ms;
  struct strbuf url;
  strbuf_init(&url, 0);
  consul_health_url(&url, consul->url, job->service, job->index, wait_ms);
  // Consul may wait up to a sixteenth longer than it was asked to.
  struct http_request request = {
      .url = strbuf_cstring(&url), .token = consul->token, .timeout_ms = wait_ms + wait_ms / 16 + ANSWER_TIMEOUT_MS};
  http_begin(&job->exchange, consul->multi, &request, job);
  strbuf_free(&url);
}

static void begin_registration(struct consul *consul, struct job *job)
{
  struct strbuf url, body;
  strbuf_init(&url, 0);
  strbuf_init(&body, 0);
  if (job->kind == JOB_REGISTER) {
    consul_register_url(&url, consul->url);
    pthread_mutex_lock(&consul->mutex);
    strbuf_add(&body, strbuf_slice(&consul->desired.body));
    pthread_mutex_unlock(&consul->mutex);
  } else {
    consul_service_url(&url, consul->url, consul->registered_id, job->kind == JOB_DEREGISTER);
  }
  struct http_request request = {.url = strbuf_cstring(&url),
                                 .token = consul->token,
                                 .put = job->kind != JOB_CHECK,
                                 .body = strbuf_slice(&body),
                                 .timeout_ms = ANSWER_TIMEOUT_MS};
  http_begin(&job->exchange, consul->multi, &request, job);
  strbuf_free(&url);
  strbuf_free(&body);
}

static bool is_in_flight(const struct job *job)
{
  return job->exchange.easy != NULL;
}

static void begin_if_due(struct consul *consul, struct job *job, uint64_t now_us)
{
  if (is_in_flight(job) || job->due_us > now_us)
    return;
  job->due_us = DEADLINE_NONE;
  if (job->kind == JOB_WATCH)
    begin_watch(consul, job);
  else
    begin_registration(consul, job);
}

// ---- answers ----

static void note_reachable(struct consul *consul, bool up)
{
  if (atomic_exchange(&consul->up, up) == up)
    return;
  metric_set(consul->up_metric, up ? 1 : 0);
  if (up)
    log_info("consul", "Consul answers");
}

static void schedule_job(struct job *job, enum job_kind kind, uint32_t pause_ms)
{
  job->kind = kind;
  job->due_us = deadline_after_ms(clock_now_us(), pause_ms);
}

static void note_success(struct consul *consul, struct job *job)
{
  note_reachable(consul, true);
  job->backoff_ms = 0;
}

static void log_failure(const struct job *job, const char *reason, uint32_t pause_ms)
{
  if (job->kind == JOB_WATCH)
    log_warn("consul", "could not ask for the instances of a service; the last known ones are used, will retry",
             LOG_STRING("peer", job->service), LOG_STRING("reason", reason), LOG_INT("retryMs", pause_ms));
  else if (job->kind == JOB_DEREGISTER)
    log_warn("consul", "could not deregister; the failing health check will remove this instance",
             LOG_STRING("id", job->consul->registered_id), LOG_STRING("reason", reason));
  else
    log_warn("consul", "could not register or check the registration; others may not find this instance, will retry",
             LOG_STRING("id", job->consul->registered_id), LOG_STRING("reason", reason), LOG_INT("retryMs", pause_ms));
}

static void retry_job(struct consul *consul, struct job *job, const char *reason)
{
  metric_add(consul->errors_metric, 1);
  note_reachable(consul, false);
  uint32_t pause_ms = backoff_next_ms(&job->backoff_ms, BACKOFF_FIRST_MS, BACKOFF_MAX_MS);
  log_failure(job, reason, pause_ms);
  // Consul may have restarted with lower indexes; waiting for one from before could miss changes.
  job->index = 0;
  schedule_job(job, job->kind == JOB_CHECK ? JOB_REGISTER : job->kind, pause_ms);
}

static void end_watch(struct consul *consul, struct job *job)
{
  struct endpoint_list list;
  size_t skipped;
  if (!consul_read_health(strbuf_slice(&job->exchange.answer), &list, &skipped)) {
    retry_job(consul, job, "the answer is not the JSON that Consul documents");
    return;
  }
  note_success(consul, job);
  uint64_t received = http_header_number(&job->exchange, "X-Consul-Index");
  job->index = consul_next_index(job->index, received);
  if (consul_recall_complete(&job->recall, received, clock_now_us(), &list))
    job->index = 0;
  schedule_job(job, JOB_WATCH, job->index == 0 ? POLL_PAUSE_MS : QUERY_PAUSE_MS);
  if (skipped != 0)
    log_warn("consul", "left out instances whose address cannot be dialled; check how they are registered",
             LOG_STRING("peer", job->service), LOG_INT("count", skipped));
  consul->on_list(consul->arg, job->service, &list);
}

// Deregistering is tried once, because a process that ends does not wait; Consul removes a failing instance by itself.
static void end_deregister(struct consul *consul, struct job *job, const char *failure)
{
  if (failure != NULL)
    retry_job(consul, job, failure);
  job->due_us = DEADLINE_NONE;
  pthread_mutex_lock(&consul->mutex);
  if (consul->desired.id == NULL)
    consul->desired.reconciled = consul->desired.version;
  pthread_cond_broadcast(&consul->reconciled);
  pthread_mutex_unlock(&consul->mutex);
}

static void end_registration(struct consul *consul, struct job *job, long status)
{
  note_success(consul, job);
  if (status == 404) {
    log_warn("consul", "Consul has lost the registration of this instance; registering it again",
             LOG_STRING("id", consul->registered_id));
    schedule_job(job, JOB_REGISTER, 0);
    return;
  }
  if (job->kind == JOB_REGISTER)
    log_info("consul", "registered", LOG_STRING("id", consul->registered_id));
  schedule_job(job, JOB_CHECK, REGISTRATION_CHECK_MS);
}

// Returns why the answer is a failure; NULL when it is none. `text` is room for the reason.
static const char *find_failure(const struct job *job, CURLcode result, long status, struct strbuf *text)
{
  if (result != CURLE_OK)
    return curl_easy_strerror(result);
  if (status == 200 || (job->kind == JOB_CHECK && status == 404))
    return NULL;
  strbuf_printf(text, "Consul answered with HTTP status %ld", status);
  return strbuf_cstring(text);
}

static void end_job(struct consul *consul, struct job *job, CURLcode result)
{
  long status = http_status(&job->exchange);
  struct strbuf text;
  strbuf_init(&text, 0);
  const char *failure = find_failure(job, result, status, &text);
  if (job->kind == JOB_DEREGISTER)
    end_deregister(consul, job, failure);
  else if (failure != NULL)
    retry_job(consul, job, failure);
  else if (job->kind == JOB_WATCH)
    end_watch(consul, job);
  else
    end_registration(consul, job, status);
  strbuf_free(&text);
  http_end(&job->exchange);
}

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
  if (is_in_flight(job) || desired->reconciled == desired->version)
    return;
  if (desired->id != NULL) {
    free(consul->registered_id);
    consul->registered_id = memory_copy_string(desired->id);
    desired->reconciled = desired->version;
    schedule_job(job, JOB_REGISTER, 0);
  } else if (consul->registered_id != NULL) {
    schedule_job(job, JOB_DEREGISTER, 0);
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

// Sends the requests that are due. Returns the milliseconds until the next one is.
static int begin_due(struct consul *consul)
{
  uint64_t now_us = clock_now_us();
  begin_if_due(consul, &consul->registration, now_us);
  uint64_t next_us = consul->registration.due_us;
  for (struct job *job = consul->watches; job != NULL; job = job->next) {
    begin_if_due(consul, job, now_us);
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
    end_job(consul, job, result);
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
    http_end(&job->exchange);
    consul_recall_free(&job->recall);
    free(job->service);
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
  http_end(&consul->registration.exchange);
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

void consul_watch(struct consul *consul, const char *service)
{
  struct job *job = calloc(1, sizeof(*job));
  CHECK(job != NULL);
  job->kind = JOB_WATCH;
  job->consul = consul;
  job->service = memory_copy_string(service);
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
  char check_id[UUID_TEXT_SIZE];
  uuid_v7(check_id);
  pthread_mutex_lock(&consul->mutex);
  strbuf_clear(&consul->desired.body);
  consul_write_registration(&consul->desired.body, registration, check_id);
  set_desired_id(consul, registration->id);
  pthread_mutex_unlock(&consul->mutex);
}

void consul_deregister(struct consul *consul, uint32_t timeout_ms)
{
  uint64_t end_us = deadline_after_ms(clock_now_us(), timeout_ms);
  pthread_mutex_lock(&consul->mutex);
  if (consul->desired.id != NULL) {
    set_desired_id(consul, NULL);
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
