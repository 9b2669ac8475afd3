// Private to this folder: routes are a tree over the segments of all templates. routes_build.c makes it, and routes.c
// matches paths by it. A node stands for one segment of a path, counted from the path's begin, or from its end where it
// is behind a `**`.
#ifndef BULKHEAD_CONTRACT_ROUTES_INTERNAL_H
#define BULKHEAD_CONTRACT_ROUTES_INTERNAL_H

#include "common/contract/contract.h"
#include "common/contract/path_template.h"

// How many HTTP methods the routes may use. Each is a bit of a set.
#define MAX_HTTP_METHODS 31u
// The bit of the routes that take any HTTP method: custom {kind: "*"}.
#define ANY_HTTP_METHOD 31u
// What stands for an HTTP method that no route uses.
#define NO_HTTP_METHOD 32u

// The segments of the template that a variable has: [first, end).
struct span {
  uint16_t first;
  uint16_t end;
};

struct route_entry {
  const struct contract_binding *binding;
  unsigned http_method;  // number of the HTTP method's bit, or ANY_HTTP_METHOD
  struct slice verb;
  const struct span *spans;
  size_t segment_count;  // of the template
  size_t rest;           // as that of struct path_template
  struct route_entry *next;
};

struct route_node {
  struct slice literal;
  struct route_node *literals;  // first child of its kind
  size_t literal_count;
  struct route_node **table;  // the literals by their hashes, with open addressing; NULL where the list is short
  size_t table_mask;
  struct route_node *next;  // sibling
  struct route_node *any;
  struct route_node *rests;  // first "**"; those with more segments behind them come first
  size_t suffix;             // of a "**": how many segments are behind it in each of its templates
  struct route_entry *entries;
};

struct routes {
  struct route_node *root;
  struct slice http_methods[MAX_HTTP_METHODS];
  unsigned http_method_count;
  uint32_t used;  // bits of the HTTP methods that a route has
};

// Returns the bit number of an HTTP method, NO_HTTP_METHOD for one that no route names.
unsigned routes_find_http_method(const struct routes *routes, struct slice http_method);

#endif
