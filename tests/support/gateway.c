#include "tests/support/gateway.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/environment.h"
#include "tests/support/http.h"
#include "tests/support/stack.h"

// Reads the numbers in $RUN_DIR/NAME.ports: of the plain port, the admin port and, with TLS, that of HTTPS.
static void read_ports(const char *name, const char *ports[4])
{
  char *numbers = (char *)(uintptr_t)output_of(
      (const char *const[]){"cat", text("%s/%s.ports", need_variable("BULKHEAD_RUN_DIR"), name), NULL});
  for (size_t i = 0; i < 4; i++)
    ports[i] = strsep(&numbers, " \n");
  cr_assert_not_null(ports[3], "%s has no ports", name);
}

struct gateway_place gateway_start(const char *name)
{
  stack("start", name);
  const char *ports[4];
  read_ports(name, ports);
  return (struct gateway_place){.name = name,
                                .plain_url = text("http://127.0.0.1:%s", ports[0]),
                                .admin_url = text("http://127.0.0.1:%s", ports[1]),
                                .https_url = text("https://127.0.0.1:%s", ports[2]),
                                .grpc_url = text("http://127.0.0.1:%s", ports[3])};
}

struct gateway_place gateway_start_https(const char *name)
{
  setenv("TLS", "1", 1);
  struct gateway_place place = gateway_start(name);
  setenv("BULKHEAD_URL", place.https_url, 1);
  setenv("BULKHEAD_CA", text("%s/tls/ca.pem", need_variable("BULKHEAD_RUN_DIR")), 1);
  return place;
}

void gateway_stop(const struct gateway_place *place)
{
  stack("stop", place->name);
}
