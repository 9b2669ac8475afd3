// Jobs and a thread. A job is one request to Consul that is sent again and again: after an answer soon, after an error
// with back-off. The host's thread only leaves wishes under the mutex and wakes the thread.
#include "common/discovery/consul_internal.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/backoff.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/discovery/consul_format_internal.h"
#include "common/discovery/http_internal.h"
#include "common/observe/log.h"
#include "common/observe/metrics.h"

#define BACKOFF_FIRST_MS 250
#define BACKOFF_MAX_MS 15000
// Between two queries of one service, so that a service that flaps does not make us spin.
#define QUERY_PAUSE_MS 50
// An answer without an index cannot be waited on: then we ask every second.
#define POLL_PAUSE_MS 1000
#define REGISTRATION_CHECK_MS 3000
#define ANSWER_TIMEOUT_MS 5000

enum job_kind {
  JOB_WATCH,
  JOB_REGISTER,    // say that we are here
  JOB_LOOK,        // does Consul still know us?
  JOB_DEREGISTER,  // say that we go
};

struct job {
  struct job *next;
  enum job_kind kind;
  struct consul *consul;
  struct http_exchange exchange;
  uint64_t due_us;  // of the next request; DEADLINE_NONE for no more
  uint32_t backoff_ms;
  char *service;   // JOB_WATCH
  uint64_t index;  // JOB_WATCH: X-Consul-Index of the last answer
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
  // Of the thread.
  struct job *watches;
  struct job registration;  // its kind is what it does next
  char *registered_id;
  // Under the mutex: wishes.
  pthread_mutex_t mutex;
  pthread_cond_t deregistered;
  struct job *new_watches;
  char *registration_id;  // NULL: nothing is to be registered
  struct strbuf registration_body;
  bool want_deregister;
  bool register_anew;
  bool stop;
};

// ---- the jobs' requests ----

static void begin_watch(struct consul *consul, struct job *job)
{
  uint32_t jitter_ms = (uint32_t)random_below(consul->wait_ms / 16 + 1);
  uint32_t wait_ms = consul->wait_ms + jitter_ms;
  struct strbuf url;
  strbuf_init(&url, 0);
  consul_health_url(&url, consul->url, job->service, job->index, wait_ms);
  // Consul adds up to a sixteenth of the wait by itself.
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
  pthread_mutex_lock(&consul->mutex);
  if (job->kind == JOB_REGISTER) {
    consul_register_url(&url, consul->url);
    strbuf_add(&body, strbuf_slice(&consul->registration_body));
  } else {
    consul_service_url(&url, consul->url, consul->registered_id, job->kind == JOB_DEREGISTER);
  }
  pthread_mutex_unlock(&consul->mutex);
  struct http_request request = {.url = strbuf_cstring(&url),
                                 .token = consul->token,
                                 .put = job->kind != JOB_LOOK,
                                 .body = strbuf_slice(&body),
                                 .timeout_ms = ANSWER_TIMEOUT_MS};
  http_begin(&job->exchange, consul->multi, &request, job);
  strbuf_free(&url);
  strbuf_free(&body);
}

static void begin_if_due(struct consul *consul, struct job *job, uint64_t now_us)
{
  if (job->exchange.easy != NULL || job->due_us > now_us)
    return;
  job->due_us = DEADLINE_NONE;
  if (job->kind == JOB_WATCH)
    begin_watch(consul, job);
  else
    begin_registration(consul, job);
}

// ---- their answers ----

static void set_up(struct consul *consul, bool up)
{
  if (atomic_exchange(&consul->up, up) == up)
    return;
  metric_set(consul->up_metric, up ? 1 : 0);
  if (up)
    log_info("consul", "Consul answers again");
}

static void schedule(struct job *job, uint32_t pause_ms)
{
  job->due_us = deadline_after_ms(clock_now_us(), pause_ms);
}

static void job_failed(struct consul *consul, struct job *job, const char *reason)
{
  static const char *const what[] = {[JOB_WATCH] = "a query failed, the last list stays",
                                     [JOB_REGISTER] = "registration failed",
                                     [JOB_LOOK] = "the registration could not be looked up",
                                     [JOB_DEREGISTER] = "deregistration failed"};
  metric_add(consul->errors_metric, 1);
  set_up(consul, false);
  uint32_t pause_ms = backoff_next_ms(&job->backoff_ms, BACKOFF_FIRST_MS, BACKOFF_MAX_MS);
  schedule(job, pause_ms);
  // A Consul that came back may count from the beginning; an index from before would wait for nothing.
  job->index = 0;
  log_warn("consul", what[job->kind], LOG_STRING("peer", job->service), LOG_STRING("reason", reason),
           LOG_INT("retryMs", pause_ms));
  if (job->kind == JOB_LOOK)
    job->kind = JOB_REGISTER;
}

static void job_worked(struct consul *consul, struct job *job)
{
  set_up(consul, true);
  job->backoff_ms = 0;
}

