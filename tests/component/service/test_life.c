// The life of a service process: commands, start, readiness, drain, end.
#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "item/v1/item.pb-c.h"
#include "tests/component/service/probe.h"
#include "tests/component/service/probe_process.h"

#define LIST_ITEMS "item.v1.ItemService/ListItems"

static const struct rpc_context someone = {.request_id = SLICE_INIT("r-1"), .caller_id = SLICE_INIT("caller-1")};

// An address where nobody listens.
#define NO_POSTGRES "PG_CONNINFO=host=/nonexistent"

static void begin(struct driver *driver, char *what, struct outcome *outcome)
{
  Item__V1__ListItemsRequest request = ITEM__V1__LIST_ITEMS_REQUEST__INIT;
  request.q = what;
  driver_begin(driver, LIST_ITEMS, driver_pack(driver, &request.base), &someone, 60000, outcome);
}

// Waits until the call that was begun before is at work: then a later one on the same connection is answered.
static void wait_at_work(struct driver *driver)
{
  struct outcome other;
  begin(driver, "", &other);
  driver_finish(driver, &other);
  cr_assert_eq(other.status, STATUS_OK);
}

Test(life, sigterm_lets_calls_end_before_the_process_does)
{
  struct process probe;
  struct driver driver;
  struct outcome held;
  probe_open(&probe, &driver, NULL);
  begin(&driver, PROBE_HOLD, &held);
  wait_at_work(&driver);
  kill(probe.pid, SIGTERM);
  process_wait_http(&probe, "/readyz", "\"draining\"");
  process_wait_http(&probe, "/readyz", "503 Service Unavailable");

  // New calls are refused before long, by the client that knows of the drain or by the server; none is lost till then.
  struct outcome late;
  uint64_t end_us = patience_end_us();
  do {
    cr_assert_lt(clock_now_us(), end_us, "a draining service goes on taking calls");
    begin(&driver, "", &late);
    driver_finish(&driver, &late);
  } while (late.status == STATUS_OK);
  cr_expect_eq(late.status, STATUS_UNAVAILABLE);
  cr_expect_not(held.done);

  probe_release(&probe);
  driver_finish(&driver, &held);
  cr_expect_eq(held.status, STATUS_OK);
  driver_wait_lost(&driver);
  cr_expect_eq(process_end(&probe), 0);
  driver_close(&driver);
  EXPECT_OUTPUT(probe, "the background task has ended");
  EXPECT_OUTPUT(probe, "\"message\":\"stop was called\"");
  EXPECT_OUTPUT(probe, "\"withState\":true,\"ticking\":0");
  // The longest method of the contract may take 30 s, and a call may have come just before.
  EXPECT_OUTPUT(probe, "\"timeoutMs\":31000");
  process_free(&probe);
}

Test(life, calls_that_outlast_the_drain_are_cancelled)
{
  struct process probe;
  struct driver driver;
  struct outcome waiting;
  probe_open(&probe, &driver, (const char *const[]){"DRAIN_TIMEOUT=50ms", NULL});
  begin(&driver, PROBE_WAIT, &waiting);
  wait_at_work(&driver);
  kill(probe.pid, SIGTERM);
  driver_finish(&driver, &waiting);
  cr_expect_eq(waiting.status, STATUS_CANCELLED);
  driver_wait_lost(&driver);
  cr_expect_eq(process_end(&probe), 0);
  driver_close(&driver);
  EXPECT_OUTPUT(probe, "calls are still at work after the drain timeout");
  process_free(&probe);
}

Test(life, a_second_signal_ends_the_process_at_once)
{
  struct process probe;
  struct driver driver;
  struct outcome held;
  probe_open(&probe, &driver, (const char *const[]){"DRAIN_TIMEOUT=10m", NULL});
  begin(&driver, PROBE_HOLD, &held);
  wait_at_work(&driver);
  kill(probe.pid, SIGTERM);
  process_wait_http(&probe, "/readyz", "\"draining\"");
  kill(probe.pid, SIGINT);
  cr_expect_eq(process_end(&probe), 1);
  driver_finish(&driver, &held);
  cr_expect_eq(held.status, STATUS_UNAVAILABLE);
  driver_close(&driver);
  process_free(&probe);
}

