// SP on byte streams: a stranger that speaks it by hand (https://nanomsg.org/rfcs/sp-tcp-v1.html), in pieces, slowly or
// wrongly, and large packets over each transport. That nng's own sockets understand us is shown by raw_peer.h.
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/rpc/link_internal.h"
#include "common/rpc/nng_compat_internal.h"
#include "common/rpc/packet_internal.h"
#include "tests/unit/rpc/harness.h"

#define GREETING_OF_REQ "\0SP\0\0\x30\0\0"
#define GREETING_OF_REP "\0SP\0\0\x31\0\0"
#define GREETING_BYTES 8

// ---- a stranger ----

static int dial_by_hand(int port)
{
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port)};
  cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
  cr_assert_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
  return fd;
}

struct bytes_wait {
  int fd;
  char *bytes;
  size_t size;
  size_t got;
  bool ended;
};

static bool has_bytes(struct rig *rig, void *arg)
{
  (void)rig;
  struct bytes_wait *wait = arg;
  while (wait->got < wait->size) {
    ssize_t got = recv(wait->fd, wait->bytes + wait->got, wait->size - wait->got, 0);
    if (got == 0 || (got < 0 && errno == ECONNRESET))
      wait->ended = true;
    if (got <= 0)
      break;
    wait->got += (size_t)got;
  }
  return wait->ended || wait->got == wait->size;
}

static void read_by_hand(struct rig *rig, int fd, void *bytes, size_t size)
{
  struct bytes_wait wait = {.fd = fd, .bytes = bytes, .size = size};
  rig_until(rig, has_bytes, &wait);
  cr_assert_not(wait.ended, "the server has hung up");
}

static void expect_hang_up(struct rig *rig, int fd)
{
  char bytes[4096];
  struct bytes_wait wait = {.fd = fd, .bytes = bytes, .size = sizeof(bytes)};
  rig_until(rig, has_bytes, &wait);
  cr_assert(wait.ended);
  close(fd);
}

static int greet_by_hand(struct rig *rig)
{
  char greeting[GREETING_BYTES];
  int fd = dial_by_hand(rpc_server_port(rig->server));
  cr_assert_eq(send(fd, GREETING_OF_REQ, GREETING_BYTES, 0), GREETING_BYTES);
  read_by_hand(rig, fd, greeting, sizeof(greeting));
  cr_assert_arr_eq(greeting, GREETING_OF_REP, GREETING_BYTES);
  return fd;
}

// Appends a message with a request, and `words` words before the one that ends the header.
static void append_request(struct strbuf *out, uint64_t call_id, struct slice payload, size_t words)
{
  struct rpc_frame frame = {
      .call_id = call_id, .kind = RPC_FRAME_REQUEST, .method = SLICE_INIT("a/b"), .payload = payload};
  struct strbuf packet;
  strbuf_init(&packet, 0);
  rpc_frame_append(&packet, &frame);
  uint64_t length = 4 * (words + 1) + packet.size;
  for (int shift = 56; shift >= 0; shift -= 8)
    strbuf_add_byte(out, (char)(length >> shift));
  for (size_t i = 0; i < words; i++)
    strbuf_add(out, SLICE("\0\0\0\x07"));
  strbuf_add(out, SLICE("\x80\0\0\x01"));
  strbuf_add(out, strbuf_slice(&packet));
  strbuf_free(&packet);
}

// Reads messages until `count` replies with this payload have come.
static void read_replies(struct rig *rig, int fd, size_t count, struct slice payload)
{
  struct arena arena = {0};
  for (size_t got = 0; got < count;) {
    unsigned char head[12];
    read_by_hand(rig, fd, head, sizeof(head));
    size_t size = (size_t)head[4] << 24 | (size_t)head[5] << 16 | (size_t)head[6] << 8 | head[7];
    cr_assert_geq(size, 4);
    cr_assert_arr_eq(head + 8, "\x80\0\0\x01", 4);
    char *bytes = malloc(size);
    read_by_hand(rig, fd, bytes, size - 4);
    struct rpc_packet_reader reader = rpc_packet_reader_make(slice_make(bytes, size - 4));
    struct slice frame_bytes;
    for (; rpc_packet_next(&reader, &frame_bytes) == WIRE_FIELD; got++) {
      struct rpc_frame frame;
      cr_assert(rpc_frame_decode(frame_bytes, &arena, &frame));
      cr_assert_eq(frame.status.code, STATUS_OK);
      cr_assert(slice_equal(frame.payload, payload), "reply %zu has %zu bytes", got, frame.payload.size);
    }
    free(bytes);
    arena_reset(&arena);
  }
  arena_free(&arena);
}

