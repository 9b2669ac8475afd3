#include "tests/support/item_value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *item_value_body(uint64_t value, char body[ITEM_VALUE_BODY_BYTES])
{
  const char *name = value % 4 == 0 ? "\"name\":\"Lamp\"," : "";
  snprintf(body, ITEM_VALUE_BODY_BYTES, "{%s\"category\":\"v%llu\",\"quantity\":%llu}", name, (unsigned long long)value,
           (unsigned long long)value);
  return body;
}

static uint64_t number_after(const char *json, const char *mark)
{
  const char *place = strstr(json, mark);
  return place == NULL ? ITEM_VALUE_TORN : strtoull(place + strlen(mark), NULL, 10);
}

uint64_t item_value_in(const char *json)
{
  uint64_t quantity = number_after(json, "\"quantity\":");
  return quantity == number_after(json, "\"category\":\"v") ? quantity : ITEM_VALUE_TORN;
}