Test(life, without_postgres_it_is_alive_but_not_ready)
{
  struct process probe;
  probe_start(&probe, NULL, (const char *const[]){NO_POSTGRES, NULL});
  process_wait_admin(&probe);
  process_wait_http(&probe, "/healthz", "200 OK");
  process_wait_http(&probe, "/readyz",
                    "{\"status\":\"starting\",\"checks\":{\"postgres\":\"down\",\"redis\":\"off\",\"consul\":\"off\","
                    "\"tokenKeys\":\"up\"}}");
  process_wait_http(&probe, "/readyz", "503 Service Unavailable");
  cr_expect_eq(process_stop(&probe), 0);
  EXPECT_NO_OUTPUT(probe, "stop was called");
  process_free(&probe);
}

Test(life, a_start_that_fails_ends_the_process)
{
  struct process probe;
  probe_start(&probe, NULL, (const char *const[]){"PROBE_GREETING=fail", NULL});
  cr_expect_eq(process_end(&probe), 1);
  EXPECT_OUTPUT(probe, "the greeting is not liked");
  EXPECT_NO_OUTPUT(probe, "stop was called");
  process_free(&probe);
}

Test(life, the_admin_port_serves_its_pages_and_nothing_else)
{
  struct process probe;
  struct strbuf answer;
  strbuf_init(&answer, 0);
  probe_serve(&probe, NULL);
#define EXPECT_ANSWER(request, text)                                                                                   \
  cr_expect_not_null(strstr(process_http(&probe, request, &answer), text), "%s", strbuf_cstring(&answer))
  EXPECT_ANSWER("GET /healthz HTTP/1.0\r\n\r\n", "{\"status\":\"ok\"}");
  EXPECT_ANSWER("GET /readyz HTTP/1.0\r\n\r\n", "{\"status\":\"ready\",\"checks\":{\"postgres\":\"up\",\"redis\":"
                                                "\"off\",\"consul\":\"off\",\"tokenKeys\":\"up\"}}");
  EXPECT_ANSWER("GET /metrics HTTP/1.0\r\n\r\n", "bulkhead_build_info{service=\"probe\"");
  EXPECT_ANSWER("GET /metrics HTTP/1.0\r\n\r\n", "Content-Type: text/plain; version=0.0.4");
  EXPECT_ANSWER("GET /metrics HTTP/1.0\r\n\r\n", "\nbulkhead_malloc_bytes{state=\"in_use\"} ");
  EXPECT_ANSWER("GET /metrics HTTP/1.0\r\n\r\n", "\nprocess_resident_memory_bytes ");
  EXPECT_ANSWER("GET / HTTP/1.0\r\n\r\n", " 404 ");
  EXPECT_ANSWER("POST /readyz HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc", " 405 ");
  EXPECT_ANSWER("POST /readyz HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc", "Allow: GET, HEAD");
  process_http(&probe, "HEAD /readyz HTTP/1.0\r\n\r\n", &answer);
  cr_expect_not_null(strstr(strbuf_cstring(&answer), " 200 "));
  cr_expect_null(strstr(strbuf_cstring(&answer), "ready\""));
  // Two requests travel on one connection.
  process_http(&probe,
               "GET /healthz HTTP/1.1\r\nHost: p\r\n\r\nGET /healthz HTTP/1.1\r\nHost: p\r\nConnection: close\r\n\r\n",
               &answer);
  const char *first = strstr(strbuf_cstring(&answer), "{\"status\":\"ok\"}");
  cr_assert_not_null(first);
  cr_expect_not_null(strstr(first + 1, "{\"status\":\"ok\"}"));
  // An unexpected body, or garbage, ends only the connection that it came on.
  process_http(&probe, "GET /healthz HTTP/1.1\r\nHost: p\r\nContent-Length: 3\r\n\r\nabc", &answer);
  process_http(&probe, "\001\002\003\r\n\r\n", &answer);
  EXPECT_ANSWER("GET /healthz HTTP/1.0\r\n\r\n", "{\"status\":\"ok\"}");
  cr_expect_eq(process_stop(&probe), 0);
  strbuf_free(&answer);
  process_free(&probe);
}

// Tells whether Consul lists the instance; `query` is the path of a list of services.
static bool consul_has(const char *query, const char *id)
{
  const char *url = getenv("BULKHEAD_TEST_CONSUL");
  cr_assert_not_null(url);
  char request[256];
  snprintf(request, sizeof(request), "GET %s HTTP/1.0\r\n\r\n", query);
  struct strbuf answer;
  strbuf_init(&answer, 0);
  bool found = strstr(http_at(strstr(url, "://") + 3, request, &answer), id) != NULL;
  strbuf_free(&answer);
  return found;
}

