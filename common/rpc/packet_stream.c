// An attempt that can move nothing at once is cancelled, so that none of nng's threads continues it: see DESCRIPTOR in
// nng_compat_internal.h. A transfer in the background runs on, and its memory stays where it is until it ends.
#include "common/rpc/packet_stream_internal.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/compiler.h"
#include "common/observe/log.h"
#include "common/observe/metrics.h"
#include "common/rpc/packet_internal.h"
#include "common/security/tls.h"

#define LENGTH_BYTES 8
#define WORD_BYTES 4
// The first byte of a message over IPC.
#define IPC_MESSAGE 1
// The size of the buffers of a connection that carries no large messages.
#define BUFFER_BYTES (64u * 1024)
// What is written or read in one turn of the host's loop: a large message takes several.
#define TURN_BYTES ((size_t)256 * 1024)
// What was sent must be acked by the other host within this time, in ms.
#define UNACKED_TIMEOUT_MS 10000
// A quiet connection is probed after this time, then at this interval, in s. It ends after this many unanswered probes.
#define KEEPALIVE_IDLE_S 10
#define KEEPALIVE_INTERVAL_S 3
#define KEEPALIVE_PROBES 3

static void write_number(uint8_t *out, uint64_t value, size_t size)
{
  for (size_t i = 0; i < size; i++)
    out[i] = (uint8_t)(value >> (8 * (size - 1 - i)));
}

static uint64_t read_number(const uint8_t *bytes, size_t size)
{
  uint64_t value = 0;
  for (size_t i = 0; i < size; i++)
    value = value << 8 | bytes[i];
  return value;
}

static struct slice cut_turn(struct slice bytes)
{
  return slice_make(bytes.data, bytes.size < TURN_BYTES ? bytes.size : TURN_BYTES);
}

// ---- transfers ----

static void note_transfer_end(void *arg)
{
  struct packet_stream_transfer *transfer = arg;
  uint64_t one = 1;
  atomic_store(&transfer->done, true);
  // The write fails only when the eventfd's counter is full, and then the fd is readable anyway.
  ssize_t written = write(transfer->wake_fd, &one, sizeof(one));
  (void)written;
}

static void add_aio(nng_aio **aio, void (*done)(void *arg), void *arg)
{
  CHECK(nng_aio_alloc(aio, done, arg) == 0);
  nng_aio_set_timeout(*aio, NNG_DURATION_INFINITE);
}

static void init_transfers(struct packet_stream *stream)
{
  stream->receiving = (struct packet_stream_transfer){.start = nng_stream_recv, .wake_fd = stream->watch.fd};
  stream->sending = (struct packet_stream_transfer){.start = nng_stream_send, .wake_fd = stream->watch.fd};
  add_aio(&stream->sending.attempt, NULL, NULL);
  if (stream->mode == PACKET_STREAM_DIRECT) {
    add_aio(&stream->receiving.attempt, NULL, NULL);
    return;
  }
  add_aio(&stream->receiving.background, note_transfer_end, &stream->receiving);
  add_aio(&stream->sending.background, note_transfer_end, &stream->sending);
}

static void free_transfer(struct packet_stream_transfer *transfer)
{
  // These wait for callbacks that run, which only write to the fd.
  if (transfer->attempt != NULL)
    nng_aio_free(transfer->attempt);
  if (transfer->background != NULL)
    nng_aio_free(transfer->background);
}

static void start_transfer(const struct packet_stream *stream, const struct packet_stream_transfer *transfer,
                           nng_aio *aio, struct slice bytes)
{
  nng_iov iov = {.iov_buf = (void *)(uintptr_t)bytes.data, .iov_len = bytes.size};
  CHECK(nng_aio_set_iov(aio, 1, &iov) == 0);
  transfer->start(stream->stream, aio);
}

