// Floods of HTTP/2 frames that are cheap to send: each is ended by the gateway, costs it a bounded amount of memory,
// and a client beside it notices nothing. Each test has a gateway of its own, beside that of the stack: with TLS, or
// where a name says so without, at the port of gRPC.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fault/http2_attack.h"
#include "tests/support/bystander.h"
#include "tests/support/environment.h"
#include "tests/support/gateway.h"
#include "tests/support/http.h"
#include "tests/support/stack.h"

enum { ATTACKERS = 4, REQUESTS_MEANWHILE = 300 };
// How much all workers of the gateway may grow. AddressSanitizer keeps what was freed for a while.
#ifdef __SANITIZE_ADDRESS__
#define MAX_GROWTH_MB 2048
#else
#define MAX_GROWTH_MB 64
#endif

static struct gateway_place gateway;
static bool is_running;

static const char *access_log_of(const char *name)
{
  return text("%s/log/access%s.log", need_variable("BULKHEAD_RUN_DIR"), strrchr(name, '-'));
}

// Stops the gateway of the test; its access log is complete after that.
static void complete_log(void)
{
  is_running = false;
  gateway_stop(&gateway);
}

// Stops the gateway of the test and removes its access log, which an attack makes large.
static void stop_gateway(void)
{
  if (gateway.name == NULL)
    return;
  if (is_running)
    complete_log();
  (void)output_of((const char *const[]){"rm", "-f", access_log_of(gateway.name), NULL});
}

// Returns the resident memory of all processes of the gateway, in MB.
static long memory_mb(void)
{
  return strtol(output_of((const char *const[]){
                    "bash", "-c",
                    text("read -r leader _ <'%s/pids/%s' && for pid in $leader $(pgrep -P $leader); do cat "
                         "/proc/$pid/status; done | awk '/^VmRSS/ {sum += $2} END {print int(sum / 1024)}'",
                         need_variable("BULKHEAD_RUN_DIR"), gateway.name),
                    NULL}),
                NULL, 10);
}

static bool has_closed(const void *arg)
{
  return http2_attack_count((struct http2_attack *)(uintptr_t)arg).closed > 0;
}

// Attacks while a bystander makes its requests. Returns what came of it.
static struct http2_attack_counts withstand(const char *name, struct http2_attack_kind *kind)
{
  gateway = kind->is_plain ? gateway_start(name) : gateway_start_https(name);
  is_running = true;
  if (kind->is_plain)
    setenv("BULKHEAD_URL", gateway.plain_url, 1);
  struct account ada = account_create();
  struct bystander *bystander = bystander_start(&ada);
  long before_mb = memory_mb();
  bystander_attacked(bystander);
  struct http2_attack *attack =
      http2_attack_start(kind->is_plain ? gateway.grpc_url : gateway.https_url, kind, ATTACKERS);
  long highest_mb = before_mb;
  for (int i = 0; i < 6; i++) {
    bystander_await(bystander, REQUESTS_MEANWHILE / 6);
    long now_mb = memory_mb();
    highest_mb = now_mb > highest_mb ? now_mb : highest_mb;
  }
  // nginx may read on for the five seconds of lingering_time after it has found a flood.
  if (kind->ends)
    wait_until(has_closed, attack, "a connection that the gateway closes");
  struct http2_attack_counts counts = http2_attack_stop(&attack);
  bystander_assert_unharmed(&bystander, kind->name);
  printf("%s: %zu connections, %zu closed by the gateway, %zu KB sent; its memory grew from %ld to %ld MB\n",
         kind->name, counts.connections, counts.closed, counts.bytes / 1024, before_mb, highest_mb);
  cr_assert_leq(highest_mb, before_mb + MAX_GROWTH_MB);
  return counts;
}

// Returns how many floods the gateway has counted for its operators.
static size_t counted_floods(void)
{
  static const char series[] = "\nbulkhead_http2_floods_total ";
  struct http_reply reply = HTTP(.path = "/metrics", .base_url = gateway.admin_url);
  ASSERT_STATUS(reply, 200);
  const char *line = strstr(reply.body, series);
  cr_assert_not_null(line, "%s", reply.body);
  return strtoul(line + sizeof(series) - 1, NULL, 10);
}

// ---- rapid reset ----

