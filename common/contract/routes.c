// Routes are a tree over the segments of all templates. Matching walks it depth first and at each node tries the
// literal before `*` before `**`; a node's depth is its segment's index, so no node is looked at twice. A literal is
// found by its hash, so that a match does not take longer where there are more routes.
#include "common/base/check.h"
#include "common/base/compiler.h"
#include "common/base/hash.h"
#include "common/contract/builder_internal.h"

#include "common/contract/path_template.h"

#define MAX_PATH_SEGMENTS 64u
// A node with more literals than these has a table of them.
#define MAX_LISTED_LITERALS 8u
// What is decoded of a segment with escapes to find it by its hash. A longer one is compared with every literal.
#define MAX_DECODED_BYTES 256u
// How many HTTP methods the routes may use. Each is a bit, and every combination has its Allow header prepared.
#define MAX_HTTP_METHODS 8u

struct span {
  uint16_t first;
  uint16_t end;
  bool rest;  // "**": matches the rest of the path
};

struct route_entry {
  const struct contract_binding *binding;
  unsigned http_method;  // number of the HTTP method's bit
  struct slice verb;
  const struct span *spans;
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
  struct route_node *rest;
  struct route_entry *entries;
};

struct routes {
  struct route_node *root;
  struct slice http_methods[MAX_HTTP_METHODS];
  unsigned http_method_count;
  unsigned used;       // bits of the HTTP methods that a route has
  const char **allow;  // Allow headers, indexed by the set of bits
};

// ---- building ----

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
  fill_tables(arena, node->any);
}

static struct route_node *wild_child(struct arena *arena, struct route_node **place)
{
  if (*place == NULL)
    *place = arena_zalloc(arena, sizeof(**place));
  return *place;
}

static struct route_node *add_path(struct arena *arena, struct route_node *node, const struct path_template *path)
{
  for (size_t i = 0; i < path->segment_count; i++)
    switch (path->segments[i].kind) {
    case SEGMENT_LITERAL:
      node = literal_child(arena, node, path->segments[i].literal);
      break;
    case SEGMENT_ANY:
      node = wild_child(arena, &node->any);
      break;
    case SEGMENT_REST:
      node = wild_child(arena, &node->rest);
      break;
    }
  return node;
}

// Returns the bit number of an HTTP method, MAX_HTTP_METHODS for one that no route uses.
static unsigned find_http_method(const struct routes *routes, struct slice http_method)
{
  for (unsigned i = 0; i < routes->http_method_count; i++)
    if (slice_equal(routes->http_methods[i], http_method))
      return i;
  return MAX_HTTP_METHODS;
}

// Returns the bit number of an HTTP method, which is added when it is new. MAX_HTTP_METHODS when there is no room for
// it.
static unsigned add_http_method(struct routes *routes, struct slice http_method)
{
  unsigned known = find_http_method(routes, http_method);
  if (known < MAX_HTTP_METHODS || routes->http_method_count == MAX_HTTP_METHODS)
    return known;
  routes->http_methods[routes->http_method_count] = http_method;
  return routes->http_method_count++;
}

