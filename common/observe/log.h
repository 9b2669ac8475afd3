// Structured logs: one JSON object per line on standard error. A line has a time, a level, a subject (which part
// speaks), a message, the ids of the request at hand, and fields.
//
//   log_warn("consul", "registration failed, will try again", LOG_STRING("reason", text), LOG_INT("retryMs", 500));
//
// {"time":"2026-01-02T03:04:05.678901Z","level":"warn","service":"item","pid":42,"subject":"consul",
//  "message":"registration failed, will try again","requestId":"…","traceId":"…","reason":"…","retryMs":500}
//
// Secrets must never be logged. One line is one write(2) of at most 16 KiB; what does not fit is cut value by value, so
// that the line stays valid JSON, and the line ends with "truncated":true. Bytes that are not UTF-8 become U+FFFD. Any
// thread may log; lines are counted by level in the metric LOG_LINES.
//
// Logging never waits for whoever reads standard error. What a full pipe does not take is kept, at least 256 KiB of it,
// and written as soon as there is room, also at exit, for a second. Lines beyond that are dropped, counted in the
// metric LOG_DROPPED, and a line at their place says how many they were.
#ifndef BULKHEAD_OBSERVE_LOG_H
#define BULKHEAD_OBSERVE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/slice.h"
#include "common/base/status.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

enum log_field_type { LOG_FIELD_STRING, LOG_FIELD_INT, LOG_FIELD_BOOL };

struct log_field {
  const char *key;  // in lowerCamel
  enum log_field_type type;
  struct slice string;
  int64_t integer;
};

#define LOG_SLICE(k, v) ((struct log_field){.key = (k), .type = LOG_FIELD_STRING, .string = (v)})
#define LOG_STRING(k, v) LOG_SLICE(k, slice_from_string(v))
#define LOG_INT(k, v) ((struct log_field){.key = (k), .type = LOG_FIELD_INT, .integer = (int64_t)(v)})
#define LOG_BOOL(k, v) ((struct log_field){.key = (k), .type = LOG_FIELD_BOOL, .integer = (v)})
#define LOG_STATUS(v) LOG_STRING("status", status_name(v))

// What the current thread works on. Lines carry requestId and traceId; the method is for lists of tasks and for the
// report of a crash. Tasks set and restore it at each switch.
struct log_context {
  struct slice request_id;
  struct slice trace_id;
  struct slice method;  // "item.v1.ItemService/GetItem", or what a task without a request does: "background"
};

// Sets the service's name, which is kept by pointer, and the level. Call it once, before other threads start; until
// then the name is "bulkhead" and the level LOG_INFO. It also makes the series of LOG_LINES, so that they can be shared
// between processes (metrics_attach).
void log_init(const char *service, enum log_level level);
// Reads "debug", "info", "warn" or "error"; false for anything else.
bool log_level_parse(struct slice text, enum log_level *out);
bool log_enabled(enum log_level level);
// Sets what the current thread works on, NULL for nothing. The context is kept by pointer.
void log_set_context(const struct log_context *context);
const struct log_context *log_get_context(void);

void log_write(enum log_level level, const char *subject, const char *message, const struct log_field *fields,
               size_t field_count);

// Writes what is kept for a full pipe, for `timeout_ms` at most. exit() does so by itself; _exit() does not.
void log_flush(uint32_t timeout_ms);
// The same from a signal handler that ends the process. It may wait for the reader, so the caller bounds it.
void log_flush_at_crash(void);

// The fields form a compound literal, whose first element is empty so that a line may have no fields.
// `level` is evaluated twice, so it must have no side effect.
#define LOG_AT(level, subject, message, ...)                                                                           \
  (log_enabled(level)                                                                                                  \
       ? log_write(level, subject, message, (const struct log_field[]){{.key = NULL}, ##__VA_ARGS__} + 1,              \
                   sizeof((const struct log_field[]){{.key = NULL}, ##__VA_ARGS__}) / sizeof(struct log_field) - 1)    \
       : (void)0)
#define log_debug(subject, message, ...) LOG_AT(LOG_DEBUG, subject, message, ##__VA_ARGS__)
#define log_info(subject, message, ...) LOG_AT(LOG_INFO, subject, message, ##__VA_ARGS__)
#define log_warn(subject, message, ...) LOG_AT(LOG_WARN, subject, message, ##__VA_ARGS__)
#define log_error(subject, message, ...) LOG_AT(LOG_ERROR, subject, message, ##__VA_ARGS__)

#endif
