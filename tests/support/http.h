// A small HTTP client for the tests that speak to a running stack: libcurl, one exchange a call, JSON answers read by
// path.
//
// Everything returned lives until the test process ends; criterion gives each test a process of its own.
#ifndef BULKHEAD_TESTS_SUPPORT_HTTP_H
#define BULKHEAD_TESTS_SUPPORT_HTTP_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/compiler.h"

struct http_reply {
  int status;           // 0 when no HTTP answer came
  const char *headers;  // as received
  const char *body;     // terminated
  size_t body_size;
  double seconds;
  long http_version;  // CURL_HTTP_VERSION_… that was spoken
};

struct http_request {
  const char *method;  // NULL: GET, or POST with a body
  const char *path;    // "/v1/items"
  const char *token;   // sent as Bearer token; NULL sends none
  const char *body;    // sent as application/json unless content_type says otherwise; NULL sends no body
  size_t body_size;    // 0: strlen(body)
  const char *content_type;
  const char *headers[6];  // further headers, "Name: value", up to the first NULL
  const char *from;        // the address that the request comes from, such as "127.0.0.9"; NULL: the system's choice
  const char *base_url;    // NULL: BULKHEAD_URL
  long timeout_ms;         // 0: 30,000
  const char *target;      // what is asked for in place of the path, such as "*"; NULL: the path
  long http_version;       // CURL_HTTP_VERSION_…; 0: HTTP/2 over TLS where the server offers it, else HTTP/1.1
};

// Sends a request and waits for the answer. Asserts that one comes, unless timeout_ms is set. Over TLS the authority in
// the file BULKHEAD_CA is trusted.
struct http_reply http_send(const struct http_request *request);
#define HTTP(...) http_send(&(struct http_request){__VA_ARGS__})

// Returns the value of a header; NULL where the reply has no such header.
const char *http_header(const struct http_reply *reply, const char *name);

// Returns the value at a path such as "items[0].attributes.colour" as text (a string without its quotes, anything else
// as written); NULL where there is none. Fails the test when the body is not JSON.
const char *http_json(const struct http_reply *reply, const char *path);
const char *json_at(const char *json, const char *path);
// Counts the items of the array at `path`; -1 where there is no array.
int http_json_count(const struct http_reply *reply, const char *path);

// Formats a text as printf does, into memory that lives as long as the process.
char *text(const char *format, ...) PRINTF_LIKE(1, 2);

// Asserts a status, showing the body when it is another.
#define ASSERT_STATUS(reply, expected)                                                                                 \
  cr_assert_eq((reply).status, (expected), "status %d instead of %d: %s", (reply).status, (expected), (reply).body)
// Asserts a problem document (RFC 9457) with this status and canonical code.
#define ASSERT_PROBLEM(reply, expected_status, expected_code)                                                          \
  do {                                                                                                                 \
    struct http_reply asserted = (reply);                                                                              \
    ASSERT_STATUS(asserted, expected_status);                                                                          \
    assert_problem(&asserted, expected_code);                                                                          \
  } while (0)
void assert_problem(const struct http_reply *reply, const char *code);
// Asserts that one of the problem's violations names `field`.
void assert_violation(const struct http_reply *reply, const char *field);

// ---- an account of the test's own ----

struct account {
  const char *id;
  const char *email;
  const char *password;
  const char *token;
  const char *refresh_token;
};
// Signs up under a fresh address and logs in.
struct account account_create(void);
// Makes an address that no other test uses. Accounts here have the password "correct horse battery".
const char *fresh_email(void);
struct http_reply account_sign_up(const char *email, const char *password);
struct http_reply account_login(const char *email, const char *password);
// Makes a word that occurs in no other test, for skus, tags and texts.
const char *fresh_word(void);
// Returns an address of this machine that no other test uses, for HTTP(.from); limits remember addresses.
const char *fresh_address(void);
// Creates an item by POST /v1/items, asserts 201, and returns its id.
const char *item_create(const struct account *owner, const char *json);

#endif
