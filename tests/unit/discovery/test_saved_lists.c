// The file with the last known endpoints: what is kept, and that nothing else is taken for it.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/strbuf.h"
#include "common/discovery/saved_lists_internal.h"

static char folder[] = "/tmp/bulkhead-saved-XXXXXX";
static char path[64];
static struct saved_lists saved;

static void setup(void)
{
  cr_assert_not_null(mkdtemp(folder));
  snprintf(path, sizeof(path), "%s/item.endpoints", folder);
}

static void teardown(void)
{
  saved_lists_close(&saved);
  (void)chmod(folder, 0700);
  (void)unlink(path);
  cr_expect_eq(rmdir(folder), 0, "nothing else is left in the folder");
}

TestSuite(saved_lists, .init = setup, .fini = teardown);

static struct endpoint_list make_list(const char *const *ids)
{
  struct endpoint_list list = {0};
  for (size_t i = 0; ids[i] != NULL; i++)
    cr_assert(endpoint_list_add(&list, slice_from_string(ids[i]), SLICE("tcp://10.0.0.1:7000")));
  return list;
}

static void keep(const char *service, const char *const *ids)
{
  struct endpoint_list list = make_list(ids);
  saved_lists_keep(&saved, service, &list);
  endpoint_list_free(&list);
}

static size_t count_saved(const char *service)
{
  struct saved_lists again;
  saved_lists_open(&again, path);
  const struct endpoint_list *list = saved_lists_find(&again, service);
  size_t count = list == NULL ? 0 : list->count;
  saved_lists_close(&again);
  return count;
}

#define IDS(...) ((const char *const[]){__VA_ARGS__, NULL})

Test(saved_lists, what_was_kept_is_found_after_the_next_start)
{
  saved_lists_open(&saved, path);
  cr_expect_null(saved_lists_find(&saved, "item"));
  keep("item", IDS("item-1", "item-2"));
  keep("auth", IDS("auth-1"));
  cr_expect_eq(count_saved("item"), 2);
  cr_expect_eq(count_saved("auth"), 1);
  cr_expect_eq(count_saved("user"), 0);
  keep("item", IDS("item-3"));
  cr_expect_eq(count_saved("item"), 1);
  cr_expect_eq(count_saved("auth"), 1);
}

static const char *find_saved_zone(const struct saved_lists *lists, size_t index)
{
  const struct endpoint_list *list = saved_lists_find(lists, "item");
  return list == NULL || index >= list->count ? "none" : list->endpoints[index].zone;
}

Test(saved_lists, zones_are_found_after_the_next_start)
{
  struct endpoint_list list = make_list(IDS("item-1"));
  cr_assert(endpoint_list_add_in_zone(&list, SLICE("item-2"), SLICE("tcp://10.0.0.2:7000"), SLICE("eu-1a")));
  saved_lists_open(&saved, path);
  saved_lists_keep(&saved, "item", &list);
  endpoint_list_free(&list);
  struct saved_lists again;
  saved_lists_open(&again, path);
  cr_expect_str_eq(find_saved_zone(&again, 0), "");
  cr_expect_str_eq(find_saved_zone(&again, 1), "eu-1a");
  saved_lists_close(&again);
}

Test(saved_lists, a_service_without_instances_keeps_its_last_ones)
{
  saved_lists_open(&saved, path);
  keep("item", IDS("item-1"));
  keep("item", (const char *const[]){NULL});
  cr_expect_eq(count_saved("item"), 1);
}

Test(saved_lists, a_copy_goes_on_with_what_the_file_held)
{
  saved_lists_open(&saved, path);
  keep("item", IDS("item-1"));
  keep("auth", IDS("auth-1"));
  struct saved_lists copy;
  saved_lists_copy(&copy, &saved);
  saved_lists_close(&saved);
  struct endpoint_list list = make_list(IDS("item-1", "item-2"));
  saved_lists_keep(&copy, "item", &list);
  endpoint_list_free(&list);
  saved_lists_close(&copy);
  cr_expect_eq(count_saved("item"), 2);
  cr_expect_eq(count_saved("auth"), 1);
}

Test(saved_lists, without_a_file_nothing_is_kept)
{
  saved_lists_open(&saved, NULL);
  keep("item", IDS("item-1"));
  cr_expect_null(saved_lists_find(&saved, "item"));
}

