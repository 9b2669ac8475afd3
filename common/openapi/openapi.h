// The OpenAPI 3.1 document of everything that has an HTTP route, derived from the contracts: routes, comments, rules,
// examples that keep the rules, and for each method the errors that it can answer with.
#ifndef BULKHEAD_OPENAPI_OPENAPI_H
#define BULKHEAD_OPENAPI_OPENAPI_H

#include "common/base/status.h"
#include "common/base/strbuf.h"
#include "common/contract/contract.h"

// Which operations a problem is documented for.
enum openapi_when {
  OPENAPI_ALWAYS,
  OPENAPI_NEEDS_TOKEN,          // methods that are not public
  OPENAPI_NEEDS_ROLE,           // methods that only callers with a role may call
  OPENAPI_NEEDS_PERMISSION,     // methods that name a permission
  OPENAPI_NEEDS_PERSON,         // methods with a token and without a permission
  OPENAPI_NEEDS_RECENT_LOGIN,   // methods with max_auth_age_s
  OPENAPI_TAKES_BODY,           // methods with a request body
  OPENAPI_SENDS_STREAM,         // methods with a stream of responses
  OPENAPI_NAMES_RESOURCE,       // methods with a path variable that declare no NOT_FOUND of their own
  OPENAPI_TAKES_IF_MATCH,       // methods that read If-Match, or whose reply to GET has an ETag
  OPENAPI_TAKES_IF_NONE_MATCH,  // methods that read If-None-Match, beside those that answer 304
  OPENAPI_TAKES_KEY,            // methods that take an Idempotency-Key
  OPENAPI_KEEPS_NO_REPLY,       // those of them whose reply is not kept for a repeat
  OPENAPI_NOT_DOCUMENTED,       // OpenAPI's "default": every status that is not listed
};

// A problem that the gateway itself answers with, to be documented for every operation that `when` names.
struct openapi_problem {
  enum openapi_when when;
  const char *response;  // the name of its components.responses, such as "Unauthenticated"; several may share one
  const char
      *description;  // description of the shared response; of several problems under one name, the first one's is used
  int http_status;
  enum status code;
  const char *reason;  // the problem's reason; NULL without one
  const char *detail;
  const char *violation_field;  // the field that the example's violation names; NULL for a problem without violations
  const char *violation;
};

struct openapi_options {
  const char *version;
  const struct openapi_problem *problems;
  size_t problem_count;
  // Appends the problem document that a client receives for a request of `path`, so that every example is a real one.
  void (*write_problem)(const struct openapi_problem *problem, struct slice path, struct strbuf *out);
  // Returns the phrase of an HTTP status, such as "Not Found".
  const char *(*status_title)(int http_status);
};

void openapi_write(const struct contract *contract, const struct openapi_options *options, struct strbuf *out);

#endif
