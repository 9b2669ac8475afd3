// Names and HTTP statuses of the canonical codes, and errors in words.
#include "common/base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
  const char *name;
  int http;
} STATUSES[] = {
#define STATUS_ROW(name, code, http) [code] = {#name, http},
    STATUS_LIST(STATUS_ROW)
#undef STATUS_ROW
};

const char *status_name(enum status status)
{
  return STATUSES[status_from_code((int)status)].name;
}

int status_http(enum status status)
{
  return STATUSES[status_from_code((int)status)].http;
}

enum status status_from_code(int code)
{
  return code >= 0 && (size_t)code < ARRAY_LEN(STATUSES) ? (enum status)code : STATUS_UNKNOWN;
}

// Removes a character that vsnprintf cut in half, because half a UTF-8 sequence is not valid in a log line or in JSON.
static void drop_half_character(char *message, size_t size)
{
  size_t at = size;
  while (at > 0 && ((unsigned char)message[at - 1] & 0xC0) == 0x80)
    at--;
  if (at == 0 || (unsigned char)message[at - 1] < 0xC0)
    return;
  unsigned char lead = (unsigned char)message[at - 1];
  size_t wanted = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (size - (at - 1) < wanted)
    message[at - 1] = '\0';
}

enum status error_set(struct error *error, enum status status, const char *format, ...)
{
  va_list args;
  va_start(args, format);
  int length = vsnprintf(error->message, sizeof(error->message), format, args);
  va_end(args);
  if (length < 0)
    error->message[0] = '\0';
  else if ((size_t)length >= sizeof(error->message))
    drop_half_character(error->message, sizeof(error->message) - 1);
  error->status = status;
  return status;
}

void error_prefix(struct error *error, const char *format, ...)
{
  char context[sizeof(error->message)];
  char message[sizeof(error->message)];
  va_list args;
  va_start(args, format);
  int length = vsnprintf(context, sizeof(context), format, args);
  va_end(args);
  if (length < 0)
    return;
  memcpy(message, error->message, sizeof(message));
  error_set(error, error->status, "%s: %s", context, message);
}
