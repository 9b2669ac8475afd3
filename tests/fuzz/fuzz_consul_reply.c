// Any bytes as Consul's answer about a service: every endpoint that is accepted has an address that can be dialled.
#include <stdint.h>
#include <string.h>

#include "common/base/check.h"
#include "common/discovery/consul_format_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_list(const struct endpoint_list *list)
{
  for (size_t i = 0; i < list->count; i++) {
    CHECK(endpoint_url_valid(slice_from_string(list->endpoints[i].url)));
    CHECK(list->endpoints[i].id[0] != '\0');
    CHECK(i == 0 || strcmp(list->endpoints[i - 1].id, list->endpoints[i].id) <= 0);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  struct consul_answer answer;
  if (!consul_read_health(slice_make(data, size), &answer))
    return 0;
  check_list(&answer.passing);
  check_list(&answer.failing);
  consul_answer_free(&answer);
  return 0;
}
