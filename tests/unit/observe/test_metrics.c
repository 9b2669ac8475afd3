#include "common/observe/metrics.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static struct metric_series *series_of(enum metric metric, const char *first, const char *second)
{
  struct slice values[2] = {slice_from_string(first), slice_from_string(second)};
  return metrics_series(metric, values, second == NULL ? 1 : 2);
}

static void assert_page(const char *expected)
{
  struct strbuf page;
  strbuf_init(&page, 0);
  metrics_render(&page);
  cr_assert_str_eq(strbuf_cstring(&page), expected);
  strbuf_free(&page);
}

static void assert_on_page(const char *line)
{
  struct strbuf page;
  strbuf_init(&page, 0);
  metrics_render(&page);
  cr_assert_not_null(strstr(strbuf_cstring(&page), line), "no \"%s\" in:\n%s", line, strbuf_cstring(&page));
  strbuf_free(&page);
}

Test(metrics, a_page_without_series_is_empty)
{
  assert_page("");
}

Test(metrics, counters_and_gauges_are_rendered_with_their_heads)
{
  metric_add(series_of(METRIC_RPC_SERVER_CALLS, "/item.v1.ItemService/GetItem", "OK"), 41);
  metric_add(series_of(METRIC_RPC_SERVER_CALLS, "/item.v1.ItemService/GetItem", "OK"), 1);
  metric_add(series_of(METRIC_RPC_SERVER_CALLS, "/item.v1.ItemService/GetItem", "NOT_FOUND"), 1);
  metric_set(metrics_single(METRIC_TASKS), 5);
  metric_add(metrics_single(METRIC_TASKS), -7);
  assert_page("# HELP bulkhead_rpc_server_calls_total Calls served, by method and canonical status.\n"
              "# TYPE bulkhead_rpc_server_calls_total counter\n"
              "bulkhead_rpc_server_calls_total{method=\"/item.v1.ItemService/GetItem\",status=\"OK\"} 42\n"
              "bulkhead_rpc_server_calls_total{method=\"/item.v1.ItemService/GetItem\",status=\"NOT_FOUND\"} 1\n"
              "# HELP bulkhead_tasks Tasks that exist now.\n"
              "# TYPE bulkhead_tasks gauge\n"
              "bulkhead_tasks -2\n");
}

Test(metrics, a_bucket_holds_its_bound_and_the_sum_is_in_seconds)
{
  struct metric_series *duration = series_of(METRIC_RPC_CLIENT_DURATION, "M", NULL);
  metric_observe_us(duration, 0);
  metric_observe_us(duration, 100);
  metric_observe_us(duration, 101);
  metric_observe_us(duration, 10000000);
  metric_observe_us(duration, 10000001);
  assert_page("# HELP bulkhead_rpc_client_call_duration_seconds From the call to its end, seen by the client.\n"
              "# TYPE bulkhead_rpc_client_call_duration_seconds histogram\n"
              "bulkhead_rpc_client_call_duration_seconds_bucket{method=\"M\",le=\"0.0001\"} 2\n"
              "bulkhead_rpc_client_call_duration_seconds_bucket{method=\"M\",le=\"0.00025\"} 3\n"
              "bulkhead_rpc_client_call_duration_seconds_bucket{method=\"M\",le=\"0.0005\"} 3\n"
              "bulkhead_rpc_client_call_duration_seconds_bucket{method=\"M\",le=\"0.001\"} 3\n"
              "bulkhead_rpc_client_call_duration_seconds_bucket{method=\"M\",le=\"0.0025\"} 3\n"
              "bulkhead_rpc_client_call_duration_seconds_bucket{method=\"M\",le=\"0.005\"} 3\n"
              "bulkhead_rpc_client_call_duration_seconds_bucket{method=\"M\",le=\"0.01\"} 3\n"
              "bulkhead_rpc_client_call_duration_seconds_bucket{method=\"M\",le=\"0.025\"} 3\n"
              "bulkhead_rpc_client_call_duration_seconds_bucket{method=\"M\",le=\"0.05\"} 3\n"
              "bulkhead_rpc_client_call_duration_seconds_bucket{method=\"M\",le=\"0.1\"} 3\n"
              "bulkhead_rpc_client_call_duration_seconds_bucket{method=\"M\",le=\"0.25\"} 3\n"
              "bulkhead_rpc_client_call_duration_seconds_bucket{method=\"M\",le=\"0.5\"} 3\n"
              "bulkhead_rpc_client_call_duration_seconds_bucket{method=\"M\",le=\"1\"} 3\n"
              "bulkhead_rpc_client_call_duration_seconds_bucket{method=\"M\",le=\"2.5\"} 3\n"
              "bulkhead_rpc_client_call_duration_seconds_bucket{method=\"M\",le=\"5\"} 3\n"
              "bulkhead_rpc_client_call_duration_seconds_bucket{method=\"M\",le=\"10\"} 4\n"
              "bulkhead_rpc_client_call_duration_seconds_bucket{method=\"M\",le=\"+Inf\"} 5\n"
              "bulkhead_rpc_client_call_duration_seconds_sum{method=\"M\"} 20.000202\n"
              "bulkhead_rpc_client_call_duration_seconds_count{method=\"M\"} 5\n");
}

