// Builds the routes of a contract: the tree of their templates.
#include "common/base/check.h"
#include "common/base/compiler.h"
#include "common/base/hash.h"
#include "common/contract/builder_internal.h"
#include "common/contract/reserved_pages_internal.h"
#include "common/contract/routes_internal.h"

// A node with more literals than these has a table of them.
#define MAX_LISTED_LITERALS 8u

static struct route_node *literal_child(struct arena *arena, struct route_node *node, struct slice literal)
{
  for (struct route_node *child = node->literals; child != NULL; child = child->next)
    if (slice_equal(child->literal, literal))
      return child;
  struct route_node *child = arena_zalloc(arena, sizeof(*child));
  child->literal = literal;
  child->next = node->literals;
  node->literals = child;
  node->literal_count++;
  return child;
}

static void fill_table(struct arena *arena, struct route_node *node)
{
  size_t size = 2 * MAX_LISTED_LITERALS;
  while (size < 2 * node->literal_count)
    size *= 2;
  node->table = arena_zalloc(arena, size * sizeof(struct route_node *));
  node->table_mask = size - 1;
  for (struct route_node *child = node->literals; child != NULL; child = child->next) {
    size_t place = hash_bytes(child->literal) & node->table_mask;
    while (node->table[place] != NULL)
      place = (place + 1) & node->table_mask;
    node->table[place] = child;
  }
}

// Makes the tables of all nodes below one. The recursion is as deep as the tree, TEMPLATE_MAX_SEGMENTS at most.
static void fill_tables(struct arena *arena, struct route_node *node)
{
  if (node == NULL)
    return;
  if (node->literal_count > MAX_LISTED_LITERALS)
    fill_table(arena, node);
  for (struct route_node *child = node->literals; child != NULL; child = child->next)
    fill_tables(arena, child);
  for (struct route_node *child = node->rests; child != NULL; child = child->next)
    fill_tables(arena, child);
  fill_tables(arena, node->any);
}

static struct route_node *any_child(struct arena *arena, struct route_node *node)
{
  if (node->any == NULL)
    node->any = arena_zalloc(arena, sizeof(*node->any));
  return node->any;
}

// Returns the "**" below a node that has so many segments behind it.
static struct route_node *rest_child(struct arena *arena, struct route_node *node, size_t suffix)
{
  struct route_node **place = &node->rests;
  while (*place != NULL && (*place)->suffix > suffix)
    place = &(*place)->next;
  if (*place != NULL && (*place)->suffix == suffix)
    return *place;
  struct route_node *child = arena_zalloc(arena, sizeof(*child));
  child->suffix = suffix;
  child->next = *place;
  *place = child;
  return child;
}

static struct route_node *add_path(struct arena *arena, struct route_node *node, const struct path_template *path)
{
  for (size_t i = 0; i < path->segment_count; i++)
    switch (path->segments[i].kind) {
    case SEGMENT_LITERAL:
      node = literal_child(arena, node, path->segments[i].literal);
      break;
    case SEGMENT_ANY:
      node = any_child(arena, node);
      break;
    case SEGMENT_REST:
      node = rest_child(arena, node, path->segment_count - i - 1);
      break;
    }
  return node;
}

// Returns the bit number of an HTTP method, which is added when it is new. NO_HTTP_METHOD when there is no room for
// it.
static unsigned add_http_method(struct routes *routes, struct slice http_method)
{
  unsigned known = routes_find_http_method(routes, http_method);
  if (known != NO_HTTP_METHOD || routes->http_method_count == MAX_HTTP_METHODS)
    return known;
  routes->http_methods[routes->http_method_count] = http_method;
  return routes->http_method_count++;
}

static const struct span *make_spans(struct arena *arena, const struct path_template *path)
{
  struct span *spans = arena_array(arena, path->variable_count, sizeof(*spans));
  for (size_t i = 0; i < path->variable_count; i++) {
    const struct template_variable *variable = &path->variables[i];
    spans[i] = (struct span){.first = (uint16_t)variable->first_segment, .end = (uint16_t)variable->end_segment};
  }
  return spans;
}

static bool same_verb(struct slice a, struct slice b)
{
  return a.data == NULL || b.data == NULL ? a.data == b.data : slice_equal(a, b);
}

static const char *method_element(struct contract_builder *builder, const struct contract_method *method)
{
  return arena_printf(&builder->scratch, "%s.%s", method->service_full_name, method->name);
}

static const struct route_entry *find_same_route(const struct route_node *node, const struct route_entry *entry)
{
  for (const struct route_entry *other = node->entries; other != NULL; other = other->next)
    if (other->http_method == entry->http_method && same_verb(other->verb, entry->verb))
      return other;
  return NULL;
}

static void add_binding(struct contract_builder *builder, const struct contract_binding *binding)
{
  struct arena *arena = &builder->contract->arena;
  struct routes *routes = builder->contract->routes;
  const char *element = method_element(builder, binding->method);
  struct path_template path;
  // build_bindings keeps only paths that are templates.
  CHECK(path_template_parse(slice_from_string(binding->path), &path) == NULL);
  const char *hidden = find_hiding_page(builder->contract, &path, &builder->scratch);
  if (hidden != NULL) {
    diagnostics_add(builder->diagnostics, &binding->place, element, "%s %s: %s; choose another path",
                    binding->http_method, binding->path, hidden);
    return;
  }
  struct route_entry *entry = arena_alloc(arena, sizeof(*entry));
  *entry = (struct route_entry){.binding = binding,
                                .verb = path.verb,
                                .spans = make_spans(arena, &path),
                                .segment_count = path.segment_count,
                                .rest = path.rest};
  entry->http_method = contract_takes_any_method(binding)
                           ? ANY_HTTP_METHOD
                           : add_http_method(routes, slice_from_string(binding->http_method));
  if (entry->http_method == NO_HTTP_METHOD) {
    diagnostics_add(builder->diagnostics, &binding->place, element,
                    "%s is one HTTP method too many; %u different ones are accepted, and \"*\" for any",
                    binding->http_method, MAX_HTTP_METHODS);
    return;
  }
  routes->used |= UINT32_C(1) << entry->http_method;
  struct route_node *node = add_path(arena, routes->root, &path);
  const struct route_entry *other = find_same_route(node, entry);
  if (other != NULL) {
    diagnostics_add(builder->diagnostics, &binding->place, element,
                    "%s %s: %s has this route already; choose another path", binding->http_method, binding->path,
                    method_element(builder, other->binding->method));
    return;
  }
  entry->next = node->entries;
  node->entries = entry;
}

void routes_build(struct contract_builder *builder)
{
  // The usual HTTP methods get the first bits, so that an Allow header has them in the usual order.
  static const char *const USUAL[] = {"GET", "POST", "PUT", "PATCH", "DELETE"};
  struct contract *contract = builder->contract;
  contract->routes = arena_zalloc(&contract->arena, sizeof(*contract->routes));
  contract->routes->root = arena_zalloc(&contract->arena, sizeof(*contract->routes->root));
  for (size_t i = 0; i < ARRAY_LEN(USUAL); i++)
    contract->routes->http_methods[contract->routes->http_method_count++] = slice_from_string(USUAL[i]);
  for (size_t i = 0; i < contract->binding_count; i++)
    add_binding(builder, &contract->bindings[i]);
  fill_tables(&contract->arena, contract->routes->root);
}
