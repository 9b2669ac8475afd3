// HTTP requests through a curl multi handle. Only http.c knows curl's options.
#ifndef BULKHEAD_DISCOVERY_HTTP_INTERNAL_H
#define BULKHEAD_DISCOVERY_HTTP_INTERNAL_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/slice.h"
#include "common/base/strbuf.h"

// The largest answer that is accepted.
#define HTTP_MAX_ANSWER_BYTES ((size_t)4 * 1024 * 1024)

struct http_exchange {
  CURL *easy;  // NULL while no request is in flight
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

// Initialises curl once for the process; further calls do nothing.
void http_init(void);
// Sends a request. `owner` becomes the private pointer of curl's handle, by which the caller finds it when curl reports
// the end of the request; then the caller reads the answer and calls http_end.
void http_begin(struct http_exchange *exchange, CURLM *multi, const struct http_request *request, void *owner);
// Returns the status of the answer; 0 when there is none.
long http_status(const struct http_exchange *exchange);
// Returns the number in this header of the answer; 0 when there is no such header or it is not a number.
uint64_t http_header_number(const struct http_exchange *exchange, const char *name);
// Frees everything that the exchange holds, and gives up a request in flight. Does nothing when there is none.
void http_end(struct http_exchange *exchange);

#endif
