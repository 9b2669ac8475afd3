#include "common/storage/cache_host_internal.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/random.h"
#include "common/base/slice.h"

enum { BOOT_ID_BYTES = 36 };

static bool read_boot_id(char *id)
{
  FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
  if (file == NULL)
    return false;
  size_t size = fread(id, 1, BOOT_ID_BYTES, file);
  fclose(file);
  id[size] = '\0';
  return size == BOOT_ID_BYTES;
}

const char *cache_host_name(void)
{
  static char name[BOOT_ID_BYTES + 32];
  char boot[BOOT_ID_BYTES + 1];
  struct stat network;
  if (name[0] != '\0')
    return name;
  if (read_boot_id(boot) && stat("/proc/self/ns/net", &network) == 0) {
    snprintf(name, sizeof(name), "%s/%llu", boot, (unsigned long long)network.st_ino);
    return name;
  }
  unsigned long long number;
  random_bytes(&number, sizeof(number));
  snprintf(name, sizeof(name), "%016llx", number);
  return name;
}

// Takes the URL apart. False where it does not end with a port.
static bool split(const char *url, char host[NI_MAXHOST], char port[NI_MAXSERV])
{
  const char *begin = strstr(url, "://");
  begin = begin == NULL ? url : begin + 3;
  const char *colon = strrchr(begin, ':');
  if (colon == NULL)
    return false;
  struct slice name = slice_make(begin, (size_t)(colon - begin));
  if (name.size >= 2 && name.data[0] == '[')
    name = slice_make(name.data + 1, name.size - 2);
  return snprintf(host, NI_MAXHOST, "%.*s", (int)name.size, name.data) < NI_MAXHOST &&
         snprintf(port, NI_MAXSERV, "%s", colon + 1) < NI_MAXSERV;
}

bool cache_host_is_number(const char *address)
{
  char host[NI_MAXHOST];
  char port[NI_MAXSERV];
  struct in_addr four;
  struct in6_addr six;
  if (strstr(address, "tcp://") == NULL || !split(address, host, port))
    return false;
  if (inet_pton(AF_INET, host, &four) == 1)
    return ntohl(four.s_addr) >> 24 != IN_LOOPBACKNET;
  return inet_pton(AF_INET6, host, &six) == 1 && !IN6_IS_ADDR_LOOPBACK(&six);
}

// Binds a socket, which fails while another one listens on the address, and where it is not of this host.
static bool can_bind(const struct addrinfo *address)
{
  int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return false;
  int on = 1;
  bool bound = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
               bind(fd, address->ai_addr, address->ai_addrlen) == 0;
  close(fd);
  return bound;
}

bool cache_host_is_free(const char *address)
{
  char host[NI_MAXHOST];
  char port[NI_MAXSERV];
  const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
  struct addrinfo *found = NULL;
  if (!split(address, host, port) || getaddrinfo(host, port, &hints, &found) != 0)
    return false;
  bool is_free = can_bind(found);
  freeaddrinfo(found);
  return is_free;
}
