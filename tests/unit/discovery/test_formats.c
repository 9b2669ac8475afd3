// Lists and texts, without a network.
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "common/discovery/consul_format_internal.h"
#include "common/discovery/static_list_internal.h"

Test(static_list, services_and_endpoints_are_found)
{
  struct static_service *services;
  struct error error;
  cr_assert_eq(static_list_parse(SLICE(" item = tcp://b:2 , tcp://a:1 ; user=ipc:///run/u.sock;"), &services, &error),
               STATUS_OK);
  const struct endpoint_list *items = static_list_find(services, "item");
  cr_assert_eq(items->count, 2);
  cr_assert_str_eq(items->endpoints[0].url, "tcp://a:1", "sorted");
  cr_assert_str_eq(items->endpoints[1].id, "tcp://b:2");
  cr_assert_eq(static_list_find(services, "user")->count, 1);
  cr_assert_null(static_list_find(services, "auth"));
  cr_assert_null(static_list_find_service(services, "auth"));
  static_list_free(&services);
  cr_assert_eq(static_list_parse((struct slice){0}, &services, &error), STATUS_OK);
  cr_assert_null(services);
}

Test(static_list, names_to_be_followed_stand_beside_the_endpoints)
{
  struct static_service *services;
  struct error error;
  cr_assert_eq(static_list_parse(SLICE("item=dns+tls+tcp://item:1,tcp://a:1"), &services, &error), STATUS_OK);
  const struct static_service *item = static_list_find_service(services, "item");
  cr_assert_eq(item->list.count, 1);
  cr_assert_eq(item->names.count, 1);
  cr_assert_str_eq(item->names.endpoints[0].url, "tls+tcp://item:1");
  static_list_free(&services);
}

Test(static_list, errors_quote_the_part_that_is_wrong)
{
  static const struct {
    const char *text;
    const char *quoted;
  } cases[] = {
      {"item", "\"item\""},
      {"=tcp://a:1", "\"=tcp://a:1\""},
      {"item=tcp://a:1;user=http://b:2", "\"http://b:2\""},
      {"item=tcp://a:99999", "\"tcp://a:99999\""},
      {"item=tcp://a", "\"tcp://a\""},
      {"item=dns+ipc:///a", "\"dns+ipc:///a\""},
      {"item=dns+tcp://a", "\"dns+tcp://a\""},
      {"item=tcp://a:1;item=tcp://b:1", "\"item\""},
  };
  for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
    struct static_service *services = NULL;
    struct error error;
    cr_assert_eq(static_list_parse(slice_from_string(cases[i].text), &services, &error), STATUS_INVALID_ARGUMENT, "%s",
                 cases[i].text);
    cr_assert_not_null(strstr(error.message, cases[i].quoted), "%s", error.message);
    cr_assert_null(services);
  }
}

Test(urls, only_what_can_be_dialled_is_valid)
{
  cr_assert(endpoint_url_valid(SLICE("tcp://127.0.0.1:4711")));
  cr_assert(endpoint_url_valid(SLICE("tcp://[::1]:4711")));
  cr_assert(endpoint_url_valid(SLICE("tls+tcp://host:1")));
  cr_assert(endpoint_url_valid(SLICE("ipc:///run/item.sock")));
  cr_assert(!endpoint_url_valid(SLICE("ipc:///")));
  cr_assert(!endpoint_url_valid(SLICE("tcp://:1")));
  cr_assert(!endpoint_url_valid(SLICE("tcp://a:0")));
  cr_assert(!endpoint_url_valid(SLICE("tcp://a:")));
  cr_assert(!endpoint_url_valid(SLICE("tcp://[::1]")));
  cr_assert(!endpoint_url_valid(SLICE("tcp://[::1")));
  cr_assert(!endpoint_url_valid(SLICE("tcp://a b:1")));
  cr_assert(!endpoint_url_valid(SLICE("inproc://x")));
  cr_assert(!endpoint_url_valid(SLICE("")));
}

static struct consul_answer read_health(const char *json)
{
  struct consul_answer answer;
  cr_assert(consul_read_health(slice_from_string(json), &answer), "%s", json);
  return answer;
}