Test(metrics, label_values_are_escaped)
{
  metric_add(series_of(METRIC_KEYS_REFRESHED, "a\\b\"c\nd", NULL), 1);
  assert_on_page("bulkhead_keys_refreshed_total{result=\"a\\\\b\\\"c\\nd\"} 1\n");
}

Test(metrics, help_keeps_its_quotes)
{
  metric_add(series_of(METRIC_HTTP_REQUESTS, "none", "404"), 1);
  assert_on_page("by RPC method (\"none\" where no route matched)");
}

Test(metrics, the_same_values_are_the_same_series_and_the_caller_keeps_his_memory)
{
  char value[] = "ok";
  struct metric_series *series = series_of(METRIC_PG_CONNECTS, value, NULL);
  value[0] = 'x';
  cr_assert_eq(series, series_of(METRIC_PG_CONNECTS, "ok", NULL));
  cr_assert_neq(series, series_of(METRIC_PG_CONNECTS, "failed", NULL));
  cr_assert_neq(series_of(METRIC_CACHE_HITS, "a", "bc"), series_of(METRIC_CACHE_HITS, "ab", "c"));
}

Test(metrics, thousands_of_series_are_told_apart)
{
  char name[16];
  for (int round = 0; round < 2; round++)
    for (int i = 0; i < 3000; i++) {
      snprintf(name, sizeof name, "m%d", i);
      metric_add(series_of(METRIC_CACHE_MISSES, name, NULL), i);
    }
  assert_on_page("\nbulkhead_cache_misses_total{cache=\"m7\"} 14\n");
  assert_on_page("\nbulkhead_cache_misses_total{cache=\"m2999\"} 5998\n");
}

Test(metrics, labels_that_do_not_fit_the_list_are_our_bug, .signal = SIGABRT)
{
  series_of(METRIC_CACHE_HITS, "only one", NULL);
}

Test(metrics, adding_to_a_histogram_is_our_bug, .signal = SIGABRT)
{
  metric_add(series_of(METRIC_HTTP_DURATION, "m", NULL), 1);
}

Test(metrics, observing_a_counter_is_our_bug, .signal = SIGABRT)
{
  metric_observe_us(metrics_single(METRIC_OFFLOADED), 1);
}

static void *count_many(void *arg)
{
  for (int i = 0; i < 10000; i++)
    metric_add_from_any_thread(arg, 1);
  return NULL;
}

Test(metrics, threads_lose_no_count)
{
  struct metric_series *series = metrics_single(METRIC_DISCOVERY_ERRORS);
  pthread_t threads[4];
  for (size_t i = 0; i < 4; i++)
    cr_assert_eq(pthread_create(&threads[i], NULL, count_many, series), 0);
  assert_on_page("# TYPE bulkhead_discovery_errors_total counter\n");
  for (size_t i = 0; i < 4; i++)
    pthread_join(threads[i], NULL);
  assert_on_page("\nbulkhead_discovery_errors_total 40000\n");
}

