#include "gateway/cors.h"

#include "common/base/compiler.h"

// How long a browser may keep the answer to a preflight, in seconds: what Chromium keeps at most.
#define PREFLIGHT_MAX_AGE SLICE("7200")

// ---- the setting ----

// Takes the next item of a list with commas. False at its end.
static bool take_item(struct slice *rest, struct slice *origin)
{
  if (rest->size == 0)
    return false;
  size_t comma = slice_find(*rest, ',', 0);
  *origin = slice_trim(slice_make(rest->data, comma));
  *rest = slice_skip(*rest, comma + 1);
  return true;
}

static bool ends_with(struct slice text, struct slice end)
{
  return text.size > end.size && slice_equal(slice_skip(text, text.size - end.size), end);
}

// Returns what is wrong with an origin, NULL for one that a browser may send.
static const char *find_origin_problem(struct slice origin)
{
  bool is_https = slice_starts_with(origin, SLICE("https://"));
  if (!is_https && !slice_starts_with(origin, SLICE("http://")))
    return "must begin with https:// or http://";
  struct slice host = slice_skip(origin, is_https ? 8 : 7);
  if (host.size == 0)
    return "has no host";
  for (size_t i = 0; i < host.size; i++) {
    char c = host.data[i];
    bool is_plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || memchr(".-_:[]", c, 6) != NULL;
    if (!is_plain)
      return "must be a scheme, a host in lower case and perhaps a port, without a path";
  }
  if (ends_with(host, is_https ? SLICE(":443") : SLICE(":80")))
    return "names the port that browsers leave out";
  return NULL;
}

enum status cors_check(struct slice origins, struct error *error)
{
  struct slice rest = origins;
  struct slice origin;
  if (slice_equal(origins, SLICE("*")))
    return STATUS_OK;
  while (take_item(&rest, &origin)) {
    const char *problem = find_origin_problem(origin);
    if (problem != NULL)
      return error_set(error, STATUS_INVALID_ARGUMENT,
                       "the origin \"" SLICE_FMT
                       "\" %s; write origins as browsers send them, such as https://app.example.com, separated by "
                       "commas, or \"*\" alone for any",
                       SLICE_ARG(origin), problem);
  }
  return STATUS_OK;
}

bool cors_allows(struct slice origins, struct slice origin)
{
  struct slice rest = origins;
  struct slice allowed;
  if (slice_equal(origins, SLICE("*")))
    return true;
  while (take_item(&rest, &allowed))
    if (slice_equal(allowed, origin))
      return true;
  return false;
}

// ---- names of headers ----

static bool has_name(struct slice list, struct slice name)
{
  struct slice rest = list;
  struct slice other;
  while (take_item(&rest, &other))
    if (slice_equal_ignore_case(other, name))
      return true;
  return false;
}

static void add_name(struct strbuf *out, const char *name)
{
  if (name == NULL || has_name(strbuf_slice(out), slice_from_string(name)))
    return;
  strbuf_add_string(out, out->size == 0 ? "" : ", ");
  strbuf_add_string(out, name);
}

void cors_write_allowed(const struct contract *contract, struct strbuf *out)
{
  static const char *const OWN[] = {"Authorization",
                                    "Content-Type",
                                    "Idempotency-Key",
                                    "If-Match",
                                    "If-None-Match",
                                    "X-Request-Id",
                                    "traceparent",
                                    "tracestate",
                                    "Request-Timeout",
                                    "Grpc-Timeout",
                                    "Connect-Timeout-Ms",
                                    "Grpc-Encoding",
                                    "X-Grpc-Web",
                                    "X-User-Agent",
                                    "Connect-Protocol-Version",
                                    "Connect-Content-Encoding",
                                    "Connect-Accept-Encoding"};
  for (size_t i = 0; i < ARRAY_LEN(OWN); i++)
    add_name(out, OWN[i]);
  for (size_t i = 0; i < contract_message_count(contract); i++) {
    const struct contract_message *message = contract_message(contract, i);
    for (size_t j = 0; j < message->field_count; j++)
      add_name(out, message->fields[j].rules.from_header);
  }
}

void cors_write_exposed(const struct contract *contract, struct strbuf *out)
{
  static const char *const OWN[] = {"ETag",
                                    "Location",
                                    "Retry-After",
                                    "RateLimit",
                                    "RateLimit-Policy",
                                    "X-Request-Id",
                                    "Allow",
                                    "Accept",
                                    "Accept-Encoding",
                                    "Accept-Patch",
                                    "WWW-Authenticate",
                                    "Grpc-Status",
                                    "Grpc-Message",
                                    "Grpc-Status-Details-Bin",
                                    "Grpc-Accept-Encoding",
                                    "Connect-Accept-Encoding"};
  for (size_t i = 0; i < ARRAY_LEN(OWN); i++)
    add_name(out, OWN[i]);
  for (size_t i = 0; i < contract_message_count(contract); i++) {
    const struct contract_message *message = contract_message(contract, i);
    for (size_t j = 0; j < message->field_count; j++)
      add_name(out, message->fields[j].rules.to_header);
  }
}

// ---- replies ----

size_t cors_make_headers(const struct cors_policy *policy, const struct cors_request *request,
                         struct cors_header headers[CORS_MAX_HEADERS])
{
  bool any = slice_equal(policy->origins, SLICE("*"));
  size_t count = 0;
  if (policy->origins.size == 0)
    return 0;
  // A reply that names one origin must not be served to another from a cache.
  if (!any)
    headers[count++] = (struct cors_header){SLICE("Vary"), SLICE("Origin")};
  if (request->origin.size == 0 || !cors_allows(policy->origins, request->origin))
    return count;
  headers[count++] = (struct cors_header){SLICE("Access-Control-Allow-Origin"), any ? SLICE("*") : request->origin};
  if (!request->is_preflight) {
    headers[count++] = (struct cors_header){SLICE("Access-Control-Expose-Headers"), policy->exposed};
    return count;
  }
  headers[count++] = (struct cors_header){SLICE("Access-Control-Allow-Methods"), policy->methods};
  headers[count++] = (struct cors_header){SLICE("Access-Control-Allow-Headers"), policy->allowed};
  headers[count++] = (struct cors_header){SLICE("Access-Control-Max-Age"), PREFLIGHT_MAX_AGE};
  return count;
}
