// HTTPS and HTTP/2 at the edge: what is offered, what is refused, where plain HTTP leads, and certificates that change.
// Each test has a gateway of its own beside that of the stack.
#include <criterion/criterion.h>
#include <curl/curl.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/strbuf.h"
#include "tests/support/environment.h"
#include "tests/support/gateway.h"
#include "tests/support/http.h"
#include "tests/support/raw.h"
#include "tests/support/stack.h"

static struct gateway_place gateway;

static void stop_gateway(void)
{
  if (gateway.name != NULL)
    gateway_stop(&gateway);
}

Test(e2e_12_https, the_api_speaks_http_2_and_1_1, .fini = stop_gateway)
{
  gateway = gateway_start_https("gateway-12");
  struct account ada = account_create();
  const char *id = item_create(&ada, "{\"sku\":\"a\",\"name\":\"Lamp\",\"price\":\"1.50\",\"currency\":\"EUR\"}");
  struct http_reply read = HTTP(.path = text("/v1/items/%s", id), .token = ada.token);
  ASSERT_STATUS(read, 200);
  cr_assert_eq(read.http_version, CURL_HTTP_VERSION_2_0);
  cr_assert_str_eq(http_json(&read, "name"), "Lamp");
  struct http_reply older =
      HTTP(.path = text("/v1/items/%s", id), .token = ada.token, .http_version = CURL_HTTP_VERSION_1_1);
  ASSERT_STATUS(older, 200);
  cr_assert_eq(older.http_version, CURL_HTTP_VERSION_1_1);
  cr_assert_str_eq(older.body, read.body);
  ASSERT_STATUS(HTTP(.path = text("/v1/items/%s", id), .token = ada.token,
                     .headers = {text("If-None-Match: %s", http_header(&read, "ETag"))}),
                304);
  ASSERT_STATUS(HTTP(.method = "PATCH", .path = text("/v1/items/%s", id), .token = ada.token, .body = "{\"sku\":\"b\"}",
                     .headers = {text("If-Match: %s", http_header(&read, "ETag"))}),
                200);
  ASSERT_STATUS(HTTP(.method = "DELETE", .path = text("/v1/items/%s", id), .token = ada.token), 204);
}

Test(e2e_12_https, options_of_a_star_tells_the_methods_of_the_server, .fini = stop_gateway)
{
  gateway = gateway_start_https("gateway-60");
  static const long versions[] = {CURL_HTTP_VERSION_2_0, CURL_HTTP_VERSION_1_1};
  for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
    struct http_reply reply = HTTP(.method = "OPTIONS", .path = "/", .target = "*", .http_version = versions[i]);
    ASSERT_STATUS(reply, 204);
    cr_expect_eq(reply.http_version, versions[i]);
    cr_expect_str_eq(http_header(&reply, "Allow"), "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
  }
  ASSERT_STATUS(HTTP(.method = "DELETE", .path = "/", .target = "*", .http_version = CURL_HTTP_VERSION_2_0), 400);
}

// The local stack's certificate is good for some days at least.
Test(e2e_12_https, the_end_of_the_certificate_is_a_metric, .fini = stop_gateway)
{
  gateway = gateway_start_https("gateway-61");
  struct http_reply metrics = HTTP(.path = "/metrics", .base_url = gateway.admin_url);
  const char *series = "\nbulkhead_certificate_expiry_time_seconds ";
  const char *line = strstr(metrics.body, series);
  cr_assert_not_null(line, "%s", metrics.body);
  const char *told = output_of(
      (const char *const[]){"bash", "-c", "date -u +%s -d \"$(openssl x509 -noout -enddate -in \"$0\" | cut -d= -f2)\"",
                            text("%s/tls/gateway.pem", need_variable("BULKHEAD_RUN_DIR")), NULL});
  cr_expect_eq(strtod(line + strlen(series), NULL), strtod(told, NULL), "%s", told);
}

