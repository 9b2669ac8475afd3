// Finds the route of a path. Matching walks the tree depth first and at each node tries the literal before `*` before
// `**`, of which the one with the most segments behind it comes first. Each node has its place in the path, so none is
// looked at twice. A literal is found by its hash, so that a match does not take longer where there are more routes.
#include "common/base/hash.h"
#include "common/contract/contract_layout.h"
#include "common/contract/routes_internal.h"

#define MAX_PATH_SEGMENTS 64u
// What is decoded of a segment with escapes to find it by its hash. A longer one is compared with every literal.
#define MAX_DECODED_BYTES 256u

unsigned routes_find_http_method(const struct routes *routes, struct slice http_method)
{
  for (unsigned i = 0; i < routes->http_method_count; i++)
    if (slice_equal(routes->http_methods[i], http_method))
      return i;
  return NO_HTTP_METHOD;
}

struct match {
  struct slice path;
  struct slice segments[MAX_PATH_SEGMENTS];
  size_t count;
  struct slice verb;  // the verb that must match; NULL data while matching without one
  unsigned http_method;
  bool takes_any;  // a route for any HTTP method is one for this request
  uint32_t seen;   // bits of the HTTP methods that the path was found with
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

// Finds the entry of a node for the request: one for its HTTP method before one for any.
static bool match_entries(const struct route_node *node, struct match *match)
{
  const struct route_entry *any = NULL;
  for (const struct route_entry *entry = node->entries; entry != NULL; entry = entry->next) {
    if (!matches_verb(entry->verb, match->verb))
      continue;
    match->seen |= UINT32_C(1) << entry->http_method;
    if (entry->http_method == match->http_method) {
      match->found = entry;
      return true;
    }
    if (entry->http_method == ANY_HTTP_METHOD)
      any = entry;
  }
  match->found = any;
  return any != NULL && match->takes_any;
}

// Matches the segments from `depth` on below `node`. The recursion is as deep as the tree, TEMPLATE_MAX_SEGMENTS at
// most.
static bool match_node(const struct route_node *node, size_t depth, struct match *match)
{
  if (depth == match->count) {
    if (match_entries(node, match))
      return true;
  } else {
    const struct route_node *child = find_literal(node, match->segments[depth]);
    if (child != NULL && match_node(child, depth + 1, match))
      return true;
    if (node->any != NULL && match_node(node->any, depth + 1, match))
      return true;
  }
  // What is behind a "**" must match the last segments of the path, and the "**" has what is left before them.
  for (const struct route_node *rest = node->rests; rest != NULL; rest = rest->next)
    if (match->count - depth >= rest->suffix && match_node(rest, match->count - rest->suffix, match))
      return true;
  return false;
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
// segments than any template has. A "**" is not meant for paths of that size. "/" has no segments.
static bool split_path(struct slice path, struct match *match)
{
  match->path = path;
  if (path.size == 0 || path.data[0] != '/')
    return false;
  for (size_t start = 1; start <= path.size && path.size > 1;) {
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
  if (match->count == 0)
    return false;
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

// Returns the segment of the path that stands where the template has segment `place`. All behind a "**" move by how
// much that is longer or shorter than one segment.
static size_t place_in_path(const struct route_entry *entry, const struct match *match, size_t place)
{
  return entry->rest != TEMPLATE_NO_REST && place > entry->rest ? place + match->count - entry->segment_count : place;
}

static void fill_values(const struct match *match, struct contract_route *route)
{
  const struct route_entry *entry = match->found;
  route->binding = entry->binding;
  for (size_t i = 0; i < entry->binding->variable_count; i++) {
    size_t first = place_in_path(entry, match, entry->spans[i].first);
    size_t end = place_in_path(entry, match, entry->spans[i].end);
    if (first >= end) {
      route->values[i] = slice_make(match->path.data, 0);
      continue;
    }
    const struct slice *last = &match->segments[end - 1];
    const char *start = match->segments[first].data;
    route->values[i] = slice_make(start, (size_t)(last->data + last->size - start));
  }
}

// ---- the HTTP methods of a path ----

bool contract_takes_any_method(const struct contract_binding *binding)
{
  return strcmp(binding->http_method, "*") == 0;
}

const char *contract_allow_header(const struct contract *contract, uint32_t http_methods, struct arena *arena)
{
  const struct routes *routes = contract->routes;
  const char *text = "";
  bool has_options = false;
  bool any = (http_methods >> ANY_HTTP_METHOD & 1) != 0;
  for (unsigned i = 0; i < routes->http_method_count; i++) {
    if (!any && (http_methods >> i & 1) == 0)
      continue;
    struct slice name = routes->http_methods[i];
    const char *too = slice_equal(name, SLICE("GET")) ? ", HEAD" : "";
    has_options = has_options || slice_equal(name, SLICE("OPTIONS"));
    text = arena_printf(arena, "%s%s" SLICE_FMT "%s", text, *text == '\0' ? "" : ", ", SLICE_ARG(name), too);
  }
  return has_options ? text : arena_printf(arena, "%s%sOPTIONS", text, *text == '\0' ? "" : ", ");
}

const char *contract_allow(const struct contract *contract, struct slice path, struct arena *arena)
{
  const struct routes *routes = contract->routes;
  if (slice_equal(path, SLICE("*")))
    return contract_allow_header(contract, routes->used, arena);
  // No route has this method, so every route of the path is seen.
  struct match match = {.http_method = NO_HTTP_METHOD};
  if (!split_path(path, &match))
    return NULL;
  (void)match_with_verb(routes->root, &match);
  (void)match_node(routes->root, 0, &match);
  return match.seen == 0 ? NULL : contract_allow_header(contract, match.seen, arena);
}

enum status contract_route(const struct contract *contract, struct slice http_method, struct slice path,
                           struct contract_route *route, uint32_t *allowed)
{
  const struct routes *routes = contract->routes;
  struct match match;
  match.count = 0;
  match.verb = (struct slice){0};
  match.seen = 0;
  match.http_method =
      routes_find_http_method(routes, slice_equal(http_method, SLICE("HEAD")) ? SLICE("GET") : http_method);
  match.takes_any = !slice_equal(http_method, SLICE("OPTIONS"));
  if (!split_path(path, &match))
    return STATUS_NOT_FOUND;
  if (match_with_verb(routes->root, &match) || match_node(routes->root, 0, &match)) {
    fill_values(&match, route);
    return STATUS_OK;
  }
  if (match.seen == 0)
    return STATUS_NOT_FOUND;
  if (allowed != NULL)
    *allowed = match.seen;
  return STATUS_UNIMPLEMENTED;
}