// Counts the requests that their clients have cancelled, in all of a gateway's log.
static size_t count_cancelled(const char *name)
{
  const char *script = text("cat '%s' 2>/dev/null | grep -c '\"status\":499' || true", access_log_of(name));
  return strtoul(output_of((const char *const[]){"bash", "-c", script, NULL}), NULL, 10);
}

// Resets requests with these headers, and expects that the gateway closes a connection that goes on with it.
static void expect_resets_bounded(const char *name, struct http2_attack_kind kind)
{
  size_t before = count_cancelled(name);
  struct http2_attack_counts counts = withstand(name, &kind);
  cr_assert_gt(counts.closed, 0);
  // nginx alone closes a connection after some 4,000, or never.
  complete_log();
  size_t each = (count_cancelled(name) - before) / counts.connections;
  fprintf(stderr, "%s: a connection had %zu requests made and cancelled\n", kind.name, each);
  cr_assert_gt(each, 0, "the log holds no cancelled request, so nothing was measured");
  cr_assert_leq(each, 1000, "a connection could have %zu requests made and cancelled", each);
}

// The requests come in a size that nginx's own limit of streams at once lets pass.
Test(fault_11_http2, requests_that_are_reset_at_once, .fini = stop_gateway)
{
  struct strbuf headers;
  strbuf_init(&headers, 0);
  struct account ada = account_create();
  const char *id = item_create(&ada, "{\"sku\":\"a\",\"name\":\"Lamp\"}");
  http2_add_headers(&headers, "GET", text("/v1/items/%s", id), ada.token);
  expect_resets_bounded(
      "gateway-31",
      (struct http2_attack_kind){
          .name = "rapid reset", .go_on = http2_ask_and_reset, .ends = true, .reads = true, .arg = &headers});
  strbuf_free(&headers);
}

// These requests end before they reach a service.
Test(fault_11_http2, uploads_that_are_reset_at_once, .fini = stop_gateway)
{
  struct strbuf headers;
  strbuf_init(&headers, 0);
  http2_add_headers(&headers, "POST", "/v1/auth/login", NULL);
  expect_resets_bounded("gateway-46", (struct http2_attack_kind){.name = "rapid reset of uploads",
                                                                 .go_on = http2_upload_and_reset,
                                                                 .ends = true,
                                                                 .reads = true,
                                                                 .arg = &headers});
  strbuf_free(&headers);
}

Test(fault_11_http2, uploads_without_tls_that_are_reset_at_once, .fini = stop_gateway)
{
  struct strbuf headers;
  strbuf_init(&headers, 0);
  http2_add_headers(&headers, "POST", "/v1/auth/login", NULL);
  expect_resets_bounded("gateway-97", (struct http2_attack_kind){.name = "rapid reset without TLS",
                                                                 .go_on = http2_upload_and_reset,
                                                                 .ends = true,
                                                                 .reads = true,
                                                                 .is_plain = true,
                                                                 .arg = &headers});
  strbuf_free(&headers);
}

// ---- frames that want an answer ----

Test(fault_11_http2, settings_without_end, .fini = stop_gateway)
{
  struct http2_attack_kind kind = {
      .name = "settings whose answers nobody reads", .go_on = http2_add_settings, .ends = true};
  cr_assert_gt(withstand("gateway-32", &kind).closed, 0);
}

Test(fault_11_http2, pings_without_end, .fini = stop_gateway)
{
  struct http2_attack_kind kind = {.name = "pings", .go_on = http2_add_pings, .ends = true, .reads = true};
  cr_assert_gt(withstand("gateway-33", &kind).closed, 0);
  cr_assert_gt(counted_floods(), 0);
}

Test(fault_11_http2, pings_without_tls_and_without_end, .fini = stop_gateway)
{
  struct http2_attack_kind kind = {
      .name = "pings without TLS", .go_on = http2_add_pings, .ends = true, .reads = true, .is_plain = true};
  cr_assert_gt(withstand("gateway-98", &kind).closed, 0);
  cr_assert_gt(counted_floods(), 0);
}

// ---- headers and bodies without end ----

static void begin_headers(struct strbuf *out, const void *arg)
{
  http2_add_frame(out, HTTP2_HEADERS, HTTP2_END_STREAM, 1, strbuf_slice(arg));
}