// ---- what arrives ----

Test(packet_stream, packets_are_read_however_the_network_cuts_them)
{
  enum { REQUESTS = 3 };
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.without_client = true});
  int fd = greet_by_hand(&rig);
  struct strbuf out;
  strbuf_init(&out, 0);
  for (uint64_t i = 1; i <= REQUESTS; i++)
    append_request(&out, i, SLICE("cut"), 0);
  for (size_t i = 0; i < out.size; i++) {
    cr_assert_eq(send(fd, out.data + i, 1, 0), 1);
    rig_turn(&rig);
  }
  read_replies(&rig, fd, REQUESTS, SLICE("cut"));
  cr_assert_eq(send(fd, out.data, out.size, 0), (ssize_t)out.size, "all in one piece");
  read_replies(&rig, fd, REQUESTS, SLICE("cut"));
  strbuf_free(&out);
  close(fd);
  rig_stop(&rig);
}

// A device of nng's between client and server adds such words.
Test(packet_stream, words_that_other_hops_have_put_before_the_packet_are_skipped)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.without_client = true});
  int fd = greet_by_hand(&rig);
  struct strbuf out;
  strbuf_init(&out, 0);
  append_request(&out, 1, SLICE("x"), 2);
  cr_assert_eq(send(fd, out.data, out.size, 0), (ssize_t)out.size);
  read_replies(&rig, fd, 1, SLICE("x"));
  strbuf_free(&out);
  close(fd);
  rig_stop(&rig);
}

Test(packet_stream, only_those_who_do_not_speak_sp_are_hung_up_on)
{
  static const struct slice greetings[] = {SLICE_INIT("GET / HT"), SLICE_INIT(GREETING_OF_REP),
                                           SLICE_INIT("\0SP\x01\0\x30\0\0"), SLICE_INIT("\0SP\0\0\x30\0\x01")};
  // Too short for the word, without an end of the header, too long, and much too long.
  static const struct slice messages[] = {
      SLICE_INIT("\0\0\0\0\0\0\0\x03\x80\0\0"), SLICE_INIT("\0\0\0\0\0\0\0\x08\0\0\0\x01\0\0\0\x02"),
      SLICE_INIT("\0\0\0\0\0\x01\0\x05"), SLICE_INIT("\xff\xff\xff\xff\xff\xff\xff\xff")};
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.max_message_bytes = 64 * 1024});
  for (size_t i = 0; i < sizeof(greetings) / sizeof(greetings[0]); i++) {
    int fd = dial_by_hand(rpc_server_port(rig.server));
    cr_assert_eq(send(fd, greetings[i].data, greetings[i].size, 0), (ssize_t)greetings[i].size);
    expect_hang_up(&rig, fd);
  }
  for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
    int fd = greet_by_hand(&rig);
    cr_assert_eq(send(fd, messages[i].data, messages[i].size, 0), (ssize_t)messages[i].size);
    expect_hang_up(&rig, fd);
  }
  struct outcome outcome;
  rig_call(&rig, SLICE("x"), &outcome);
  rig_until_done(&rig, &outcome, 1);
  cr_assert_eq(outcome.code, STATUS_OK);
  rig_stop(&rig);
}

// ---- what leaves ----

