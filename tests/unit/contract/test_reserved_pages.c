// Pages of the gateway that hide routes, and whether their list is what nginx is told.
#include <criterion/criterion.h>

#include "common/contract/reserved_pages_internal.h"
#include "tests/support/contract/fixture.h"

#define NGINX_CONF "gateway/nginx/nginx.conf.in"

// What is said against a contract with this route; "" where it loads.
static const char *mistakes_of(const char *path)
{
  struct arena arena;
  arena_init(&arena);
  const char *said = fixture_mistakes(arena_printf(
      &arena,
      "service S { rpc Get(Q) returns (Q) { option (google.api.http) = {post: \"%s\"};"
      " option (bulkhead.v1.method) = {access: ACCESS_PUBLIC}; }\n"
      " rpc Own(Q) returns (Q) { option (bulkhead.v1.method) = {access: ACCESS_INTERNAL callers: \"t\"}; } }\n"
      "message Q { string id = 1; }\n",
      path));
  arena_free(&arena);
  return said;
}

Test(reserved_pages, hide_the_routes_at_their_paths)
{
  static const char *const HIDDEN[][2] = {
      {"/healthz", "serves /healthz, so"},
      {"/.problem", "serves /.problem, so"},
      {"/.crowd", "serves /.crowd, so"},
      {"/openapi.json", "serves /openapi.json, so"},
      {"/{id=healthz}", "serves /healthz, so"},
      {"/docs", "serves every path that begins with /docs, so"},
      {"/docs/{id}", "serves every path that begins with /docs, so"},
      {"/docsets", "serves every path that begins with /docs, so"},
      {"/docs:read", "serves every path that begins with /docs, so"},
      {"/{id=account/**}/x", "serves every path that begins with /account, so"},
      {"/accounts", "serves every path that begins with /account, so"},
      {"/t.v1.S/Get", "are calls of t.v1.S/Get by Connect, so"},
  };
  for (size_t i = 0; i < ARRAY_LEN(HIDDEN); i++) {
    const char *said = mistakes_of(HIDDEN[i][0]);
    cr_expect(strstr(said, HIDDEN[i][1]) != NULL, "%s: %s", HIDDEN[i][0], said);
  }
}

Test(reserved_pages, hide_no_other_routes)
{
  static const char *const FREE[] = {"/healthz/x",  "/healthz:x",    "/Healthz",     "/openapi", "/v1/docs",
                                     "/doc/{id}",   "/{id}",         "/**",          "/{id}/x",  "/v1/healthz",
                                     "/t.v1.S/Own", "/t.v1.S/Other", "/t.v1.S/Get/x"};
  for (size_t i = 0; i < ARRAY_LEN(FREE); i++)
    cr_expect_str_eq(mistakes_of(FREE[i]), "", "%s", FREE[i]);
}

// ---- nginx' configuration ----

// A location of the configuration: "location = /healthz {", "location /docs {".
struct location {
  struct slice path;
  bool is_exact;
};

static struct slice take_line(struct slice *rest)
{
  size_t end = slice_find(*rest, '\n', 0);
  struct slice line = slice_trim(slice_make(rest->data, end));
  *rest = slice_skip(*rest, end + 1);
  if (slice_starts_with(line, SLICE("#tls:")) || slice_starts_with(line, SLICE("#plain:")))
    line = slice_trim(slice_skip(line, slice_find(line, ':', 0) + 1));
  return line;
}

static bool read_location(struct slice line, struct location *out)
{
  if (!slice_starts_with(line, SLICE("location ")) || line.data[line.size - 1] != '{')
    return false;
  struct slice text = slice_trim(slice_make(line.data + 9, line.size - 10));
  size_t space = slice_find(text, ' ', 0);
  struct slice modifier = space == text.size ? SLICE("") : slice_make(text.data, space);
  *out = (struct location){.path = slice_trim(slice_skip(text, space == text.size ? 0 : space)),
                           .is_exact = slice_equal(modifier, SLICE("="))};
  if (out->path.data[0] == '^')
    out->path = slice_skip(out->path, 1);
  return true;
}

// Tells whether the list has the location, or a page of the list that it is a part of.
static bool is_listed(const struct location *location)
{
  size_t count;
  const struct reserved_page *pages = reserved_pages(&count);
  for (size_t i = 0; i < count; i++) {
    struct slice path = slice_from_string(pages[i].path);
    if (pages[i].is_prefix ? slice_starts_with(location->path, path)
                           : location->is_exact && slice_equal(location->path, path))
      return true;
  }
  return false;
}

// Expects every location of the public servers in the list. `seen` has a flag for each page.
static void check_locations(struct slice text, bool *seen)
{
  size_t count;
  const struct reserved_page *pages = reserved_pages(&count);
  bool is_admin = false;
  struct location location;
  while (text.size > 0) {
    struct slice line = take_line(&text);
    if (slice_equal(line, SLICE("server {")))
      is_admin = false;
    is_admin = is_admin || slice_starts_with(line, SLICE("listen @GATEWAY_ADMIN_LISTEN@"));
    if (is_admin || !read_location(line, &location))
      continue;
    cr_expect(slice_equal(location.path, SLICE("/")) || is_listed(&location),
              "common/contract/reserved_pages.c does not have " NGINX_CONF "'s \"" SLICE_FMT "\"", SLICE_ARG(line));
    for (size_t i = 0; i < count; i++)
      seen[i] |= slice_equal_string(location.path, pages[i].path) && location.is_exact == !pages[i].is_prefix;
  }
}

Test(reserved_pages, are_those_that_nginx_serves)
{
  bool seen[32] = {false};
  size_t count;
  const struct reserved_page *pages = reserved_pages(&count);
  cr_assert_leq(count, ARRAY_LEN(seen));
  check_locations(fixture_read_file(NGINX_CONF), seen);
  for (size_t i = 0; i < count; i++)
    cr_expect(seen[i], NGINX_CONF " has no location for %s", pages[i].path);
}
