// What services are told of a client's User-Agent: enough for the audit log, whatever the client sends.
#include <criterion/criterion.h>

#include "tests/unit/gateway/one_exchange.h"

TestSuite(user_agent, .init = open_all, .fini = close_all);

static struct slice user_agent;

static struct slice find_header(void *arg, const char *name)
{
  (void)arg;
  return strcmp(name, "User-Agent") == 0 ? user_agent : (struct slice){0};
}

static struct slice agent_of(const char *method, const char *path, struct slice header)
{
  struct exchange_input input = fixture_input(method, path);
  user_agent = header;
  input.header = find_header;
  return start_call(input)->user_agent;
}

Test(user_agent, reaches_the_service_with_what_may_change_something)
{
  cr_expect(slice_equal_string(agent_of("DELETE", ITEM_PATH, SLICE("curl/8")), "curl/8"));
}

Test(user_agent, is_left_out_of_reads)
{
  cr_expect_eq(agent_of("GET", ITEM_PATH, SLICE("curl/8")).size, 0);
}

Test(user_agent, is_bounded)
{
  char long_one[300];
  memset(long_one, 'x', sizeof(long_one));
  cr_expect_eq(agent_of("DELETE", ITEM_PATH, slice_make(long_one, sizeof(long_one))).size, 256);
}

// A frame holds valid UTF-8 only.
Test(user_agent, ends_before_what_is_no_utf_8)
{
  cr_expect(slice_equal_string(agent_of("DELETE", ITEM_PATH, SLICE("curl\xff/8")), "curl"));
}