// Returns how many bytes a transfer has moved. A failed transfer ends the stream, unless we have cancelled it.
static size_t finish_transfer(struct packet_stream *stream, nng_aio *aio, bool may_be_cancelled)
{
  int result = nng_aio_result(aio);
  if (result == 0)
    return nng_aio_count(aio);
  if (result != NNG_ECANCELED || !may_be_cancelled)
    stream->state = PACKET_STREAM_ENDED;
  return 0;
}

// Moves what can be moved at once.
static size_t try_transfer(struct packet_stream *stream, const struct packet_stream_transfer *transfer,
                           struct slice bytes)
{
  if (transfer->attempt == NULL)
    return 0;
  start_transfer(stream, transfer, transfer->attempt, bytes);
  nng_aio_cancel(transfer->attempt);
  nng_aio_wait(transfer->attempt);
  return finish_transfer(stream, transfer->attempt, true);
}

// Moves bytes as far as that is possible now, and returns how many; 0 when none can be moved yet, or when the
// connection has ended. A transfer that runs in the background keeps the bytes of its start.
static size_t move_bytes(struct packet_stream *stream, struct packet_stream_transfer *transfer, struct slice bytes)
{
  if (transfer->running && !atomic_load(&transfer->done))
    return 0;
  if (transfer->running) {
    transfer->running = false;
    return finish_transfer(stream, transfer->background, false);
  }
  size_t moved = try_transfer(stream, transfer, bytes);
  if (moved != 0 || stream->state == PACKET_STREAM_ENDED || transfer->background == NULL)
    return moved;
  atomic_store(&transfer->done, false);
  transfer->running = true;
  start_transfer(stream, transfer, transfer->background, bytes);
  return 0;
}

// ---- TLS ----

// Ends the stream if its TLS session has ended, and counts and logs one that has failed.
static void check_session(struct packet_stream *stream)
{
  enum tls_state state = tls_session_state(stream->tls);
  if (state == TLS_OPEN || stream->state == PACKET_STREAM_ENDED)
    return;
  stream->state = PACKET_STREAM_ENDED;
  if (state == TLS_ENDED)
    return;
  metric_add_from_any_thread(metrics_series(METRIC_RPC_REFUSED, (struct slice[]){SLICE("tls")}, 1), 1);
  log_warn("rpc", "ended a connection whose encryption is broken; its calls fail, and a client dials again",
           LOG_SLICE("peer", tls_session_peer(stream->tls)), LOG_STRING("reason", tls_session_reason(stream->tls)));
}

// Returns the size of the message that is sent.
static size_t get_out_size(const struct packet_stream *stream)
{
  return stream->out.size + stream->out_payload.size;
}

// Returns the next bytes of the message that is sent: of what stands before its payload, of that, or of the rest.
static struct slice get_unsent(const struct packet_stream *stream)
{
  struct slice out = strbuf_slice(&stream->out);
  struct slice payload = slice_make(stream->out_payload.data, stream->out_payload.size);
  if (stream->out_sent < stream->out_head)
    return slice_make(out.data + stream->out_sent, stream->out_head - stream->out_sent);
  size_t behind_head = stream->out_sent - stream->out_head;
  return behind_head < payload.size ? slice_skip(payload, behind_head)
                                    : slice_skip(out, stream->out_sent - payload.size);
}

// Returns the next encrypted bytes to send. The message is encrypted piece by piece, so that little of it waits in both
// forms.
static struct slice seal_bytes(struct packet_stream *stream)
{
  struct slice output = tls_session_output(stream->tls);
  struct slice left = get_unsent(stream);
  if (output.size != 0 || left.size == 0)
    return output;
  if (left.size > BUFFER_BYTES)
    left.size = BUFFER_BYTES;
  if (!tls_session_write(stream->tls, left))
    check_session(stream);
  stream->out_sent += left.size;
  return tls_session_output(stream->tls);
}

// ---- sending ----

bool packet_stream_has_unsent(const struct packet_stream *stream)
{
  return stream->out.size != 0 || (stream->tls != NULL && tls_session_output(stream->tls).size != 0);
}

