// Error replies as RFC 9457 problem documents (application/problem+json):
//
// {"type":"urn:bulkhead:problem:item-not-found","title":"Not Found","status":404,"detail":"there is no item …",
//  "instance":"/v1/items/…","code":"NOT_FOUND","reason":"ITEM_NOT_FOUND","requestId":"…",
//  "violations":[{"field":"items[3].sku","description":"must be at most 128 characters"}]}
#ifndef BULKHEAD_GATEWAY_PROBLEM_H
#define BULKHEAD_GATEWAY_PROBLEM_H

#include <stddef.h>

#include "common/base/slice.h"
#include "common/base/status.h"
#include "common/base/strbuf.h"
#include "common/base/violation.h"

#define PROBLEM_CONTENT_TYPE "application/problem+json"

struct problem {
  int http_status;
  enum status code;
  struct slice reason;  // UPPER_SNAKE_CASE; empty makes the type "about:blank"
  struct slice detail;  // sentence for the caller; bytes that are not UTF-8 are replaced
  struct slice path;    // the raw path of the request; cut when long
  struct slice request_id;
  const struct violation *violations;
  size_t violation_count;
};

void problem_write(const struct problem *problem, struct strbuf *out);

// Returns a sentence about the problem for the caller, in UTF-8: its detail, else one about its HTTP status.
struct slice problem_sentence(const struct problem *problem);

// Returns the phrase of an HTTP status (RFC 9110 section 15), "Error" for one that the gateway never answers with.
const char *problem_title(int http_status);
// Returns the reason of a problem with this HTTP status of which nothing more exact is known, such as
// "BODY_TOO_LARGE"; NULL for a status that the gateway never answers with.
const char *problem_reason(int http_status);
// Returns the canonical code of an HTTP status.
enum status problem_code(int http_status);

#endif