// The settings with which an instance registers in the tests' Consul under an id of this test's own.
struct registration {
  char consul[128];
  char instance[64];
};

static struct registration make_registration(void)
{
  struct registration settings;
  snprintf(settings.consul, sizeof(settings.consul), "CONSUL_URL=%s", getenv("BULKHEAD_TEST_CONSUL"));
  snprintf(settings.instance, sizeof(settings.instance), "INSTANCE_ID=probe-%d", (int)getpid());
  return settings;
}

Test(life, consul_knows_it_while_it_serves)
{
  struct process probe;
  struct registration settings = make_registration();
  const char *id = strchr(settings.instance, '=') + 1;
  probe_serve(&probe, (const char *const[]){settings.consul, settings.instance, "RPC_LISTEN=tcp://0.0.0.0:0", NULL});
  // The instance is listed as passing once Consul has asked /readyz.
  uint64_t end_us = patience_end_us();
  while (!consul_has("/v1/health/service/probe?passing=1", id)) {
    cr_assert_lt(clock_now_us(), end_us, "Consul does not see it pass");
    poll(NULL, 0, 20);
  }
  process_wait_http(&probe, "/readyz", "\"consul\":\"up\"");
  cr_expect_eq(process_stop(&probe), 0);
  cr_expect_not(consul_has("/v1/agent/services", id));
  process_free(&probe);
}

// Consul must not send callers to an instance that refuses them: a draining instance leaves Consul first, however long
// its calls take to end.
Test(life, a_draining_instance_leaves_consul_before_its_calls_end)
{
  struct process probe;
  struct driver driver;
  struct outcome held;
  struct registration settings = make_registration();
  const char *id = strchr(settings.instance, '=') + 1;
  probe_serve(&probe, (const char *const[]){settings.consul, settings.instance, "DRAIN_TIMEOUT=10m", NULL});
  process_wait_output(&probe, "\"message\":\"registered\"");
  driver_open(&driver, probe.url, "gateway");
  begin(&driver, PROBE_HOLD, &held);
  wait_at_work(&driver);
  kill(probe.pid, SIGTERM);
  uint64_t end_us = patience_end_us();
  while (consul_has("/v1/agent/services", id)) {
    cr_assert_lt(clock_now_us(), end_us, "Consul still has an instance that drains");
    poll(NULL, 0, 20);
  }
  cr_expect_not(held.done);
  process_wait_http(&probe, "/readyz", "\"draining\"");
  probe_release(&probe);
  driver_finish(&driver, &held);
  cr_expect_eq(held.status, STATUS_OK);
  driver_wait_lost(&driver);
  cr_expect_eq(process_end(&probe), 0);
  driver_close(&driver);
  process_free(&probe);
}

// ---- commands ----

static int run(struct process *probe, const char *const *environment, char *first, char *second)
{
  char *arguments[] = {"probe", first, second, NULL};
  probe_start(probe, arguments, environment);
  return process_end(probe);
}

Test(life, wrong_settings_and_wrong_use_exit_with_2)
{
  struct process probe;
  cr_expect_eq(run(&probe, (const char *const[]){"PG_POOL_SIZE=0", NULL}, NULL, NULL), 2);
  EXPECT_OUTPUT(probe, "PG_POOL_SIZE");
  process_free(&probe);
  cr_expect_eq(run(&probe, (const char *const[]){"ADMIN_LISTEN=nowhere", NULL}, NULL, NULL), 2);
  EXPECT_OUTPUT(probe, "ADMIN_LISTEN");
  process_free(&probe);
  cr_expect_eq(run(&probe, NULL, "dance", NULL), 2);
  EXPECT_OUTPUT(probe, "dance");
  process_free(&probe);
  cr_expect_eq(run(&probe, NULL, "migrate", "sideways"), 2);
  EXPECT_OUTPUT(probe, "usage: migrate");
  process_free(&probe);
  cr_expect_eq(run(&probe, NULL, "add", NULL), 2);
  EXPECT_OUTPUT(probe, "usage: probe add <number>");
  process_free(&probe);
}