// Returns whether the host's loop must come back although nothing may arrive: a stream that has ended while it sent has
// to be noticed by its owner.
static bool needs_turn(const struct packet_stream *stream)
{
  return stream->state == PACKET_STREAM_ENDED || packet_stream_has_unsent(stream);
}

static void watch_for_room(struct packet_stream *stream)
{
  if (stream->mode == PACKET_STREAM_DIRECT)
    transport_watch_room(stream->options.transport, &stream->watch, needs_turn(stream));
}

static size_t send_some(struct packet_stream *stream)
{
  if (stream->tls == NULL) {
    size_t moved = move_bytes(stream, &stream->sending, cut_turn(get_unsent(stream)));
    stream->out_sent += moved;
    stream->sent_bytes += moved;
    return moved;
  }
  struct slice sealed = seal_bytes(stream);
  size_t moved = stream->state == PACKET_STREAM_OPEN ? move_bytes(stream, &stream->sending, sealed) : 0;
  tls_session_sent(stream->tls, moved);
  stream->sent_bytes += moved;
  return moved;
}

static bool is_all_sent(const struct packet_stream *stream)
{
  return stream->out_sent == get_out_size(stream) && (stream->tls == NULL || tls_session_output(stream->tls).size == 0);
}

static void clear_out(struct packet_stream *stream)
{
  stream->out_sent = 0;
  stream->out_head = 0;
  free(stream->out_payload.data);
  stream->out_payload = (struct outbox_payload){0};
  strbuf_clear(&stream->out);
  if (stream->out.capacity > BUFFER_BYTES)
    strbuf_free(&stream->out);
}

// In PACKET_STREAM_DIRECT the host's loop comes back for what is left.
static void write_out(struct packet_stream *stream)
{
  size_t moved = 1;
  uint64_t most = stream->mode == PACKET_STREAM_DIRECT ? stream->sent_bytes + TURN_BYTES : UINT64_MAX;
  while (stream->state == PACKET_STREAM_OPEN && moved != 0 && !is_all_sent(stream) && stream->sent_bytes < most)
    moved = send_some(stream);
  if (stream->state == PACKET_STREAM_OPEN && !is_all_sent(stream))
    return;
  clear_out(stream);
}

static void add_message(struct packet_stream *stream, const struct outbox_packet *packet, uint64_t received)
{
  uint8_t tail[RPC_TAIL_MAX_BYTES];
  size_t tail_size = rpc_tail_write(received, stream->options.with_clock ? clock_now_us() : 0, tail);
  uint8_t head[1 + LENGTH_BYTES + WORD_BYTES] = {IPC_MESSAGE};
  write_number(head + 1, WORD_BYTES + packet->bytes.size + packet->payload.size + tail_size, LENGTH_BYTES);
  write_number(head + 1 + LENGTH_BYTES, RPC_HEADER_WORD, WORD_BYTES);
  size_t skipped = stream->is_ipc ? 0 : 1;
  strbuf_add(&stream->out, slice_make((char *)head + skipped, sizeof(head) - skipped));
  strbuf_add(&stream->out, packet->bytes);
  stream->out_head = packet->payload.size == 0 ? 0 : stream->out.size;
  stream->out_payload = packet->payload;
  strbuf_add(&stream->out, slice_make((char *)tail, tail_size));
}

static bool transmit_packet(struct send_port *port, const struct outbox_packet *packet, uint64_t received)
{
  struct packet_stream *stream = CONTAINER_OF(port, struct packet_stream, port);
  if (stream->state == PACKET_STREAM_ENDED) {
    free(packet->payload.data);
    return true;
  }
  // A transfer in the background may have ended.
  bool was_watched = packet_stream_has_unsent(stream);
  if (was_watched)
    write_out(stream);
  if (stream->state == PACKET_STREAM_OPEN && packet_stream_has_unsent(stream))
    return false;
  add_message(stream, packet, received);
  write_out(stream);
  if (was_watched || needs_turn(stream))
    watch_for_room(stream);
  return true;
}

