#include "tests/support/watch.h"

#include <criterion/criterion.h>
#include <string.h>

#include "tests/support/environment.h"

struct raw *watch_begin(const struct watch_request *request)
{
  struct raw *raw = RAW(.url = request->url == NULL ? need_variable("BULKHEAD_URL") : request->url);
  const char *head = text("GET /v1/items:watch%s%s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nAccept: %s\r\n",
                          request->query == NULL ? "" : "?", request->query == NULL ? "" : request->query,
                          request->account->token, request->accept == NULL ? "text/event-stream" : request->accept);
  if (request->last_event_id != NULL)
    head = text("%sLast-Event-ID: %s\r\n", head, request->last_event_id);
  cr_assert(raw_send_text(raw, text("%s\r\n", head)));
  return raw;
}

struct raw *watch_open(const struct watch_request *request)
{
  struct raw *raw = watch_begin(request);
  raw_read_until(raw, "\"ITEM_CHANGE_KIND_NONE\"");
  return raw;
}

const char *watch_last_id(const char *seen)
{
  const char *last = seen;
  for (const char *at = seen; (at = strstr(at, "id: ")) != NULL; at++)
    last = at + 4;
  cr_assert_neq(last, seen, "no event has an id: %s", seen);
  return text("%.*s", (int)strcspn(last, "\n"), last);
}