// A browser that has seen this header never speaks plain HTTP to this host again.
Test(e2e_12_https, every_answer_asks_for_https_next_time, .fini = stop_gateway)
{
  setenv("HSTS_MAX_AGE", "31536000", 1);
  gateway = gateway_start_https("gateway-13");
  static const char *const PATHS[] = {"/healthz", "/docs", "/openapi.json", "/v1/items", "/nowhere"};
  for (size_t i = 0; i < ARRAY_LEN(PATHS); i++) {
    struct http_reply reply = HTTP(.path = PATHS[i]);
    const char *header = http_header(&reply, "Strict-Transport-Security");
    cr_assert_not_null(header, "%s: %s", PATHS[i], reply.headers);
    cr_assert_str_eq(header, "max-age=31536000");
  }
}

// The header holds for all ports of a host name, also those of a developer's other programs.
Test(e2e_12_https, a_browser_forgets_the_local_stack, .fini = stop_gateway)
{
  gateway = gateway_start_https("gateway-44");
  struct http_reply reply = HTTP(.path = "/healthz");
  cr_assert_str_eq(http_header(&reply, "Strict-Transport-Security"), "max-age=0");
}

Test(e2e_12_https, the_plain_port_only_leads_to_https, .fini = stop_gateway)
{
  gateway = gateway_start_https("gateway-14");
  struct http_reply reply = HTTP(.path = "/v1/items?pageSize=2&q=a%20b", .base_url = gateway.plain_url);
  ASSERT_STATUS(reply, 308);
  cr_assert_str_eq(http_header(&reply, "Location"), text("%s/v1/items?pageSize=2&q=a%%20b", gateway.https_url));
  cr_assert_null(http_header(&reply, "Strict-Transport-Security"));
  ASSERT_STATUS(HTTP(.path = "/v1/auth/login", .body = "{}", .base_url = gateway.plain_url), 308);
  ASSERT_STATUS(HTTP(.path = "/docs", .base_url = gateway.plain_url), 308);
  ASSERT_STATUS(HTTP(.path = "/healthz", .base_url = gateway.plain_url), 200);
}

// HTTP/2 without TLS ("prior knowledge") would be a way around it.
Test(e2e_12_https, http_2_needs_tls, .fini = stop_gateway)
{
  gateway = gateway_start_https("gateway-15");
  const char *const urls[] = {gateway.plain_url, need_variable("BULKHEAD_ADMIN_URL")};
  for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
    struct raw *raw = RAW(.url = urls[i]);
    raw_send(raw, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 33);
    const char *answer = raw_read_all(raw);
    cr_assert(strncmp(answer, "HTTP/1.1 ", 9) == 0 || strstr(answer, "400") != NULL, "%s: %s", urls[i], answer);
    raw_close(&raw);
  }
}

Test(e2e_12_https, alpn_chooses_the_protocol, .fini = stop_gateway)
{
  gateway = gateway_start_https("gateway-16");
  static const char *const OFFERS[] = {"h2", "http/1.1"};
  for (size_t i = 0; i < ARRAY_LEN(OFFERS); i++) {
    struct raw *raw = RAW(.url = gateway.https_url, .alpn = OFFERS[i]);
    cr_assert_not_null(raw, "%s", OFFERS[i]);
    cr_assert_str_eq(raw_protocol(raw), OFFERS[i]);
    raw_close(&raw);
  }
}

