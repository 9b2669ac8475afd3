// The documents that the gateway serves about itself, and the headers that it adds to every reply.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/http.h"
#include "tests/support/stack.h"
#include "tests/support/watch.h"

Test(e2e_07_documents, the_api_is_described_by_openapi_3_1)
{
  struct http_reply reply = HTTP(.path = "/openapi.json");
  ASSERT_STATUS(reply, 200);
  cr_assert(strncmp(http_json(&reply, "openapi"), "3.1", 3) == 0);
  const char *paths = http_json(&reply, "paths");
  cr_assert_not_null(json_at(paths, "/v1/items:batchCreate"), "%s", paths);
  cr_assert(strstr(paths, "\"/v1/users/{id}\"") != NULL || strstr(paths, "\"/v1/users/{user.id}\"") != NULL);
  // The document holds the comments of the contract and the constraints of its rules.
  cr_assert(strstr(reply.body, "Creates up to 1,000 items, all or none.") != NULL);
  cr_assert(strstr(reply.body, "\"maxLength\":256") != NULL || strstr(reply.body, "\"maxLength\": 256") != NULL);
  cr_assert(strstr(reply.body, "CreateCredential") == NULL, "an internal method is described");
}

Test(e2e_07_documents, the_page_of_the_api_works_offline)
{
  struct http_reply page = HTTP(.path = "/docs");
  ASSERT_STATUS(page, 200);
  cr_assert(strstr(http_header(&page, "Content-Type"), "text/html") != NULL);
  cr_assert(strstr(page.body, "http://") == NULL && strstr(page.body, "https://") == NULL, "%s", page.body);
}

Test(e2e_07_documents, the_scripts_of_the_page_come_under_its_policy)
{
  static const char *const PATHS[] = {"/docs", "/docs/docs.js", "/docs/session.js", "/docs/docs.css",
                                      "/docs/swagger-ui/swagger-ui-bundle.js"};
  for (size_t i = 0; i < ARRAY_LEN(PATHS); i++) {
    struct http_reply reply = HTTP(.path = PATHS[i]);
    ASSERT_STATUS(reply, 200);
    const char *policy = http_header(&reply, "Content-Security-Policy");
    cr_assert(policy != NULL && strstr(policy, "default-src 'none'; script-src 'self';") != NULL, "%s", PATHS[i]);
  }
}

Test(e2e_07_documents, the_document_that_a_client_has_is_304)
{
  struct http_reply first = HTTP(.path = "/openapi.json");
  const char *etag = http_header(&first, "ETag");
  cr_assert_not_null(etag);
  ASSERT_STATUS(HTTP(.path = "/openapi.json", .headers = {text("If-None-Match: %s", etag)}), 304);
}

// Compressing a document for each request would let anybody keep the gateway busy. nginx does not know the length of
// what it compresses while it sends it.
Test(e2e_07_documents, documents_are_compressed_ahead)
{
  static const char *const PATHS[] = {"/openapi.json", "/docs/swagger-ui/swagger-ui-bundle.js",
                                      "/docs/swagger-ui/swagger-ui.css"};
  for (size_t i = 0; i < ARRAY_LEN(PATHS); i++) {
    struct http_reply plain = HTTP(.path = PATHS[i]);
    struct http_reply packed = HTTP(.path = PATHS[i], .headers = {"Accept-Encoding: gzip"});
    ASSERT_STATUS(packed, 200);
    cr_assert_str_eq(http_header(&packed, "Content-Encoding"), "gzip", "%s", PATHS[i]);
    cr_assert_str_eq(http_header(&packed, "Vary"), "Accept-Encoding", "%s", PATHS[i]);
    cr_assert_str_eq(http_header(&plain, "Vary"), "Accept-Encoding", "%s", PATHS[i]);
    cr_assert_not_null(http_header(&packed, "Content-Length"), "%s", PATHS[i]);
    cr_assert_lt(packed.body_size * 2, plain.body_size, "%s", PATHS[i]);
  }
}

Test(e2e_07_documents, the_compressed_document_that_a_client_has_is_304)
{
  struct http_reply first = HTTP(.path = "/openapi.json", .headers = {"Accept-Encoding: gzip"});
  const char *etag = http_header(&first, "ETag");
  cr_assert(etag != NULL && strncmp(etag, "W/", 2) == 0, "%s", etag);
  ASSERT_STATUS(HTTP(.path = "/openapi.json", .headers = {"Accept-Encoding: gzip", text("If-None-Match: %s", etag)}),
                304);
}

Test(e2e_07_documents, a_compressed_body_is_refused)
{
  struct http_reply reply =
      HTTP(.method = "POST", .path = "/v1/auth/login", .body = "{}", .headers = {"Content-Encoding: gzip"});
  ASSERT_STATUS(reply, 415);
  cr_assert_str_eq(http_json(&reply, "reason"), "UNSUPPORTED_MEDIA_TYPE");
}

