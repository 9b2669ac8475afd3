#include "tests/unit/rpc/raw_peer.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/rpc/greeting_internal.h"

nng_socket raw_dial(int port)
{
  nng_socket socket;
  char url[64];
  snprintf(url, sizeof(url), "tcp://127.0.0.1:%d", port);
  cr_assert_eq(nng_req0_open_raw(&socket), 0);
  cr_assert_eq(nng_dial(socket, url, NULL, 0), 0);
  return socket;
}

nng_socket raw_listen(int *port)
{
  nng_socket socket;
  nng_listener listener;
  cr_assert_eq(nng_rep0_open_raw(&socket), 0);
  cr_assert_eq(nng_listen(socket, "tcp://127.0.0.1:0", &listener, 0), 0);
  cr_assert_eq(nng_listener_get_int(listener, NNG_OPT_TCP_BOUND_PORT, port), 0);
  return socket;
}

void raw_send(nng_socket socket, struct slice body)
{
  nng_msg *message;
  cr_assert_eq(nng_msg_alloc(&message, 0), 0);
  cr_assert_eq(nng_msg_append(message, body.data, body.size), 0);
  cr_assert_eq(nng_msg_header_append_u32(message, 0x80000001u), 0);
  cr_assert_eq(nng_sendmsg(socket, message, 0), 0);
}

static struct strbuf make_packet(const struct rpc_frame *frames, size_t count, uint64_t acked)
{
  struct strbuf packet;
  strbuf_init(&packet, 0);
  for (size_t i = 0; i < count; i++)
    rpc_frame_append(&packet, &frames[i]);
  wire_write_varint(&packet, 2, acked);
  return packet;
}

void raw_send_frames(nng_socket socket, const struct rpc_frame *frames, size_t count, uint64_t acked)
{
  struct strbuf packet = make_packet(frames, count, acked);
  raw_send(socket, strbuf_slice(&packet));
  strbuf_free(&packet);
}

bool raw_receive(nng_socket socket, struct raw_packet *packet)
{
  *packet = (struct raw_packet){0};
  if (nng_recvmsg(socket, &packet->message, NNG_FLAG_NONBLOCK) != 0)
    return false;
  struct slice body = slice_make(nng_msg_body(packet->message), nng_msg_len(packet->message));
  struct rpc_packet_reader reader = rpc_packet_reader_make(body);
  struct slice bytes;
  while (rpc_packet_next(&reader, &bytes) == WIRE_FIELD)
    if (packet->count < 8)
      cr_assert(rpc_frame_decode(bytes, &packet->arena, &packet->frames[packet->count++]));
  packet->acked = reader.acked;
  packet->sent_at_us = reader.sent_at_us;
  return true;
}

void raw_answer(nng_socket socket, const struct raw_packet *packet, const struct rpc_frame *frames, size_t count,
                uint64_t acked)
{
  struct strbuf body = make_packet(frames, count, acked);
  nng_msg *message;
  cr_assert_eq(nng_msg_alloc(&message, 0), 0);
  cr_assert_eq(nng_msg_append(message, body.data, body.size), 0);
  cr_assert_eq(nng_msg_header_append(message, nng_msg_header(packet->message), nng_msg_header_len(packet->message)), 0);
  cr_assert_eq(nng_sendmsg(socket, message, 0), 0);
  strbuf_free(&body);
}

void raw_packet_free(struct raw_packet *packet)
{
  nng_msg_free(packet->message);
  arena_free(&packet->arena);
}

int raw_connect(int port)
{
  static const char greeting[] = {0, 'S', 'P', 0, 0, SP_PROTOCOL_REQ, 0, 0};
  char answer[sizeof(greeting)];
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  cr_assert_eq(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
  cr_assert_eq(write(fd, greeting, sizeof(greeting)), (ssize_t)sizeof(greeting));
  cr_assert_eq(recv(fd, answer, sizeof(answer), MSG_WAITALL), (ssize_t)sizeof(answer));
  return fd;
}

void raw_send_packet(int fd, struct slice packet)
{
  size_t size = packet.size + 4;
  const uint8_t head[] = {0, 0, 0, 0, 0, 0, (uint8_t)(size >> 8), (uint8_t)size, 0x80, 0, 0, 1};
  cr_assert_eq(send(fd, head, sizeof(head), MSG_NOSIGNAL), (ssize_t)sizeof(head));
  cr_assert_eq(send(fd, packet.data, packet.size, MSG_NOSIGNAL), (ssize_t)packet.size);
}

void raw_send_hello(int fd, struct service_identity *identity, const char *url)
{
  struct arena arena;
  struct service_greeting greeting;
  struct strbuf packet;
  arena_init(&arena);
  strbuf_init(&packet, 0);
  cr_assert_eq(service_identity_greet(identity, "test", url, &arena, &greeting), STATUS_OK);
  rpc_hello_append(&packet, greeting.hello);
  raw_send_packet(fd, strbuf_slice(&packet));
  strbuf_free(&packet);
  arena_free(&arena);
}