static const struct span *make_spans(struct arena *arena, const struct path_template *path)
{
  struct span *spans = arena_array(arena, path->variable_count, sizeof(*spans));
  for (size_t i = 0; i < path->variable_count; i++) {
    const struct template_variable *variable = &path->variables[i];
    spans[i] = (struct span){.first = (uint16_t)variable->first_segment,
                             .end = (uint16_t)variable->end_segment,
                             .rest = path->segments[variable->end_segment - 1].kind == SEGMENT_REST};
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
  struct route_entry *entry = arena_alloc(arena, sizeof(*entry));
  *entry = (struct route_entry){.binding = binding, .verb = path.verb, .spans = make_spans(arena, &path)};
  entry->http_method = add_http_method(routes, slice_from_string(binding->http_method));
  if (entry->http_method == MAX_HTTP_METHODS) {
    diagnostics_add(builder->diagnostics, &binding->place, element,
                    "%s is one HTTP method too many; %u different ones are accepted", binding->http_method,
                    MAX_HTTP_METHODS);
    return;
  }
  routes->used |= 1u << entry->http_method;
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

// Writes the Allow header of a set of HTTP methods. Every path answers OPTIONS, also without a route for it.
static const char *write_allow(struct arena *arena, const struct routes *routes, unsigned set)
{
  const char *text = "";
  bool has_options = false;
  for (unsigned i = 0; i < routes->http_method_count; i++) {
    if ((set >> i & 1) == 0)
      continue;
    struct slice name = routes->http_methods[i];
    const char *too = slice_equal(name, SLICE("GET")) ? ", HEAD" : "";
    has_options = has_options || slice_equal(name, SLICE("OPTIONS"));
    text = arena_printf(arena, "%s%s" SLICE_FMT "%s", text, *text == '\0' ? "" : ", ", SLICE_ARG(name), too);
  }
  return has_options ? text : arena_printf(arena, "%s%sOPTIONS", text, *text == '\0' ? "" : ", ");
}

static void prepare_allow(struct arena *arena, struct routes *routes)
{
  unsigned combinations = 1u << routes->http_method_count;
  routes->allow = arena_array(arena, combinations, sizeof(*routes->allow));
  for (unsigned set = 0; set < combinations; set++)
    routes->allow[set] = write_allow(arena, routes, set);
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
  prepare_allow(&contract->arena, contract->routes);
}

// ---- matching ----

struct match {
  struct slice segments[MAX_PATH_SEGMENTS];
  size_t count;
  struct slice verb;  // the verb that must match; NULL data while matching without one
  unsigned http_method;
  unsigned seen;  // bits of the HTTP methods that the path was found with
  const struct route_entry *found;
};

static int hex_digit(char byte)
{
  if (byte >= '0' && byte <= '9')
    return byte - '0';
  char letter = (char)(byte | 0x20);
  return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

// Reads the character at a place of a segment, which may be percent-encoded, and moves behind it. -1 for a broken
// escape.
static int read_character(struct slice segment, size_t *at)
{
  char byte = segment.data[(*at)++];
  if (byte != '%')
    return (unsigned char)byte;
  int high = segment.size - *at < 2 ? -1 : hex_digit(segment.data[*at]);
  int low = high < 0 ? -1 : hex_digit(segment.data[*at + 1]);
  *at += 2;
  return low < 0 ? -1 : high << 4 | low;
}

// Whether a literal equals a segment in which any character may be percent-encoded.
static bool matches_escaped(struct slice literal, struct slice segment)
{
  size_t at = 0;
  for (size_t i = 0; i < literal.size; i++)
    if (at >= segment.size || read_character(segment, &at) != (unsigned char)literal.data[i])
      return false;
  return at == segment.size;
}

static bool matches_literal(struct slice literal, struct slice segment)
{
  return slice_equal(literal, segment) ||
         (segment.size > literal.size && memchr(segment.data, '%', segment.size) != NULL &&
          matches_escaped(literal, segment));
}

static struct route_node *find_in_list(const struct route_node *node, struct slice segment)
{
  struct route_node *child = node->literals;
  while (child != NULL && !matches_literal(child->literal, segment))
    child = child->next;
  return child;
}

static struct route_node *find_in_table(const struct route_node *node, struct slice literal)
{
  size_t place = hash_bytes(literal) & node->table_mask;
  while (node->table[place] != NULL && !slice_equal(node->table[place]->literal, literal))
    place = (place + 1) & node->table_mask;
  return node->table[place];
}

// Finds the literal below a node that the segment is.
static struct route_node *find_literal(const struct route_node *node, struct slice segment)
{
  if (node->table == NULL)
    return find_in_list(node, segment);
  if (memchr(segment.data, '%', segment.size) == NULL)
    return find_in_table(node, segment);
  char decoded[MAX_DECODED_BYTES];
  size_t size = 0;
  for (size_t at = 0; at < segment.size;) {
    int character = read_character(segment, &at);
    if (character < 0)
      return NULL;
    if (size == sizeof(decoded))
      return find_in_list(node, segment);
    decoded[size++] = (char)character;
  }
  return find_in_table(node, slice_make(decoded, size));
}

static bool matches_verb(struct slice verb, struct slice sent)
{
  return verb.data == NULL || sent.data == NULL ? verb.data == sent.data : matches_literal(verb, sent);
}

static bool match_entries(const struct route_node *node, struct match *match)
{
  for (const struct route_entry *entry = node->entries; entry != NULL; entry = entry->next) {
    if (!matches_verb(entry->verb, match->verb))
      continue;
    match->seen |= 1u << entry->http_method;
    if (entry->http_method == match->http_method) {
      match->found = entry;
      return true;
    }
  }
  return false;
}

// Matches the segments from `depth` on below `node`. The recursion is as deep as the tree, TEMPLATE_MAX_SEGMENTS at
// most.
static bool match_node(const struct route_node *node, size_t depth, struct match *match)
{
  if (depth == match->count)
    return match_entries(node, match) || (node->rest != NULL && match_entries(node->rest, match));
  struct slice segment = match->segments[depth];
  const struct route_node *child = find_literal(node, segment);
  if (child != NULL && match_node(child, depth + 1, match))
    return true;
  if (node->any != NULL && segment.size > 0 && match_node(node->any, depth + 1, match))
    return true;
  return node->rest != NULL && match_entries(node->rest, match);
}

// Whether a segment is empty, "." or "..", also percent-encoded. Clients and proxies resolve such segments, each in its
// own way (RFC 3986, section 5.2.4), so a path with one leads nowhere: a "**" would hand it to a service as it is.
static bool is_dot_segment(struct slice segment)
{
  if (segment.size == 0)
    return true;
  bool may_be = segment.data[0] == '.' || segment.data[0] == '%';
  return may_be && (matches_literal(SLICE("."), segment) || matches_literal(SLICE(".."), segment));
}

// Splits a path into segments. Returns false for a path that leads nowhere: one with a dot segment, or with more
// segments than any template has. A "**" is not meant for paths of that size.
static bool split_path(struct slice path, struct match *match)
{
  if (path.size == 0 || path.data[0] != '/')
    return false;
  for (size_t start = 1; start <= path.size;) {
    size_t end = slice_find(path, '/', start);
    if (match->count == MAX_PATH_SEGMENTS)
      return false;
    struct slice segment = slice_make(path.data + start, end - start);
    if (is_dot_segment(segment))
      return false;
    match->segments[match->count++] = segment;
    start = end + 1;
  }
  return true;
}

// Matches a path whose last segment has a colon. The colon may begin a verb or belong to a value: the verb is tried
// first.
static bool match_with_verb(const struct route_node *root, struct match *match)
{
  struct slice *last = &match->segments[match->count - 1];
  const char *colon = last->size == 0 ? NULL : memrchr(last->data, ':', last->size);
  if (colon == NULL)
    return false;
  struct slice whole = *last;
  size_t at = (size_t)(colon - last->data);
  match->verb = slice_skip(whole, at + 1);
  if (match->verb.size == 0) {
    match->verb = (struct slice){0};
    return false;
  }
  *last = slice_make(whole.data, at);
  if (!is_dot_segment(*last) && match_node(root, 0, match))
    return true;
  *last = whole;
  match->verb = (struct slice){0};
  return false;
}

static void fill_values(const struct match *match, struct contract_route *route)
{
  const struct route_entry *entry = match->found;
  route->binding = entry->binding;
  for (size_t i = 0; i < entry->binding->variable_count; i++) {
    size_t first = entry->spans[i].first;
    size_t end = entry->spans[i].rest ? match->count : entry->spans[i].end;
    if (first >= end) {
      route->values[i] = SLICE("");
      continue;
    }
    const struct slice *last = &match->segments[end - 1];
    const char *start = match->segments[first].data;
    route->values[i] = slice_make(start, (size_t)(last->data + last->size - start));
  }
}

const char *contract_allow(const struct contract *contract, struct slice path)
{
  const struct routes *routes = contract->routes;
  if (slice_equal(path, SLICE("*")))
    return routes->allow[routes->used];
  struct match match = {.http_method = MAX_HTTP_METHODS};
  if (!split_path(path, &match))
    return NULL;
  // No route has this method, so every route of the path is seen.
  (void)match_with_verb(routes->root, &match);
  (void)match_node(routes->root, 0, &match);
  return match.seen == 0 ? NULL : routes->allow[match.seen];
}

enum status contract_route(const struct contract *contract, struct slice http_method, struct slice path,
                           struct contract_route *route, const char **allow)
{
  const struct routes *routes = contract->routes;
  struct match match;
  match.count = 0;
  match.verb = (struct slice){0};
  match.seen = 0;
  match.http_method = find_http_method(routes, slice_equal(http_method, SLICE("HEAD")) ? SLICE("GET") : http_method);
  if (!split_path(path, &match))
    return STATUS_NOT_FOUND;
  if (match_with_verb(routes->root, &match) || match_node(routes->root, 0, &match)) {
    fill_values(&match, route);
    return STATUS_OK;
  }
  if (match.seen == 0)
    return STATUS_NOT_FOUND;
  if (allow != NULL)
    *allow = routes->allow[match.seen];
  return STATUS_UNIMPLEMENTED;
}
