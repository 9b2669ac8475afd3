// An HTTP server that stands for Consul: it records each request and answers from a script, on a thread of its own.
#ifndef BULKHEAD_TESTS_FAKE_CONSUL_H
#define BULKHEAD_TESTS_FAKE_CONSUL_H

#include <stdbool.h>
#include <stddef.h>

struct fake_consul;

// Added to a status: the connection closes before the end of the body that the answer announces.
enum { FAKE_CUT_OFF = 1 << 16 };

struct fake_answer {
  int status;         // 0: closes the connection without an answer
  const char *index;  // the value of X-Consul-Index; NULL: no such header
  const char *body;   // NULL: empty
};

// Runs on the fake's thread for each request; `request` is its first line, "GET /v1/... HTTP/1.1". `count` is how many
// requests with this method and path (without the query) have come before.
typedef struct fake_answer fake_script(const char *request, size_t count);

struct fake_consul *fake_consul_start(fake_script *script);
// "http://127.0.0.1:<port>"
const char *fake_consul_url(const struct fake_consul *fake);
// Waits until `count` requests have come whose first line contains `part`, and copies that of the last of them to
// `line` (which may be NULL). Fails the test after a minute.
void fake_consul_wait(struct fake_consul *fake, const char *part, size_t count, char line[256]);
// Copies the headers and body of the last request whose first line contains `part`. False when there was none.
bool fake_consul_last(struct fake_consul *fake, const char *part, char text[4096]);
void fake_consul_stop(struct fake_consul **fake);

#endif
