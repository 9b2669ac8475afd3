// The comparison of two sets of contracts, the released and the present. Private to proto/plugin.
#ifndef BULKHEAD_PLUGIN_BREAKING_INTERNAL_H
#define BULKHEAD_PLUGIN_BREAKING_INTERNAL_H

#include "common/contract/contract.h"

// The uses of a message by clients, as bits.
enum use {
  USE_REQUEST = 1,
  USE_RESPONSE = 2,
  USE_REST = 4,  // clients meet it over HTTP, too
};

// A pair: a released message and the present message in its place, whatever its name is.
struct pair {
  const struct contract_message *released;
  const struct contract_message *present;
  unsigned request;   // 0, USE_REQUEST or USE_REQUEST | USE_REST
  unsigned response;  // 0, USE_RESPONSE or USE_RESPONSE | USE_REST
};

struct comparison {
  const struct contract *released;
  const struct contract *present;
  struct diagnostics *diagnostics;
  struct arena arena;
  struct pair *pairs;
  size_t pair_count;
  size_t pair_capacity;
};

// Adds a pair of messages that clients meet with the given use, and the pairs inside it.
void comparison_add_pair(struct comparison *comparison, const struct contract_message *released,
                         const struct contract_message *present, unsigned use);
// Compares every pair, in the order in which they were met.
void compare_messages(struct comparison *comparison);
// Reports rules of a field in requests that refuse what the released rules accepted.
void compare_rules(struct comparison *comparison, const struct pair *pair, const struct contract_field *released,
                   const struct contract_field *present);
// Reports a new field that clients of the released contracts do not know and must send.
void compare_new_field(struct comparison *comparison, const struct pair *pair, const struct contract_field *present);

// Returns who meets a message: "RPC clients" or "RPC and REST clients".
const char *clients_of(unsigned use);
// Returns a field's name for diagnostics: "item.v1.Item.sku".
const char *field_element(struct comparison *comparison, const struct contract_message *message,
                          const struct contract_field *field);

#endif