// ---- receiving ----

// Looks for a packet in what has been received. `needed` becomes the size of the message that is not complete yet, 0
// when even that is unknown.
static enum packet_stream_result take_message(struct packet_stream *stream, struct slice *packet, size_t *needed)
{
  size_t prefix = stream->is_ipc ? 1 : 0;
  const uint8_t *bytes = stream->in + stream->in_begin;
  size_t size = stream->in_end - stream->in_begin;
  *needed = 0;
  if (size < prefix + LENGTH_BYTES)
    return PACKET_STREAM_EMPTY;
  uint64_t length = read_number(bytes + prefix, LENGTH_BYTES);
  // The limit counts the header word, too.
  if ((prefix != 0 && bytes[0] != IPC_MESSAGE) || length > stream->options.max_message_bytes + WORD_BYTES)
    return PACKET_STREAM_OVER;
  *needed = prefix + LENGTH_BYTES + (size_t)length;
  if (size < *needed)
    return PACKET_STREAM_EMPTY;
  stream->in_begin += *needed;
  const uint8_t *word = bytes + prefix + LENGTH_BYTES;
  const uint8_t *end = bytes + *needed;
  while (end - word >= WORD_BYTES && (word[0] & 0x80u) == 0)
    word += WORD_BYTES;
  if (end - word < WORD_BYTES)
    return PACKET_STREAM_OVER;
  *packet = slice_make((const char *)word + WORD_BYTES, (size_t)(end - word - WORD_BYTES));
  return PACKET_STREAM_READ;
}

// Moves what is left to the front of the buffer, and makes it large enough for the message that is coming in.
static void make_room(struct packet_stream *stream, size_t needed)
{
  size_t left = stream->in_end - stream->in_begin;
  if (left != 0 && stream->in_begin != 0)
    memmove(stream->in, stream->in + stream->in_begin, left);
  stream->in_begin = 0;
  stream->in_end = left;
  size_t wanted = needed > BUFFER_BYTES ? needed : BUFFER_BYTES;
  if (stream->in_capacity >= wanted && (left != 0 || stream->in_capacity == BUFFER_BYTES))
    return;
  stream->in = realloc(stream->in, wanted);
  CHECK(stream->in != NULL);
  stream->in_capacity = wanted;
}

// Reads once from the socket, unless there is plaintext of what was read before.
static void read_sealed(struct packet_stream *stream, size_t needed)
{
  make_room(stream, needed);
  uint8_t *out = stream->in + stream->in_end;
  size_t size = stream->in_capacity - stream->in_end;
  size_t got = tls_session_read(stream->tls, out, size);
  size_t room_size;
  uint8_t *room = tls_session_room(stream->tls, &room_size);
  if (got == 0 && room_size != 0) {
    size_t moved = move_bytes(stream, &stream->receiving, slice_make(room, room_size));
    stream->received_bytes += moved;
    tls_session_feed(stream->tls, moved);
    got = tls_session_read(stream->tls, out, size);
  }
  stream->in_end += got;
  // When all was taken, the host's loop says when there is more.
  stream->readable = got == size;
  check_session(stream);
  // Some of what was read asks for an answer of OpenSSL's.
  if (stream->out.size == 0 && packet_stream_has_unsent(stream)) {
    write_out(stream);
    watch_for_room(stream);
  }
}

// Reads once. In PACKET_STREAM_DIRECT the host's loop says when there is more.
static void read_in(struct packet_stream *stream, size_t needed)
{
  if (stream->tls != NULL) {
    read_sealed(stream, needed);
    return;
  }
  if (!stream->receiving.running)
    make_room(stream, needed);
  struct slice room = slice_make((char *)stream->in + stream->in_end, stream->in_capacity - stream->in_end);
  size_t moved = move_bytes(stream, &stream->receiving, cut_turn(room));
  stream->in_end += moved;
  stream->received_bytes += moved;
  if (moved == 0 || stream->mode == PACKET_STREAM_DIRECT)
    stream->readable = false;
}