Test(health, the_url_comes_from_the_meta_or_from_address_and_port)
{
  struct consul_answer answer = read_health(
      "[{\"Node\":{\"Address\":\"10.0.0.1\"},\"Service\":{\"ID\":\"c\",\"Address\":\"\",\"Port\":3,\"Meta\":null},"
      "\"Checks\":[{\"Status\":\"passing\"}]},"
      "{\"Service\":{\"ID\":\"a\",\"Address\":\"10.0.0.2\",\"Port\":1,\"Meta\":{\"url\":\"ipc:///run/"
      "a\",\"x\":\"y\"}}},"
      "{\"Service\":{\"ID\":\"b\",\"Address\":\"fd00::1\",\"Port\":2}}]");
  cr_assert_eq(answer.skipped, 0);
  cr_assert_eq(answer.passing.count, 3);
  cr_assert_str_eq(answer.passing.endpoints[0].id, "a");
  cr_assert_str_eq(answer.passing.endpoints[0].url, "ipc:///run/a");
  cr_assert_str_eq(answer.passing.endpoints[1].url, "tcp://[fd00::1]:2");
  cr_assert_str_eq(answer.passing.endpoints[2].url, "tcp://10.0.0.1:3");
  consul_answer_free(&answer);
}

Test(health, the_zone_comes_from_the_meta)
{
  struct consul_answer answer =
      read_health("[{\"Service\":{\"ID\":\"a\",\"Address\":\"10.0.0.2\",\"Port\":1,\"Meta\":{\"zone\":\"eu-1a\"}}},"
                  "{\"Service\":{\"ID\":\"b\",\"Address\":\"10.0.0.3\",\"Port\":1,\"Meta\":{\"zone\":\"not a zone\"}}},"
                  "{\"Service\":{\"ID\":\"c\",\"Address\":\"10.0.0.4\",\"Port\":1}}]");
  cr_assert_eq(answer.passing.count, 3);
  cr_assert_str_eq(answer.passing.endpoints[0].zone, "eu-1a");
  cr_assert_str_eq(answer.passing.endpoints[1].zone, "");
  cr_assert_str_eq(answer.passing.endpoints[2].zone, "");
  consul_answer_free(&answer);
}

Test(endpoint_list, another_zone_is_a_change)
{
  struct endpoint_list list = {0};
  cr_assert(endpoint_list_add_in_zone(&list, SLICE("a"), SLICE("tcp://10.0.0.2:1"), SLICE("eu-1a")));
  struct endpoint_list same = endpoint_list_copy(&list);
  struct endpoint_list other = {0};
  cr_assert(endpoint_list_add_in_zone(&other, SLICE("a"), SLICE("tcp://10.0.0.2:1"), SLICE("eu-1b")));
  cr_expect(endpoint_list_equal(&list, &same));
  cr_expect(!endpoint_list_equal(&list, &other));
  endpoint_list_free(&list);
  endpoint_list_free(&same);
  endpoint_list_free(&other);
}

Test(health, an_instance_with_a_check_that_does_not_pass_is_failing)
{
  struct consul_answer answer = read_health(
      "[{\"Service\":{\"ID\":\"ill\",\"Address\":\"h\",\"Port\":1},"
      "\"Checks\":[{\"Status\":\"passing\",\"Output\":\"\"},{\"CheckID\":\"c\",\"Status\":\"critical\"}]},"
      "{\"Service\":{\"ID\":\"worn\",\"Address\":\"h\",\"Port\":3},\"Checks\":[{\"Status\":\"warning\"}]},"
      "{\"Service\":{\"ID\":\"bare\",\"Address\":\"h\",\"Port\":4},\"Checks\":null},"
      "{\"Checks\":[{\"Status\":\"passing\"}],\"Service\":{\"ID\":\"well\",\"Address\":\"h\",\"Port\":2}}]");
  cr_assert_eq(answer.failing.count, 2);
  cr_assert_str_eq(answer.failing.endpoints[0].id, "ill");
  cr_assert_str_eq(answer.failing.endpoints[1].id, "worn");
  cr_assert_eq(answer.passing.count, 2);
  cr_assert_str_eq(answer.passing.endpoints[0].id, "bare");
  cr_assert_str_eq(answer.passing.endpoints[1].id, "well");
  consul_answer_free(&answer);
}

Test(health, instances_that_cannot_be_dialled_are_left_out)
{
  struct consul_answer answer = read_health("[{\"Service\":{\"ID\":\"good\",\"Address\":\"h\",\"Port\":1}},"
                                            "{\"Service\":{\"ID\":\"no port\",\"Address\":\"h\",\"Port\":0}},"
                                            "{\"Service\":{\"ID\":\"\",\"Address\":\"h\",\"Port\":1}},"
                                            "{\"Service\":{\"ID\":\"x\",\"Meta\":{\"url\":\"http://h:1\"}}},{}]");
  cr_assert_eq(answer.passing.count, 1);
  cr_assert_eq(answer.skipped, 4);
  consul_answer_free(&answer);
}

