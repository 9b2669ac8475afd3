// Mutual TLS between the services, where the stack was started with it (RPC_TLS=1): new certificates while all runs.
#include <criterion/criterion.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/environment.h"
#include "tests/support/http.h"
#include "tests/support/stack.h"
#include "tests/support/steady_client.h"

static void skip_without_tls(void)
{
  if (access(text("%s/rpc-tls.on", need_variable("BULKHEAD_RUN_DIR")), F_OK) != 0)
    cr_skip_test("the stack runs without RPC_TLS=1");
}

// Makes new certificates from a new authority, and then a new instance, which has only these.
static void rotate_and_restart(void)
{
  const char *const rotate[] = {"deploy/tls/certificates", "--rotate",
                                text("%s/rpc-tls", need_variable("BULKHEAD_RUN_DIR")), NULL};
  output_of(rotate);
  stack("restart", "item-2");
  wait_until_healthy();
}

struct logged {
  const char *process;
  size_t size;  // of its log before
};

static bool has_ended_a_connection(const void *arg)
{
  const struct logged *logged = arg;
  return strstr(log_since(logged->process, logged->size), "is accepted no longer") != NULL;
}

// The second rotation ends the trust in what was there at first, also over connections that are open since then.
Test(e2e_16_certificates, are_rotated_while_all_runs)
{
  skip_without_tls();
  struct account ada = account_create();
  struct steady_client *reader = steady_client_start(&ada, STEADY_READS);
  rotate_and_restart();
  const struct logged auth = {.process = "auth-1", .size = log_size("auth-1")};
  rotate_and_restart();
  wait_until(has_ended_a_connection, &auth, "the end of a connection that the first authority has proven");
  steady_client_await(reader, 1);
  steady_client_end(&reader, 0);
  // The user service calls the auth service to sign somebody up.
  (void)account_create();
}
