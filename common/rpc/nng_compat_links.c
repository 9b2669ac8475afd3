// nng calls back on its own threads, where nothing may block: the callbacks only push events.
#include "common/rpc/nng_compat_internal.h"

#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/compiler.h"
#include "common/observe/log.h"

#include "common/rpc/socket_internal.h"

static void push_event(struct rpc_link *link, enum pipe_event_kind kind, nng_pipe pipe)
{
  pipe_events_push(link->events, (struct pipe_event){.kind = kind, .pipe = (uint32_t)pipe.id, .link_id = link->id});
}

static void handle_client_pipe(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
  struct rpc_link *link = arg;
  if (event != NNG_PIPE_EV_ADD_PRE)
    push_event(link, event == NNG_PIPE_EV_ADD_POST ? PIPE_STARTED : PIPE_CLOSED, pipe);
  else if (atomic_exchange(&link->connected, true))
    nng_pipe_close(pipe);
}

static void handle_server_pipe(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
  if (event == NNG_PIPE_EV_ADD_PRE)
    push_event(arg, PIPE_OPENED, pipe);
  else
    push_event(arg, event == NNG_PIPE_EV_ADD_POST ? PIPE_STARTED : PIPE_CLOSED, pipe);
}

static void note_version(void)
{
  static const char *const verified[] = {"1.5.2", "1.8.0", "1.11.0"};
  for (size_t i = 0; i < ARRAY_LEN(verified); i++)
    if (strcmp(nng_version(), verified[i]) == 0)
      return;
  log_info("rpc", "this version of nng was not tested; if calls stall, compare with one of 1.5.2, 1.8.0 and 1.11.0",
           LOG_STRING("nngVersion", nng_version()));
}

static struct rpc_link *make_link(struct pipe_events *events, uint64_t id, int (*open)(nng_socket *socket))
{
  struct rpc_link *link = calloc(1, sizeof(*link));
  CHECK(link != NULL);
  link->events = events;
  link->id = id;
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, note_version);
  CHECK(open(&link->socket) == 0);
  rpc_limit_nng_threads();
  return link;
}

struct rpc_link *rpc_link_open_client(struct pipe_events *events, uint64_t id, size_t max_message_bytes)
{
  struct rpc_link *link = make_link(events, id, nng_req0_open_raw);
  rpc_socket_prepare(link->socket, max_message_bytes);
  CHECK(nng_pipe_notify(link->socket, NNG_PIPE_EV_ADD_PRE, handle_client_pipe, link) == 0);
  CHECK(nng_pipe_notify(link->socket, NNG_PIPE_EV_ADD_POST, handle_client_pipe, link) == 0);
  CHECK(nng_pipe_notify(link->socket, NNG_PIPE_EV_REM_POST, handle_client_pipe, link) == 0);
  return link;
}

struct rpc_link *rpc_link_open_server(struct pipe_events *events, size_t max_message_bytes)
{
  struct rpc_link *link = make_link(events, 0, nng_rep0_open_raw);
  rpc_socket_prepare(link->socket, max_message_bytes);
  CHECK(nng_pipe_notify(link->socket, NNG_PIPE_EV_ADD_PRE, handle_server_pipe, link) == 0);
  CHECK(nng_pipe_notify(link->socket, NNG_PIPE_EV_ADD_POST, handle_server_pipe, link) == 0);
  CHECK(nng_pipe_notify(link->socket, NNG_PIPE_EV_REM_POST, handle_server_pipe, link) == 0);
  return link;
}
