// Which addresses of this host are free: the proof that a process which had one is dead.
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
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

Test(cache_host, only_a_number_names_one_host)
{
  cr_expect(cache_host_is_number("tcp://192.0.2.1:9000"));
  cr_expect(cache_host_is_number("tls+tcp://[2001:db8::1]:9000"));
  cr_expect_not(cache_host_is_number("tcp://127.0.0.2:9000"));
  cr_expect_not(cache_host_is_number("tcp://[::1]:9000"));
  cr_expect_not(cache_host_is_number("tcp://item.test:9000"));
  cr_expect_not(cache_host_is_number("ipc://item:1"));
}

Test(cache_host, the_name_is_that_of_the_boot_and_the_network)
{
  char boot[37] = "";
  FILE *file = fopen("/proc/sys/kernel/random/boot_id", "r");
  cr_assert_not_null(file);
  cr_assert_eq(fread(boot, 1, 36, file), 36);
  fclose(file);
  struct stat network;
  cr_assert_eq(stat("/proc/self/ns/net", &network), 0);
  char expected[64];
  snprintf(expected, sizeof(expected), "%s/%llu", boot, (unsigned long long)network.st_ino);
  cr_expect_str_eq(cache_host_name(), expected);
}