static void end_watch(struct consul *consul, struct job *job)
{
  struct endpoint_list list;
  size_t skipped;
  if (!consul_read_health(strbuf_slice(&job->exchange.answer), &list, &skipped)) {
    job_failed(consul, job, "the answer is not what Consul documents");
    return;
  }
  job_worked(consul, job);
  job->index = consul_next_index(job->index, http_header_number(&job->exchange, "X-Consul-Index"));
  schedule(job, job->index == 0 ? POLL_PAUSE_MS : QUERY_PAUSE_MS);
  if (skipped != 0)
    log_warn("consul", "left out instances without a usable address", LOG_STRING("peer", job->service),
             LOG_INT("count", skipped));
  consul->on_list(consul->arg, job->service, &list);
}

static void end_deregister(struct consul *consul, struct job *job)
{
  job->due_us = DEADLINE_NONE;
  pthread_mutex_lock(&consul->mutex);
  consul->want_deregister = false;
  pthread_cond_broadcast(&consul->deregistered);
  pthread_mutex_unlock(&consul->mutex);
}

static void end_registration(struct consul *consul, struct job *job, long status)
{
  if (job->kind == JOB_LOOK && status == 404) {
    log_warn("consul", "Consul has lost our registration, registering again");
    job_worked(consul, job);
    job->kind = JOB_REGISTER;
    schedule(job, 0);
    return;
  }
  job_worked(consul, job);
  if (job->kind == JOB_REGISTER)
    log_info("consul", "registered", LOG_STRING("id", consul->registered_id));
  job->kind = JOB_LOOK;
  schedule(job, REGISTRATION_CHECK_MS);
}

static void job_answered(struct consul *consul, struct job *job, CURLcode result)
{
  long status = http_status(&job->exchange);
  char reason[64];
  if (job->kind == JOB_DEREGISTER) {
    // Tried once: who goes does not wait, and Consul removes us in a minute by itself.
    if (result != CURLE_OK || status != 200)
      job_failed(consul, job, result != CURLE_OK ? curl_easy_strerror(result) : "Consul refused");
    end_deregister(consul, job);
  } else if (result != CURLE_OK) {
    job_failed(consul, job, curl_easy_strerror(result));
  } else if (status != 200 && !(job->kind == JOB_LOOK && status == 404)) {
    snprintf(reason, sizeof(reason), "Consul answered with HTTP status %ld", status);
    job_failed(consul, job, reason);
  } else if (job->kind == JOB_WATCH) {
    end_watch(consul, job);
  } else {
    end_registration(consul, job, status);
  }
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

// A request on its way is waited for, lest a late registration undo the deregistration.
static void take_registration_wish(struct consul *consul)
{
  struct job *job = &consul->registration;
  if (job->exchange.easy != NULL)
    return;
  if (consul->register_anew) {
    consul->register_anew = false;
    free(consul->registered_id);
    consul->registered_id = strdup(consul->registration_id);
    CHECK(consul->registered_id != NULL);
    job->kind = JOB_REGISTER;
    job->due_us = 0;
  }
  if (!consul->want_deregister)
    return;
  if (consul->registered_id == NULL) {
    // Taken back before it was ever sent.
    consul->want_deregister = false;
    pthread_cond_broadcast(&consul->deregistered);
  } else if (job->kind != JOB_DEREGISTER) {
    job->kind = JOB_DEREGISTER;
    job->due_us = 0;
  }
}

// Takes over what the host's thread wishes. False when it wishes the end.
static bool take_wishes(struct consul *consul)
{
  pthread_mutex_lock(&consul->mutex);
  take_new_watches(consul);
  take_registration_wish(consul);
  bool stop = consul->stop;
  pthread_mutex_unlock(&consul->mutex);
  return !stop;
}

static int begin_due(struct consul *consul)
{
  uint64_t now_us = clock_now_us();
  begin_if_due(consul, &consul->registration, now_us);
  uint64_t next_us = consul->registration.due_us;
  for (struct job *job = consul->watches; job != NULL; job = job->next) {
    begin_if_due(consul, job, now_us);
    next_us = deadline_min(next_us, job->due_us);
  }
  uint32_t left_ms = next_us == DEADLINE_NONE ? 60000 : deadline_left_ms(next_us, now_us);
  return left_ms > 60000 ? 60000 : (int)left_ms;
}

static void *run(void *arg)
{
  struct consul *consul = arg;
  while (take_wishes(consul)) {
    int pause_ms = begin_due(consul);
    int running, left;
    CHECK(curl_multi_perform(consul->multi, &running) == CURLM_OK);
    CURLMsg *message;
    bool answered = false;
    while ((message = curl_multi_info_read(consul->multi, &left)) != NULL) {
      struct job *job;
      CURLcode result = message->data.result;
      CHECK(curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&job) == CURLE_OK);
      job_answered(consul, job, result);
      answered = true;
    }
    if (!answered)
      curl_multi_poll(consul->multi, NULL, 0, pause_ms, NULL);
  }
  return NULL;
}