Test(packet_stream, a_client_that_reads_late_gets_everything)
{
  // More than the buffers of both sockets hold.
  enum { REQUESTS = 20, PAYLOAD = 1024 * 1024 };
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.without_client = true, .answering = ANSWER_LATER});
  int fd = greet_by_hand(&rig);
  char *bytes = malloc(PAYLOAD);
  memset(bytes, 'x', PAYLOAD);
  struct strbuf out;
  strbuf_init(&out, 0);
  for (uint64_t i = 1; i <= REQUESTS; i++)
    append_request(&out, i, slice_make(bytes, PAYLOAD), 0);
  for (size_t sent = 0; sent < out.size;) {
    ssize_t now = send(fd, out.data + sent, out.size - sent, 0);
    sent += now > 0 ? (size_t)now : 0;
    rig_turn(&rig);
  }
  rig_until_kept(&rig, REQUESTS);
  rig_reply_all(&rig);
  for (int i = 0; i < 10; i++)
    rig_turn(&rig);
  cr_assert_not(rpc_server_idle(rig.server), "there was room for everything");
  read_replies(&rig, fd, REQUESTS, slice_make(bytes, PAYLOAD));
  rig_turn(&rig);
  cr_assert(rpc_server_idle(rig.server));
  strbuf_free(&out);
  free(bytes);
  close(fd);
  rig_stop(&rig);
}

// ---- turns ----

// Other connections have their turns between the parts of a large message.
Test(packet_stream, a_large_message_is_read_and_written_over_several_turns)
{
  enum { PAYLOAD = 3 * 1024 * 1024, MOST_BYTES_A_TURN = 512 * 1024 };
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.without_client = true, .answering = ANSWER_LATER});
  int fd = greet_by_hand(&rig);
  char *bytes = calloc(1, PAYLOAD);
  struct strbuf out;
  strbuf_init(&out, 0);
  append_request(&out, 1, slice_make(bytes, PAYLOAD), 0);
  size_t turns = 0;
  for (size_t sent = 0; rig.kept_count == 0; turns++) {
    ssize_t now = sent < out.size ? send(fd, out.data + sent, out.size - sent, 0) : 0;
    sent += now > 0 ? (size_t)now : 0;
    rig_turn(&rig);
  }
  cr_assert_geq(turns, PAYLOAD / MOST_BYTES_A_TURN, "read in %zu turns", turns);
  rig_reply_all(&rig);
  turns = 0;
  for (size_t got = 0; got < PAYLOAD; turns++) {
    rig_turn(&rig);
    for (ssize_t now = 1; now > 0; got += now > 0 ? (size_t)now : 0)
      now = recv(fd, bytes, PAYLOAD, 0);
  }
  cr_assert_geq(turns, PAYLOAD / MOST_BYTES_A_TURN, "written in %zu turns", turns);
  strbuf_free(&out);
  free(bytes);
  close(fd);
  rig_stop(&rig);
}

// ---- transports ----

// Calls with large payloads, several at a time, and expects them back.
static void expect_large_calls(struct rig *rig, const char *url)
{
  enum { CALLS = 8, PAYLOAD = 3 * 1024 * 1024 };
  struct rpc_endpoint endpoint = {.id = SLICE("x"), .url = slice_from_string(url)};
  rig->client = rpc_client_create(&(struct rpc_client_options){0});
  rpc_client_set_endpoints(rig->client, "test", &endpoint, 1);
  rig_until_ready(rig, 1);
  static struct outcome outcomes[CALLS];
  char *bytes = malloc(PAYLOAD);
  memset(bytes, 'x', PAYLOAD);
  for (size_t i = 0; i < CALLS; i++)
    rig_call(rig, slice_make(bytes, PAYLOAD - i), &outcomes[i]);
  rig_until_done(rig, outcomes, CALLS);
  for (size_t i = 0; i < CALLS; i++) {
    cr_assert_eq(outcomes[i].code, STATUS_OK);
    cr_assert_eq(outcomes[i].payload_size, PAYLOAD - i);
    cr_assert_arr_eq(outcomes[i].payload, bytes, sizeof(outcomes[i].payload));
  }
  free(bytes);
  rig_stop(rig);
}

Test(packet_stream, large_packets_go_both_ways_over_tcp)
{
  struct rig rig;
  char url[64];
  rig_start(&rig, &(struct rig_options){.without_client = true});
  snprintf(url, sizeof(url), "tcp://localhost:%d", rpc_server_port(rig.server));
  expect_large_calls(&rig, url);
}

Test(packet_stream, large_packets_go_both_ways_over_ipc)
{
  struct rig rig = {0};
  char folder[] = "/tmp/bulkhead-ipc.XXXXXX", url[64];
  cr_assert_not_null(mkdtemp(folder));
  snprintf(url, sizeof(url), "ipc://%s/socket", folder);
  rig.server = rig_listen(&rig, url, &(struct rig_options){0});
  expect_large_calls(&rig, url);
  unlink(url + strlen("ipc://"));
  rmdir(folder);
}

