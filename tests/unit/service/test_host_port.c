// Addresses as operators write them, and what Consul is told.
#include <criterion/criterion.h>

#include "common/service/host_port_internal.h"

static void expect_parsed(const char *text, const char *host, int port)
{
  struct host_port parsed;
  cr_assert(host_port_parse(slice_from_string(text), &parsed), "%s", text);
  cr_expect(slice_equal_string(parsed.host, host), "%s: host " SLICE_FMT, text, SLICE_ARG(parsed.host));
  cr_expect_eq(parsed.has_port, port >= 0, "%s", text);
  if (port >= 0)
    cr_expect_eq(parsed.port, port, "%s", text);
}

Test(host_port, reads_hosts_and_ports)
{
  expect_parsed("127.0.0.1:0", "127.0.0.1", 0);
  expect_parsed("example.org:65535", "example.org", 65535);
  expect_parsed("example.org", "example.org", -1);
  expect_parsed("[::1]:80", "::1", 80);
  expect_parsed("[::1]", "::1", -1);
  expect_parsed("fe00::2", "fe00::2", -1);
  expect_parsed(":80", "", 80);
  expect_parsed("*:80", "*", 80);
}

Test(host_port, refuses_what_is_none)
{
  static const char *const wrong[] = {"", "host:", "host:65536", "host:-1", "host:8o", "[::1", "[]:80", "[::1]80"};
  struct host_port parsed;
  for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
    cr_expect_not(host_port_parse(slice_from_string(wrong[i]), &parsed), "%s", wrong[i]);
}

struct example {
  const char *listen;
  const char *advertise;
  const char *expected;
};

static enum status advertise(const struct example *example, struct arena *arena, const char **url, struct error *error)
{
  const struct advertised what = {
      .listen_url = example->listen, .port = 4711, .advertise = example->advertise, .primary = "192.0.2.7"};
  return advertise_url(&what, arena, url, error);
}

Test(host_port, advertises_what_others_can_reach)
{
  static const struct example cases[] = {
      {"tcp://127.0.0.1:0", NULL, "tcp://127.0.0.1:4711"},
      {"tcp://10.1.2.3:9000", NULL, "tcp://10.1.2.3:4711"},
      {"tcp://0.0.0.0:0", NULL, "tcp://192.0.2.7:4711"},
      {"tcp://[::]:0", NULL, "tcp://192.0.2.7:4711"},
      {"tcp://*:0", NULL, "tcp://192.0.2.7:4711"},
      {"tls+tcp://0.0.0.0:0", "item.example", "tls+tcp://item.example:4711"},
      {"tcp://0.0.0.0:0", "item.example:81", "tcp://item.example:81"},
      {"tcp://127.0.0.1:0", "2001:db8::1", "tcp://[2001:db8::1]:4711"},
      {"ipc:///run/item.sock", NULL, "ipc:///run/item.sock"},
  };
  struct arena arena;
  arena_init(&arena);
  for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
    const char *url = NULL;
    struct error error;
    cr_assert_eq(advertise(&cases[i], &arena, &url, &error), STATUS_OK);
    cr_expect_str_eq(url, cases[i].expected);
  }
  arena_free(&arena);
}

Test(host_port, names_the_setting_that_is_wrong)
{
  static const struct example cases[] = {
      {"localhost:1", NULL, "RPC_LISTEN"},
      {"tcp://[::1", NULL, "RPC_LISTEN"},
      {"tcp://localhost", NULL, "RPC_LISTEN"},
      {"tls+tcp://0.0.0.0", "item.example:81", "RPC_LISTEN"},
      {"http://localhost:1", NULL, "RPC_LISTEN"},
      {"tcp://0.0.0.0:0", "host:port", "RPC_ADVERTISE"},
      {"tcp://0.0.0.0:0", "0.0.0.0", "RPC_ADVERTISE"},
      {"tcp://0.0.0.0:0", "", "RPC_ADVERTISE"},
  };
  struct arena arena;
  arena_init(&arena);
  for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
    const char *url = NULL;
    struct error error;
    cr_expect_eq(advertise(&cases[i], &arena, &url, &error), STATUS_INVALID_ARGUMENT);
    cr_expect_not_null(strstr(error.message, cases[i].expected), "%s", error.message);
  }
  arena_free(&arena);
}

Test(host_port, the_admin_port_is_reached_like_the_rpc_port)
{
  cr_expect(slice_equal_string(advertise_host(SLICE("0.0.0.0"), NULL, "192.0.2.7"), "192.0.2.7"));
  cr_expect(slice_equal_string(advertise_host(SLICE("0.0.0.0"), "item.example:81", "192.0.2.7"), "item.example"));
  cr_expect(slice_equal_string(advertise_host(SLICE("127.0.0.1"), "item.example", "192.0.2.7"), "127.0.0.1"));
}

Test(host_port, the_machine_has_an_address)
{
  struct arena arena;
  arena_init(&arena);
  struct host_port parsed;
  cr_expect(host_port_parse(slice_from_string(host_primary_address(&arena)), &parsed));
  cr_expect_not(parsed.has_port);
  arena_free(&arena);
}
