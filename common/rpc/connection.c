#include "common/rpc/connection_internal.h"

#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/compiler.h"
#include "common/base/memory.h"
#include "common/observe/log.h"
#include "common/observe/metrics.h"
#include "common/rpc/packet_internal.h"
#include "common/security/service_identity.h"

// The most unacked packets on a connection. Further frames wait in the server, and leave in larger batches.
#define WINDOW_PACKETS 32
// The packets and frames, of whatever kind, that are taken from a client without proof before its connection is closed.
#define MAX_UNPROVEN_INPUT 32
#define REFUSAL_LOG_MS 1000
#define MAX_LOOKS_WITHOUT_PROGRESS 10

static void set_state(struct connection *connection, enum connection_state state);

// ---- life ----

struct connection *connection_open(struct rpc_opened *opened, const struct connection_options *options)
{
  struct connection *connection = calloc(1, sizeof(*connection));
  CHECK(connection != NULL);
  connection->server = options->server;
  connection->number = options->number;
  list_init(&connection->requests);
  list_init(&connection->node);
  const struct sender_options sender = {
      .queue = &options->transport->sends,
      .max_in_flight = WINDOW_PACKETS,
      .max_message_bytes = options->max_message_bytes,
      .packets = options->packets,
  };
  const struct packet_stream_options stream = {.transport = options->transport,
                                               .max_message_bytes = options->max_message_bytes,
                                               .with_clock = true,
                                               .on_readable = options->on_readable,
                                               .arg = connection};
  connection->stream = packet_stream_open(opened, &stream);
  connection->max_message_bytes = options->max_message_bytes;
  sender_init(&connection->sender, &sender);
  sender_open(&connection->sender, &connection->stream->port);
  log_debug("rpc", "a client has connected", LOG_INT("connection", connection->number));
  struct slice peer = packet_stream_peer(connection->stream);
  if (peer.size != 0)
    connection_set_proven(connection, peer);
  else if (options->needs_proof)
    connection->stream->options.max_message_bytes = RPC_UNPROVEN_PACKET_BYTES;
  else
    set_state(connection, CONNECTION_OPEN);
  return connection;
}

void connection_close(struct connection **connection_pointer)
{
  struct connection *connection = *connection_pointer;
  *connection_pointer = NULL;
  CHECK(list_empty(&connection->requests));
  list_remove(&connection->node);
  sender_free(&connection->sender);
  packet_stream_close(&connection->stream);
  service_evidence_free(&connection->evidence);
  free(connection->peer);
  free(connection);
}

// ---- state ----

// Changes the state and logs the change; nothing else writes the state.
static void set_state(struct connection *connection, enum connection_state state)
{
  static const char *const messages[] = {
      [CONNECTION_OPEN] = "a client may send calls",
      [CONNECTION_REFUSED] = "closing the connection of a client that has not proven its name",
      [CONNECTION_GOAWAY_SENT] = "told a client to send its calls to other instances",
      [CONNECTION_GOAWAY_ACKED] = "a client sends its calls to other instances now",
      [CONNECTION_ABANDONED] =
          "closing the connection of a client that does not read its replies; it must connect again",
  };
  connection->state = state;
  LOG_AT(state == CONNECTION_ABANDONED ? LOG_WARN : LOG_DEBUG, "rpc", messages[state],
         LOG_INT("connection", connection->number), LOG_INT("unsentBytes", sender_unsent_bytes(&connection->sender)),
         LOG_STRING("peer", connection->peer == NULL ? "" : connection->peer));
}

void connection_set_proven(struct connection *connection, struct slice peer)
{
  connection->peer = memory_copy_text(peer);
  connection->stream->options.max_message_bytes = connection->max_message_bytes;
  set_state(connection, CONNECTION_OPEN);
}

// Logs a refusal, one a second at most: a stranger that connects again and again must not fill the log.
static void log_refusal(const struct connection *connection, const char *reason)
{
  static uint64_t quiet_until_us;
  uint64_t now_us = clock_now_us();
  if (now_us < quiet_until_us)
    return;
  quiet_until_us = deadline_after_ms(now_us, REFUSAL_LOG_MS);
  log_warn("rpc", "refused a client that does not prove to be one of our services; its connection is closed",
           LOG_INT("connection", connection->number), LOG_STRING("reason", reason));
}

void connection_refuse(struct connection *connection, const char *reason)
{
  if (connection->state == CONNECTION_REFUSED)
    return;
  metric_add_from_any_thread(metrics_series(METRIC_RPC_REFUSED, (struct slice[]){SLICE("hello")}, 1), 1);
  set_state(connection, CONNECTION_REFUSED);
  log_refusal(connection, reason);
}

