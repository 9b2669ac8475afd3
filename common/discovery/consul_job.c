// The requests of the jobs, and what follows from their answers.
#include "common/discovery/consul_job_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/backoff.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/discovery/consul_format_internal.h"
#include "common/observe/log.h"

// Consul is on the same machine or near, so it is asked often while it is away: an instance that has come meanwhile is
// found within a second of Consul's return.
#define BACKOFF_FIRST_MS 100
#define BACKOFF_MAX_MS 1000
// The pause between two queries of one service, so that a service that flaps does not make the thread spin.
#define QUERY_PAUSE_MS 50
// The pause after an answer without an index, because Consul cannot wait for changes then.
#define POLL_PAUSE_MS 1000
#define REGISTRATION_CHECK_MS 3000
// The time for an answer that Consul need not wait for.
#define ANSWER_TIMEOUT_MS 5000

// ---- requests ----

// Returns how long Consul may wait for a change: not beyond the time until which instances are recalled, because its
// end changes the list.
static uint32_t choose_wait_ms(const struct consul *consul, const struct job *job)
{
  uint32_t recall_ms = consul_recall_left_ms(&job->recall, clock_now_us());
  uint32_t wait_ms = consul->wait_ms + (uint32_t)random_below(consul->wait_ms / 16 + 1);
  return recall_ms != 0 && recall_ms < wait_ms ? recall_ms : wait_ms;
}

static void begin_watch(struct consul *consul, struct job *job)
{
  uint32_t wait_ms = choose_wait_ms(consul, job);
  struct strbuf url;
  strbuf_init(&url, 0);
  consul_health_url(&url, consul->url, job->service, job->index, wait_ms);
  struct http_request request = {.url = strbuf_cstring(&url), .token = consul->token, .timeout_ms = ANSWER_TIMEOUT_MS};
  // Consul may wait up to a sixteenth longer than it was asked to.
  if (job->index != 0)
    request.timeout_ms += wait_ms + wait_ms / 16;
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
    memcpy(consul->registered_check_id, consul->desired.check_id, sizeof(consul->registered_check_id));
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

bool consul_job_is_in_flight(const struct job *job)
{
  return job->exchange.easy != NULL;
}

void consul_job_begin(struct job *job)
{
  job->due_us = DEADLINE_NONE;
  if (job->kind == JOB_WATCH)
    begin_watch(job->consul, job);
  else
    begin_registration(job->consul, job);
}

// ---- answers ----

void consul_job_schedule(struct job *job, enum job_kind kind, uint32_t pause_ms)
{
  job->kind = kind;
  job->due_us = deadline_after_ms(clock_now_us(), pause_ms);
}

// Looks for our registration at once when Consul is back, because it may have lost it.
static void hurry_registration_check(struct consul *consul)
{
  struct job *job = &consul->registration;
  bool is_wanted = job->kind == JOB_CHECK || job->kind == JOB_REGISTER;
  if (is_wanted && job->due_us != DEADLINE_NONE)
    job->due_us = clock_now_us();
}

static void note_reachable(struct consul *consul, bool up)
{
  if (atomic_exchange(&consul->up, up) == up)
    return;
  metric_set(consul->up_metric, up ? 1 : 0);
  if (!up)
    return;
  log_info("consul", "Consul answers");
  hurry_registration_check(consul);
}

static void note_success(struct consul *consul, struct job *job)
{
  note_reachable(consul, true);
  job->backoff_ms = 0;
  job->failures = 0;
  job->reason[0] = '\0';
}

static void log_failure(const struct job *job)
{
  if (job->kind == JOB_WATCH)
    log_warn("consul", "could not ask for the instances of a service; the last known ones are used, will retry",
             LOG_STRING("peer", job->service), LOG_STRING("reason", job->reason));
  else if (job->kind == JOB_DEREGISTER)
    log_warn("consul", "could not deregister; the failing health check will remove this instance",
             LOG_STRING("id", job->consul->registered_id), LOG_STRING("reason", job->reason));
  else
    log_warn("consul", "could not register or check the registration; others may not find this instance, will retry",
             LOG_STRING("id", job->consul->registered_id), LOG_STRING("reason", job->reason));
}

// Retries come every second, so only the first failure and another reason than before are logged.
static void retry_job(struct consul *consul, struct job *job, const char *reason)
{
  metric_add(consul->errors_metric, 1);
  note_reachable(consul, false);
  job->failures++;
  bool is_news = strncmp(job->reason, reason, sizeof(job->reason) - 1) != 0;
  snprintf(job->reason, sizeof(job->reason), "%s", reason);
  if (is_news)
    log_failure(job);
  // Consul may have restarted with lower indexes; waiting for one from before could miss changes.
  job->index = 0;
  consul_job_schedule(job, job->kind == JOB_CHECK ? JOB_REGISTER : job->kind,
                      backoff_next_ms(&job->backoff_ms, BACKOFF_FIRST_MS, BACKOFF_MAX_MS));
}

static void end_watch(struct consul *consul, struct job *job)
{
  struct consul_answer answer;
  if (!consul_read_health(strbuf_slice(&job->exchange.answer), &answer)) {
    retry_job(consul, job, "the answer is not the JSON that Consul documents");
    return;
  }
  answer.index = http_header_number(&job->exchange, "X-Consul-Index");
  answer.is_after_outage = job->failures != 0;
  note_success(consul, job);
  struct endpoint_list list;
  bool recalls = consul_recall_complete(&job->recall, &answer, clock_now_us(), &list);
  job->index = consul_next_index(job->index, answer.index);
  consul_job_schedule(job, JOB_WATCH, job->index == 0 ? POLL_PAUSE_MS : QUERY_PAUSE_MS);
  if (answer.skipped != 0)
    log_warn("consul", "left out instances whose address cannot be dialled; check how they are registered",
             LOG_STRING("peer", job->service), LOG_INT("count", answer.skipped));
  if (recalls && list.count > answer.passing.count)
    log_debug("consul", "instances that Consul may have forgotten are kept", LOG_STRING("peer", job->service),
              LOG_INT("count", list.count - answer.passing.count));
  consul_answer_free(&answer);
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

// Returns what is wrong with our registration, by the answer to a question for it; NULL where all is right.
static const char *find_fault(const struct consul *consul, const struct job *job, long status)
{
  if (status == 404)
    return "Consul has lost the registration of this instance, which registers again";
  if (job->kind == JOB_CHECK &&
      consul_has_other_registration(strbuf_slice(&job->exchange.answer), consul->registered_check_id))
    return "another process has registered under the id of this instance, which registers again; if this repeats, give "
           "each process an INSTANCE_ID of its own";
  return NULL;
}

static void end_registration(struct consul *consul, struct job *job, long status)
{
  note_success(consul, job);
  const char *fault = find_fault(consul, job, status);
  if (fault != NULL) {
    log_warn("consul", fault, LOG_STRING("id", consul->registered_id));
    consul_job_schedule(job, JOB_REGISTER, 0);
    return;
  }
  if (job->kind == JOB_REGISTER)
    log_info("consul", "registered", LOG_STRING("id", consul->registered_id));
  consul_job_schedule(job, JOB_CHECK, REGISTRATION_CHECK_MS);
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

void consul_job_end(struct job *job, CURLcode result)
{
  struct consul *consul = job->consul;
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

void consul_job_clear(struct job *job)
{
  http_end(&job->exchange);
  consul_recall_free(&job->recall);
  free(job->service);
}
