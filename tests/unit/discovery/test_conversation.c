// What is asked of Consul, in which order, and what follows from its answers and failures.
#include <criterion/criterion.h>
#include <poll.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/discovery/discovery.h"
#include "tests/support/common/fake_consul.h"
#include "tests/support/common/read_metric.h"

#define ITEM "/v1/health/service/item"
#define REGISTER "PUT /v1/agent/service/register"
#define DEREGISTER "PUT /v1/agent/service/deregister/"
#define CHECK_OWN "GET /v1/agent/service/item-1"

static const char one_instance[] = "[{\"Service\":{\"ID\":\"a\",\"Address\":\"10.0.0.1\",\"Port\":1}}]";
static const char other_instance[] = "[{\"Service\":{\"ID\":\"b\",\"Address\":\"10.0.0.2\",\"Port\":2}}]";

static struct fake_consul *fake;
static struct discovery *discovery;

struct seen {
  size_t changes;
  size_t count;
  char id[32];
};
static struct seen seen;

static void on_changed(void *arg, const char *service, const struct discovery_endpoint *endpoints, size_t count)
{
  (void)arg;
  (void)service;
  seen.changes++;
  seen.count = count;
  snprintf(seen.id, sizeof(seen.id), "%s", count == 0 ? "" : endpoints[0].id);
}

static void start(fake_script *script, const char *token)
{
  fake = fake_consul_start(script);
  struct error error;
  struct discovery_options options = {.consul_url = fake_consul_url(fake), .consul_token = token, .wait_ms = 1000};
  cr_assert_eq(discovery_create(&options, &discovery, &error), STATUS_OK);
}

static void stop(void)
{
  discovery_free(&discovery);
  fake_consul_stop(&fake);
}

static void wait_for_changes(size_t changes)
{
  uint64_t end_us = clock_now_us() + 60 * UINT64_C(1000000);
  while (seen.changes < changes) {
    struct pollfd fd = {.fd = discovery_fd(discovery), .events = POLLIN};
    poll(&fd, 1, 1000);
    discovery_process(discovery, on_changed, NULL);
    cr_assert_lt(clock_now_us(), end_us, "no change within a minute");
  }
}

static void register_item(void)
{
  discovery_register(
      discovery, &(struct discovery_registration){.service = "item", .id = "item-1", .url = "tcp://127.0.0.1:4711"});
}

static void wait_for_item(size_t count, char line[256])
{
  fake_consul_wait(fake, ITEM, count, line);
}

// ---- watching ----

static struct fake_answer answer_with_indexes(const char *request, size_t count)
{
  (void)request;
  static const struct fake_answer answers[] = {
      {200, "7", one_instance},    // asked with index 0
      {200, "9", one_instance},    // with 7
      {500, NULL, NULL},           // with 9: fails
      {200, "12", one_instance},   // with 0 again
      {200, "3", other_instance},  // with 12: the index goes backwards
      {200, "4", other_instance},  // with 0 again, and then with 4
  };
  return count < 6 ? answers[count] : (struct fake_answer){200, "5", other_instance};
}

Test(watch, the_index_of_an_answer_is_waited_for_and_starts_again_after_a_failure_or_a_step_back)
{
  start(answer_with_indexes, NULL);
  discovery_watch(discovery, "item");
  static const char *const expected[] = {NULL, "index=7&", "index=9&", NULL, "index=12&", NULL, "index=4&"};
  for (size_t i = 0; i < 7; i++) {
    char line[256];
    wait_for_item(i + 1, line);
    if (expected[i] == NULL)
      cr_assert_null(strstr(line, "index="), "query %zu: %s", i + 1, line);
    else
      cr_assert_not_null(strstr(line, expected[i]), "query %zu: %s", i + 1, line);
  }
  stop();
}

Test(watch, each_change_comes_once)
{
  start(answer_with_indexes, NULL);
  discovery_watch(discovery, "item");
  wait_for_changes(1);
  cr_assert_str_eq(seen.id, "a");
  wait_for_changes(2);
  // Equal lists in between are not changes. Consul's index has gone backwards, so "a" may be there still.
  cr_assert_eq(seen.count, 2);
  wait_for_item(7, NULL);
  discovery_process(discovery, on_changed, NULL);
  cr_assert_eq(seen.changes, 2);
  stop();
}