Test(life, help_needs_no_settings_and_names_them_all)
{
  struct process probe;
  cr_expect_eq(run(&probe, (const char *const[]){"PG_CONNINFO=", NULL}, "--help", NULL), 0);
  EXPECT_OUTPUT(probe, "PG_CONNINFO");
  EXPECT_OUTPUT(probe, "PROBE_GREETING");
  EXPECT_OUTPUT(probe, "add <number>");
  EXPECT_OUTPUT(probe, "migrate up");
  process_free(&probe);
  cr_expect_eq(run(&probe, NULL, "version", NULL), 0);
  EXPECT_OUTPUT(probe, "probe " BULKHEAD_VERSION);
  process_free(&probe);
}

Test(life, check_config_shows_what_holds_but_no_secret)
{
  struct process probe;
  static const char *const environment[] = {"PROBE_SECRET=hush-hush", "PG_CONNINFO=password=hush-hush",
                                            "PROBE_GREETING=good day", NULL};
  cr_expect_eq(run(&probe, environment, "check-config", NULL), 0);
  EXPECT_OUTPUT(probe, "PROBE_GREETING=good day");
  EXPECT_OUTPUT(probe, "PG_POOL_SIZE=8");
  EXPECT_OUTPUT(probe, "PROBE_SECRET=");
  EXPECT_OUTPUT(probe, "DRAIN_TIMEOUT=31s\n");
  EXPECT_NO_OUTPUT(probe, "hush-hush");
  process_free(&probe);
  static const char *const short_drain[] = {"DRAIN_TIMEOUT=250ms", NULL};
  cr_expect_eq(run(&probe, short_drain, "check-config", NULL), 0);
  EXPECT_OUTPUT(probe, "DRAIN_TIMEOUT=250ms\n");
  process_free(&probe);
}

Test(life, check_config_names_all_that_is_wrong_or_misspelt)
{
  struct process probe;
  static const char *const wrong[] = {"PG_POOL_SIZE=0", "LOG_LEVEL=loud", "PG_CONNINFO=", "PROBE_GRETING=hello", NULL};
  cr_expect_eq(run(&probe, wrong, "check-config", NULL), 2);
  EXPECT_OUTPUT(probe, "probe: PG_POOL_SIZE is \"0\", but must be a whole number from 1 to 256\n");
  EXPECT_OUTPUT(probe, "probe: LOG_LEVEL is \"loud\", but must be one of debug,info,warn,error\n");
  EXPECT_OUTPUT(probe, "probe: PG_CONNINFO (or PG_CONNINFO_FILE) must be set: ");
  EXPECT_OUTPUT(probe, "probe: PROBE_GRETING is not a setting and has no effect; PROBE_GREETING may be meant");
  process_free(&probe);
  static const char *const misspelt[] = {"PROBE_GRETING=hello", "PROBE_SECRET_FILES=/x", NULL};
  cr_expect_eq(run(&probe, misspelt, "check-config", NULL), 1);
  EXPECT_OUTPUT(probe, "probe: PROBE_GRETING is not a setting and has no effect; PROBE_GREETING may be meant");
  EXPECT_OUTPUT(probe, "probe: PROBE_SECRET_FILES is not a setting");
  EXPECT_NO_OUTPUT(probe, PROBE_FOLDER " is not");
  process_free(&probe);
}

// check-config and the start refuse the same, with the same words.
static void expect_refused(const char *const *environment, const char *text)
{
  static char *const commands[] = {"check-config", "serve"};
  for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
    struct process probe;
    cr_expect_eq(run(&probe, environment, commands[i], NULL), 2, "%s: %s", commands[i], text);
    EXPECT_OUTPUT(probe, text);
    EXPECT_NO_OUTPUT(probe, "PG_POOL_SIZE=8");
    process_free(&probe);
  }
}

#define EXPECT_REFUSED(text, ...) expect_refused((const char *const[]){__VA_ARGS__, NULL}, text)

Test(life, check_config_refuses_a_connection_without_an_end)
{
  EXPECT_REFUSED("probe: PG_CONNINFO: tcp_user_timeout is \"0\"", "PG_CONNINFO=host=/nonexistent tcp_user_timeout=0");
}