Test(e2e_07_documents, a_wrong_method_says_which_are_allowed)
{
  struct http_reply reply = HTTP(.method = "PUT", .path = "/v1/items/01936b5e-7c1a-7d3e-9f00-1c2d3e4f5a6b");
  ASSERT_STATUS(reply, 405);
  cr_assert_str_eq(http_header(&reply, "Allow"), "GET, HEAD, PATCH, DELETE, OPTIONS");
}

Test(e2e_07_documents, health_is_public)
{
  struct http_reply reply = HTTP(.path = "/healthz");
  ASSERT_STATUS(reply, 200);
}

Test(e2e_07_documents, a_request_id_is_kept_or_made)
{
  struct http_reply kept = HTTP(.path = "/v1/users/me", .headers = {"X-Request-Id: order-4711"});
  cr_assert_str_eq(http_header(&kept, "X-Request-Id"), "order-4711");
  cr_assert_str_eq(http_json(&kept, "requestId"), "order-4711");
  struct http_reply made = HTTP(.path = "/v1/users/me", .headers = {"X-Request-Id: bad id \" here"});
  cr_assert_str_neq(http_header(&made, "X-Request-Id"), "bad id \" here");
  cr_assert_str_eq(http_header(&made, "X-Request-Id"), http_json(&made, "requestId"));
}

Test(e2e_07_documents, security_headers_are_on_every_answer)
{
  static const char *const PATHS[] = {"/v1/users/me", "/nowhere", "/openapi.json", "/healthz"};
  for (size_t i = 0; i < ARRAY_LEN(PATHS); i++) {
    struct http_reply reply = HTTP(.path = PATHS[i]);
    cr_assert_str_eq(http_header(&reply, "X-Content-Type-Options"), "nosniff", "%s", PATHS[i]);
    const char *server = http_header(&reply, "Server");
    cr_assert(server == NULL || strpbrk(server, "0123456789") == NULL, "the server names its version: %s", server);
  }
}

static size_t count_headers(const struct http_reply *reply, const char *name)
{
  size_t count = 0;
  for (const char *line = reply->headers; (line = strcasestr(line, text("\n%s:", name))) != NULL; line++)
    count++;
  return count;
}

// nginx finds such a range wrong only when the file's headers are there already.
Test(e2e_07_documents, a_range_beyond_a_file_has_each_header_once)
{
  struct http_reply file = HTTP(.path = "/docs/docs.js");
  struct http_reply reply =
      HTTP(.path = "/docs/docs.js", .headers = {"Range: bytes=99999999-", "Origin: https://app.example.com"});
  ASSERT_STATUS(reply, 416);
  cr_assert_str_eq(http_header(&reply, "Content-Range"), text("bytes */%zu", file.body_size));
  cr_assert_not_null(strstr(http_header(&reply, "Content-Type"), "application/problem+json"));
  static const char *const ONCE[] = {"Access-Control-Allow-Origin", "Cache-Control", "Content-Type",
                                     "X-Content-Type-Options", "Vary"};
  for (size_t i = 0; i < ARRAY_LEN(ONCE); i++)
    cr_assert_leq(count_headers(&reply, ONCE[i]), 1, "%s: %s", ONCE[i], reply.headers);
  // These are of the file.
  cr_assert_null(http_header(&reply, "ETag"), "%s", reply.headers);
  cr_assert_null(http_header(&reply, "Last-Modified"), "%s", reply.headers);
}

Test(e2e_07_documents, head_answers_as_get_without_a_body)
{
  struct http_reply reply = HTTP(.method = "HEAD", .path = "/.well-known/jwks.json");
  ASSERT_STATUS(reply, 200);
  cr_assert_eq(reply.body_size, 0);
}

Test(e2e_07_documents, the_gateways_metrics_count_requests)
{
  const char *admin = getenv("BULKHEAD_ADMIN_URL");
  cr_assert_not_null(admin);
  ASSERT_STATUS(HTTP(.path = "/.well-known/jwks.json"), 200);
  struct http_reply metrics = HTTP(.path = "/metrics", .base_url = admin);
  ASSERT_STATUS(metrics, 200);
  const char *line =
      strstr(metrics.body, "bulkhead_http_requests_total{method=\"auth.v1.AuthService/GetJwks\",code=\"200\"}");
  cr_assert_not_null(line, "%s", metrics.body);
  cr_assert_gt(strtod(strchr(line, '}') + 1, NULL), 0);
  // The admin pages must not be reachable at the public port.
  ASSERT_STATUS(HTTP(.path = "/metrics"), 404);
}

// Finds the line of a request in the gateway's access log; NULL while it is not there.
static const char *access_line(const char *request_id)
{
  FILE *log = fopen(text("%s/log/access.log", getenv("BULKHEAD_RUN_DIR")), "r");
  cr_assert_not_null(log);
  static char line[65536];
  const char *found = NULL;
  while (found == NULL && fgets(line, sizeof(line), log) != NULL)
    if (strstr(line, request_id) != NULL)
      found = line;
  fclose(log);
  return found;
}