struct opened_wait {
  struct pipe_events events;
  struct rpc_opened opened[2];
  size_t count;
};

static void wait_for_both(struct opened_wait *wait)
{
  uint64_t end_us = clock_now_us() + 60 * UINT64_C(1000000);
  while (wait->count < 2) {
    size_t count;
    struct pipe_event *events = pipe_events_take(&wait->events, &count);
    for (size_t i = 0; i < count; i++) {
      cr_assert_eq(events[i].kind, PIPE_OPENED);
      wait->opened[wait->count++] = events[i].opened;
    }
    free(events);
    cr_assert_lt(clock_now_us(), end_us, "no connection within a minute");
  }
}

// A stream that does not know its socket works, too, but each packet wakes three threads more.
Test(packet_stream, both_ends_of_a_tcp_connection_know_their_sockets)
{
  struct opened_wait wait = {.count = 0};
  struct rpc_link *server, *client;
  struct error error;
  int port;
  char url[64];
  pipe_events_init(&wait.events);
  struct rpc_link_options options = {.url = "tcp://127.0.0.1:0", .events = &wait.events};
  cr_assert_eq(rpc_link_listen(&options, &server, &port, &error), STATUS_OK);
  snprintf(url, sizeof(url), "tcp://127.0.0.1:%d", port);
  options.url = url;
  cr_assert_eq(rpc_link_dial(&options, &client, &error), STATUS_OK);
  wait_for_both(&wait);
  cr_assert_geq(wait.opened[0].fd, 0);
  cr_assert_geq(wait.opened[1].fd, 0);
  char byte = 0;
  cr_assert_eq(send(wait.opened[0].fd, "x", 1, 0), 1);
  cr_assert_eq(recv(wait.opened[1].fd, &byte, 1, 0), 1, "they are the two ends of one connection");
  cr_assert_eq(byte, 'x');
  rpc_opened_discard(&wait.opened[0]);
  rpc_opened_discard(&wait.opened[1]);
  rpc_link_close(&client);
  rpc_link_close(&server);
  pipe_events_free(&wait.events);
}

Test(packet_stream, a_dial_that_nobody_takes_fails_with_its_reason)
{
  struct rig rig = {.client = rpc_client_create(&(struct rpc_client_options){0})};
  struct pipe_events events;
  struct rpc_link *link;
  struct error error;
  size_t count = 0;
  pipe_events_init(&events);
  // A port that is bound and not listened on.
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof(address);
  cr_assert_eq(bind(fd, (struct sockaddr *)&address, size), 0);
  cr_assert_eq(getsockname(fd, (struct sockaddr *)&address, &size), 0);
  char url[64];
  snprintf(url, sizeof(url), "tcp://127.0.0.1:%d", ntohs(address.sin_port));
  const struct rpc_link_options options = {.url = url, .events = &events, .id = 7};
  cr_assert_eq(rpc_link_dial(&options, &link, &error), STATUS_OK);
  uint64_t end_us = clock_now_us() + 60 * UINT64_C(1000000);
  struct pipe_event *taken;
  while ((taken = pipe_events_take(&events, &count)) == NULL)
    cr_assert_lt(clock_now_us(), end_us, "nothing happened for a minute");
  cr_assert_eq(count, 1);
  cr_assert_eq(taken->kind, PIPE_FAILED);
  cr_assert_eq(taken->link_id, 7);
  cr_assert_str_eq(taken->reason, "Connection refused");
  free(taken);
  rpc_link_close(&link);
  pipe_events_free(&events);
  close(fd);
  rig_stop(&rig);
}

// A link that closes waits for its threads, and for no other side.
Test(packet_stream, a_listener_closes_although_a_client_keeps_silent)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.without_client = true});
  int silent = dial_by_hand(rpc_server_port(rig.server));
  int half = dial_by_hand(rpc_server_port(rig.server));
  char greeting[GREETING_BYTES];
  cr_assert_eq(send(half, "\0SP", 3, 0), 3);
  read_by_hand(&rig, silent, greeting, sizeof(greeting));
  read_by_hand(&rig, half, greeting, sizeof(greeting));
  rig_stop(&rig);
  close(silent);
  close(half);
}