static void add_empty_continuations(struct strbuf *out, const void *arg, uint32_t round)
{
  (void)arg;
  (void)round;
  http2_repeat_frame(out, HTTP2_CONTINUATION, 1, (struct slice){0});
}

static void add_headers_without_end(struct strbuf *out, const void *arg, uint32_t round)
{
  (void)arg;
  (void)round;
  http2_repeat_frame(out, HTTP2_CONTINUATION, 1, SLICE("\0\3x-a\5value"));
}

static void begin_body(struct strbuf *out, const void *arg)
{
  http2_add_frame(out, HTTP2_HEADERS, HTTP2_END_HEADERS, 1, strbuf_slice(arg));
}

static void add_empty_data(struct strbuf *out, const void *arg, uint32_t round)
{
  (void)arg;
  (void)round;
  http2_repeat_frame(out, HTTP2_DATA, 1, (struct slice){0});
}

Test(fault_11_http2, empty_continuations_without_end, .fini = stop_gateway)
{
  struct strbuf headers;
  strbuf_init(&headers, 0);
  http2_add_headers(&headers, "GET", "/healthz", NULL);
  struct http2_attack_kind kind = {.name = "empty CONTINUATION",
                                   .begin = begin_headers,
                                   .go_on = add_empty_continuations,
                                   .ends = true,
                                   .arg = &headers};
  cr_assert_gt(withstand("gateway-34", &kind).closed, 0);
  strbuf_free(&headers);
}

Test(fault_11_http2, headers_without_end, .fini = stop_gateway)
{
  struct strbuf headers;
  strbuf_init(&headers, 0);
  http2_add_headers(&headers, "GET", "/healthz", NULL);
  struct http2_attack_kind kind = {.name = "CONTINUATION with headers",
                                   .begin = begin_headers,
                                   .go_on = add_headers_without_end,
                                   .ends = true,
                                   .arg = &headers};
  cr_assert_gt(withstand("gateway-35", &kind).closed, 0);
  strbuf_free(&headers);
}

Test(fault_11_http2, empty_data_without_end, .fini = stop_gateway)
{
  struct account ada = account_create();
  struct strbuf headers;
  strbuf_init(&headers, 0);
  http2_add_headers(&headers, "POST", "/v1/items", ada.token);
  struct http2_attack_kind kind = {
      .name = "empty DATA", .begin = begin_body, .go_on = add_empty_data, .ends = true, .arg = &headers};
  cr_assert_gt(withstand("gateway-36", &kind).closed, 0);
  strbuf_free(&headers);
}

// ---- windows ----

static void add_window_updates(struct strbuf *out, const void *arg, uint32_t round)
{
  (void)arg;
  // After some thousand the window would be too large; settings that change it back and forth cost as much.
  if (round < 8)
    http2_repeat_frame(out, HTTP2_WINDOW_UPDATE, 0, SLICE("\0\0\0\1"));
  else
    http2_repeat_frame(out, HTTP2_SETTINGS, 0, round % 2 == 0 ? SLICE("\0\4\0\0\0\0") : SLICE("\0\4\0\1\0\0"));
}

Test(fault_11_http2, windows_that_change_without_end, .fini = stop_gateway)
{
  struct http2_attack_kind kind = {.name = "windows", .go_on = add_window_updates, .reads = true};
  cr_assert_gt(withstand("gateway-37", &kind).closed, 0);
}

// Asks for large documents and gives no window to send them.
static void ask_without_window(struct strbuf *out, const void *arg)
{
  http2_add_frame(out, HTTP2_SETTINGS, 0, 0, SLICE("\0\4\0\0\0\0"));
  for (uint32_t i = 0; i < 128; i++)
    http2_add_frame(out, HTTP2_HEADERS, HTTP2_END_STREAM | HTTP2_END_HEADERS, 2 * i + 1, strbuf_slice(arg));
}

Test(fault_11_http2, answers_that_may_not_be_sent, .fini = stop_gateway)
{
  struct strbuf headers;
  strbuf_init(&headers, 0);
  http2_add_headers(&headers, "GET", "/docs/swagger-ui/swagger-ui-bundle.js", NULL);
  struct http2_attack_kind kind = {.name = "answers without a window", .begin = ask_without_window, .arg = &headers};
  withstand("gateway-38", &kind);
  strbuf_free(&headers);
}
