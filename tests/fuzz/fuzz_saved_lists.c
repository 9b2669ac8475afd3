// Any bytes as the file with the last known endpoints: what is accepted can be dialled, and is written as it was read.
#include <stdint.h>

#include "common/base/check.h"
#include "common/discovery/saved_lists_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_services(const struct static_service *services)
{
  for (; services != NULL; services = services->next) {
    CHECK(services->name[0] != '\0' && services->list.count > 0);
    for (size_t i = 0; i < services->list.count; i++)
      CHECK(endpoint_url_valid(slice_from_string(services->list.endpoints[i].url)));
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  struct static_service *services;
  struct static_service *again;
  struct strbuf text;
  if (!saved_lists_parse(slice_make(data, size), &services))
    return 0;
  check_services(services);
  strbuf_init(&text, 0);
  saved_lists_format(services, &text);
  CHECK(saved_lists_parse(strbuf_slice(&text), &again));
  static_list_free(&again);
  static_list_free(&services);
  strbuf_free(&text);
  return 0;
}
