// Writes problem documents. Path and details come from outside and are made safe for JSON here.
#include "gateway/problem.h"

#include "common/base/compiler.h"
#include "common/base/jsontext_writer.h"
#include "common/base/utf8.h"

#define INSTANCE_MAX_BYTES 1024

struct http_error {
  int status;
  enum status code;
  const char *reason;  // where nothing more exact is known
  const char *title;
  const char *detail;
};

static const struct http_error http_errors[] = {
    {400, STATUS_INVALID_ARGUMENT, "BAD_REQUEST", "Bad Request",
     "the request is not well-formed HTTP; look for a malformed request line, header or chunk, and for headers that "
     "come twice"},
    {401, STATUS_UNAUTHENTICATED, "UNAUTHENTICATED", "Unauthorized",
     "an access token is required, as Authorization: Bearer"},
    {403, STATUS_PERMISSION_DENIED, "FORBIDDEN", "Forbidden", "the caller may not do this"},
    {404, STATUS_NOT_FOUND, "NOT_FOUND", "Not Found", "there is nothing at this path"},
    {405, STATUS_UNIMPLEMENTED, "METHOD_NOT_ALLOWED", "Method Not Allowed", "the HTTP method is not allowed here"},
    {406, STATUS_INVALID_ARGUMENT, "NOT_ACCEPTABLE", "Not Acceptable",
     "the reply comes in no form that the request accepts"},
    {408, STATUS_DEADLINE_EXCEEDED, "REQUEST_TIMEOUT", "Request Timeout", "the request did not arrive in time"},
    {409, STATUS_ABORTED, "CONFLICT", "Conflict", "the request conflicts with the present state"},
    {411, STATUS_INVALID_ARGUMENT, "LENGTH_REQUIRED", "Length Required", "the request needs a Content-Length"},
    {412, STATUS_FAILED_PRECONDITION, "PRECONDITION_FAILED", "Precondition Failed",
     "a precondition of the request does not hold"},
    {413, STATUS_INVALID_ARGUMENT, "BODY_TOO_LARGE", "Content Too Large",
     "the body of the request is larger than the server accepts"},
    {414, STATUS_INVALID_ARGUMENT, "URI_TOO_LONG", "URI Too Long",
     "the request line is longer than the server accepts"},
    {415, STATUS_INVALID_ARGUMENT, "UNSUPPORTED_MEDIA_TYPE", "Unsupported Media Type",
     "the body must be application/json"},
    {416, STATUS_OUT_OF_RANGE, "RANGE_NOT_SATISFIABLE", "Range Not Satisfiable", "the file has no such range of bytes"},
    {421, STATUS_FAILED_PRECONDITION, "MISDIRECTED_REQUEST", "Misdirected Request",
     "this server does not answer for that host"},
    {422, STATUS_FAILED_PRECONDITION, "UNPROCESSABLE_CONTENT", "Unprocessable Content",
     "the request contradicts one that came before"},
    {429, STATUS_RESOURCE_EXHAUSTED, "TOO_MANY_REQUESTS", "Too Many Requests", "too many requests; try again later"},
    {431, STATUS_INVALID_ARGUMENT, "HEADERS_TOO_LARGE", "Request Header Fields Too Large",
     "the headers are larger than the server accepts"},
    {499, STATUS_CANCELLED, "CLIENT_CLOSED_REQUEST", "Client Closed Request", "the client went away"},
    {500, STATUS_INTERNAL, "INTERNAL", "Internal Server Error", "an internal error occurred"},
    {501, STATUS_UNIMPLEMENTED, "NOT_IMPLEMENTED", "Not Implemented",
     "this is not implemented; of transfer codings there is chunked alone"},
    {502, STATUS_UNAVAILABLE, "BAD_GATEWAY", "Bad Gateway", "the service gave no valid answer; try again later"},
    {503, STATUS_UNAVAILABLE, "NOT_APPLIED", "Service Unavailable",
     "the service cannot be reached right now; try again later"},
    {504, STATUS_DEADLINE_EXCEEDED, "OUTCOME_UNKNOWN", "Gateway Timeout", "the service did not answer in time"},
    {505, STATUS_UNIMPLEMENTED, "HTTP_VERSION_NOT_SUPPORTED", "HTTP Version Not Supported",
     "the HTTP version is not supported"},
    {507, STATUS_RESOURCE_EXHAUSTED, "INSUFFICIENT_STORAGE", "Insufficient Storage",
     "the server has no room for the request; try again later"},
};

