#include "common/base/status.h"

#include <criterion/criterion.h>
#include <string.h>

Test(status, every_code_has_the_number_name_and_http_status_of_google_rpc)
{
  static const struct {
    enum status status;
    int code;
    const char *name;
    int http;
  } ROWS[] = {
      {STATUS_OK, 0, "OK", 200},
      {STATUS_CANCELLED, 1, "CANCELLED", 499},
      {STATUS_UNKNOWN, 2, "UNKNOWN", 500},
      {STATUS_INVALID_ARGUMENT, 3, "INVALID_ARGUMENT", 400},
      {STATUS_DEADLINE_EXCEEDED, 4, "DEADLINE_EXCEEDED", 504},
      {STATUS_NOT_FOUND, 5, "NOT_FOUND", 404},
      {STATUS_ALREADY_EXISTS, 6, "ALREADY_EXISTS", 409},
      {STATUS_PERMISSION_DENIED, 7, "PERMISSION_DENIED", 403},
      {STATUS_RESOURCE_EXHAUSTED, 8, "RESOURCE_EXHAUSTED", 429},
      {STATUS_FAILED_PRECONDITION, 9, "FAILED_PRECONDITION", 400},
      {STATUS_ABORTED, 10, "ABORTED", 409},
      {STATUS_OUT_OF_RANGE, 11, "OUT_OF_RANGE", 400},
      {STATUS_UNIMPLEMENTED, 12, "UNIMPLEMENTED", 501},
      {STATUS_INTERNAL, 13, "INTERNAL", 500},
      {STATUS_UNAVAILABLE, 14, "UNAVAILABLE", 503},
      {STATUS_DATA_LOSS, 15, "DATA_LOSS", 500},
      {STATUS_UNAUTHENTICATED, 16, "UNAUTHENTICATED", 401},
  };
  for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
    cr_assert_eq((int)ROWS[i].status, ROWS[i].code, "%s", ROWS[i].name);
    cr_assert_str_eq(status_name(ROWS[i].status), ROWS[i].name);
    cr_assert_eq(status_http(ROWS[i].status), ROWS[i].http, "%s", ROWS[i].name);
    cr_assert_eq(status_from_code(ROWS[i].code), ROWS[i].status, "%s", ROWS[i].name);
  }
}

Test(status, foreign_codes_are_unknown)
{
  static const int CODES[] = {-1, 17, 1000, -2147483647 - 1, 2147483647};
  for (size_t i = 0; i < ARRAY_LEN(CODES); i++) {
    cr_assert_eq(status_from_code(CODES[i]), STATUS_UNKNOWN, "%d", CODES[i]);
    // What a peer sent may get here as a number outside of the enum.
    int code = CODES[i];
    enum status status;
    memcpy(&status, &code, sizeof(status));
    cr_assert_str_eq(status_name(status), "UNKNOWN");
    cr_assert_eq(status_http(status), 500);
  }
}

Test(status, error_set_formats_and_hands_the_status_back)
{
  struct error error = {0};
  cr_assert_eq(error_set(&error, STATUS_NOT_FOUND, "no %s at %d", "item", 7), STATUS_NOT_FOUND);
  cr_assert_eq(error.status, STATUS_NOT_FOUND);
  cr_assert_str_eq(error.message, "no item at 7");
}

Test(status, error_prefix_puts_the_context_in_front)
{
  struct error error = {0};
  error_set(&error, STATUS_INVALID_ARGUMENT, "not a number");
  error_prefix(&error, "setting %s", "PORT");
  error_prefix(&error, "item");
  cr_assert_str_eq(error.message, "item: setting PORT: not a number");
  cr_assert_eq(error.status, STATUS_INVALID_ARGUMENT);
}

Test(status, long_messages_are_cut_between_characters)
{
  char text[1024];
  for (size_t shift = 0; shift < 4; shift++) {
    // U+1F600 takes four bytes; the cut falls on each of them in turn.
    size_t at = shift;
    memset(text, 'x', sizeof(text));
    while (at + 5 < sizeof(text)) {
      memcpy(text + at, "\xF0\x9F\x98\x80", 4);
      at += 4;
    }
    text[at] = '\0';
    struct error error;
    error_set(&error, STATUS_INTERNAL, "%s", text);
    size_t length = strlen(error.message);
    cr_assert_lt(length, sizeof(error.message));
    cr_assert_gt(length, sizeof(error.message) - 5);
    cr_assert_eq((length - shift) % 4, 0, "shift %zu", shift);
  }
}

Test(status, a_long_prefix_stays_within_the_message)
{
  char text[600];
  memset(text, 'p', sizeof(text) - 1);
  text[sizeof(text) - 1] = '\0';
  struct error error;
  error_set(&error, STATUS_INTERNAL, "cause");
  error_prefix(&error, "%s", text);
  cr_assert_eq(strlen(error.message), sizeof(error.message) - 1);
}
