// Any bytes as Consul's answer about a service: every endpoint that is accepted has an address that can be dialled.
#include <stdint.h>
#include <string.h>

#include "common/base/check.h"
#include "common/discovery/consul_format_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  struct endpoint_list list;
  size_t skipped;
  if (!consul_read_health(slice_make(data, size), &list, &skipped))
    return 0;
  for (size_t i = 0; i < list.count; i++) {
    CHECK(endpoint_url_valid(slice_from_string(list.endpoints[i].url)));
    CHECK(list.endpoints[i].id[0] != '\0');
    CHECK(i == 0 || strcmp(list.endpoints[i - 1].id, list.endpoints[i].id) <= 0);
  }
  endpoint_list_free(&list);
  return 0;
}