Test(e2e_12_https, only_modern_tls_is_spoken, .fini = stop_gateway)
{
  gateway = gateway_start_https("gateway-17");
  const struct {
    const char *what;
    int version;
    const char *ciphers;
    bool accepted;
  } offers[] = {
      {"TLS 1.3", TLS1_3_VERSION, NULL, true},
      {"AEAD with forward secrecy", TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256", true},
      {"ChaCha20", TLS1_2_VERSION, "ECDHE-ECDSA-CHACHA20-POLY1305", true},
      {"TLS 1.1", TLS1_1_VERSION, NULL, false},
      {"TLS 1.0", TLS1_VERSION, NULL, false},
      {"CBC", TLS1_2_VERSION, "ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES128-SHA", false},
      {"CCM with a short tag", TLS1_2_VERSION, "ECDHE-ECDSA-AES128-CCM8", false},
      {"a key exchange by RSA", TLS1_2_VERSION, "kRSA", false},
      {"nobody proven", TLS1_2_VERSION, "aNULL:eNULL", false},
  };
  for (size_t i = 0; i < ARRAY_LEN(offers); i++) {
    struct raw *raw = RAW(.url = gateway.https_url, .tls_version = offers[i].version, .ciphers = offers[i].ciphers);
    cr_assert_eq(raw != NULL, offers[i].accepted, "%s", offers[i].what);
    raw_close(&raw);
  }
}

// The numbers that nginx has for what only TLS and HTTP/2 know.
Test(e2e_12_https, what_nginx_refuses_is_a_problem_document_here, .fini = stop_gateway)
{
  gateway = gateway_start_https("gateway-18");
  struct account ada = account_create();
  const long versions[] = {CURL_HTTP_VERSION_2TLS, CURL_HTTP_VERSION_1_1};
  struct strbuf large;
  strbuf_init(&large, 0);
  for (int i = 0; i < 5 * 1024 * 1024 / 16; i++)
    strbuf_add_string(&large, "0123456789abcdef");
  for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
    struct http_reply reply =
        HTTP(.path = "/v1/items", .token = ada.token, .body = strbuf_cstring(&large), .http_version = versions[i]);
    ASSERT_PROBLEM(reply, 413, "INVALID_ARGUMENT");
    struct http_reply nowhere = HTTP(.path = "/nowhere", .http_version = versions[i]);
    ASSERT_PROBLEM(nowhere, 404, "NOT_FOUND");
    struct http_reply anonymous = HTTP(.path = "/v1/items", .http_version = versions[i]);
    ASSERT_PROBLEM(anonymous, 401, "UNAUTHENTICATED");
  }
  strbuf_free(&large);
  struct raw *raw = RAW(.url = text("http%s", gateway.https_url + 5));
  raw_send_text(raw, "GET /v1/items?token=secret HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const char *answer = raw_read_all(raw);
  cr_assert(strstr(answer, "HTTP/1.1 400 ") == answer, "%s", answer);
  cr_assert_not_null(strstr(answer, "application/problem+json"), "%s", answer);
  raw_close(&raw);
}

// ---- uploads that are refused ----

static size_t drop_bytes(char *data, size_t size, size_t count, void *arg)
{
  (void)data;
  (void)arg;
  return size * count;
}

// Sends an upload without a token over the connection of `curl`, and asserts that it is refused. Returns how many new
// connections that took.
static long upload_in_vain(CURL *curl, const char *body)
{
  long status = 0;
  long connections = 0;
  curl_easy_setopt(curl, CURLOPT_URL, text("%s/v1/items", gateway.https_url));
  curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
  curl_easy_setopt(curl, CURLOPT_CAINFO, need_variable("BULKHEAD_CA"));
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, drop_bytes);
  curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
  cr_assert_eq(curl_easy_perform(curl), CURLE_OK);
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  curl_easy_getinfo(curl, CURLINFO_NUM_CONNECTS, &connections);
  cr_assert_eq(status, 401);
  return connections;
}

// A client whose token has expired is no flood, although nginx takes none of its bodies for payload.
Test(e2e_12_https, refused_uploads_keep_the_connection, .fini = stop_gateway)
{
  gateway = gateway_start_https("gateway-45");
  struct strbuf body;
  strbuf_init(&body, 0);
  for (int i = 0; i < 60 * 1024 / 16; i++)
    strbuf_add_string(&body, "0123456789abcdef");
  CURL *curl = curl_easy_init();
  cr_assert_eq(upload_in_vain(curl, strbuf_cstring(&body)), 1);
  for (int i = 0; i < 40; i++)
    cr_assert_eq(upload_in_vain(curl, strbuf_cstring(&body)), 0, "the connection was closed after %d uploads", i + 1);
  curl_easy_cleanup(curl);
  strbuf_free(&body);
}

