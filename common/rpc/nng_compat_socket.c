// A TCP connection is known by its two addresses: no other socket of the process has the same ones in the same order.
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/compiler.h"
#include "common/observe/log.h"
#include "common/rpc/nng_compat_internal.h"

void rpc_prepare_nng(void)
{
  static atomic_flag noted = ATOMIC_FLAG_INIT;
  rpc_limit_nng_threads();
  if (!atomic_flag_test_and_set(&noted) && strcmp(nng_version(), "1.5.2") != 0)
    log_info("rpc", "this version of nng was not tested; if calls stall, use 1.5.2",
             LOG_STRING("nngVersion", nng_version()));
}

// The addresses of the two ends of a connection.
struct ends {
  nng_sockaddr local;
  nng_sockaddr remote;
};

static bool is_address(const nng_sockaddr *known, const struct sockaddr_storage *address)
{
  if (known->s_family == NNG_AF_INET && address->ss_family == AF_INET) {
    const struct sockaddr_in *in = (const void *)address;
    return known->s_in.sa_port == in->sin_port && known->s_in.sa_addr == in->sin_addr.s_addr;
  }
  if (known->s_family == NNG_AF_INET6 && address->ss_family == AF_INET6) {
    const struct sockaddr_in6 *in = (const void *)address;
    return known->s_in6.sa_port == in->sin6_port &&
           memcmp(known->s_in6.sa_addr, &in->sin6_addr, sizeof(in->sin6_addr)) == 0;
  }
  return false;
}

static bool is_socket_of(const struct ends *ends, int fd)
{
  struct sockaddr_storage local = {0}, remote = {0};
  socklen_t local_size = sizeof(local), remote_size = sizeof(remote);
  return getsockname(fd, (struct sockaddr *)&local, &local_size) == 0 && is_address(&ends->local, &local) &&
         getpeername(fd, (struct sockaddr *)&remote, &remote_size) == 0 && is_address(&ends->remote, &remote);
}

// Duplicates the descriptor if it is the connection's. It is looked at again afterwards, because another thread may
// close it meanwhile and open something else under its number.
static int duplicate_if_same(const struct ends *ends, int fd)
{
  int copy = is_socket_of(ends, fd) ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
  if (copy < 0 || is_socket_of(ends, copy))
    return copy;
  close(copy);
  return -1;
}

int rpc_find_socket(nng_stream *stream)
{
  struct ends ends;
  if (nng_stream_get_addr(stream, NNG_OPT_LOCADDR, &ends.local) != 0 ||
      nng_stream_get_addr(stream, NNG_OPT_REMADDR, &ends.remote) != 0)
    return -1;
  DIR *folder = opendir("/proc/self/fd");
  if (folder == NULL)
    return -1;
  int found = -1;
  const struct dirent *entry;
  while (found < 0 && (entry = readdir(folder)) != NULL)
    if (entry->d_name[0] != '.')
      found = duplicate_if_same(&ends, (int)strtol(entry->d_name, NULL, 10));
  closedir(folder);
  return found;
}
