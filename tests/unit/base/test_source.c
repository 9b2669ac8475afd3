#include <criterion/criterion.h>

#include "common/base/source.h"

static const struct {
  const char *address;
  const char *source;
  const char *site;
  const char *network;
} cases[] = {
    {"192.0.2.7", "192.0.2.7", "192.0.2.7", "192.0.2.0/24"},
    {"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64", "2001:db8:1::/48", "2001:db8:1::/48"},
    {"2001:db8:1:2::", "2001:db8:1:2::/64", "2001:db8:1::/48", "2001:db8:1::/48"},
    {"::1", "::/64", "::/48", "::/48"},
    {"::ffff:192.0.2.7", "192.0.2.7", "192.0.2.7", "192.0.2.0/24"},
    {"", "unknown", "unknown", "unknown"},
    {"unix:", "unknown", "unknown", "unknown"},
    {"192.0.2.7, 192.0.2.8", "unknown", "unknown", "unknown"},
    {"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa", "unknown", "unknown", "unknown"},
};

Test(source, an_ipv6_host_counts_by_the_64_bits_that_it_cannot_choose)
{
  for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
    char text[SOURCE_TEXT_SIZE];
    source_of_address(slice_from_string(cases[i].address), text);
    cr_expect_str_eq(text, cases[i].source, "%s: %s", cases[i].address, text);
    source_site(slice_from_string(cases[i].address), text);
    cr_expect_str_eq(text, cases[i].site, "%s: %s", cases[i].address, text);
    source_network(slice_from_string(cases[i].address), text);
    cr_expect_str_eq(text, cases[i].network, "%s: %s", cases[i].address, text);
  }
}
