// Structured logs. A line is built in one buffer, under a lock, and written by one write(2), so that lines of several
// threads and processes do not mix; log_sink.c writes it. Logging allocates nothing, so it works when memory is
// exhausted.
#include "common/observe/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/codec.h"
#include "common/base/utf8.h"
#include "common/observe/log_sink_internal.h"
#include "common/observe/metrics.h"

enum {
  LINE_SIZE = 16 * 1024,
  TAIL_ROOM = 32,       // kept free for ,"truncated":true} and the end of the line
  MESSAGE_SIZE = 4096,  // so that a long message leaves room for fields
  CONTEXT_SIZE = 256,   // request and trace ids
  NUMBER_SIZE = 24,
  LEVEL_COUNT = LOG_ERROR + 1,
};

static const char *const level_names[LEVEL_COUNT] = {
    [LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARN] = "warn", [LOG_ERROR] = "error"};

static const char *log_service = "bulkhead";
static atomic_int log_threshold = LOG_INFO;
// The report of a crash reads this on any thread. In a library that is loaded at run time, such as the gateway's
// module, thread-local memory is otherwise allocated at a thread's first access, which a signal handler must not do.
// Memory for this model is scarce (glibc keeps about 1.6 KB for all such libraries), so large buffers must not be
// thread-local.
static _Thread_local const struct log_context *thread_context __attribute__((tls_model("initial-exec")));

static pthread_once_t setup_once = PTHREAD_ONCE_INIT;
static struct metric_series *line_counters[LEVEL_COUNT];

static void set_up(void)
{
  log_sink_init();
  for (size_t i = 0; i < LEVEL_COUNT; i++) {
    struct slice label = slice_from_string(level_names[i]);
    line_counters[i] = metrics_series(METRIC_LOG_LINES, &label, 1);
  }
}

void log_init(const char *service, enum log_level level)
{
  log_service = service;
  atomic_store_explicit(&log_threshold, (int)level, memory_order_relaxed);
  pthread_once(&setup_once, set_up);
}

bool log_level_parse(struct slice text, enum log_level *out)
{
  for (int i = 0; i < LEVEL_COUNT; i++)
    if (slice_equal_string(text, level_names[i])) {
      *out = (enum log_level)i;
      return true;
    }
  return false;
}

bool log_enabled(enum log_level level)
{
  return (int)level >= atomic_load_explicit(&log_threshold, memory_order_relaxed);
}

void log_set_context(const struct log_context *context)
{
  thread_context = context;
}

const struct log_context *log_get_context(void)
{
  return thread_context;
}

// ---- the line under construction ----

// The line under construction. Each line_add function adds its piece as a whole or not at all.
struct line {
  char data[LINE_SIZE];
  size_t size;
  bool truncated;
};

// The buffer of all threads: it is too large for a task's stack, and for thread-local memory.
static struct line shared_line;

static bool line_add(struct line *line, const char *bytes, size_t size)
{
  if (line->size + size > LINE_SIZE - TAIL_ROOM)
    return false;
  memcpy(line->data + line->size, bytes, size);
  line->size += size;
  return true;
}