static const struct http_error *find_http_error(int http_status)
{
  for (size_t i = 0; i < ARRAY_LEN(http_errors); i++)
    if (http_errors[i].status == http_status)
      return &http_errors[i];
  return NULL;
}

const char *problem_title(int http_status)
{
  const struct http_error *error = find_http_error(http_status);
  return error == NULL ? "Error" : error->title;
}

const char *problem_reason(int http_status)
{
  const struct http_error *error = find_http_error(http_status);
  return error == NULL ? NULL : error->reason;
}

enum status problem_code(int http_status)
{
  const struct http_error *error = find_http_error(http_status);
  if (error != NULL)
    return error->code;
  return http_status >= 500 ? STATUS_INTERNAL : STATUS_INVALID_ARGUMENT;
}

// Returns a sentence about an HTTP status for the caller.
static const char *describe_http_status(int http_status)
{
  const struct http_error *error = find_http_error(http_status);
  return error == NULL ? "the request could not be answered" : error->detail;
}

// Writes the type: "ITEM_NOT_FOUND" becomes urn:bulkhead:problem:item-not-found, a stable name that leads nowhere.
static void write_type(struct jsontext_writer *json, struct slice reason)
{
  jsontext_key(json, SLICE("type"));
  if (reason.size == 0 || reason.size > 64) {
    jsontext_string(json, SLICE("about:blank"));
    return;
  }
  char type[sizeof("urn:bulkhead:problem:") + 64];
  size_t length = sizeof("urn:bulkhead:problem:") - 1;
  memcpy(type, "urn:bulkhead:problem:", length);
  for (size_t i = 0; i < reason.size; i++) {
    char c = reason.data[i];
    if (c >= 'A' && c <= 'Z')
      c = (char)(c - 'A' + 'a');
    bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    type[length++] = plain ? c : '-';
  }
  jsontext_string(json, slice_make(type, length));
}

// Writes the path as a URI reference in ASCII; bytes that may not stand in one are escaped.
static void write_instance(struct jsontext_writer *json, struct slice path)
{
  static const char digits[] = "0123456789ABCDEF";
  const struct slice not_in_uri = SLICE("\"<>\\^`{|}");
  char text[INSTANCE_MAX_BYTES + 3];
  size_t length = 0;
  for (size_t i = 0; i < path.size && length < INSTANCE_MAX_BYTES; i++) {
    unsigned char c = (unsigned char)path.data[i];
    if (c > ' ' && c < 0x7f && slice_find(not_in_uri, (char)c, 0) == not_in_uri.size) {
      text[length++] = (char)c;
      continue;
    }
    text[length++] = '%';
    text[length++] = digits[c >> 4];
    text[length++] = digits[c & 15];
  }
  jsontext_key_string(json, "instance", slice_make(text, length));
}

static void write_violations(struct jsontext_writer *json, const struct problem *problem)
{
  jsontext_key(json, SLICE("violations"));
  jsontext_begin_array(json);
  for (size_t i = 0; i < problem->violation_count; i++) {
    const struct violation *violation = &problem->violations[i];
    jsontext_begin_object(json);
    jsontext_key_string(json, "field", utf8_valid(violation->field) ? violation->field : SLICE(""));
    jsontext_key_string(json, "description",
                        utf8_valid(violation->description) ? violation->description : SLICE("is not valid"));
    jsontext_end_object(json);
  }
  jsontext_end_array(json);
}

struct slice problem_sentence(const struct problem *problem)
{
  bool readable = problem->detail.size > 0 && utf8_valid(problem->detail);
  return readable ? problem->detail : slice_from_string(describe_http_status(problem->http_status));
}

void problem_write(const struct problem *problem, struct strbuf *out)
{
  struct jsontext_writer json;
  jsontext_writer_init(&json, out);
  jsontext_begin_object(&json);
  write_type(&json, problem->reason);
  jsontext_key_string(&json, "title", slice_from_string(problem_title(problem->http_status)));
  jsontext_key_int(&json, "status", problem->http_status);
  jsontext_key_string(&json, "detail", problem_sentence(problem));
  if (problem->path.size > 0)
    write_instance(&json, problem->path);
  jsontext_key_string(&json, "code", slice_from_string(status_name(problem->code)));
  if (problem->reason.size > 0 && utf8_valid(problem->reason))
    jsontext_key_string(&json, "reason", problem->reason);
  jsontext_key_string(&json, "requestId", problem->request_id);
  if (problem->violation_count > 0)
    write_violations(&json, problem);
  jsontext_end_object(&json);
}
