// What the gateway does at its edge with clients of HTTP/1.1 that announce a body, that end what they send, or that go
// away; and what nginx itself logs.
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/base/strbuf.h"
#include "tests/support/environment.h"
#include "tests/support/gateway.h"
#include "tests/support/http.h"
#include "tests/support/raw.h"
#include "tests/support/stack.h"

static struct raw *open_gateway(void)
{
  return RAW(.url = need_variable("BULKHEAD_URL"));
}

static const char *path_and_headers(const char *method, const char *path, const char *headers)
{
  return text("%s %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n", method, path, headers);
}

// ---- a body that is announced ----

// Sends the head of a POST whose client waits for "100 Continue", and returns the first answer, whichever it is.
static const char *announce_body(const char *path, const char *headers)
{
  struct raw *raw = open_gateway();
  raw_send_text(raw, path_and_headers("POST", path, text("%sExpect: 100-continue\r\n", headers)));
  const char *answer = raw_read_until(raw, "\r\n\r\n");
  raw_close(&raw);
  return answer;
}

static void assert_declined(const char *answer, int status)
{
  cr_assert(strstr(answer, text("HTTP/1.1 %d ", status)) == answer, "not %d at once: %s", status, answer);
  // The client need not send the body now, so what it sends next on this connection could be either.
  cr_assert_not_null(strstr(answer, "Connection: close"), "%s", answer);
}

Test(e2e_15_edge, an_announced_body_is_declined_before_it_is_sent)
{
  struct account ada = account_create();
  const char *known = text("Authorization: Bearer %s\r\nContent-Type: application/json\r\n", ada.token);
  assert_declined(announce_body("/v1/items", "Content-Type: application/json\r\nContent-Length: 900\r\n"), 401);
  assert_declined(announce_body("/v1/items", text("%sContent-Length: 99000000\r\n", known)), 413);
  assert_declined(announce_body("/v1/items", text("Authorization: Bearer %s\r\nContent-Type: text/xml\r\n"
                                                  "Content-Length: 900\r\n",
                                                  ada.token)),
                  415);
  assert_declined(announce_body("/v1/nowhere", "Content-Length: 900\r\n"), 404);
  assert_declined(announce_body("/v1/items/none", text("%sTransfer-Encoding: chunked\r\n", known)), 405);
}

Test(e2e_15_edge, an_announced_body_that_is_wanted_is_asked_for)
{
  struct account ada = account_create();
  struct raw *raw = open_gateway();
  raw_send_text(raw, path_and_headers("POST", "/v1/items",
                                      text("Authorization: Bearer %s\r\nContent-Type: application/json\r\n"
                                           "Content-Length: 24\r\nExpect: 100-continue\r\n",
                                           ada.token)));
  const char *answer = raw_read_until(raw, "\r\n\r\n");
  cr_assert_str_eq(answer, "HTTP/1.1 100 Continue\r\n\r\n");
  raw_send_text(raw, "{\"sku\":\"a\",\"name\":\"Abc\"}");
  raw_read_until(raw, "HTTP/1.1 201 ");
  // The connection goes on.
  raw_send_text(raw, path_and_headers("GET", "/healthz", ""));
  raw_read_until(raw, "{\"status\":\"ok\"}");
  raw_close(&raw);
}

// ---- a client that ends what it sends ----

// Makes an item and locks its row, so that writes of it wait.
static struct sql_transaction *lock_item(const char *id)
{
  return sql_begin(text("SELECT FROM item.items WHERE id = '%s' FOR UPDATE", id));
}

static bool is_waiting(const void *arg)
{
  return strcmp(sql("SELECT count(*) > 0 FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT l.granted AND "
                    "a.usename = 'bulkhead_item'"),
                arg) == 0;
}

static const char *patch_of(const struct account *owner, const char *id)
{
  return path_and_headers("PATCH", text("/v1/items/%s", id),
                          text("Authorization: Bearer %s\r\nContent-Type: application/json\r\n"
                               "Content-Length: 12\r\n",
                               owner->token));
}

Test(e2e_15_edge, a_client_that_has_ended_what_it_sends_gets_its_answer)
{
  struct account ada = account_create();
  const char *id = item_create(&ada, "{\"sku\":\"a\",\"name\":\"Lamp\"}");
  struct sql_transaction *lock = lock_item(id);
  struct raw *raw = open_gateway();
  raw_send_text(raw, text("%s{\"name\":\"B\"}", patch_of(&ada, id)));
  wait_until(is_waiting, "t", "the wait for the lock");
  raw_finish_sending(raw);
  sql_commit(lock);
  const char *answer = raw_read_all(raw);
  cr_assert_not_null(strstr(answer, "HTTP/1.1 200 "), "%s", answer);
  cr_assert_not_null(strstr(answer, "\"name\":\"B\""), "%s", answer);
  raw_close(&raw);
}

