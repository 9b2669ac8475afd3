// A JSON text as the body of a request whose message is any message of a contract.
#ifndef BULKHEAD_TESTS_SUPPORT_CONTRACT_JSON_BODY_H
#define BULKHEAD_TESTS_SUPPORT_CONTRACT_JSON_BODY_H

#include "common/transcode/transcode.h"

static inline struct slice json_body_no_header(void *arg, const char *name)
{
  (void)arg;
  (void)name;
  return (struct slice){0};
}

// Translates the text to wire bytes, as the gateway does for a method with `body: "*"` that takes this message.
static inline enum status json_body_to_wire(const struct contract_message *message, struct slice json,
                                            struct arena *arena, struct strbuf *wire, struct violations *violations)
{
  const struct contract_method method = {.input = message};
  const struct contract_binding binding = {.method = &method, .http_method = "POST", .body = CONTRACT_BODY_ALL};
  const struct contract_route route = {.binding = &binding};
  const struct transcode_request request = {.route = &route, .body = json, .header = json_body_no_header};
  return transcode_request_to_wire(&request, arena, wire, violations);
}

#endif