void connection_take_hello(struct connection *connection, struct service_identity *identity, struct slice hello)
{
  if (connection->state != CONNECTION_UNPROVEN) {
    connection_refuse(connection, "it has sent a second hello");
    return;
  }
  struct arena arena;
  struct service_proof proof = {.arena = &arena};
  struct error error;
  arena_init(&arena);
  int64_t now = clock_wall_us() / 1000000;
  if (service_identity_accept(identity, hello, now, &proof, &error) == STATUS_OK) {
    service_identity_keep(identity, hello, now, true, &connection->evidence);
    connection_set_proven(connection, proof.peer);
    sender_add_hello(&connection->sender, proof.answer);
  } else {
    connection_refuse(connection, error.message);
  }
  arena_free(&arena);
}

void connection_count_unproven(struct connection *connection)
{
  if (connection->state == CONNECTION_UNPROVEN && ++connection->unproven_input > MAX_UNPROVEN_INPUT)
    connection_refuse(connection, "it goes on without a hello");
}

struct connection *connection_find_unproven(const struct list *connections, size_t *count)
{
  struct connection *oldest = NULL;
  *count = 0;
  for (struct list *node = connections->next; node != connections; node = node->next) {
    struct connection *connection = CONTAINER_OF(node, struct connection, node);
    if (connection->state != CONNECTION_UNPROVEN)
      continue;
    oldest = oldest == NULL ? connection : oldest;
    ++*count;
  }
  return oldest;
}

void connection_send_goaway(struct connection *connection, struct slice reason)
{
  if (connection->state != CONNECTION_OPEN)
    return;
  struct rpc_frame frame = {.kind = RPC_FRAME_GOAWAY,
                            .has_status = reason.size != 0,
                            .status = {.code = STATUS_UNAVAILABLE, .reason = reason}};
  (void)sender_add(&connection->sender, &frame);
  set_state(connection, CONNECTION_GOAWAY_SENT);
}

void connection_note_all_acked(struct connection *connection)
{
  if (connection->state == CONNECTION_GOAWAY_SENT)
    set_state(connection, CONNECTION_GOAWAY_ACKED);
}

void connection_abandon(struct connection *connection)
{
  set_state(connection, CONNECTION_ABANDONED);
  sender_close(&connection->sender);
}

bool connection_is_idle(const struct connection *connection, bool acked)
{
  if (connection->state == CONNECTION_ABANDONED || connection->state == CONNECTION_UNPROVEN)
    return true;
  if (acked)
    return sender_is_acked(&connection->sender);
  return sender_is_empty(&connection->sender);
}

bool connection_look_for_progress(struct connection *connection)
{
  bool waiting = !sender_is_empty(&connection->sender) || packet_stream_has_unsent(connection->stream);
  uint64_t moved = connection->stream->sent_bytes + connection->sender.window.acked;
  bool progress = !waiting || moved != connection->moved_before_look;
  connection->moved_before_look = moved;
  connection->looks_without_progress = progress ? 0 : connection->looks_without_progress + 1;
  return connection->looks_without_progress >= MAX_LOOKS_WITHOUT_PROGRESS;
}

// ---- clients that are accepted no longer ----

static void revoke_connection(struct connection *connection, const struct error *error, uint64_t now_us)
{
  rpc_trust_report_revoked(connection->peer, error);
  connection->revoked_us = now_us;
  connection_send_goaway(connection, SLICE(RPC_RECONNECT));
}

// Returns whether nothing is left to do for a revoked client: its requests are answered, the answers have arrived, and
// nothing came since the last look.
static bool is_finished(struct connection *connection)
{
  uint64_t before = connection->received_before_recheck;
  connection->received_before_recheck = connection->sender.window.received;
  return list_empty(&connection->requests) && connection_is_idle(connection, true) &&
         before == connection->sender.window.received;
}

uint64_t connection_recheck(struct connection *connection, const struct rpc_trust *trust, uint64_t now_us)
{
  struct error error;
  if (connection->peer == NULL)
    return DEADLINE_NONE;
  if (connection->revoked_us == 0) {
    if (rpc_trust_accepts(trust, connection->stream, &connection->evidence, &error))
      return deadline_after_ms(now_us, RPC_RECHECK_MS);
    revoke_connection(connection, &error, now_us);
    return deadline_after_ms(now_us, RPC_REVOKED_RECHECK_MS);
  }
  if (now_us >= deadline_after_ms(connection->revoked_us, RPC_REVOKED_MAX_MS) || is_finished(connection))
    return 0;
  // From now on new requests are refused, also those of a client that does not ack the GOAWAY.
  connection_note_all_acked(connection);
  return deadline_after_ms(now_us, RPC_REVOKED_RECHECK_MS);
}
