#include "common/service/rpc_pump_internal.h"

static void process_packets(struct rpc_pump *pump)
{
  uint64_t now_us = loop_now_us(pump->loop);
  if (pump->client != NULL)
    rpc_client_process(pump->client, now_us);
  else
    rpc_server_process(pump->server, now_us);
}

static void on_readable(void *arg, int events)
{
  (void)events;
  process_packets(arg);
}

static void on_timeout(void *arg)
{
  struct rpc_pump *pump = arg;
  pump->armed_us = DEADLINE_NONE;
  process_packets(pump);
}

static uint64_t flush_packets(struct rpc_pump *pump)
{
  if (pump->client != NULL) {
    rpc_client_flush(pump->client);
    return rpc_client_next_timeout_us(pump->client);
  }
  rpc_server_flush(pump->server);
  return rpc_server_next_timeout_us(pump->server);
}

static void on_turn_end(void *arg)
{
  struct rpc_pump *pump = arg;
  uint64_t next_us = flush_packets(pump);
  // A timer that fires too early does no harm, because it is set again then. So the end of a call need not move it.
  if (next_us >= pump->armed_us)
    return;
  pump->armed_us = next_us;
  loop_timer_start(pump->timer, deadline_left_ms(next_us, clock_now_us()));
}

static void start_pump(struct rpc_pump *pump, int fd)
{
  pump->armed_us = DEADLINE_NONE;
  pump->watch = loop_watch_fd(pump->loop, fd, LOOP_READABLE, on_readable, pump);
  pump->timer = loop_timer_create(pump->loop, on_timeout, pump);
  pump->hook = (struct loop_hook){.run = on_turn_end, .arg = pump};
  loop_hook_add(pump->loop, &pump->hook);
}

void rpc_pump_client(struct rpc_pump *pump, struct loop *loop, struct rpc_client *client)
{
  *pump = (struct rpc_pump){.loop = loop, .client = client};
  start_pump(pump, rpc_client_fd(client));
}

void rpc_pump_server(struct rpc_pump *pump, struct loop *loop, struct rpc_server *server)
{
  *pump = (struct rpc_pump){.loop = loop, .server = server};
  start_pump(pump, rpc_server_fd(server));
}

void rpc_pump_end(struct rpc_pump *pump)
{
  if (pump->loop == NULL)
    return;
  loop_hook_remove(&pump->hook);
  loop_timer_free(&pump->timer);
  loop_watch_end(&pump->watch);
  *pump = (struct rpc_pump){0};
}
