// tls+tcp: who has no certificate of our CA, or one of another name, gets nowhere.
#include <criterion/criterion.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/check.h"
#include "tests/unit/rpc/harness.h"

// Files of the test's own; a certificate that signs itself is its own CA.
struct identity {
  char folder[32];
  char cert[64];
  char cert_and_key[64];
};

static void openssl(char *const *argv)
{
  posix_spawn_file_actions_t quiet;
  posix_spawn_file_actions_init(&quiet);
  posix_spawn_file_actions_addopen(&quiet, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  pid_t pid;
  int status;
  cr_assert_eq(posix_spawnp(&pid, argv[0], &quiet, NULL, argv, environ), 0);
  posix_spawn_file_actions_destroy(&quiet);
  cr_assert_eq(waitpid(pid, &status, 0), pid);
  cr_assert_eq(status, 0, "openssl failed");
}

static void append(const char *to, const char *from)
{
  char bytes[8192];
  FILE *in = fopen(from, "re");
  FILE *out = fopen(to, "ae");
  cr_assert(in != NULL && out != NULL);
  size_t size = fread(bytes, 1, sizeof(bytes), in);
  cr_assert_eq(fwrite(bytes, 1, size, out), size);
  fclose(in);
  cr_assert_eq(fclose(out), 0);
}

static void identity_make(struct identity *identity, const char *name)
{
  char key[64];
  char subject[64];
  snprintf(identity->folder, sizeof(identity->folder), "/tmp/bulkhead-tls.XXXXXX");
  cr_assert_not_null(mkdtemp(identity->folder));
  snprintf(identity->cert, sizeof(identity->cert), "%s/cert", identity->folder);
  snprintf(identity->cert_and_key, sizeof(identity->cert_and_key), "%s/both", identity->folder);
  snprintf(key, sizeof(key), "%s/key", identity->folder);
  snprintf(subject, sizeof(subject), "/CN=%s", name);
  openssl((char *[]){"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                     "-keyout", key, "-out", identity->cert, "-days", "2", "-subj", subject, NULL});
  append(identity->cert_and_key, identity->cert);
  append(identity->cert_and_key, key);
  unlink(key);
}

static void identity_remove(struct identity *identity)
{
  unlink(identity->cert);
  unlink(identity->cert_and_key);
  rmdir(identity->folder);
}

static void start(struct rig *rig, const struct rpc_tls *server, const struct rpc_tls *client)
{
  *rig = (struct rig){0};
  rig->server = rig_listen(rig, "tls+tcp://127.0.0.1:0", &(struct rig_options){.tls = *server});
  rig->client = rpc_client_create(&(struct rpc_client_options){.tls = *client});
  char url[64];
  snprintf(url, sizeof(url), "tls+tcp://localhost:%d", rpc_server_port(rig->server));
  struct rpc_endpoint endpoint = {.id = SLICE("x"), .url = slice_from_string(url)};
  rpc_client_set_endpoints(rig->client, "test", &endpoint, 1);
}

static void expect_call(const struct rpc_tls *server, const struct rpc_tls *client, enum status expected)
{
  struct rig rig;
  start(&rig, server, client);
  struct outcome outcome = {0};
  // One that does not get through waits for an endpoint a second, and then no longer.
  if (expected == STATUS_OK)
    rig_until_ready(&rig, 1);
  rig_call(&rig, SLICE("secret"), &outcome);
  rig_until_done(&rig, &outcome, 1);
  cr_assert_eq(outcome.code, expected, "%s: %s", status_name(outcome.code), outcome.message);
  cr_assert_eq(rig.requests, expected == STATUS_OK ? 1 : 0);
  rig_stop(&rig);
}

Test(tls, both_sides_show_certificates_and_are_let_in)
{
  struct identity us;
  identity_make(&us, "localhost");
  const struct rpc_tls both = {.ca_file = us.cert, .cert_key_file = us.cert_and_key};
  expect_call(&both, &both, STATUS_OK);
  identity_remove(&us);
}

// Many records of TLS, each of which waits for room in nng's buffers.
Test(tls, large_packets_go_both_ways)
{
  enum { CALLS = 4, PAYLOAD = 2 * 1024 * 1024 };
  struct identity us;
  struct rig rig;
  identity_make(&us, "localhost");
  const struct rpc_tls both = {.ca_file = us.cert, .cert_key_file = us.cert_and_key};
  start(&rig, &both, &both);
  rig_until_ready(&rig, 1);
  static struct outcome outcomes[CALLS];
  char *bytes = malloc(PAYLOAD);
  memset(bytes, 'x', PAYLOAD);
  for (size_t i = 0; i < CALLS; i++)
    rig_call(&rig, slice_make(bytes, PAYLOAD - i), &outcomes[i]);
  rig_until_done(&rig, outcomes, CALLS);
  for (size_t i = 0; i < CALLS; i++) {
    cr_assert_eq(outcomes[i].code, STATUS_OK);
    cr_assert_eq(outcomes[i].payload_size, PAYLOAD - i);
    cr_assert_arr_eq(outcomes[i].payload, bytes, sizeof(outcomes[i].payload));
  }
  free(bytes);
  rig_stop(&rig);
  identity_remove(&us);
}

Test(tls, a_client_without_a_certificate_is_refused)
{
  struct identity us;
  identity_make(&us, "localhost");
  const struct rpc_tls server = {.ca_file = us.cert, .cert_key_file = us.cert_and_key};
  const struct rpc_tls client = {.ca_file = us.cert};
  expect_call(&server, &client, STATUS_UNAVAILABLE);
  identity_remove(&us);
}

Test(tls, a_client_with_somebody_elses_certificate_is_refused)
{
  struct identity us, stranger;
  identity_make(&us, "localhost");
  identity_make(&stranger, "localhost");
  const struct rpc_tls server = {.ca_file = us.cert, .cert_key_file = us.cert_and_key};
  const struct rpc_tls client = {.ca_file = us.cert, .cert_key_file = stranger.cert_and_key};
  expect_call(&server, &client, STATUS_UNAVAILABLE);
  identity_remove(&us);
  identity_remove(&stranger);
}

Test(tls, a_server_of_another_name_is_not_talked_to)
{
  struct identity us;
  identity_make(&us, "elsewhere.test");
  const struct rpc_tls both = {.ca_file = us.cert, .cert_key_file = us.cert_and_key};
  expect_call(&both, &both, STATUS_UNAVAILABLE);
  identity_remove(&us);
}
