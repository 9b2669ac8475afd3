// One HTTP request after another on one curl handle, driven by a curl multi handle: the only file that knows curl's
// options.
#ifndef BULKHEAD_DISCOVERY_HTTP_INTERNAL_H
#define BULKHEAD_DISCOVERY_HTTP_INTERNAL_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/slice.h"
#include "common/base/strbuf.h"

// An answer larger than this is an error.
#define HTTP_MAX_ANSWER_BYTES ((size_t)4 * 1024 * 1024)

struct http_exchange {
  CURL *easy;  // NULL while none runs
  CURLM *multi;
  struct curl_slist *headers;
  struct strbuf request;
  struct strbuf answer;
};

struct http_request {
  const char *url;
  const char *token;  // NULL for none
  bool put;
  struct slice body;
  uint32_t timeout_ms;
};

// Once a process; more calls do nothing.
void http_init(void);
// The handle's private pointer is `owner`. The answer is there when curl says so; then read it and end.
void http_begin(struct http_exchange *exchange, CURLM *multi, const struct http_request *request, void *owner);
// The status of the answer; 0 when there is none.
long http_status(const struct http_exchange *exchange);
// The number in this header of the answer; 0 when there is none.
uint64_t http_header_number(const struct http_exchange *exchange, const char *name);
// Frees everything; also in the middle of a request, which is then given up.
void http_end(struct http_exchange *exchange);

#endif
