// A client of the public API: the requests of one connection, and the session that they belong to.
#ifndef BULKHEAD_DEPLOY_DEMO_API_H
#define BULKHEAD_DEPLOY_DEMO_API_H

#include <curl/curl.h>
#include <stdbool.h>

#include "common/base/slice.h"
#include "common/base/strbuf.h"

// Makes one request and reads its answer; the handle keeps its connection for the next request.
struct exchange {
  CURL *curl;
  struct curl_slist *headers;
  struct strbuf request;  // the body to send
  struct strbuf reply;    // the body that came
  long status;            // 0: no answer
  double seconds;
  long retry_after;  // seconds, 0 where nothing was said
};

struct session {
  const char *url;  // the gateway's
  const char *email;
  const char *password;
  struct strbuf access_token;
  struct strbuf refresh_token;
  struct strbuf user_id;
  double renew_at;  // curl's clock is not asked: seconds of CLOCK_MONOTONIC
};

void exchange_init(struct exchange *exchange);
void exchange_free(struct exchange *exchange);
// Sets everything for `path`; a body is sent where exchange->request holds one. The session's token goes along.
void exchange_prepare(struct exchange *exchange, const struct session *session, const char *path);
// After curl has ended it.
void exchange_finish(struct exchange *exchange, CURLcode code);
// Prepare, perform, finish; tries again for as long as the answer is 429 or 503, after the time that it asks for.
void exchange_run(struct exchange *exchange, const struct session *session, const char *path);

// Says that the gateway has asked to wait, and why; at most once in ten seconds.
void exchange_tell_wait(const struct exchange *exchange);

// Signs up if need be, logs in. False, having said why, when that fails.
bool session_open(struct session *session);
// New tokens where the old ones end soon.
bool session_keep_fresh(struct session *session);

// The text of a member of the reply's JSON object; the empty slice where there is none. `out` is cleared first.
void json_member(struct slice json, const char *key, struct strbuf *out);

double now_seconds(void);

#endif