// The series are made in the parent, and each worker has one slot, as in the gateway.
static void *shared_slots(size_t slots)
{
  void *memory = mmap(NULL, slots * metrics_slot_size(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  cr_assert_neq(memory, MAP_FAILED);
  return memory;
}

static void in_worker(void (*work)(void *memory), void *memory)
{
  pid_t worker = fork();
  cr_assert_geq(worker, 0);
  if (worker == 0) {
    work(memory);
    _exit(0);
  }
  int result;
  cr_assert_eq(waitpid(worker, &result, 0), worker);
  cr_assert(WIFEXITED(result) && WEXITSTATUS(result) == 0);
}

static void count_in_slot_0(void *memory)
{
  metrics_attach(memory, 2, 0);
  metric_add(series_of(METRIC_HTTP_REQUESTS, "m", "200"), 10);
  metric_observe_us(series_of(METRIC_HTTP_DURATION, "m", NULL), 150);
  metric_add(metrics_single(METRIC_HTTP_IN_FLIGHT), 3);
  metric_set(metrics_single(METRIC_START_TIME), 1000);
  // This series is made after the fork, so the others do not see it.
  metric_add(series_of(METRIC_HTTP_REQUESTS, "late", "200"), 1);
}

Test(metrics, workers_count_in_their_slots_and_the_page_sums_them)
{
  struct metric_series *requests = series_of(METRIC_HTTP_REQUESTS, "m", "200");
  struct metric_series *duration = series_of(METRIC_HTTP_DURATION, "m", NULL);
  struct metric_series *in_flight = metrics_single(METRIC_HTTP_IN_FLIGHT);
  struct metric_series *start_time = metrics_single(METRIC_START_TIME);
  struct metric_series *info = series_of(METRIC_BUILD_INFO, "gateway", "1");
  metric_set(info, 1);
  metric_add(requests, 100);
  void *memory = shared_slots(2);
  in_worker(count_in_slot_0, memory);
  metrics_attach(memory, 2, 1);
  metric_add(requests, 5);
  metric_observe_us(duration, 3000);
  metric_add(in_flight, 1);
  metric_set(start_time, 900);
  // What the parent counted before the fork is in no slot.
  assert_on_page("\nbulkhead_http_requests_total{method=\"m\",code=\"200\"} 15\n");
  assert_on_page("\nbulkhead_http_request_duration_seconds_count{method=\"m\"} 2\n");
  assert_on_page("bulkhead_http_request_duration_seconds_sum{method=\"m\"} 0.003150\n");
  assert_on_page("\nbulkhead_http_requests_in_flight 4\n");
  // The start time is the later one of the two, not their sum.
  assert_on_page("\nprocess_start_time_seconds 1000\n");
  assert_on_page("bulkhead_build_info{service=\"gateway\",version=\"1\"} 1\n");
}

Test(metrics, a_worker_that_takes_a_dead_ones_slot_goes_on_counting_with_fresh_gauges)
{
  struct metric_series *requests = series_of(METRIC_HTTP_REQUESTS, "m", "200");
  series_of(METRIC_HTTP_DURATION, "m", NULL);
  metrics_single(METRIC_HTTP_IN_FLIGHT);
  metrics_single(METRIC_START_TIME);
  void *memory = shared_slots(2);
  in_worker(count_in_slot_0, memory);
  metrics_attach(memory, 2, 0);
  metric_add(requests, 1);
  assert_on_page("\nbulkhead_http_requests_total{method=\"m\",code=\"200\"} 11\n");
  assert_on_page("\nbulkhead_http_requests_in_flight 0\n");
}

Test(metrics, series_made_after_attaching_count_in_this_process)
{
  struct metric_series *before = series_of(METRIC_CACHE_MISSES, "before", NULL);
  metrics_attach(shared_slots(1), 1, 0);
  struct metric_series *after = series_of(METRIC_CACHE_MISSES, "after", NULL);
  struct metric_series *histogram = series_of(METRIC_PG_DURATION, "after", NULL);
  metric_add(before, 1);
  metric_add(after, 2);
  metric_observe_us(histogram, 1);
  assert_on_page("\nbulkhead_cache_misses_total{cache=\"before\"} 1\n");
  assert_on_page("\nbulkhead_cache_misses_total{cache=\"after\"} 2\n");
  assert_on_page("\nbulkhead_postgres_statement_duration_seconds_count{statement=\"after\"} 1\n");
}