static struct fake_answer answer_badly(const char *request, size_t count)
{
  (void)request;
  if (count == 0)
    return (struct fake_answer){200, "7", one_instance};
  if (count == 1)
    return (struct fake_answer){200, "8", "<html>"};
  return (struct fake_answer){200, "9", one_instance};
}

Test(watch, an_answer_that_is_not_consuls_is_a_failure_and_the_last_list_holds)
{
  start(answer_badly, NULL);
  discovery_watch(discovery, "item");
  char line[256];
  wait_for_item(3, line);
  cr_assert_null(strstr(line, "index="), "%s", line);
  cr_assert_eq(read_single_metric(METRIC_DISCOVERY_ERRORS), 1);
  wait_for_item(4, NULL);
  discovery_process(discovery, on_changed, NULL);
  cr_assert_eq(seen.changes, 1);
  cr_assert_eq(seen.count, 1);
  cr_assert(discovery_consul_up(discovery));
  cr_assert_eq(read_single_metric(METRIC_CONSUL_UP), 1);
  stop();
}

static struct fake_answer answer_in_part(const char *request, size_t count)
{
  (void)request;
  if (count == 1)
    return (struct fake_answer){200 | FAKE_CUT_OFF, "8", "[]"};
  return (struct fake_answer){200, "7", one_instance};
}

Test(watch, an_answer_that_is_cut_off_is_a_failure_although_it_reads_well)
{
  start(answer_in_part, NULL);
  discovery_watch(discovery, "item");
  wait_for_item(4, NULL);
  wait_for_changes(1);
  cr_assert_eq(seen.changes, 1);
  cr_assert_eq(seen.count, 1);
  cr_assert_eq(read_single_metric(METRIC_DISCOVERY_ERRORS), 1);
  stop();
}

static struct fake_answer answer_empty(const char *request, size_t count)
{
  (void)request;
  (void)count;
  return (struct fake_answer){200, "7", "[]"};
}

// ---- starting without Consul ----

static struct fake_answer fail_twice(const char *request, size_t count)
{
  (void)request;
  return count < 2 ? (struct fake_answer){500, NULL, NULL} : (struct fake_answer){200, "7", other_instance};
}

Test(watch, a_start_without_consul_uses_the_list_that_was_saved_until_consul_answers)
{
  char path[] = "/tmp/bulkhead-saved-XXXXXX";
  int fd = mkstemp(path);
  cr_assert_geq(fd, 0);
  static const char text[] = "bulkhead endpoints 1\nitem saved tcp://10.0.0.9:9\n";
  cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
  close(fd);
  fake = fake_consul_start(fail_twice);
  struct error error;
  struct discovery_options options = {.consul_url = fake_consul_url(fake), .saved_file = path, .wait_ms = 1000};
  cr_assert_eq(discovery_create(&options, &discovery, &error), STATUS_OK);
  discovery_watch(discovery, "item");
  wait_for_changes(1);
  cr_assert_str_eq(seen.id, "saved");
  // After an outage "saved" may have been forgotten by Consul, so it stays beside "b".
  wait_for_changes(2);
  cr_assert_eq(seen.count, 2);
  cr_assert_str_eq(seen.id, "b");
  stop();
  char now[256] = "";
  FILE *file = fopen(path, "r");
  cr_assert_gt(fread(now, 1, sizeof(now) - 1, file), 0);
  fclose(file);
  cr_assert_str_eq(now, "bulkhead endpoints 1\nitem b tcp://10.0.0.2:2\nitem saved tcp://10.0.0.9:9\n");
  unlink(path);
}

Test(watch, the_token_goes_with_each_request)
{
  start(answer_empty, "secret");
  discovery_watch(discovery, "item");
  wait_for_item(1, NULL);
  char text[4096];
  cr_assert(fake_consul_last(fake, ITEM, text));
  cr_assert_not_null(strstr(text, "X-Consul-Token: secret\r\n"));
  stop();
}

