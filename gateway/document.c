#include "gateway/document.h"

#include "common/base/compiler.h"
#include "common/openapi/openapi.h"
#include "common/rpc/rpc.h"
#include "gateway/problem.h"

#define EXAMPLE_REQUEST_ID "01936b5e-7c1a-7d3e-9f00-4a7c9e21d0b8"

// The problems that the steps of an exchange (exchange_steps.c, exchange_rights.c, exchange_reply.c) and nginx answer
// with. A unit test provokes each of them and compares the reply with this table.
static const struct openapi_problem PROBLEMS[] = {
    {.when = OPENAPI_ALWAYS,
     .response = "InvalidRequest",
     .description = "The request breaks a rule of the contract; `violations` names each place.",
     .http_status = 400,
     .code = STATUS_INVALID_ARGUMENT,
     .reason = "INVALID_REQUEST",
     .detail = "the request is not valid",
     .violation_field = "colour",
     .violation = "is not a parameter that is known here"},
    {.when = OPENAPI_NEEDS_TOKEN,
     .response = "Unauthenticated",
     .description = "There is no access token, or it is not valid any more.",
     .http_status = 401,
     .code = STATUS_UNAUTHENTICATED,
     .reason = "TOKEN_MISSING"},
    {.when = OPENAPI_NEEDS_TOKEN,
     .response = "Unauthenticated",
     .http_status = 401,
     .code = STATUS_UNAUTHENTICATED,
     .reason = "TOKEN_EXPIRED",
     .detail = "the access token has expired"},
    {.when = OPENAPI_NEEDS_TOKEN,
     .response = "Unauthenticated",
     .http_status = 401,
     .code = STATUS_UNAUTHENTICATED,
     .reason = "INVALID_TOKEN",
     .detail = "the access token is malformed"},
    {.when = OPENAPI_NEEDS_TOKEN,
     .response = "Unauthenticated",
     .http_status = 401,
     .code = STATUS_UNAUTHENTICATED,
     .reason = "TOKEN_REVOKED",
     .detail = "the access token was revoked; refresh it or log in again"},
    {.when = OPENAPI_NEEDS_RECENT_LOGIN,
     .response = "LoginTooOld",
     .description =
         "The user has logged in too long ago. `max_age` of the challenge says how many seconds are allowed.",
     .http_status = 401,
     .code = STATUS_UNAUTHENTICATED,
     .reason = POLICY_LOGIN_TOO_OLD,
     .detail = "this needs a recent login; log in again and repeat the request with the new access token"},
    {.when = OPENAPI_NEEDS_ROLE,
     .response = "RoleRequired",
     .description = "The caller lacks the role that this needs.",
     .http_status = 403,
     .code = STATUS_PERMISSION_DENIED,
     .reason = "ROLE_REQUIRED",
     .detail = "the caller lacks the role that this needs"},
    {.when = OPENAPI_NEEDS_PERMISSION,
     .response = "PermissionRequired",
     .description = "The caller lacks the permission that `x-permission` names.",
     .http_status = 403,
     .code = STATUS_PERMISSION_DENIED,
     .reason = POLICY_PERMISSION_REQUIRED,
     .detail = "this needs the permission items:write, which the caller does not have"},
    {.when = OPENAPI_NEEDS_PERSON,
     .response = "LoginRequired",
     .description = "The access token is that of an API key, and this is for people who have logged in.",
     .http_status = 403,
     .code = STATUS_PERMISSION_DENIED,
     .reason = POLICY_LOGIN_REQUIRED,
     .detail = "this is for people who have logged in; an API key cannot do it"},
    {.when = OPENAPI_NAMES_RESOURCE,
     .response = "NotFound",
     .description = "There is no such resource.",
     .http_status = 404,
     .code = STATUS_NOT_FOUND,
     .reason = "NOT_FOUND"},
    {.when = OPENAPI_KEEPS_NO_REPLY,
     .response = "ReplyNotKept",
     .description =
         "A request with this `Idempotency-Key` has succeeded before. Its reply held secrets and is not kept.",
     .http_status = 409,
     .code = STATUS_ALREADY_EXISTS,
     .reason = "IDEMPOTENCY_REPLY_NOT_KEPT",
     .detail = "the request with this Idempotency-Key has succeeded, and its reply is not kept because it held "
               "secrets; repeat the request with a new key"},
    {.when = OPENAPI_TAKES_IF_MATCH,
     .response = "PreconditionFailed",
     .description = "The resource has changed since the version that `If-Match` names: read it again and repeat the "
                    "change. Or it is in "
                    "a state that `If-None-Match` excludes.",
     .http_status = 412,
     .code = STATUS_ABORTED,
     .reason = "ETAG_MISMATCH",
     .detail = "it has changed since you read it; read it again and repeat the change"},
    {.when = OPENAPI_TAKES_IF_NONE_MATCH,
     .response = "PreconditionFailed",
     .http_status = 412,
     .code = STATUS_ABORTED,
     .reason = "ETAG_EXCLUDED",
     .detail = "it is in a state that If-None-Match excludes"},
    {.when = OPENAPI_SENDS_STREAM,
     .response = "NotAcceptable",
     .description = "The client accepts none of the forms in which the stream leaves.",
     .http_status = 406,
     .code = STATUS_INVALID_ARGUMENT,
     .reason = "NOT_ACCEPTABLE",
     .detail = "the stream leaves as application/x-ndjson, text/event-stream or application/json; accept one of them"},
    {.when = OPENAPI_TAKES_BODY,
     .response = "ContentTooLarge",
     .description = "The body is larger than the description of the request's body allows.",
     .http_status = 413,
     .code = STATUS_INVALID_ARGUMENT,
     .reason = "BODY_TOO_LARGE",
     .detail = "the body may have 524288 bytes at most"},
    {.when = OPENAPI_TAKES_BODY,
     .response = "UnsupportedMediaType",
     .description = "The body is not `application/json` in UTF-8 (or `application/merge-patch+json`, of a PATCH, or "
                    "`application/x-ndjson`, of a stream), or has a content coding.",
     .http_status = 415,
     .code = STATUS_INVALID_ARGUMENT,
     .reason = "UNSUPPORTED_MEDIA_TYPE",
     .detail = "the body must be application/json in UTF-8"},
    {.when = OPENAPI_TAKES_KEY,
     .response = "KeyReused",
     .description = "The `Idempotency-Key` was used with another request before. Use a new key for a new request.",
     .http_status = 422,
     .code = STATUS_FAILED_PRECONDITION,
     .reason = "IDEMPOTENCY_KEY_REUSED",
     .detail = "this Idempotency-Key was used with another request; use a new key for a new request"},
    {.when = OPENAPI_ALWAYS,
     .response = "TooManyRequests",
     .description = "The client has too many requests at once, or exceeds a rate limit, or more requests come than can "
                    "be answered in good time (`OVERLOADED`): wait as long as `Retry-After` says. Where there are rate "
                    "limits, every answer has `RateLimit-Policy` and `RateLimit`, such as "
                    "`\"read\";q=200;w=2` and `\"read\";r=150;t=1`: at most 200 at once, which come back within 2 "
                    "seconds; 150 are left, and all are back in a second.",
     .http_status = 429,
     .code = STATUS_RESOURCE_EXHAUSTED,
     .reason = "TOO_MANY_REQUESTS"},
    {.when = OPENAPI_ALWAYS,
     .response = "TooManyRequests",
     .http_status = 429,
     .code = STATUS_RESOURCE_EXHAUSTED,
     .reason = "RATE_LIMITED",
     .detail = "too many requests; wait as long as Retry-After says"},
    {.when = OPENAPI_ALWAYS,
     .response = "ServiceUnavailable",
     .description =
         "A part of the system is away; try again after `Retry-After` seconds. `reason` says what has become "
         "of the request. `NOT_APPLIED`: nothing has happened and nothing will, so it can be repeated; a "
         "request that only reads always has this one. `OUTCOME_UNKNOWN`: it may have been carried out, so "
         "read before you repeat it.",
     .http_status = 503,
     .code = STATUS_UNAVAILABLE,
     .reason = RPC_NOT_APPLIED},
    {.when = OPENAPI_ALWAYS,
     .response = "ServiceUnavailable",
     .http_status = 503,
     .code = STATUS_UNAVAILABLE,
     .reason = RPC_OUTCOME_UNKNOWN,
     .detail = "the connection to the service broke"},
    {.when = OPENAPI_ALWAYS,
     .response = "GatewayTimeout",
     .description =
         "Time ran out. `reason` says what has become of the request. `NOT_APPLIED`: nothing has happened and "
         "nothing will, so it can be repeated; a request that only reads always has this one. "
         "`OUTCOME_UNKNOWN`: it may have been carried out, so read before you repeat it.",
     .http_status = 504,
     .code = STATUS_DEADLINE_EXCEEDED,
     .reason = RPC_NOT_APPLIED},
    {.when = OPENAPI_ALWAYS,
     .response = "GatewayTimeout",
     .http_status = 504,
     .code = STATUS_DEADLINE_EXCEEDED,
     .reason = RPC_OUTCOME_UNKNOWN},
    {.when = OPENAPI_NOT_DOCUMENTED,
     .response = "Problem",
     .description = "Any other error.",
     .http_status = 500,
     .code = STATUS_INTERNAL,
     .reason = "INTERNAL"},
};

static void write_problem(const struct openapi_problem *problem, struct slice path, struct strbuf *out)
{
  const struct violation violation = {slice_from_string(problem->violation_field),
                                      slice_from_string(problem->violation)};
  problem_write(&(struct problem){.http_status = problem->http_status,
                                  .code = problem->code,
                                  .reason = slice_from_string(problem->reason),
                                  .detail = slice_from_string(problem->detail),
                                  .path = path,
                                  .request_id = SLICE(EXAMPLE_REQUEST_ID),
                                  .violations = &violation,
                                  .violation_count = problem->violation_field == NULL ? 0 : 1},
                out);
}

void document_write(const struct contract *contract, struct strbuf *out)
{
  static const struct openapi_options OPTIONS = {
      .version = BULKHEAD_VERSION,
      .problems = PROBLEMS,
      .problem_count = ARRAY_LEN(PROBLEMS),
      .write_problem = write_problem,
      .status_title = problem_title,
  };
  openapi_write(contract, &OPTIONS, out);
}
