// Which addresses of this host are free: the proof that a process which had one is dead.
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/storage/cache_host_internal.h"

// Listens on a port of 127.0.0.1, and writes its address.
static int listen_somewhere(char address[64])
{
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in place = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof(place);
  cr_assert_eq(bind(fd, (struct sockaddr *)&place, size), 0);
  cr_assert_eq(listen(fd, 1), 0);
  cr_assert_eq(getsockname(fd, (struct sockaddr *)&place, &size), 0);
  snprintf(address, 64, "tcp://127.0.0.1:%u", ntohs(place.sin_port));
  return fd;
}

Test(cache_host, an_address_is_free_once_nobody_listens_there)
{
  char address[64];
  int fd = listen_somewhere(address);
  cr_expect_not(cache_host_is_free(address));
  close(fd);
  cr_expect(cache_host_is_free(address));
}

Test(cache_host, other_hosts_and_names_prove_nothing)
{
  cr_expect_not(cache_host_is_free("tcp://192.0.2.1:9000"), "an address that is kept for documentation");
  cr_expect_not(cache_host_is_free("tcp://localhost:1"), "a name may mean another host");
  cr_expect_not(cache_host_is_free("tcp://127.0.0.1"));
  cr_expect_not(cache_host_is_free(""));
}

Test(cache_host, the_host_has_one_name)
{
  cr_expect_str_eq(cache_host_name(), cache_host_name());
  cr_expect_neq(cache_host_name()[0], '\0');
}