Test(watch, each_service_is_asked_for_by_itself)
{
  start(answer_empty, NULL);
  discovery_watch(discovery, "item");
  discovery_watch(discovery, "user");
  wait_for_item(2, NULL);
  fake_consul_wait(fake, "/v1/health/service/user", 2, NULL);
  wait_for_changes(2);
  stop();
}

// ---- registering ----

static struct fake_answer answer_ok(const char *request, size_t count)
{
  (void)request;
  (void)count;
  return (struct fake_answer){200, NULL, "{}"};
}

Test(registration, it_is_sent_checked_and_removed)
{
  start(answer_ok, NULL);
  register_item();
  fake_consul_wait(fake, REGISTER, 1, NULL);
  char text[4096];
  cr_assert(fake_consul_last(fake, REGISTER, text));
  cr_assert_not_null(strstr(text, "\"ID\":\"item-1\""));
  cr_assert_not_null(strstr(text, "\r\nContent-Type: application/json\r\n"));
  fake_consul_wait(fake, CHECK_OWN, 1, NULL);
  discovery_deregister(discovery, 60000);
  cr_assert(fake_consul_last(fake, DEREGISTER "item-1", text), "it has been sent when deregister returns");
  stop();
}

static struct fake_answer forget_once(const char *request, size_t count)
{
  bool forgotten = strncmp(request, CHECK_OWN, strlen(CHECK_OWN)) == 0 && count == 0;
  return forgotten ? (struct fake_answer){404, NULL, NULL} : (struct fake_answer){200, NULL, "{}"};
}

Test(registration, one_that_consul_has_lost_is_sent_again)
{
  start(forget_once, NULL);
  register_item();
  fake_consul_wait(fake, REGISTER, 2, NULL);
  cr_assert_eq(read_single_metric(METRIC_DISCOVERY_ERRORS), 0, "a loss is not a failed request");
  stop();
}

// What a frozen Consul has got of an earlier process with the same id may be carried out after what this one has sent.
static struct fake_answer show_an_earlier_one_once(const char *request, size_t count)
{
  bool shown = strncmp(request, CHECK_OWN, strlen(CHECK_OWN)) == 0 && count == 0;
  return (struct fake_answer){200, NULL, shown ? "{\"ID\":\"item-1\",\"Meta\":{\"registration\":\"earlier\"}}" : "{}"};
}

Test(registration, one_that_an_earlier_process_has_replaced_is_sent_again)
{
  start(show_an_earlier_one_once, NULL);
  register_item();
  fake_consul_wait(fake, REGISTER, 2, NULL);
  fake_consul_wait(fake, CHECK_OWN, 2, NULL);
  stop();
}

static struct fake_answer refuse_twice(const char *request, size_t count)
{
  (void)request;
  return count < 2 ? (struct fake_answer){500, NULL, NULL} : (struct fake_answer){200, NULL, "{}"};
}

Test(registration, a_refused_one_is_sent_again_and_so_is_one_that_could_not_be_checked)
{
  start(refuse_twice, NULL);
  register_item();
  fake_consul_wait(fake, REGISTER, 3, NULL);
  cr_assert_eq(read_single_metric(METRIC_DISCOVERY_ERRORS), 2);
  fake_consul_wait(fake, CHECK_OWN, 1, NULL);
  fake_consul_wait(fake, REGISTER, 4, NULL);
  stop();
}

static size_t watch_requests;
static size_t watch_requests_at_fifth_check;

// Each second question about the instances fails, so that Consul is away and back again and again.
static struct fake_answer come_and_go(const char *request, size_t count)
{
  if (strstr(request, ITEM) != NULL) {
    watch_requests++;
    return count % 2 == 0 ? (struct fake_answer){500, NULL, NULL} : (struct fake_answer){200, "7", one_instance};
  }
  if (strncmp(request, CHECK_OWN, strlen(CHECK_OWN)) == 0 && count == 4)
    watch_requests_at_fifth_check = watch_requests;
  return (struct fake_answer){200, NULL, "{}"};
}

