#include "tests/support/bystander.h"

#include <criterion/criterion.h>
#include <curl/curl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "tests/support/environment.h"
#include "tests/support/stack.h"

enum {
  CALM_REQUESTS = 600,
  MOST_REQUESTS = 100000,
  PAUSE_US = 5000,
  TIMEOUT_MS = 5000,
};

struct phase {
  atomic_size_t requests;
  size_t succeeded;
  uint64_t *times_us;
  const char *first_failure;
};

struct bystander {
  struct background *background;
  CURL *curl;
  struct curl_slist *headers;
  const char *url;
  struct phase calm, attacked;
  atomic_bool is_attacked, stop;
};

static size_t ignore_bytes(char *data, size_t size, size_t count, void *arg)
{
  (void)data;
  (void)arg;
  return size * count;
}

static void note_outcome(struct phase *phase, CURLcode code, long status, const char *why)
{
  if (code == CURLE_OK && status == 200)
    phase->succeeded++;
  else if (phase->first_failure == NULL)
    phase->first_failure =
        code == CURLE_OK ? text("status %ld", status) : text("%s: %s", curl_easy_strerror(code), why);
}

static void send_request(struct bystander *bystander, struct phase *phase)
{
  size_t number = atomic_load(&phase->requests);
  char why[CURL_ERROR_SIZE] = "";
  CURL *curl = bystander->curl;
  curl_easy_setopt(curl, CURLOPT_FRESH_CONNECT, (long)(number % 2));
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, why);
  uint64_t before_us = clock_now_us();
  CURLcode code = curl_easy_perform(curl);
  phase->times_us[number] = clock_now_us() - before_us;
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, NULL);
  long status = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  note_outcome(phase, code, status, why);
  atomic_store(&phase->requests, number + 1);
}

static void run_bystander(void *arg)
{
  struct bystander *bystander = arg;
  while (!atomic_load(&bystander->stop)) {
    struct phase *phase = atomic_load(&bystander->is_attacked) ? &bystander->attacked : &bystander->calm;
    if (atomic_load(&phase->requests) < MOST_REQUESTS)
      send_request(bystander, phase);
    usleep(PAUSE_US);
  }
}

static void prepare_request(struct bystander *bystander, const struct account *account, const char *base_url)
{
  CURL *curl = curl_easy_init();
  cr_assert_not_null(curl);
  const char *id = item_create(account, text("{\"sku\":\"%s\",\"name\":\"Bystander's lamp\"}", fresh_word()));
  bystander->curl = curl;
  bystander->url = text("%s/v1/items/%s", base_url, id);
  bystander->headers = curl_slist_append(NULL, text("Authorization: Bearer %s", account->token));
  curl_easy_setopt(curl, CURLOPT_URL, bystander->url);
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, bystander->headers);
  const char *authority = getenv("BULKHEAD_CA");
  if (authority != NULL && *authority != '\0')
    curl_easy_setopt(curl, CURLOPT_CAINFO, authority);
  curl_easy_setopt(curl, CURLOPT_INTERFACE, "127.0.0.1");
  curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)TIMEOUT_MS);
  curl_easy_setopt(curl, CURLOPT_MAXCONNECTS, 4L);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, ignore_bytes);
}

static void prepare_phase(struct phase *phase)
{
  phase->times_us = calloc(MOST_REQUESTS, sizeof(*phase->times_us));
  cr_assert_not_null(phase->times_us);
}

struct bystander *bystander_start(const struct account *account)
{
  return bystander_start_at(account, need_variable("BULKHEAD_URL"));
}

struct bystander *bystander_start_at(const struct account *account, const char *base_url)
{
  struct bystander *bystander = calloc(1, sizeof(*bystander));
  cr_assert_not_null(bystander);
  prepare_phase(&bystander->calm);
  prepare_phase(&bystander->attacked);
  prepare_request(bystander, account, base_url);
  bystander->background = background_start(run_bystander, bystander);
  bystander_await(bystander, CALM_REQUESTS);
  return bystander;
}

void bystander_attacked(struct bystander *bystander)
{
  atomic_store(&bystander->is_attacked, true);
}

struct goal {
  const struct phase *phase;
  size_t requests;
};

static bool is_reached(const void *arg)
{
  const struct goal *goal = arg;
  return atomic_load(&goal->phase->requests) >= goal->requests;
}

void bystander_await(struct bystander *bystander, size_t requests)
{
  struct phase *phase = atomic_load(&bystander->is_attacked) ? &bystander->attacked : &bystander->calm;
  struct goal goal = {.phase = phase, .requests = atomic_load(&phase->requests) + requests};
  wait_until(is_reached, &goal, text("%zu requests of the bystander", requests));
}

static int compare_times(const void *a, const void *b)
{
  const uint64_t *left = a, *right = b;
  return (*left > *right) - (*left < *right);
}

static struct bystander_seen sum_up(struct phase *phase)
{
  size_t requests = atomic_load(&phase->requests);
  struct bystander_seen seen = {
      .requests = requests, .succeeded = phase->succeeded, .first_failure = phase->first_failure};
  if (requests == 0)
    return seen;
  qsort(phase->times_us, requests, sizeof(*phase->times_us), compare_times);
  seen.p50_us = phase->times_us[requests / 2];
  seen.p99_us = phase->times_us[requests - 1 - requests / 100];
  seen.longest_us = phase->times_us[requests - 1];
  return seen;
}

// Writes the line that tests/run shows at the end of the fault scenarios.
static void print_seen(const char *attack, const struct bystander_seen *calm, const struct bystander_seen *attacked)
{
  fprintf(stderr,
          "bystander: %s: %.1f %% of %zu, p50 %.1f ms -> %.1f ms, p99 %.1f ms -> %.1f ms (%.1f x), longest %.1f ms -> "
          "%.1f ms\n",
          attack, 100.0 * (double)attacked->succeeded / (double)attacked->requests, attacked->requests,
          (double)calm->p50_us / 1e3, (double)attacked->p50_us / 1e3, (double)calm->p99_us / 1e3,
          (double)attacked->p99_us / 1e3, (double)attacked->p99_us / (double)calm->p99_us,
          (double)calm->longest_us / 1e3, (double)attacked->longest_us / 1e3);
}

static void free_bystander(struct bystander *bystander)
{
  curl_easy_cleanup(bystander->curl);
  curl_slist_free_all(bystander->headers);
  free(bystander->calm.times_us);
  free(bystander->attacked.times_us);
  free(bystander);
}

struct bystander_seen bystander_assert_unharmed(struct bystander **bystander, const char *attack)
{
  struct bystander *done = *bystander;
  *bystander = NULL;
  atomic_store(&done->stop, true);
  background_join(done->background);
  struct bystander_seen calm = sum_up(&done->calm);
  struct bystander_seen attacked = sum_up(&done->attacked);
  free_bystander(done);
  cr_assert_gt(attacked.requests, 0, "%s: the bystander made no request during the attack", attack);
  print_seen(attack, &calm, &attacked);
  cr_assert_eq(calm.succeeded, calm.requests, "%s: before the attack: %s", attack, calm.first_failure);
  cr_assert_eq(attacked.succeeded, attacked.requests, "%s: %zu of %zu requests of the bystander failed, first: %s",
               attack, attacked.requests - attacked.succeeded, attacked.requests, attacked.first_failure);
  return attacked;
}
