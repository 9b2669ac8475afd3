// The one error vocabulary of the suite: the canonical codes of google.rpc.Code. Foreign errors (errno, nng,
// SQLSTATE, curl, hiredis) are translated into it where the library is wrapped, never higher.
#ifndef BULKHEAD_BASE_STATUS_H
#define BULKHEAD_BASE_STATUS_H

#include <stdbool.h>

#include "common/base/compiler.h"

// Lists the canonical codes as X(name, code, HTTP status of a REST answer); google/rpc/code.proto says which is which.
#define STATUS_LIST(X)                                                                                                 \
  X(OK, 0, 200)                                                                                                        \
  X(CANCELLED, 1, 499)                                                                                                 \
  X(UNKNOWN, 2, 500)                                                                                                   \
  X(INVALID_ARGUMENT, 3, 400)                                                                                          \
  X(DEADLINE_EXCEEDED, 4, 504)                                                                                         \
  X(NOT_FOUND, 5, 404)                                                                                                 \
  X(ALREADY_EXISTS, 6, 409)                                                                                            \
  X(PERMISSION_DENIED, 7, 403)                                                                                         \
  X(RESOURCE_EXHAUSTED, 8, 429)                                                                                        \
  X(FAILED_PRECONDITION, 9, 400)                                                                                       \
  X(ABORTED, 10, 409)                                                                                                  \
  X(OUT_OF_RANGE, 11, 400)                                                                                             \
  X(UNIMPLEMENTED, 12, 501)                                                                                            \
  X(INTERNAL, 13, 500)                                                                                                 \
  X(UNAVAILABLE, 14, 503)                                                                                              \
  X(DATA_LOSS, 15, 500)                                                                                                \
  X(UNAUTHENTICATED, 16, 401)

enum status {
#define STATUS_ENUM(name, code, http) STATUS_##name = (code),
  STATUS_LIST(STATUS_ENUM)
#undef STATUS_ENUM
};

// The number of statuses, for tables by status.
enum {
#define STATUS_PLACE(name, code, http) STATUS_PLACE_##name,
  STATUS_LIST(STATUS_PLACE)
#undef STATUS_PLACE
      STATUS_COUNT,
};

// Returns the name, such as "NOT_FOUND"; "UNKNOWN" for a number outside the list, never NULL.
const char *status_name(enum status status);

// Returns the HTTP status that stands for the code.
int status_http(enum status status);

// Converts a code that came over the wire: a number outside the list becomes STATUS_UNKNOWN.
enum status status_from_code(int code);

// A status with its reason in words, for start-up and configuration, where a person reads it.
// Functions take `struct error *` last, fill it only when they fail, and accept no NULL.
struct error {
  enum status status;
  char message[512];
};

// Sets status and message and returns `status`, so that a caller can `return error_set(error, STATUS_X, "...")`. The
// message is cut at the size of the buffer. It must not hold a secret.
enum status error_set(struct error *error, enum status status, const char *format, ...) PRINTF_LIKE(3, 4);

// Puts "context: " in front of the message.
void error_prefix(struct error *error, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