Test(life, check_config_refuses_a_name_without_proof)
{
  EXPECT_REFUSED("probe: nothing proves the names of services", "SERVICE_KEY=", "SERVICE_KEYS=");
  EXPECT_REFUSED("probe: SERVICE_KEY is set and SERVICE_KEYS is not", "SERVICE_KEYS=");
  EXPECT_REFUSED("probe: SERVICE_KEYS: /nonexistent/keys.json: No such file", "SERVICE_KEYS=/nonexistent/keys.json");
  EXPECT_REFUSED("probe: SERVICE_KEY_FILE", "SERVICE_KEY=", "SERVICE_KEY_FILE=/nonexistent/key.pem");
  EXPECT_REFUSED("probe: SERVICE_KEY is not an unencrypted P-256 private key", "SERVICE_KEY=x");
  EXPECT_REFUSED("probe: RPC_TLS_CA, RPC_TLS_CERT_KEY: TLS: /nonexistent/ca.pem", "RPC_TLS_CA=/nonexistent/ca.pem",
                 "RPC_TLS_CERT_KEY=/nonexistent/own.pem");
}

Test(life, check_config_refuses_addresses_that_cannot_be_used)
{
  EXPECT_REFUSED("probe: RPC_LISTEN: tcp://127.0.0.1:0 is without encryption", "RPC_TLS_CA=/nonexistent/ca.pem",
                 "RPC_LISTEN=tcp://127.0.0.1:0");
  EXPECT_REFUSED("probe: RPC_LISTEN: tls+tcp://127.0.0.1:0 needs RPC_TLS_CA", "RPC_LISTEN=tls+tcp://127.0.0.1:0");
  EXPECT_REFUSED("probe: RPC_LISTEN: \"tls+tcp://x\" holds no host:port", "RPC_LISTEN=tls+tcp://x");
  EXPECT_REFUSED("probe: ADMIN_LISTEN: ", "ADMIN_LISTEN=nowhere");
  EXPECT_REFUSED("probe: RPC_ADVERTISE: ", "RPC_LISTEN=tcp://127.0.0.1:0", "RPC_ADVERTISE=0.0.0.0");
}

Test(life, check_config_refuses_servers_and_keys_that_cannot_be_used)
{
  EXPECT_REFUSED("probe: TOKEN_KEYS: /nonexistent/keys.json: No such file", "TOKEN_KEYS=/nonexistent/keys.json");
  EXPECT_REFUSED("probe: RPC_STATIC: ", "RPC_STATIC=auth");
  EXPECT_REFUSED("probe: CONSUL_URL: ", "CONSUL_URL=consul:8500");
  EXPECT_REFUSED("probe: REDIS_URL: ", "REDIS_URL=redis:6379");
  EXPECT_REFUSED("probe: ZONE: \"eu 1\" must be", "ZONE=eu 1");
}

Test(life, own_commands_run_with_postgres)
{
  struct process probe;
  cr_expect_eq(run(&probe, NULL, "add", "41"), 0);
  EXPECT_OUTPUT(probe, "42\n");
  process_free(&probe);
  cr_expect_eq(run(&probe, NULL, "add", "x"), 1);
  EXPECT_OUTPUT(probe, "probe: \"x\" is no number");
  process_free(&probe);
}

// A command that waits for a database that is not there ends when it is told to.
Test(life, own_commands_can_be_interrupted)
{
  struct process probe;
  probe_start(&probe, (char *[]){"probe", "add", "1", NULL}, (const char *const[]){NO_POSTGRES, NULL});
  process_wait_output(&probe, "postgres");
  cr_expect_eq(process_stop(&probe), 1);
  process_free(&probe);
}

Test(life, instances_that_start_together_migrate_once)
{
  enum { INSTANCES = 3 };
  struct process probes[INSTANCES];
  struct process command;
  for (size_t i = 0; i < INSTANCES; i++)
    probe_start(&probes[i], NULL, (const char *const[]){"MIGRATE_ON_START=true", NULL});
  for (size_t i = 0; i < INSTANCES; i++) {
    process_wait_admin(&probes[i]);
    process_wait_http(&probes[i], "/readyz", "200 OK");
  }
  cr_expect_eq(run(&command, NULL, "migrate", "status"), 0);
  EXPECT_OUTPUT(command, "words");
  EXPECT_NO_OUTPUT(command, "pending");
  process_free(&command);
  for (size_t i = 0; i < INSTANCES; i++) {
    cr_expect_eq(process_stop(&probes[i]), 0);
    process_free(&probes[i]);
  }
  cr_expect_eq(run(&command, NULL, "migrate", "down"), 0);
  EXPECT_OUTPUT(command, "1 migrations taken back");
  process_free(&command);
}