// A question follows an answer or a failure after 150 ms at most, and without a reason a registration is looked for
// every 3 s only.
Test(registration, it_is_looked_for_as_soon_as_consul_is_back)
{
  start(come_and_go, NULL);
  register_item();
  fake_consul_wait(fake, REGISTER, 1, NULL);
  discovery_watch(discovery, "item");
  fake_consul_wait(fake, CHECK_OWN, 5, NULL);
  stop();
  cr_assert_lt(watch_requests_at_fifth_check, 40);
}

static struct fake_answer refuse_to_deregister(const char *request, size_t count)
{
  (void)count;
  bool leaves = strncmp(request, DEREGISTER, strlen(DEREGISTER)) == 0;
  return leaves ? (struct fake_answer){500, NULL, NULL} : (struct fake_answer){200, NULL, "{}"};
}

Test(registration, deregistering_is_tried_once)
{
  start(refuse_to_deregister, NULL);
  register_item();
  fake_consul_wait(fake, REGISTER, 1, NULL);
  discovery_deregister(discovery, 60000);
  cr_assert_eq(read_single_metric(METRIC_DISCOVERY_ERRORS), 1);
  // A registration that follows proves that no second attempt came in between.
  register_item();
  fake_consul_wait(fake, REGISTER, 2, NULL);
  char line[256];
  fake_consul_wait(fake, DEREGISTER, 1, line);
  discovery_deregister(discovery, 60000);
  fake_consul_wait(fake, DEREGISTER, 2, NULL);
  cr_assert_eq(read_single_metric(METRIC_DISCOVERY_ERRORS), 2);
  stop();
}

Test(registration, freeing_deregisters_and_without_a_registration_nothing_is_sent)
{
  start(answer_ok, NULL);
  discovery_deregister(discovery, 60000);
  register_item();
  fake_consul_wait(fake, REGISTER, 1, NULL);
  discovery_free(&discovery);
  char text[4096];
  cr_assert(fake_consul_last(fake, DEREGISTER "item-1", text));
  fake_consul_stop(&fake);
}

Test(registration, freeing_waits_for_a_deregistration_that_was_only_begun)
{
  start(answer_ok, NULL);
  register_item();
  fake_consul_wait(fake, REGISTER, 1, NULL);
  discovery_deregister(discovery, 0);
  discovery_free(&discovery);
  char text[4096];
  cr_assert(fake_consul_last(fake, DEREGISTER "item-1", text));
  fake_consul_stop(&fake);
}

// Lets the fake answer a registration.
static sem_t may_answer;

static struct fake_answer hold_registrations(const char *request, size_t count)
{
  (void)count;
  if (strncmp(request, REGISTER, strlen(REGISTER)) == 0)
    sem_wait(&may_answer);
  return (struct fake_answer){200, NULL, "{}"};
}

Test(registration, a_deregistration_waits_for_the_registration_that_is_in_flight)
{
  sem_init(&may_answer, 0, 0);
  start(hold_registrations, NULL);
  register_item();
  fake_consul_wait(fake, REGISTER, 1, NULL);
  // The fake handles one request after the other: a deregistration sent now would come before the answer.
  discovery_deregister(discovery, 0);
  sem_post(&may_answer);
  fake_consul_wait(fake, DEREGISTER "item-1", 1, NULL);
  char text[4096];
  cr_assert_not(fake_consul_last(fake, CHECK_OWN, text), "it is not looked after any more");
  stop();
}

Test(registration, a_registration_after_a_deregistration_holds)
{
  start(answer_ok, NULL);
  register_item();
  fake_consul_wait(fake, REGISTER, 1, NULL);
  discovery_deregister(discovery, 60000);
  register_item();
  fake_consul_wait(fake, REGISTER, 2, NULL);
  fake_consul_wait(fake, CHECK_OWN, 1, NULL);
  discovery_free(&discovery);
  fake_consul_wait(fake, DEREGISTER "item-1", 2, NULL);
  fake_consul_stop(&fake);
}

Test(registration, deregistering_waits_no_longer_than_it_may)
{
  start(answer_ok, NULL);
  register_item();
  // The thread may not have sent anything yet: 0 ms is not enough for an answer, and must not wait for one.
  discovery_deregister(discovery, 0);
  stop();
}
