#include "gateway/admission.h"

#include <stdlib.h>

#include "common/base/check.h"
#include "gateway/cost_shares.h"
#include "gateway/limits.h"

// What a call costs beside the work on its bytes, as a number of bytes.
#define CALL_BYTES 2048

static const struct concurrency_bounds EXPENSIVE = {
    .least = ADMISSION_EXPENSIVE_LEAST, .most = ADMISSION_MOST, .calm_us = UINT64_C(1000) * ADMISSION_CALM_MS};
static const struct concurrency_bounds OTHERS = {
    .least = ADMISSION_OTHER_LEAST, .most = ADMISSION_MOST, .calm_us = UINT64_C(1000) * ADMISSION_CALM_MS};

struct method_limit {
  struct concurrency_limit limit;
  struct cost_shares shares;
  size_t count;  // of the calls in flight
};

// For so long after a refusal there is a crowd.
#define CROWD_US (1000 * 1000)

struct admission {
  const struct gateway_metrics *metrics;
  size_t count;
  struct method_limit **methods;  // by the method's index; NULL before its first call
  uint64_t crowded_us;            // when a call was refused last because there were too many; 0 before the first
};

bool admission_limits(const struct contract_method *method)
{
  enum limit_class kind = limit_class_of(method);
  // Streams last, and are bounded by their number (stream_counts.h).
  if (method->client_streams || method->server_streams)
    return false;
  return method->cache_ttl_ms == 0 && (kind == LIMIT_EXPENSIVE || kind == LIMIT_WRITE);
}

struct admission *admission_create(const struct contract *contract, const struct gateway_metrics *metrics)
{
  struct admission *admission = calloc(1, sizeof(*admission));
  CHECK(admission != NULL);
  admission->metrics = metrics;
  admission->count = contract_method_count(contract);
  admission->methods = calloc(admission->count + 1, sizeof(struct method_limit *));
  CHECK(admission->methods != NULL);
  return admission;
}

void admission_free(struct admission **admission)
{
  struct admission *gone = *admission;
  *admission = NULL;
  if (gone == NULL)
    return;
  for (size_t i = 0; i < gone->count; i++)
    free(gone->methods[i]);
  free(gone->methods);
  free(gone);
}

static struct method_limit *find_limit(struct admission *admission, const struct contract_method *method)
{
  CHECK(method->index < admission->count);
  struct method_limit **limit = &admission->methods[method->index];
  if (*limit != NULL)
    return *limit;
  *limit = calloc(1, sizeof(**limit));
  CHECK(*limit != NULL);
  (*limit)->limit.bounds = limit_class_of(method) == LIMIT_EXPENSIVE ? EXPENSIVE : OTHERS;
  return *limit;
}

static void show_limit(const struct admission *admission, size_t method, const struct method_limit *limit)
{
  const struct admission_series *series = &admission->metrics->admission[method];
  metric_set(series->limit, limit->limit.limit);
  metric_set(series->in_flight, (int64_t)limit->count);
}

static void count_refusal(struct admission *admission, size_t method, enum concurrency_verdict verdict, uint64_t now_us)
{
  const struct admission_series *series = &admission->metrics->admission[method];
  metric_add(verdict == CONCURRENCY_LATE ? series->late : series->crowded, 1);
  if (verdict == CONCURRENCY_CROWDED)
    admission->crowded_us = now_us;
}

static struct concurrency_call weigh_call(const struct cost_shares *shares, uint16_t caller)
{
  return (struct concurrency_call){.held = shares->held[caller], .weight = cost_shares_weigh(shares, caller)};
}

bool admission_has_room(struct admission *admission, const struct contract_method *method, uint64_t caller,
                        uint64_t now_us)
{
  const struct method_limit *limit = find_limit(admission, method);
  const struct concurrency_call call = weigh_call(&limit->shares, caller % COST_CALLERS);
  if (concurrency_limit_has_room(&limit->limit, &call))
    return true;
  count_refusal(admission, method->index, CONCURRENCY_CROWDED, now_us);
  return false;
}

bool admission_is_crowded(const struct admission *admission, uint64_t now_us)
{
  return admission->crowded_us != 0 && now_us < admission->crowded_us + CROWD_US;
}

enum concurrency_verdict admission_take(struct admission *admission, const struct admission_request *request,
                                        struct admission_place *place, uint64_t now_us)
{
  *place = (struct admission_place){.method = (uint16_t)request->method->index,
                                    .caller = (uint16_t)(request->caller % COST_CALLERS)};
  if (!admission_limits(request->method))
    return CONCURRENCY_ADMITTED;
  struct method_limit *limit = find_limit(admission, request->method);
  struct concurrency_call call = weigh_call(&limit->shares, place->caller);
  call.left_us = request->left_us;
  enum concurrency_verdict verdict = concurrency_limit_begin(&limit->limit, &call, now_us);
  if (verdict == CONCURRENCY_ADMITTED) {
    place->is_held = true;
    place->began_us = now_us;
    place->weight = (uint16_t)call.weight;
    limit->shares.held[place->caller] += place->weight;
    limit->count++;
  } else {
    count_refusal(admission, place->method, verdict, now_us);
  }
  show_limit(admission, place->method, limit);
  return verdict;
}

void admission_note_bytes(struct admission *admission, const struct admission_place *place, size_t bytes)
{
  if (place->is_held)
    cost_shares_note(&admission->methods[place->method]->shares, place->caller, CALL_BYTES + bytes);
}

void admission_return(struct admission *admission, struct admission_place *place, bool is_complete, uint64_t now_us)
{
  if (!place->is_held)
    return;
  place->is_held = false;
  struct method_limit *limit = admission->methods[place->method];
  limit->shares.held[place->caller] -= place->weight;
  limit->count--;
  uint64_t duration_us = now_us > place->began_us ? now_us - place->began_us : 1;
  bool tells = is_complete || duration_us > limit->limit.usual_us;
  concurrency_limit_end(&limit->limit, place->weight, tells ? duration_us : 0, now_us);
  show_limit(admission, place->method, limit);
}