static bool is_logged(const void *request_id)
{
  return access_line(request_id) != NULL;
}

Test(e2e_07_documents, the_access_log_is_json_whatever_the_path_holds)
{
  char *id = text("bytes-%s", fresh_word());
  // The request is written by hand, because curl escapes such bytes.
  const char *host = strstr(getenv("BULKHEAD_URL"), "//") + 2;
  const char *port = strrchr(host, ':') + 1;
  const char *script =
      text("exec 3<>/dev/tcp/127.0.0.1/%s; printf 'GET /v1/\\377\"\\\\%%%%22?q=not-for-the-log HTTP/1.1\\r\\n"
           "Host: x\\r\\nX-Request-Id: %s\\r\\nConnection: close\\r\\n\\r\\n' >&3; cat <&3",
           port, id);
  cr_assert(strstr(output_of((const char *const[]){"bash", "-c", script, NULL}), " 404 ") != NULL);
  // nginx writes the line up to a second later, because its log is buffered.
  wait_until(is_logged, id, "a line in the access log");
  const char *line = access_line(id);
  cr_assert_str_eq(json_at(line, "path"), "/v1/%FF\"\\%22", "%s", line);
  cr_assert_null(strstr(line, "not-for-the-log"));
  cr_expect_str_eq(json_at(line, "reason"), "NO_SUCH_PATH");
  cr_expect_str_eq(json_at(line, "rpcProtocol"), "rest");
  cr_expect_str_eq(json_at(line, "instance"), "", "no service was called");
  cr_expect_eq(strtod(json_at(line, "serviceSeconds"), NULL), 0);
}

// Returns the line that the access log has of a request, once it is there.
static const char *wait_for_line(const char *id)
{
  wait_until(is_logged, id, "a line in the access log");
  return access_line(id);
}

Test(e2e_07_documents, the_access_log_tells_protocol_instance_and_phases)
{
  struct account ada = account_create();
  const char *item = item_create(&ada, "{\"sku\":\"a\",\"name\":\"Lamp\"}");
  char *rest = text("rest-%s", fresh_word()), *connect = text("connect-%s", fresh_word());
  const char *metric = "bulkhead_http_protocol_requests_total{protocol=\"connect\",code=\"200\"}";
  double before = metric_sum("gateway", metric);
  ASSERT_STATUS(
      HTTP(.path = text("/v1/items/%s", item), .token = ada.token, .headers = {text("X-Request-Id: %s", rest)}), 200);
  ASSERT_STATUS(HTTP(.path = "/item.v1.ItemService/GetItem", .token = ada.token, .body = text("{\"id\":\"%s\"}", item),
                     .headers = {text("X-Request-Id: %s", connect)}),
                200);
  cr_expect_geq(metric_sum("gateway", metric), before + 1);
  const char *line = wait_for_line(rest);
  cr_expect_str_eq(json_at(line, "rpcProtocol"), "rest", "%s", line);
  cr_expect_eq(strncmp(json_at(line, "instance"), "item", 4), 0, "%s", line);
  cr_expect_gt(strtod(json_at(line, "prepareSeconds"), NULL), 0, "%s", line);
  cr_expect_gt(strtod(json_at(line, "serviceSeconds"), NULL), 0, "%s", line);
  cr_expect_gt(strtod(json_at(line, "replySeconds"), NULL), 0, "%s", line);
  cr_expect_str_eq(json_at(line, "messagesSent"), "0", "it is no stream");
  line = wait_for_line(connect);
  cr_expect_str_eq(json_at(line, "rpcProtocol"), "connect", "%s", line);
}

Test(e2e_07_documents, the_access_log_tells_what_streams_have_carried)
{
  struct account ada = account_create();
  char *id = text("stream-%s", fresh_word());
  struct http_reply reply = HTTP(.path = "/v1/items:import", .token = ada.token, .content_type = "application/x-ndjson",
                                 .headers = {text("X-Request-Id: %s", id)},
                                 .body = "{\"sku\":\"a\",\"name\":\"Lamp\"}\n{\"sku\":\"b\",\"name\":\"Lamp\"}\n");
  ASSERT_STATUS(reply, 200);
  const char *line = wait_for_line(id);
  cr_expect_str_eq(json_at(line, "messagesReceived"), "2", "%s", line);
  cr_expect_str_eq(json_at(line, "messagesSent"), "0", "%s", line);
}

Test(e2e_07_documents, the_access_log_names_the_instance_of_a_stream_that_the_client_leaves)
{
  struct account ada = account_create();
  struct raw *watch = WATCH(.account = &ada);
  raw_close(&watch);
  const char *line = wait_for_line(ada.id);
  cr_expect_str_eq(json_at(line, "path"), "/v1/items:watch", "%s", line);
  cr_expect_eq(strncmp(json_at(line, "instance"), "item", 4), 0, "%s", line);
  cr_expect_gt(strtod(json_at(line, "messagesSent"), NULL), 0, "%s", line);
}