enum packet_stream_result packet_stream_next(struct packet_stream *stream, struct slice *packet)
{
  while (true) {
    size_t needed;
    enum packet_stream_result result = take_message(stream, packet, &needed);
    if (result == PACKET_STREAM_OVER)
      stream->state = PACKET_STREAM_ENDED;
    if (result != PACKET_STREAM_EMPTY)
      return result;
    if (stream->state == PACKET_STREAM_ENDED)
      return PACKET_STREAM_OVER;
    if (!stream->readable)
      return PACKET_STREAM_EMPTY;
    read_in(stream, needed);
  }
}

static void handle_ready(void *arg)
{
  struct packet_stream *stream = arg;
  uint64_t ignored;
  if (stream->mode == PACKET_STREAM_NOTIFIED && read(stream->watch.fd, &ignored, sizeof(ignored)) < 0)
    ignored = 0;
  stream->readable = true;
  if (packet_stream_has_unsent(stream)) {
    write_out(stream);
    if (!packet_stream_has_unsent(stream)) {
      watch_for_room(stream);
      send_port_unblock(&stream->port);
    }
  }
  // The owner may close the stream in here.
  stream->options.on_readable(stream->options.arg);
}

// ---- life ----

// Lets the kernel find out that the other host has vanished or is cut off: what is sent must be acked, and a quiet
// connection is probed. A connection for which that cannot be set still has its owner's looks, see liveness_internal.h.
static void watch_for_vanished_host(int fd)
{
  static const struct {
    int level;
    int name;
    int value;
  } options[] = {
      {IPPROTO_TCP, TCP_USER_TIMEOUT, UNACKED_TIMEOUT_MS}, {SOL_SOCKET, SO_KEEPALIVE, 1},
      {IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S},       {IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S},
      {IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES},
  };
  for (size_t i = 0; i < ARRAY_LEN(options); i++)
    (void)setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof(options[i].value));
}

struct packet_stream *packet_stream_open(struct rpc_opened *opened, const struct packet_stream_options *options)
{
  struct packet_stream *stream = calloc(1, sizeof(*stream));
  CHECK(stream != NULL);
  stream->options = *options;
  stream->stream = opened->stream;
  stream->tls = opened->tls;
  stream->is_ipc = opened->is_ipc;
  stream->mode = opened->fd >= 0 ? PACKET_STREAM_DIRECT : PACKET_STREAM_NOTIFIED;
  if (opened->fd >= 0)
    watch_for_vanished_host(opened->fd);
  int fd = opened->fd >= 0 ? opened->fd : eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  CHECK(fd >= 0);
  *opened = (struct rpc_opened){.fd = -1};
  stream->watch = (struct transport_watch){.on_ready = handle_ready, .arg = stream};
  transport_watch(options->transport, &stream->watch, fd);
  init_transfers(stream);
  send_port_init(&stream->port, transmit_packet);
  strbuf_init(&stream->out, 0);
  stream->readable = true;
  if (stream->mode == PACKET_STREAM_NOTIFIED)
    read_in(stream, 0);
  return stream;
}

struct slice packet_stream_peer(const struct packet_stream *stream)
{
  return stream->tls == NULL ? (struct slice){0} : tls_session_peer(stream->tls);
}

void packet_stream_close(struct packet_stream **stream_pointer)
{
  struct packet_stream *stream = *stream_pointer;
  *stream_pointer = NULL;
  if (stream == NULL)
    return;
  int fd = stream->watch.fd;
  transport_unwatch(stream->options.transport, &stream->watch);
  nng_stream_close(stream->stream);
  free_transfer(&stream->receiving);
  free_transfer(&stream->sending);
  nng_stream_free(stream->stream);
  close(fd);
  tls_session_free(&stream->tls);
  free(stream->out_payload.data);
  strbuf_free(&stream->out);
  free(stream->in);
  free(stream);
}
