// One more gateway beside that of the stack, for tests that need other settings or a gateway that nobody else uses. It
// takes its settings from the environment, as deploy/local/stack says.
#ifndef BULKHEAD_TESTS_SUPPORT_GATEWAY_H
#define BULKHEAD_TESTS_SUPPORT_GATEWAY_H

struct gateway_place {
  const char *name;
  const char *plain_url;
  const char *admin_url;
  const char *https_url;  // with TLS=1
  const char *grpc_url;   // HTTP/2 without TLS; not with TLS=1
};

// Starts the gateway of that name, "gateway-2" to "gateway-99", and waits until it is ready. Tests that run at the same
// time need different names.
struct gateway_place gateway_start(const char *name);
// Starts it with TLS=1, and makes it the one that http_send speaks to.
struct gateway_place gateway_start_https(const char *name);
void gateway_stop(const struct gateway_place *place);

#endif