// ---- certificates that change ----

static const char *served_serial(void)
{
  struct raw *raw = RAW(.url = gateway.https_url);
  cr_assert_not_null(raw);
  const char *serial = raw_certificate_serial(raw);
  raw_close(&raw);
  return serial;
}

static bool serves_another(const void *serial)
{
  return strcmp(served_serial(), serial) != 0;
}

static void make_certificate(const char *folder)
{
  (void)output_of((const char *const[]){"deploy/local/certificate", folder, NULL});
}

static void copy_file(const char *from, const char *to)
{
  (void)output_of((const char *const[]){"cp", from, to, NULL});
}

Test(e2e_12_https, a_new_certificate_is_served_without_a_restart, .fini = stop_gateway)
{
  const char *folder = text("%s/test-19", need_variable("BULKHEAD_RUN_DIR"));
  make_certificate(folder);
  const char *certificate = text("%s/served.pem", folder), *key = text("%s/served.key", folder);
  copy_file(text("%s/gateway.pem", folder), certificate);
  copy_file(text("%s/gateway.key", folder), key);
  setenv("TLS_CERTIFICATE", certificate, 1);
  setenv("TLS_KEY", key, 1);
  gateway = gateway_start("gateway-19");
  const char *before = served_serial();

  // A file that is no certificate changes nothing.
  size_t logged_before = log_size(gateway.name);
  copy_file("README.md", certificate);
  const char *said =
      output_of((const char *const[]){"bash", "-c", "! deploy/local/stack reload gateway-19 2>&1", NULL});
  cr_expect_not_null(strstr(said, "cannot load certificate"), "a reload with a broken certificate said: %s", said);
  cr_expect_not_null(strstr(log_since(gateway.name, logged_before), "cannot load certificate"));
  cr_assert_str_eq(served_serial(), before);

  const char *others = text("%s/next", folder);
  make_certificate(others);
  copy_file(text("%s/gateway.pem", others), certificate);
  copy_file(text("%s/gateway.key", others), key);
  struct raw *open = RAW(.url = gateway.https_url, .alpn = "http/1.1");
  // A body may take longer than a head.
  raw_send_text(open, "POST /v1/auth/logout HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                      "Content-Length: 23\r\n\r\n{");
  stack("reload", gateway.name);
  wait_until(serves_another, before, "the new certificate");
  // The request that had begun before is answered.
  raw_send_text(open, "\"refreshToken\":\"none\"}");
  raw_read_until(open, "HTTP/1.1 204 ");
  raw_close(&open);
}

// testssl.sh tries protocols, suites and the known attacks, of which it rates each; some 40 s. Its lines are
// "id","host","port","severity","finding",….
Test(e2e_12_https, testssl_finds_nothing_wrong, .fini = stop_gateway)
{
  gateway = gateway_start_https("gateway-21");
  const char *findings = text("%s/testssl-%s.csv", need_variable("BULKHEAD_RUN_DIR"), fresh_word());
  const char *script =
      text("timeout 200 testssl --quiet --color 0 --warnings off --nodns min --csvfile %s -p -s -f -U %s "
           "</dev/null >/dev/null 2>&1; cat %s",
           findings, gateway.https_url, findings);
  const char *said = output_of((const char *const[]){"bash", "-c", script, NULL});
  cr_assert_not_null(strstr(said, "\"RC4\""), "testssl.sh has not come to its last check: %s", said);
  static const char *const WRONG[] = {"\"LOW\"", "\"MEDIUM\"", "\"HIGH\"", "\"CRITICAL\"", "\"FATAL\""};
  for (size_t i = 0; i < ARRAY_LEN(WRONG); i++)
    cr_assert_null(strstr(said, WRONG[i]), "%s", said);
}
