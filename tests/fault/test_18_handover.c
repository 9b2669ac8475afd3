// A gateway whose workers are replaced while clients send by the clock, or end: no request may be lost.
#include <criterion/criterion.h>
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/environment.h"
#include "tests/support/gateway.h"
#include "tests/support/http.h"
#include "tests/support/raw.h"
#include "tests/support/stack.h"
#include "tests/support/steady_client.h"

enum {
  HTTP2_CLIENTS = 8,
  HTTP2_REQUESTS = 100,
};

static void stop_gateway(void)
{
  stack("stop", "gateway-70");
}

// Clients of HTTP/2 keep a connection for all of their requests until GOAWAY tells them to leave.
Test(fault_18_handover, http2_clients_lose_nothing, .fini = stop_gateway)
{
  struct account ada = account_create();
  struct steady_client *clients[HTTP2_CLIENTS];
  (void)gateway_start_https("gateway-70");
  cr_assert_eq(HTTP(.path = "/healthz").http_version, CURL_HTTP_VERSION_2);
  for (size_t i = 0; i < HTTP2_CLIENTS; i++)
    clients[i] = steady_client_start(&ada, STEADY_READS_AND_WRITES);
  const char *const actions[] = {"reload", "upgrade", "reload"};
  for (size_t i = 0; i < ARRAY_LEN(actions); i++) {
    steady_client_await(clients[0], HTTP2_REQUESTS);
    stack(actions[i], "gateway-70");
  }
  for (size_t i = 0; i < HTTP2_CLIENTS; i++) {
    steady_client_await(clients[i], HTTP2_REQUESTS);
    steady_client_end(&clients[i], 0);
  }
}

struct change {
  const struct account *owner;
  const char *id;
  struct http_reply reply;
};

static void make_change(void *arg)
{
  struct change *change = arg;
  change->reply = HTTP(.method = "PATCH", .path = text("/v1/items/%s", change->id), .token = change->owner->token,
                       .body = "{\"quantity\":7}");
}

static bool is_waiting(const void *arg)
{
  (void)arg;
  return strcmp(sql("SELECT count(*) FROM pg_stat_activity WHERE usename = 'bulkhead_item' AND wait_event_type = "
                    "'Lock'"),
                "0") != 0;
}

Test(fault_18_handover, a_call_in_flight_ends_in_the_old_worker)
{
  struct account ada = account_create();
  struct change change = {.owner = &ada, .id = item_create(&ada, "{\"sku\":\"SLOW\",\"name\":\"Lamp\"}")};
  struct sql_transaction *lock = sql_begin(text("SELECT FROM item.items WHERE id = '%s' FOR UPDATE", change.id));
  struct background *client = background_start(make_change, &change);
  wait_until(is_waiting, NULL, "a change that waits");
  stack("reload", "gateway");
  sql_commit(lock);
  background_join(client);
  ASSERT_STATUS(change.reply, 200);
  cr_assert_str_eq(http_header(&change.reply, "Connection"), "close");
}

static void ask(struct raw *raw)
{
  cr_assert(raw_send_text(raw, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"));
}

// Clients may send at any moment on a connection that they were told is kept.
Test(fault_18_handover, idle_connections_are_told_before_they_end)
{
  struct raw *used = RAW(.url = need_variable("BULKHEAD_URL"));
  struct raw *unused = RAW(.url = need_variable("BULKHEAD_URL"));
  ask(used);
  ask(unused);
  (void)raw_read_until(used, "Connection: keep-alive");
  (void)raw_read_until(unused, "Connection: keep-alive");
  stack("reload", "gateway");
  ask(used);
  cr_assert_not_null(strstr(raw_read_all(used), "Connection: close"), "the connection has ended without a word");
  (void)raw_read_all(unused);
  // A request that crosses the end is not answered by a reset, after which nothing could be sent.
  ask(unused);
  ask(unused);
  raw_close(&used);
  raw_close(&unused);
}

// ---- a gateway that ends without a successor ----

// More than its workers accept in a turn of their loops.
enum { WAITING_CONNECTIONS = 100 };

// Runs a command of the shell that knows `master`, the pid of the gateway's nginx.
static const char *with_master(const char *command)
{
  const char *file = text("%s/pids/gateway-71", need_variable("BULKHEAD_RUN_DIR"));
  return output_of((const char *const[]){"sh", "-c", text("read -r master _ <%s; %s", file, command), NULL});
}

static long count_files_of_master(void)
{
  return strtol(with_master("ls /proc/$master/fd | wc -l"), NULL, 10);
}

static bool has_closed_listeners(const void *arg)
{
  const long *before = arg;
  return count_files_of_master() < *before;
}

static void stop_lonely_gateway(void)
{
  stack("stop", "gateway-71");
}

// The kernel has accepted them, and no worker has. They would end with a reset.
Test(fault_18_handover, connections_that_wait_to_be_accepted_are_served_before_the_gateway_ends,
     .fini = stop_lonely_gateway)
{
  struct gateway_place place = gateway_start("gateway-71");
  struct raw *waiting[WAITING_CONNECTIONS];
  long files = count_files_of_master();
  (void)with_master("kill -STOP $(cat /proc/$master/task/$master/children)");
  for (size_t i = 0; i < WAITING_CONNECTIONS; i++) {
    waiting[i] = RAW(.url = place.plain_url);
    ask(waiting[i]);
  }
  (void)with_master("kill -QUIT $master");
  wait_until(has_closed_listeners, &files, "the end of the listeners");
  (void)with_master("kill -CONT $(cat /proc/$master/task/$master/children)");
  for (size_t i = 0; i < WAITING_CONNECTIONS; i++) {
    (void)raw_read_until(waiting[i], "HTTP/1.1 200");
    raw_close(&waiting[i]);
  }
}