Test(health, no_instances_are_an_empty_list)
{
  struct consul_answer answer = read_health("[]");
  cr_assert_eq(answer.passing.count + answer.failing.count, 0);
}

Test(health, what_is_not_consuls_shape_is_refused)
{
  static const char *const cases[] = {
      "",
      "null",
      "{}",
      "[1]",
      "[",
      "[{\"Service\":1}]",
      "[{\"Checks\":1}]",
      "[{\"Checks\":[1]}]",
      "[{\"Checks\":[{\"Status\":1}]}]",
      "[{\"Service\":{\"ID\":1}}]",
      "[{},]",
      "[] x",
      "[[]",
      "\"a\"",
      "[{\"Service\":{\"Port\":-1}}]",
      "[{\"Service\":{\"Port\":65536}}]",
      "<html></html>",
  };
  for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
    struct consul_answer answer;
    cr_assert(!consul_read_health(slice_from_string(cases[i]), &answer), "%s", cases[i]);
  }
}

Test(requests, names_in_urls_are_escaped)
{
  struct strbuf url;
  strbuf_init(&url, 0);
  consul_health_url(&url, "http://c:8500", "a/b c", 0, 60000);
  cr_assert_str_eq(strbuf_cstring(&url), "http://c:8500/v1/health/service/a%2Fb%20c");
  strbuf_clear(&url);
  consul_health_url(&url, "http://c:8500", "item", 42, 60000);
  cr_assert_str_eq(strbuf_cstring(&url), "http://c:8500/v1/health/service/item?index=42&wait=60000ms");
  strbuf_clear(&url);
  consul_service_url(&url, "http://c:8500", "item-1", true);
  cr_assert_str_eq(strbuf_cstring(&url), "http://c:8500/v1/agent/service/deregister/item-1");
  strbuf_free(&url);
}

Test(requests, a_registration_says_where_and_how_to_look)
{
  struct strbuf body;
  strbuf_init(&body, 0);
  struct discovery_registration registration = {.service = "item",
                                                .id = "item-1",
                                                .url = "tcp://10.0.0.7:4711",
                                                .health_url = "http://10.0.0.7:4712/readyz",
                                                .version = "1.2.3",
                                                .zone = "eu-1a"};
  consul_write_registration(&body, &registration, "check-1");
  cr_assert_str_eq(strbuf_cstring(&body),
                   "{\"ID\":\"item-1\",\"Name\":\"item\",\"Address\":\"10.0.0.7\",\"Port\":4711,"
                   "\"Meta\":{\"url\":\"tcp://"
                   "10.0.0.7:4711\",\"version\":\"1.2.3\",\"zone\":\"eu-1a\",\"registration\":\"check-1\"},"
                   "\"Check\":{\"CheckID\":\"check-1\",\"HTTP\":\"http://10.0.0.7:4712/"
                   "readyz\",\"Interval\":\"2s\",\"Timeout\":\"1s\","
                   "\"DeregisterCriticalServiceAfter\":\"1m\",\"Status\":\"passing\"}}");
  strbuf_free(&body);
}

static void check_registered_place(const struct discovery_registration *registration, const char *place)
{
  struct strbuf body;
  strbuf_init(&body, 0);
  consul_write_registration(&body, registration, "check-1");
  cr_assert_not_null(strstr(strbuf_cstring(&body), place), "%s", strbuf_cstring(&body));
  strbuf_free(&body);
}

Test(requests, the_registered_place_is_that_of_the_url_unless_another_is_set)
{
  struct discovery_registration registration = {.service = "item", .id = "item-1", .url = "tcp://[fd00::7]:4711"};
  check_registered_place(&registration, "\"Address\":\"fd00::7\",\"Port\":4711,");
  registration.address = "10.0.0.9";
  check_registered_place(&registration, "\"Address\":\"10.0.0.9\",\"Port\":4711,");
  registration.port = 80;
  check_registered_place(&registration, "\"Address\":\"10.0.0.9\",\"Port\":80,");
  registration = (struct discovery_registration){.service = "item", .id = "item-1", .url = "ipc:///run/item.sock"};
  check_registered_place(&registration, "\"Name\":\"item\",\"Port\":0,\"Meta\":{\"url\":\"ipc:///run/item.sock\",");
}

Test(index, one_that_goes_backwards_starts_over)
{
  cr_assert_eq(consul_next_index(0, 7), 7);
  cr_assert_eq(consul_next_index(7, 7), 7);
  cr_assert_eq(consul_next_index(7, 9), 9);
  cr_assert_eq(consul_next_index(9, 3), 0);
  cr_assert_eq(consul_next_index(9, 0), 0);
}
