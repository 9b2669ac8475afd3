#include "common/base/source.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>

struct ip {
  bool is_ipv4;
  unsigned char bytes[16];  // the first four of an IPv4 address
};

static bool read_ip(struct slice address, struct ip *ip)
{
  static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
  char text[INET6_ADDRSTRLEN];
  *ip = (struct ip){0};
  if (address.size == 0 || address.size >= sizeof(text))
    return false;
  memcpy(text, address.data, address.size);
  text[address.size] = '\0';
  ip->is_ipv4 = inet_pton(AF_INET, text, ip->bytes) == 1;
  if (ip->is_ipv4)
    return true;
  if (inet_pton(AF_INET6, text, ip->bytes) != 1)
    return false;
  if (memcmp(ip->bytes, mapped, sizeof(mapped)) == 0) {
    ip->is_ipv4 = true;
    memmove(ip->bytes, ip->bytes + sizeof(mapped), 4);
  }
  return true;
}

// Writes the address with only its first `kept` bytes.
static void write_prefix(const struct ip *ip, size_t kept, char out[SOURCE_TEXT_SIZE])
{
  size_t size = ip->is_ipv4 ? 4 : 16;
  struct ip prefix = *ip;
  memset(prefix.bytes + kept, 0, sizeof(prefix.bytes) - kept);
  char text[INET6_ADDRSTRLEN];
  if (inet_ntop(ip->is_ipv4 ? AF_INET : AF_INET6, prefix.bytes, text, sizeof(text)) == NULL)
    text[0] = '\0';
  if (kept == size)
    snprintf(out, SOURCE_TEXT_SIZE, "%s", text);
  else
    snprintf(out, SOURCE_TEXT_SIZE, "%s/%zu", text, kept * 8);
}

static void write_source(struct slice address, size_t kept_ipv4, size_t kept_ipv6, char out[SOURCE_TEXT_SIZE])
{
  struct ip ip;
  if (read_ip(address, &ip))
    write_prefix(&ip, ip.is_ipv4 ? kept_ipv4 : kept_ipv6, out);
  else
    snprintf(out, SOURCE_TEXT_SIZE, "unknown");
}

void source_of_address(struct slice address, char out[SOURCE_TEXT_SIZE])
{
  write_source(address, 4, 8, out);
}

void source_site(struct slice address, char out[SOURCE_TEXT_SIZE])
{
  write_source(address, 4, 6, out);
}

void source_network(struct slice address, char out[SOURCE_TEXT_SIZE])
{
  write_source(address, 3, 6, out);
}