Test(e2e_15_edge, the_end_may_come_with_the_request)
{
  struct account ada = account_create();
  const char *id = item_create(&ada, "{\"sku\":\"a\",\"name\":\"Lamp\"}");
  for (int i = 0; i < 20; i++) {
    struct raw *raw = open_gateway();
    raw_send_text(raw,
                  path_and_headers("GET", text("/v1/items/%s", id), text("Authorization: Bearer %s\r\n", ada.token)));
    raw_finish_sending(raw);
    const char *answer = raw_read_all(raw);
    cr_assert_not_null(strstr(answer, "HTTP/1.1 200 "), "%s", answer);
    raw_close(&raw);
  }
}

// Creates items whose list leaves the gateway in many pieces.
static void create_long_list(const struct account *account)
{
  struct strbuf body;
  strbuf_init(&body, 0);
  strbuf_add_string(&body, "{\"items\":[");
  for (int i = 0; i < 100; i++)
    strbuf_add_string(&body, text("%s{\"sku\":\"%s\",\"name\":\"L\",\"description\":\"%015000d\"}", i == 0 ? "" : ",",
                                  fresh_word(), i));
  strbuf_add_string(&body, "]}");
  struct http_reply reply =
      HTTP(.path = "/v1/items:batchCreate", .token = account->token, .body = strbuf_cstring(&body));
  strbuf_free(&body);
  ASSERT_STATUS(reply, 200);
}

Test(e2e_15_edge, the_end_may_come_in_the_middle_of_a_long_answer)
{
  struct account ada = account_create();
  create_long_list(&ada);
  for (int i = 0; i < 10; i++) {
    struct raw *raw = open_gateway();
    raw_send_text(raw, path_and_headers("GET", text("/v1/items?pageSize=100&ownerId=%s", ada.id),
                                        text("Authorization: Bearer %s\r\n", ada.token)));
    (void)raw_read_until(raw, "\"items\":[");
    raw_finish_sending(raw);
    const char *answer = raw_read_all(raw);
    const char *head_end = strstr(answer, "\r\n\r\n");
    const char *length = strstr(answer, "Content-Length: ");
    cr_assert(head_end != NULL && length != NULL && length < head_end, "%.300s", answer);
    size_t announced = strtoul(length + strlen("Content-Length: "), NULL, 10);
    cr_assert_eq(strlen(head_end + 4), announced, "%zu bytes of %zu", strlen(head_end + 4), announced);
    cr_assert_null(strstr(head_end, "HTTP/1.1"), "an interim response is in the body");
    raw_close(&raw);
  }
}

// Returns the CPU time of a gateway's workers so far, in seconds.
static double sum_cpu_of_workers(const char *name)
{
  const char *script =
      text("read -r leader _ <\"$BULKHEAD_RUN_DIR/pids/%s\" && for pid in $(pgrep -P \"$leader\"); do cut "
           "-d' ' -f14,15 /proc/$pid/stat; done | awk '{sum += $1 + $2} END {print sum}'",
           name);
  return strtod(output_of((const char *const[]){"bash", "-c", script, NULL}), NULL) / (double)sysconf(_SC_CLK_TCK);
}

static bool has_passed(const void *deadline_us)
{
  return clock_now_us() >= *(const uint64_t *)deadline_us;
}

static struct gateway_place own_gateway;

static void stop_own_gateway(void)
{
  if (own_gateway.name != NULL)
    gateway_stop(&own_gateway);
}

// epoll reports again and again what nobody takes, if it is asked to: a few such clients would use all cores.
Test(e2e_15_edge, a_client_that_waits_half_closed_costs_no_cpu, .fini = stop_own_gateway)
{
  own_gateway = gateway_start("gateway-43");
  struct account ada = account_create();
  const char *id = item_create(&ada, "{\"sku\":\"a\",\"name\":\"Lamp\"}");
  struct sql_transaction *lock = lock_item(id);
  struct raw *raw = RAW(.url = own_gateway.plain_url);
  raw_send_text(raw, text("%s{\"name\":\"B\"}", patch_of(&ada, id)));
  wait_until(is_waiting, "t", "the wait for the lock");
  raw_finish_sending(raw);
  (void)raw_read_until(raw, "100 Continue");
  const uint64_t seconds = 2;
  double before = sum_cpu_of_workers(own_gateway.name);
  uint64_t end_us = clock_now_us() + seconds * 1000000;
  wait_until(has_passed, &end_us, "some seconds of waiting");
  double used = sum_cpu_of_workers(own_gateway.name) - before;
  sql_commit(lock);
  (void)raw_read_until(raw, "HTTP/1.1 200 ");
  raw_close(&raw);
  cr_assert_lt(used, (double)seconds / 10, "the workers used %.2f s of CPU in %d s", used, (int)seconds);
}

static bool has_logged_499(const void *arg)
{
  const char *log =
      output_of((const char *const[]){"cat", text("%s/log/access.log", need_variable("BULKHEAD_RUN_DIR")), NULL});
  const char *line = strstr(log, arg);
  return line != NULL && strstr(line, "\"status\":499") != NULL;
}

