// The gateway holds as many connections as GATEWAY_CONNECTIONS promises, and answers on each of them.
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/environment.h"
#include "tests/support/http.h"

enum {
  PROMISED = 10000,     // the default of GATEWAY_CONNECTIONS
  OF_AN_ADDRESS = 500,  // less than CONNECTIONS_PER_ADDRESS
  PATIENCE_MS = 20000,
};

// Addresses that no other test has, from here on.
static const uint32_t first_address = (127 << 24) + (77 << 16) + 1;

static int connect_from(uint32_t address)
{
  const char *port = strrchr(need_variable("BULKHEAD_URL"), ':');
  const struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(address)};
  const struct sockaddr_in gateway = {.sin_family = AF_INET,
                                      .sin_port = htons((uint16_t)strtoul(port + 1, NULL, 10)),
                                      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  const int on = 1;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  cr_assert_geq(fd, 0, "%s", strerror(errno));
  setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
  cr_assert_eq(bind(fd, (const struct sockaddr *)&own, sizeof(own)), 0, "%s", strerror(errno));
  cr_assert_eq(connect(fd, (const struct sockaddr *)&gateway, sizeof(gateway)), 0, "%s", strerror(errno));
  return fd;
}

static bool is_answered(int fd)
{
  static const char request[] = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
  char answer[1024] = "";
  if (send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) != (ssize_t)sizeof(request) - 1)
    return false;
  struct pollfd ready = {.fd = fd, .events = POLLIN};
  return poll(&ready, 1, PATIENCE_MS) == 1 && recv(fd, answer, sizeof(answer) - 1, 0) > 0 &&
         strncmp(answer, "HTTP/1.1 200 ", 13) == 0;
}

static size_t count_answered(const int *fds)
{
  size_t count = 0;
  for (size_t i = 0; i < PROMISED; i++)
    count += is_answered(fds[i]);
  return count;
}

Test(fault_19_connections, the_gateway_holds_what_it_promises)
{
  static int fds[PROMISED];
  const struct rlimit files = {.rlim_cur = PROMISED + 1000, .rlim_max = PROMISED + 1000};
  if (setrlimit(RLIMIT_NOFILE, &files) != 0)
    cr_skip_test("this test may not open %d files", PROMISED);
  for (uint32_t i = 0; i < PROMISED; i++)
    fds[i] = connect_from(first_address + i / OF_AN_ADDRESS);
  cr_assert_eq(count_answered(fds), PROMISED, "connections that were just made");
  // All of them are idle in between.
  cr_assert_eq(count_answered(fds), PROMISED, "connections that were kept");
  for (size_t i = 0; i < PROMISED; i++)
    close(fds[i]);
}