static void write_text(const char *text)
{
  FILE *file = fopen(path, "w");
  cr_assert_not_null(file);
  cr_assert_geq(fputs(text, file), 0);
  cr_assert_eq(fclose(file), 0);
}

Test(saved_lists, a_file_of_a_release_before_zones_is_read)
{
  write_text("bulkhead endpoints 1\nitem item-1 tcp://10.0.0.1:7000\n");
  saved_lists_open(&saved, path);
  cr_expect_str_eq(find_saved_zone(&saved, 0), "");
}

Test(saved_lists, a_file_that_holds_anything_else_is_ignored_and_replaced)
{
  static const char *const texts[] = {
      "",
      "item item-1 tcp://10.0.0.1:7000\n",
      "bulkhead endpoints 1",
      "bulkhead endpoints 2\nitem item-1 tcp://10.0.0.1:7000\n",
      "bulkhead endpoints 1\nitem item-1 tcp://10.0.0.1:7000",
      "bulkhead endpoints 1\nitem item-1\n",
      "bulkhead endpoints 1\nitem item-1 http://10.0.0.1:7000\n",
      "bulkhead endpoints 1\nitem item-1 tcp://10.0.0.1:7000 \n",
      "bulkhead endpoints 1\nitem item-1 tcp://10.0.0.1:7000 eu-1a x\n",
      "bulkhead endpoints 1\nitem item-1 tcp://10.0.0.1:7000 eu\x01\n",
      "bulkhead endpoints 1\n item-1 tcp://10.0.0.1:7000\n",
      "bulkhead endpoints 1\nitem  tcp://10.0.0.1:7000\n",
      "bulkhead endpoints 1\n\xff\xfe item-1 tcp://10.0.0.1:7000\n",
      "bulkhead endpoints 1\nitem item\x01 tcp://10.0.0.1:7000\n",
      "bulkhead endpoints 1\n\n",
  };
  for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
    write_text(texts[i]);
    cr_expect_eq(count_saved("item"), 0, "%s", texts[i]);
  }
  saved_lists_open(&saved, path);
  keep("item", IDS("item-1"));
  cr_expect_eq(count_saved("item"), 1);
}

Test(saved_lists, more_endpoints_or_services_or_bytes_than_there_may_be_are_refused)
{
  struct strbuf text;
  struct static_service *services;
  strbuf_init(&text, 0);
  strbuf_add_string(&text, "bulkhead endpoints 1\n");
  for (int i = 0; i < 64; i++)
    strbuf_printf(&text, "service-%d a tcp://10.0.0.1:7000\n", i);
  cr_assert(saved_lists_parse(strbuf_slice(&text), &services));
  static_list_free(&services);
  strbuf_add_string(&text, "one-more a tcp://10.0.0.1:7000\n");
  cr_expect_not(saved_lists_parse(strbuf_slice(&text), &services));
  strbuf_clear(&text);
  strbuf_add_string(&text, "bulkhead endpoints 1\n");
  for (int i = 0; i <= DISCOVERY_MAX_ENDPOINTS; i++)
    strbuf_printf(&text, "item item-%d tcp://10.0.0.1:7000\n", i);
  cr_expect_not(saved_lists_parse(strbuf_slice(&text), &services));
  while (text.size <= SAVED_LISTS_MAX_BYTES)
    strbuf_add_string(&text, "item item-1 tcp://10.0.0.1:7000\n");
  write_text(strbuf_cstring(&text));
  cr_expect_eq(count_saved("item"), 0);
  strbuf_free(&text);
}

Test(saved_lists, a_pipe_does_not_hold_the_start_up)
{
  cr_assert_eq(mkfifo(path, 0600), 0);
  saved_lists_open(&saved, path);
  cr_expect_null(saved_lists_find(&saved, "item"));
}

Test(saved_lists, a_folder_that_is_not_there_costs_nothing_but_the_file)
{
  char elsewhere[96];
  snprintf(elsewhere, sizeof(elsewhere), "%s/none/item.endpoints", folder);
  saved_lists_open(&saved, elsewhere);
  keep("item", IDS("item-1"));
  keep("item", IDS("item-2"));
  cr_expect_eq(saved_lists_find(&saved, "item")->count, 1);
}