// Sends a PATCH that waits for a lock, ends the connection, and waits until the call has been cancelled in PostgreSQL.
static void go_away_during_a_call(void (*leave)(struct raw **raw))
{
  struct account ada = account_create();
  const char *id = item_create(&ada, "{\"sku\":\"a\",\"name\":\"Lamp\"}");
  struct sql_transaction *lock = lock_item(id);
  struct raw *raw = open_gateway();
  raw_send_text(raw, text("%s{\"name\":\"B\"}", patch_of(&ada, id)));
  wait_until(is_waiting, "t", "the wait for the lock");
  leave(&raw);
  wait_until(has_logged_499, text("/v1/items/%s\",\"protocol", id), "the cancelled request");
  wait_until(is_waiting, "f", "the end of the call that nobody waits for");
  sql_commit(lock);
  struct http_reply after = HTTP(.path = text("/v1/items/%s", id), .token = ada.token);
  cr_assert_str_eq(http_json(&after, "name"), "Lamp");
}

Test(e2e_15_edge, a_client_that_has_closed_its_connection_cancels_its_call)
{
  go_away_during_a_call(raw_close);
}

Test(e2e_15_edge, a_client_that_is_reset_cancels_its_call)
{
  go_away_during_a_call(raw_reset);
}

// ---- what nginx logs ----

struct logged {
  size_t before;  // how long the log was
  const char *message;
};

static bool has_logged(const void *arg)
{
  const struct logged *logged = arg;
  return strstr(log_since("gateway", logged->before), logged->message) != NULL;
}

static const char *find_line(const char *log, const char *wanted)
{
  const char *place = strstr(log, wanted);
  cr_assert_not_null(place, "no line with %s", wanted);
  while (place > log && place[-1] != '\n')
    place--;
  return text("%.*s", (int)strcspn(place, "\n"), place);
}

Test(e2e_15_edge, errors_of_nginx_are_json_and_hold_no_query)
{
  // Tests that run beside this one write to the same log, so the size is one that no other sends.
  const char *secret = fresh_word(), *size = text("%" PRIu64, 1000000000 + random_below(1000000000));
  const char *message = text("client intended to send too large body: %s bytes", size);
  struct logged logged = {.before = log_size("gateway"), .message = message};
  struct raw *raw = open_gateway();
  // A page of nginx' own is asked for, because the gateway judges how much a method takes.
  raw_send_text(raw, path_and_headers("POST", text("/docs?token=%s", secret),
                                      text("Referer: http://localhost/?token=%s\r\nContent-Type: application/json\r\n"
                                           "Content-Length: %s\r\n",
                                           secret, size)));
  raw_read_until(raw, "HTTP/1.1 413 ");
  raw_close(&raw);
  wait_until(has_logged, &logged, "the line of nginx");
  const char *log = log_since("gateway", logged.before);
  cr_assert_null(strstr(log, secret), "the query is in the log");
  const char *line = find_line(log, message);
  cr_assert_str_eq(json_at(line, "level"), "error");
  cr_assert_str_eq(json_at(line, "service"), "gateway");
  cr_assert_str_eq(json_at(line, "subject"), "nginx");
  cr_assert_str_eq(json_at(line, "client"), "127.0.0.1");
  cr_assert_not_null(json_at(line, "time"));
  cr_assert_str_eq(json_at(line, "message"), message);
}

// The configuration is read before a worker runs; what is wrong there is the line that an operator needs most.
Test(e2e_15_edge, errors_at_the_start_are_json)
{
  const char *folder = need_variable("BULKHEAD_RUN_DIR");
  size_t before = log_size("gateway-20");
  setenv("TLS_CERTIFICATE", "README.md", 1);
  setenv("TLS_KEY", "README.md", 1);
  (void)output_of((const char *const[]){"bash", "-c", "! deploy/local/stack start gateway-20 2>/dev/null", NULL});
  (void)output_of((const char *const[]){"rm", "-f", text("%s/gateway-20.ports", folder), NULL});
  const char *line = find_line(log_since("gateway-20", before), "cannot load certificate");
  cr_assert_str_eq(json_at(line, "level"), "error");
  cr_assert_str_eq(json_at(line, "subject"), "nginx");
}

// ---- rights ----

Test(e2e_15_edge, the_workers_of_the_gateway_are_never_root)
{
  const char *uids = output_of((const char *const[]){"bash", "-c",
                                                     "read -r leader _ <\"$BULKHEAD_RUN_DIR/pids/gateway\" && for pid "
                                                     "in $(pgrep -P \"$leader\"); do awk '/^[UG]id:/ {print "
                                                     "$2, $3, $4, $5}' /proc/$pid/status; done",
                                                     NULL});
  cr_assert(uids[0] != '\0', "the gateway has no workers");
  cr_assert_null(strstr(text(" %s", uids), " 0 "), "user and group ids of the workers: %s", uids);
  cr_assert_neq(uids[0], '0', "user and group ids of the workers: %s", uids);
}
