// Requests use no proxy, because Consul is near and its token must go nowhere else. They follow no redirects, use no
// protocol but HTTP and HTTPS, and accept bounded answers only.
#include "common/discovery/http_internal.h"

#include <pthread.h>
#include <string.h>

#include "common/base/check.h"

#define CONNECT_TIMEOUT_MS 2000L
// A connection on which Consul holds a query back for a minute is probed, so that a host that has vanished is noticed.
#define KEEPALIVE_S 3L

static void init_curl(void)
{
  CHECK(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
}

void http_init(void)
{
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, init_curl);
}

static size_t take_answer(char *data, size_t size, size_t count, void *arg)
{
  struct http_exchange *exchange = arg;
  strbuf_add(&exchange->answer, slice_make(data, size * count));
  // Curl ends the transfer with an error when this function returns another number than it was given.
  return exchange->answer.failed ? 0 : size * count;
}

static void add_header(struct http_exchange *exchange, const char *header)
{
  exchange->headers = curl_slist_append(exchange->headers, header);
  CHECK(exchange->headers != NULL);
}

static void add_headers(struct http_exchange *exchange, const struct http_request *request)
{
  add_header(exchange, "Accept: application/json");
  if (request->token != NULL) {
    struct strbuf header;
    strbuf_init(&header, 0);
    strbuf_add_string(&header, "X-Consul-Token: ");
    strbuf_add_string(&header, request->token);
    add_header(exchange, strbuf_cstring(&header));
    strbuf_free(&header);
  }
  if (request->put) {
    add_header(exchange, "Content-Type: application/json");
    add_header(exchange, "Expect:");
  }
}

static void set_options(struct http_exchange *exchange, const struct http_request *request)
{
  CURL *easy = exchange->easy;
  CHECK(curl_easy_setopt(easy, CURLOPT_URL, request->url) == CURLE_OK);
  CHECK(curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK);
  CHECK(curl_easy_setopt(easy, CURLOPT_NOPROXY, "*") == CURLE_OK);
  curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
  curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, KEEPALIVE_S);
  curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, KEEPALIVE_S);
  curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)request->timeout_ms);
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, exchange->headers);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_answer);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, exchange);
  if (!request->put)
    return;
  // POSTFIELDS with another method name is the simplest PUT that curl has.
  curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, "PUT");
  curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)exchange->request.size);
  curl_easy_setopt(easy, CURLOPT_POSTFIELDS, strbuf_cstring(&exchange->request));
}

void http_begin(struct http_exchange *exchange, CURLM *multi, const struct http_request *request, void *owner)
{
  CHECK(exchange->easy == NULL);
  *exchange = (struct http_exchange){.easy = curl_easy_init(), .multi = multi};
  CHECK(exchange->easy != NULL);
  strbuf_init(&exchange->request, 0);
  strbuf_init(&exchange->answer, HTTP_MAX_ANSWER_BYTES);
  strbuf_add(&exchange->request, request->body);
  add_headers(exchange, request);
  set_options(exchange, request);
  curl_easy_setopt(exchange->easy, CURLOPT_PRIVATE, owner);
  CHECK(curl_multi_add_handle(multi, exchange->easy) == CURLM_OK);
}

long http_status(const struct http_exchange *exchange)
{
  long status = 0;
  curl_easy_getinfo(exchange->easy, CURLINFO_RESPONSE_CODE, &status);
  return status;
}

uint64_t http_header_number(const struct http_exchange *exchange, const char *name)
{
  struct curl_header *header;
  uint64_t number;
  if (curl_easy_header(exchange->easy, name, 0, CURLH_HEADER, -1, &header) != CURLHE_OK ||
      !slice_to_uint64(slice_from_string(header->value), 0, UINT64_MAX, &number))
    return 0;
  return number;
}

void http_end(struct http_exchange *exchange)
{
  if (exchange->easy == NULL)
    return;
  curl_multi_remove_handle(exchange->multi, exchange->easy);
  curl_easy_cleanup(exchange->easy);
  curl_slist_free_all(exchange->headers);
  strbuf_free(&exchange->request);
  strbuf_free(&exchange->answer);
  *exchange = (struct http_exchange){0};
}
