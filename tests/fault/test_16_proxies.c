// Whom the gateway believes that a request comes from behind a load balancer, and whom its limits hold.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/compiler.h"
#include "tests/support/environment.h"
#include "tests/support/http.h"
#include "tests/support/raw.h"
#include "tests/support/stack.h"

#define PROXY "127.0.0.9"
#define STRANGER "127.0.0.8"
#define CLIENT "203.0.113.7"

// Restarts the gateway with other settings; NULL takes one away.
static void restart_gateway(const char *proxies, const char *protocol, const char *connections)
{
  const char *const settings[][2] = {
      {"TRUSTED_PROXIES", proxies}, {"PROXY_PROTOCOL", protocol}, {"CONNECTIONS_PER_ADDRESS", connections}};
  for (size_t i = 0; i < ARRAY_LEN(settings); i++)
    setenv(settings[i][0], settings[i][1] == NULL ? "" : settings[i][1], 1);
  stack("restart", "gateway");
}

static void restore_gateway(void)
{
  restart_gateway(NULL, NULL, NULL);
  wait_until_healthy();
}

TestSuite(fault_16_proxies, .fini = restore_gateway);

struct line {
  const char *path;
  const char *peer;  // what the access log says, once the line is there
};

static bool is_logged(const void *arg)
{
  struct line *line = (struct line *)(uintptr_t)arg;
  const char *script = text("sed -n 's|.*\"path\":\"%s\".*\"peer\":\"\\([^\"]*\\)\".*|\\1|p' '%s/log/access.log'",
                            line->path, need_variable("BULKHEAD_RUN_DIR"));
  const char *found = output_of((const char *const[]){"sh", "-c", script, NULL});
  line->peer = text("%.*s", (int)strcspn(found, "\n"), found);
  return *line->peer != '\0';
}

// Sends a request from `from`, behind a line of the PROXY protocol if there is one, and returns the client that the
// access log names.
static const char *find_logged_client(const char *from, const char *proxy_line, const char *forwarded_for)
{
  struct line line = {.path = text("/v1/%s", fresh_word())};
  struct raw *raw = RAW(.url = need_variable("BULKHEAD_URL"), .from = from);
  raw_send_text(raw, text("%sGET %s HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: %s\r\nConnection: close\r\n\r\n",
                          proxy_line, line.path, forwarded_for));
  (void)raw_read_until(raw, "404 Not Found");
  raw_close(&raw);
  wait_until(is_logged, &line, "the line in the access log");
  return line.peer;
}

Test(fault_16_proxies, a_listed_proxy_is_believed_and_nobody_else)
{
  restart_gateway("127.0.0.20," PROXY "/32", NULL, NULL);
  cr_expect_str_eq(find_logged_client(PROXY, "", CLIENT), CLIENT);
  cr_expect_str_eq(find_logged_client(STRANGER, "", CLIENT), STRANGER);
  // What a client writes itself stands to the left of what the proxies add.
  cr_expect_str_eq(find_logged_client(PROXY, "", "198.51.100.1, " CLIENT ", 127.0.0.20"), CLIENT);
}

Test(fault_16_proxies, without_listed_proxies_nobody_is_believed)
{
  restart_gateway(NULL, NULL, NULL);
  cr_expect_str_eq(find_logged_client(PROXY, "", CLIENT), PROXY);
}

Test(fault_16_proxies, the_proxy_protocol_names_the_client)
{
  restart_gateway(PROXY, "on", NULL);
  const char *line = "PROXY TCP4 " CLIENT " 192.0.2.1 40000 443\r\n";
  cr_expect_str_eq(find_logged_client(PROXY, line, "198.51.100.1"), CLIENT);
  cr_expect_str_eq(find_logged_client(STRANGER, line, "198.51.100.1"), STRANGER);
}

// ---- limits ----

// Begins a request whose body does not come, for the client that the proxy names.
static struct raw *begin_request(const char *from, const char *client)
{
  struct raw *raw = RAW(.url = need_variable("BULKHEAD_URL"), .from = from);
  raw_send_text(raw, text("POST /v1/auth/login HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: %s\r\n"
                          "Content-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n",
                          client));
  return raw;
}

Test(fault_16_proxies, behind_a_proxy_each_client_has_its_own_limit)
{
  restart_gateway(PROXY, NULL, "2");
  struct raw *own[3], *other[2];
  for (size_t i = 0; i < 2; i++) {
    own[i] = begin_request(PROXY, CLIENT);
    (void)raw_read_until(own[i], "100 Continue");
  }
  own[2] = begin_request(PROXY, CLIENT);
  (void)raw_read_until(own[2], "429 Too Many Requests");
  // The proxy's own connections are more than an address may have.
  for (size_t i = 0; i < 2; i++) {
    other[i] = begin_request(PROXY, "203.0.113.8");
    (void)raw_read_until(other[i], "100 Continue");
  }
  for (size_t i = 0; i < 3; i++)
    raw_close(&own[i]);
  for (size_t i = 0; i < 2; i++)
    raw_close(&other[i]);
}

