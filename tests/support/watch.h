// A client that watches items over HTTP/1.1, and sees the bytes as they come.
#ifndef BULKHEAD_TESTS_SUPPORT_WATCH_H
#define BULKHEAD_TESTS_SUPPORT_WATCH_H

#include "tests/support/http.h"
#include "tests/support/raw.h"

struct watch_request {
  const struct account *account;
  const char *url;            // of the gateway; NULL: BULKHEAD_URL
  const char *accept;         // NULL: text/event-stream
  const char *last_event_id;  // NULL: none
  const char *query;          // such as "tag=x"; NULL: none
};

// Begins to watch; raw_read_until says what comes.
struct raw *watch_begin(const struct watch_request *request);
// Begins, and waits until the watch is there: all changes from now on are told.
struct raw *watch_open(const struct watch_request *request);
#define WATCH(...) watch_open(&(struct watch_request){__VA_ARGS__})
// Returns the id of the last event of what has come.
const char *watch_last_id(const char *seen);

#endif