// Writes the JSON escape of one ASCII byte into `out`; returns its length.
static size_t escape_byte(unsigned char byte, char out[6])
{
  static const char shorthands[] = {['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
  if (byte >= 0x20 && byte != '"' && byte != '\\') {
    out[0] = (char)byte;
    return 1;
  }
  out[0] = '\\';
  out[1] = byte >= 0x20 ? (char)byte : 'u';
  if (byte < sizeof shorthands && shorthands[byte] != 0)
    out[1] = shorthands[byte];
  if (out[1] != 'u')
    return 2;
  out[2] = '0';
  out[3] = '0';
  hex_encode(&byte, 1, out + 4);
  return 6;
}

static size_t sequence_size(unsigned char first)
{
  return first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

// Adds `text` with JSON escapes; false when something was left out.
static bool line_add_text(struct line *line, struct slice text)
{
  size_t valid_end = utf8_check(text);
  for (size_t at = 0; at < text.size;) {
    char escaped[6];
    size_t taken = 1;
    bool added;
    if (at == valid_end) {
      added = line_add(line, "\xef\xbf\xbd", 3);
      valid_end = at + 1 + utf8_check(slice_skip(text, at + 1));
    } else if ((unsigned char)text.data[at] < 0x80) {
      size_t size = escape_byte((unsigned char)text.data[at], escaped);
      added = line_add(line, escaped, size);
    } else {
      taken = sequence_size((unsigned char)text.data[at]);
      added = line_add(line, text.data + at, taken);
    }
    if (!added)
      return false;
    at += taken;
  }
  return true;
}

// Adds `,"key":`, without the comma for the first key of the line.
static bool line_add_key(struct line *line, const char *key)
{
  size_t start = line->size;
  const char *lead = line->data[line->size - 1] == '{' ? "\"" : ",\"";
  if (line_add(line, lead, strlen(lead)) && line_add_text(line, slice_from_string(key)) && line_add(line, "\":", 2))
    return true;
  line->size = start;
  return false;
}

// Returns the offset at which the UTF-8 character of the byte at `at` begins.
static size_t character_start(const char *text, size_t at)
{
  for (size_t back = 0; back < 4 && back <= at; back++)
    if (((unsigned char)text[at - back] & 0xc0) != 0x80)
      return at - back;
  return at;
}

// Adds a string. A value that is too long is cut; when there is no room at all, its key is left out, too.
static void line_add_string(struct line *line, const char *key, struct slice value, size_t max_size)
{
  size_t start = line->size;
  bool whole = value.size <= max_size;
  if (!whole)
    value.size = character_start(value.data, max_size);
  if (!line_add_key(line, key) || !line_add(line, "\"", 1)) {
    line->size = start;
    line->truncated = true;
    return;
  }
  whole &= line_add_text(line, value);
  line->data[line->size++] = '"';  // TAIL_ROOM has kept a byte for it
  line->truncated |= !whole;
}

static void line_add_literal(struct line *line, const char *key, const char *text, size_t size)
{
  size_t start = line->size;
  if (line_add_key(line, key) && line_add(line, text, size))
    return;
  line->size = start;
  line->truncated = true;
}

static void line_add_int(struct line *line, const char *key, int64_t value)
{
  char digits[NUMBER_SIZE];
  size_t at = sizeof digits;
  uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
  do
    digits[--at] = (char)('0' + rest % 10);
  while ((rest /= 10) != 0);
  if (value < 0)
    digits[--at] = '-';
  line_add_literal(line, key, digits + at, sizeof digits - at);
}

// Adds the time, always with six digits of the second, so that lines sort as text.
static void line_add_time(struct line *line)
{
  char text[CLOCK_RFC3339_SIZE];
  int64_t now_us = clock_wall_us();
  size_t size = clock_format_rfc3339(now_us / 1000000, 0, text);
  if (size == 0)
    return;
  text[size - 1] = '.';
  int32_t micros = (int32_t)(now_us % 1000000);
  for (size_t i = 6; i-- > 0; micros /= 10)
    text[size + i] = (char)('0' + micros % 10);
  size += 6;
  text[size++] = 'Z';
  line_add_string(line, "time", slice_make(text, size), size);
}

static void line_begin(struct line *line, enum log_level level, const char *subject, const char *message,
                       const struct log_context *context)
{
  line->size = 0;
  line->truncated = false;
  (void)line_add(line, "{", 1);
  line_add_time(line);
  line_add_string(line, "level", slice_from_string(level_names[level]), CONTEXT_SIZE);
  line_add_string(line, "service", slice_from_string(log_service), CONTEXT_SIZE);
  line_add_int(line, "pid", getpid());
  line_add_string(line, "subject", slice_from_string(subject), CONTEXT_SIZE);
  line_add_string(line, "message", slice_from_string(message), MESSAGE_SIZE);
  if (context == NULL)
    return;
  if (context->request_id.size > 0)
    line_add_string(line, "requestId", context->request_id, CONTEXT_SIZE);
  if (context->trace_id.size > 0)
    line_add_string(line, "traceId", context->trace_id, CONTEXT_SIZE);
}

static void line_add_field(struct line *line, const struct log_field *field)
{
  switch (field->type) {
  case LOG_FIELD_STRING:
    line_add_string(line, field->key, field->string, LINE_SIZE);
    break;
  case LOG_FIELD_INT:
    line_add_int(line, field->key, field->integer);
    break;
  case LOG_FIELD_BOOL:
    line_add_literal(line, field->key, field->integer ? "true" : "false", field->integer ? 4 : 5);
    break;
  }
}

static void line_end(struct line *line)
{
  static const char cut_tail[] = ",\"truncated\":true}\n", tail[] = "}\n";
  size_t size = line->truncated ? sizeof cut_tail - 1 : sizeof tail - 1;
  memcpy(line->data + line->size, line->truncated ? cut_tail : tail, size);
  line->size += size;
}

static void count_line(enum log_level level)
{
  metric_add_from_any_thread(line_counters[level], 1);
}

struct slice log_make_gap_line(uint64_t dropped)
{
  // The sink asks for it while it has yet to send a line, which is in the other buffer.
  static struct line line;
  line_begin(&line, LOG_WARN, "log",
             "lines of the log are missing here, because standard error did not take them; see whether what collects "
             "the log keeps up",
             NULL);
  line_add_field(&line, &LOG_INT("dropped", dropped));
  line_end(&line);
  count_line(LOG_WARN);
  return slice_make(line.data, line.size);
}

void log_write(enum log_level level, const char *subject, const char *message, const struct log_field *fields,
               size_t field_count)
{
  int saved_errno = errno;
  pthread_once(&setup_once, set_up);
  log_sink_lock();
  line_begin(&shared_line, level, subject, message, thread_context);
  for (size_t i = 0; i < field_count; i++)
    line_add_field(&shared_line, &fields[i]);
  line_end(&shared_line);
  log_sink_send(slice_make(shared_line.data, shared_line.size));
  log_sink_unlock();
  count_line(level);
  errno = saved_errno;
}

void log_flush(uint32_t timeout_ms)
{
  log_sink_flush(timeout_ms);
}

void log_flush_at_crash(void)
{
  log_sink_flush_at_crash();
}
