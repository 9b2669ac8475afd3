#include "tests/support/network.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/http.h"
#include "tests/support/stack.h"

#define IPTABLES "/usr/sbin/iptables -w"

bool network_is_own(void)
{
  const char *network = getenv("DRILL_NETWORK");
  return network != NULL && strcmp(network, "own") == 0;
}

const char *network_address_of(unsigned number)
{
  return text("10.78.%u.2", number);
}

static void run(const char *command)
{
  (void)output_of((const char *const[]){"sh", "-c", command, NULL});
}

void network_run(unsigned number, const char *command)
{
  (void)output_of((const char *const[]){"ip", "netns", "exec", text("host-%u", number), "sh", "-c", command, NULL});
}

void network_stack(unsigned number, const char *action, const char *name)
{
  network_run(number, text("exec deploy/local/stack %s %s", action, name));
}

static void join_by_interfaces(unsigned number)
{
  run(text("sysctl -qw net.ipv4.ip_forward=1 && ip netns add host-%u && ip link add to-%u type veth peer name eth0 "
           "netns host-%u && "
           "ip address add 10.78.%u.1/24 dev to-%u && ip link set to-%u up",
           number, number, number, number, number, number));
  network_run(number, text("ip address add %s/24 dev eth0 && ip link set eth0 up && ip link set lo up && "
                           "ip route add default via 10.78.%u.1",
                           network_address_of(number), number));
}

static void lead_loopback_over(unsigned number)
{
  run(text("sysctl -qw net.ipv4.conf.to-%u.route_localnet=1 && " IPTABLES
           " -t nat -A PREROUTING -i to-%u -d 10.78.%u.1 -p tcp -j DNAT --to-destination 127.0.0.1",
           number, number, number));
  network_run(number, text("sysctl -qw net.ipv4.conf.all.route_localnet=1 && " IPTABLES
                           " -t nat -A OUTPUT -d 127.0.0.1 -p tcp -j DNAT --to-destination 10.78.%u.1 && " IPTABLES
                           " -t nat -A POSTROUTING -o eth0 -j MASQUERADE",
                           number));
}

void network_add_host(unsigned number)
{
  network_remove_host(number);
  join_by_interfaces(number);
  lead_loopback_over(number);
}

void network_remove_host(unsigned number)
{
  run(text("ip netns list | grep -qw host-%u || exit 0; ip link delete to-%u; ip netns delete host-%u; " IPTABLES
           " -F INPUT; " IPTABLES " -F FORWARD; " IPTABLES
           " -t nat -D PREROUTING -i to-%u -d 10.78.%u.1 -p tcp -j DNAT "
           "--to-destination 127.0.0.1",
           number, number, number, number, number));
}

// The rules are where packets arrive, because a sender would hear of one that refuses what it sends.
void network_cut(unsigned number)
{
  run(text(IPTABLES " -I INPUT -i to-%u -j DROP && " IPTABLES " -I FORWARD -i to-%u -j DROP", number, number));
  network_run(number, IPTABLES " -I INPUT -i eth0 -j DROP");
}

void network_join(unsigned number)
{
  run(text(IPTABLES " -D INPUT -i to-%u -j DROP && " IPTABLES " -D FORWARD -i to-%u -j DROP", number, number));
  network_run(number, IPTABLES " -F INPUT");
}