static void start_thread(struct consul *consul)
{
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  CHECK(pthread_create(&consul->thread, NULL, run, consul) == 0);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
}

// ---- the host's side ----

static enum status check_url(const char *url, struct error *error)
{
  bool known = strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0;
  CURLU *parsed = curl_url();
  CHECK(parsed != NULL);
  bool valid = known && curl_url_set(parsed, CURLUPART_URL, url, 0) == CURLUE_OK;
  curl_url_cleanup(parsed);
  // The URL may hold a password, so it is not quoted.
  return valid ? STATUS_OK
               : error_set(error, STATUS_INVALID_ARGUMENT, "the URL of Consul must look like http://127.0.0.1:8500");
}

static char *copy_of(const char *text)
{
  char *copy = text == NULL ? NULL : strdup(text);
  CHECK(text == NULL || copy != NULL);
  return copy;
}

enum status consul_start(const struct consul_options *options, struct consul **out, struct error *error)
{
  http_init();
  enum status status = check_url(options->url, error);
  if (status != STATUS_OK)
    return status;
  struct consul *consul = calloc(1, sizeof(*consul));
  CHECK(consul != NULL);
  consul->url = copy_of(options->url);
  size_t length = strlen(consul->url);
  if (consul->url[length - 1] == '/')
    consul->url[length - 1] = '\0';
  consul->token = copy_of(options->token);
  consul->wait_ms = options->wait_ms;
  consul->on_list = options->on_list;
  consul->arg = options->arg;
  consul->up_metric = metrics_single(METRIC_CONSUL_UP);
  consul->errors_metric = metrics_single(METRIC_DISCOVERY_ERRORS);
  consul->registration = (struct job){.kind = JOB_REGISTER, .due_us = DEADLINE_NONE};
  strbuf_init(&consul->registration_body, 0);
  consul->multi = curl_multi_init();
  CHECK(consul->multi != NULL);
  CHECK(pthread_mutex_init(&consul->mutex, NULL) == 0);
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  CHECK(pthread_cond_init(&consul->deregistered, &attributes) == 0);
  pthread_condattr_destroy(&attributes);
  start_thread(consul);
  *out = consul;
  return STATUS_OK;
}

static void free_jobs(struct job *job)
{
  while (job != NULL) {
    struct job *next = job->next;
    http_end(&job->exchange);
    free(job->service);
    free(job);
    job = next;
  }
}

static void wake(struct consul *consul)
{
  curl_multi_wakeup(consul->multi);
}

void consul_stop(struct consul **consul_pointer)
{
  struct consul *consul = *consul_pointer;
  if (consul == NULL)
    return;
  *consul_pointer = NULL;
  pthread_mutex_lock(&consul->mutex);
  consul->stop = true;
  pthread_mutex_unlock(&consul->mutex);
  wake(consul);
  pthread_join(consul->thread, NULL);
  free_jobs(consul->watches);
  free_jobs(consul->new_watches);
  http_end(&consul->registration.exchange);
  curl_multi_cleanup(consul->multi);
  pthread_cond_destroy(&consul->deregistered);
  pthread_mutex_destroy(&consul->mutex);
  strbuf_free(&consul->registration_body);
  free(consul->registration_id);
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
  job->service = copy_of(service);
  pthread_mutex_lock(&consul->mutex);
  job->next = consul->new_watches;
  consul->new_watches = job;
  pthread_mutex_unlock(&consul->mutex);
  wake(consul);
}

void consul_register(struct consul *consul, const struct discovery_registration *registration)
{
  pthread_mutex_lock(&consul->mutex);
  free(consul->registration_id);
  consul->registration_id = copy_of(registration->id);
  strbuf_clear(&consul->registration_body);
  consul_write_registration(&consul->registration_body, registration);
  consul->register_anew = true;
  consul->want_deregister = false;
  pthread_mutex_unlock(&consul->mutex);
  wake(consul);
}

void consul_deregister(struct consul *consul, uint32_t timeout_ms)
{
  uint64_t end_us = deadline_after_ms(clock_now_us(), timeout_ms);
  struct timespec end = {.tv_sec = (time_t)(end_us / 1000000), .tv_nsec = (long)(end_us % 1000000) * 1000};
  pthread_mutex_lock(&consul->mutex);
  if (consul->registration_id != NULL) {
    free(consul->registration_id);
    consul->registration_id = NULL;
    consul->register_anew = false;
    consul->want_deregister = true;
    wake(consul);
    while (consul->want_deregister && pthread_cond_timedwait(&consul->deregistered, &consul->mutex, &end) == 0)
      continue;
  }
  pthread_mutex_unlock(&consul->mutex);
}

bool consul_up(const struct consul *consul)
{
  return atomic_load(&consul->up);
}
