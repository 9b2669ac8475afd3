#include "tests/support/relay.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 256, CHUNK = 65536 };

struct relay {
  int listener;
  struct sockaddr_un server;
};

struct passage {
  int ends[2];
};

// Passes on what one end has; returns false once that end is closed or the other takes nothing any more.
static bool pass_on(int from, int to)
{
  char chunk[CHUNK];
  ssize_t size = recv(from, chunk, sizeof(chunk), 0);
  for (ssize_t sent = 0, now; sent < size; sent += now) {
    now = send(to, chunk + sent, (size_t)(size - sent), MSG_NOSIGNAL);
    if (now < 0)
      return false;
  }
  return size > 0;
}

static void *serve_passage(void *arg)
{
  struct passage *passage = arg;
  struct pollfd fds[2] = {{.fd = passage->ends[0], .events = POLLIN}, {.fd = passage->ends[1], .events = POLLIN}};
  bool open = true;
  while (open && poll(fds, 2, -1) > 0)
    for (size_t i = 0; i < 2 && open; i++)
      if (fds[i].revents != 0)
        open = pass_on(fds[i].fd, fds[1 - i].fd);
  close(passage->ends[0]);
  close(passage->ends[1]);
  free(passage);
  return NULL;
}

static void start_thread(void *(*body)(void *arg), void *arg)
{
  pthread_t thread;
  cr_assert_eq(pthread_create(&thread, NULL, body, arg), 0);
  pthread_detach(thread);
}

static void *accept_connections(void *arg)
{
  const struct relay *relay = arg;
  struct sockaddr_in from;
  socklen_t size = sizeof(from);
  int client;
  while ((client = accept4(relay->listener, (struct sockaddr *)&from, &size, SOCK_CLOEXEC)) >= 0) {
    int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct passage *passage = malloc(sizeof(*passage));
    if (passage == NULL || connect(server, (const struct sockaddr *)&relay->server, sizeof(relay->server)) != 0) {
      free(passage);
      close(server);
      close(client);
      continue;
    }
    *passage = (struct passage){.ends = {client, server}};
    start_thread(serve_passage, passage);
  }
  return NULL;
}

uint16_t relay_start(const char *socket_path)
{
  struct relay *relay = calloc(1, sizeof(*relay));
  cr_assert_not_null(relay);
  relay->server.sun_family = AF_UNIX;
  cr_assert_lt(strlen(socket_path), sizeof(relay->server.sun_path));
  memcpy(relay->server.sun_path, socket_path, strlen(socket_path));
  struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof(own);
  relay->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  cr_assert_eq(bind(relay->listener, (const struct sockaddr *)&own, size), 0, "%s", strerror(errno));
  cr_assert_eq(listen(relay->listener, BACKLOG), 0);
  cr_assert_eq(getsockname(relay->listener, (struct sockaddr *)&own, &size), 0);
  start_thread(accept_connections, relay);
  return ntohs(own.sin_port);
}