Test(fault_16_proxies, an_address_without_a_proxy_is_closed_beyond_its_limit)
{
  restart_gateway(PROXY, NULL, "2");
  struct raw *open[2], *more;
  for (size_t i = 0; i < 2; i++) {
    open[i] = begin_request(STRANGER, CLIENT);
    (void)raw_read_until(open[i], "100 Continue");
  }
  more = RAW(.url = need_variable("BULKHEAD_URL"), .from = STRANGER);
  char byte;
  cr_expect_eq(raw_read(more, &byte, 1), 0, "the third connection is open");
  raw_close(&more);
  // Others are not held up.
  struct raw *other = begin_request("127.0.0.7", CLIENT);
  (void)raw_read_until(other, "100 Continue");
  raw_close(&other);
  for (size_t i = 0; i < 2; i++)
    raw_close(&open[i]);
}

// Connects as the proxy, which names the client by the PROXY protocol, and sends some text.
static struct raw *connect_for(const char *client, const char *sent)
{
  struct raw *raw = RAW(.url = need_variable("BULKHEAD_URL"), .from = PROXY);
  const char *family = strchr(client, ':') == NULL ? "TCP4" : "TCP6";
  raw_send_text(raw, text("PROXY %s %s %s 40000 443\r\n%s", family, client, client, sent));
  return raw;
}

static bool is_served(const void *client)
{
  struct raw *raw = connect_for(client, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  char byte;
  bool served = raw_read(raw, &byte, 1) == 1;
  raw_close(&raw);
  return served;
}

static bool is_named_client_refused(const void *client)
{
  return !is_served(client);
}

// limit_conn counts whose head has come. Who never ends one is counted as soon as the proxy has named the client.
Test(fault_16_proxies, behind_the_proxy_protocol_slow_heads_count_for_their_client)
{
  restart_gateway(PROXY, "on", "2");
  struct raw *slow[2], *own[3];
  for (size_t i = 0; i < ARRAY_LEN(slow); i++)
    slow[i] = connect_for(CLIENT, i == 0 ? "" : "GET /v1/items HTTP/1.1\r\nHost: loc");
  for (size_t i = 0; i < ARRAY_LEN(own); i++)
    own[i] = connect_for(PROXY, "");
  wait_until(is_named_client_refused, CLIENT, "the refusal of the client's third connection");
  cr_expect(is_served("203.0.113.8"), "another client is refused");
  cr_expect(is_served("2001:db8::1"), "another client is refused");
  cr_expect(is_served(PROXY), "the proxy itself is refused");
  for (size_t i = 0; i < ARRAY_LEN(slow); i++)
    raw_close(&slow[i]);
  wait_until(is_served, CLIENT, "a connection in place of those that have ended");
  for (size_t i = 0; i < ARRAY_LEN(own); i++)
    raw_close(&own[i]);
}

static bool is_refused(const char *from)
{
  struct raw *raw = begin_request(from, CLIENT);
  char byte;
  bool refused = raw_read(raw, &byte, 1) == 0;
  raw_close(&raw);
  return refused;
}

// Returns the pids of the workers that serve; "" while there are none.
static const char *find_workers(void)
{
  const char *script = text("pid=$(cut -d' ' -f1 '%s/pids/gateway'); cat /proc/$pid/task/$pid/children",
                            need_variable("BULKHEAD_RUN_DIR"));
  return output_of((const char *const[]){"sh", "-c", script, NULL});
}

static bool has_new_worker(const void *arg)
{
  const char *now = find_workers();
  for (char *end = NULL; *now != '\0' && *now != '\n'; now = *end == '\0' ? end : end + 1) {
    long pid = strtol(now, &end, 10);
    if (pid > 0 && strstr(arg, text("%ld ", pid)) == NULL)
      return true;
  }
  return false;
}

static void kill_workers(const char *pids)
{
  (void)output_of((const char *const[]){"sh", "-c", text("kill -KILL %s", pids), NULL});
}

Test(fault_16_proxies, a_reload_keeps_what_is_counted_and_a_crash_leaves_nothing)
{
  restart_gateway(NULL, NULL, "2");
  struct raw *open[2];
  for (size_t i = 0; i < 2; i++) {
    open[i] = begin_request(STRANGER, CLIENT);
    (void)raw_read_until(open[i], "100 Continue");
  }
  const char *workers = find_workers();
  stack_signal("gateway", SIGHUP);
  wait_until(has_new_worker, workers, "a worker after the reload");
  cr_expect(is_refused(STRANGER), "the reload has forgotten the connections");
  workers = find_workers();
  kill_workers(workers);
  wait_until(has_new_worker, workers, "a worker after the crash");
  cr_expect_not(is_refused(STRANGER), "the crashed worker's connections still count");
  for (size_t i = 0; i < 2; i++)
    raw_close(&open[i]);
}
