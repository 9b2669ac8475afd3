// Compares methods and routes. Messages are compared in pairs that start at the methods: a message that no client meets
// may change, and a message that was only renamed is the same.
#include "proto/plugin/breaking.h"

#include <stdlib.h>
#include <string.h>

#include "proto/plugin/breaking_internal.h"

const char *clients_of(unsigned use)
{
  return (use & USE_REST) != 0 ? "RPC and REST clients" : "RPC clients";
}

// ---- versions of packages ----

struct version {
  struct slice base;  // "item" of "item.v2"
  uint64_t number;    // 2 of "item.v2"; 0 where the package has no version
};

static struct version split_package(const char *package)
{
  struct slice whole = slice_from_string(package);
  const char *last = strrchr(package, '.');
  uint64_t number;
  if (last == NULL || last[1] != 'v' || !slice_to_uint64(slice_from_string(last + 2), 1, UINT32_MAX, &number))
    return (struct version){.base = whole};
  return (struct version){.base = slice_make(package, (size_t)(last - package)), .number = number};
}

// Whether the package is gone and a later version of it is present.
static bool version_rose(const struct contract *present, const char *package)
{
  struct version released = split_package(package);
  bool rose = false;
  for (size_t i = 0; i < contract_service_count(present); i++) {
    const char *other = contract_service(present, i)->file->package;
    struct version version = split_package(other);
    if (strcmp(other, package) == 0)
      return false;
    rose |= slice_equal(version.base, released.base) && version.number > released.number;
  }
  return rose;
}

// ---- routes ----

// Whether both templates match the same paths. Names of variables do not matter, because clients do not see them.
static bool same_path(const char *a, const char *b)
{
  while (*a != '\0' && *b != '\0') {
    if (*a == '{' && *b == '{') {
      a += strcspn(a, "=}");
      b += strcspn(b, "=}");
      // {id} is short for {id=*}.
      bool plain_a = *a == '}' || strncmp(a, "=*}", 3) == 0;
      bool plain_b = *b == '}' || strncmp(b, "=*}", 3) == 0;
      if (plain_a != plain_b)
        return false;
      a += plain_a && *a == '=' ? 2 : 0;
      b += plain_b && *b == '=' ? 2 : 0;
      continue;
    }
    if (*a++ != *b++)
      return false;
  }
  return *a == *b;
}

static const struct contract_binding *find_route(const struct contract *contract,
                                                 const struct contract_binding *released)
{
  for (size_t i = 0; i < contract_binding_count(contract); i++) {
    const struct contract_binding *binding = contract_binding(contract, i);
    if (strcmp(binding->http_method, released->http_method) == 0 && same_path(binding->path, released->path))
      return binding;
  }
  return NULL;
}

static const char *method_element(struct comparison *comparison, const struct contract_method *method)
{
  return arena_printf(&comparison->arena, "%s.%s", method->service_full_name, method->name);
}

// Returns the JSON name of a field; "" for NULL.
static struct slice field_name(const struct contract_field *field)
{
  return field == NULL ? SLICE("") : field->json_name;
}

static void compare_binding(struct comparison *comparison, const struct contract_binding *released,
                            const struct contract_binding *present)
{
  struct diagnostics *diagnostics = comparison->diagnostics;
  const struct contract_method *old = released->method;
  const struct contract_method *new = present->method;
  const char *element = method_element(comparison, new);
  if (released->body != present->body ||
      (released->body_field != NULL && !slice_equal(field_name(released->body_field), field_name(present->body_field))))
    diagnostics_add(diagnostics, &present->place, element,
                    "%s %s takes another body than the released one; REST clients send the old one; restore body",
                    present->http_method, present->path);
  if ((released->response_body_field == NULL) != (present->response_body_field == NULL) ||
      !slice_equal(field_name(released->response_body_field), field_name(present->response_body_field)))
    diagnostics_add(diagnostics, &present->place, element,
                    "%s %s answers with another body; REST clients read the old one; restore response_body",
                    present->http_method, present->path);
  if (old->success_status != new->success_status)
    diagnostics_add(diagnostics, &present->place, element,
                    "success_status changed from %d to %d; REST clients expect the old one; restore it",
                    old->success_status, new->success_status);
  if (old->location != NULL && new->location == NULL)
    diagnostics_add(diagnostics, &present->place, element,
                    "the reply has no Location any more; REST clients follow it; restore location");
  comparison_add_pair(comparison, old->input, new->input, USE_REQUEST | USE_REST);
  comparison_add_pair(comparison, old->output, new->output, USE_RESPONSE | USE_REST);
}

static void compare_route(struct comparison *comparison, const struct contract_binding *released)
{
  const struct contract_binding *present = find_route(comparison->present, released);
  if (present != NULL) {
    compare_binding(comparison, released, present);
    return;
  }
  const struct contract_method *method = contract_method_by_name(comparison->present, released->method->full_name);
  diagnostics_add(comparison->diagnostics, method == NULL ? &released->method->place : &method->place,
                  method_element(comparison, released->method),
                  "the route %s %s is gone; REST clients that call it are answered 404 or 405; keep it (a new one can "
                  "stand beside it in additional_bindings)",
                  released->http_method, released->path);
}

// ---- methods ----

static const char *access_text(enum access access)
{
  static const char *const NAMES[] = {"", "ACCESS_PUBLIC", "ACCESS_AUTHENTICATED", "ACCESS_ROLE", "ACCESS_INTERNAL"};
  return NAMES[access];
}

static bool has_text(const char *const *texts, size_t count, const char *text)
{
  for (size_t i = 0; i < count; i++)
    if (strcmp(texts[i], text) == 0)
      return true;
  return false;
}

static bool has_role(const struct policy *policy, const char *role)
{
  return has_text(policy->roles, policy->role_count, role);
}

static bool has_caller(const struct policy *policy, const char *caller)
{
  return has_text(policy->callers, policy->caller_count, caller) ||
         (strcmp(caller, POLICY_GATEWAY) != 0 && has_text(policy->callers, policy->caller_count, POLICY_ANY_SERVICE));
}

static bool has_route(const struct contract *contract, const struct contract_method *method)
{
  for (size_t i = 0; i < contract_binding_count(contract); i++)
    if (contract_binding(contract, i)->method == method)
      return true;
  return false;
}

static void compare_policy(struct comparison *comparison, const struct contract_method *released,
                           const struct contract_method *present)
{
  const struct policy *old = &released->policy;
  const struct policy *new = &present->policy;
  const char *element = method_element(comparison, present);
  const char *clients = clients_of(has_route(comparison->released, released) ? USE_REST : 0);
  // A service that calls an internal method may have no user, so only a public method still lets it in.
  bool is_closed = new->access > old->access ||
                   (old->access == ACCESS_INTERNAL && new->access != ACCESS_INTERNAL &&new->access != ACCESS_PUBLIC);
  if (is_closed)
    diagnostics_add(comparison->diagnostics, &present->place, element,
                    "the access was tightened from %s to %s; %s that were let in are refused; restore it",
                    access_text(old->access), access_text(new->access), clients);
  for (size_t i = 0; new->access == ACCESS_ROLE &&i < old->role_count; i++)
    if (!has_role(new, old->roles[i]))
      diagnostics_add(comparison->diagnostics, &present->place, element,
                      "the role %s may not call any more; %s that hold it are refused; restore it", old->roles[i],
                      clients);
  for (size_t i = 0; i < old->caller_count; i++)
    if (!has_caller(new, old->callers[i]))
      diagnostics_add(comparison->diagnostics, &present->place, element,
                      "callers names \"%s\" no more; its calls are refused; restore it", old->callers[i]);
}

static bool is_same_text(const char *a, const char *b)
{
  return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

// Judges what a permission refuses that was let in. The role "user" held the permissions with every_user before they
// had names, and "admin" holds all. An ownership rule that comes with the first permission may have been the handler's
// before.
static void compare_permission(struct comparison *comparison, const struct contract_method *released,
                               const struct contract_method *present)
{
  const struct policy *old = &released->policy;
  const struct policy *new = &present->policy;
  const char *clients = clients_of(has_route(comparison->released, released) ? USE_REST : 0);
  const char *element = method_element(comparison, present);
  bool was_open = old->permission == NULL && old->access == ACCESS_AUTHENTICATED;
  bool is_other = old->permission != NULL && !is_same_text(old->permission, new->permission);
  if (new->permission != NULL && ((was_open && !new->every_user) || is_other))
    diagnostics_add(comparison->diagnostics, &present->place, element,
                    "the permission %s is needed now; %s whose account does not hold it are refused; restore what the "
                    "method needed",
                    new->permission, clients);
  if (old->permission != NULL && old->every_user && !new->every_user && !is_other &&new->permission != NULL)
    diagnostics_add(
        comparison->diagnostics, &present->place, element,
        "every_user was taken from the permission %s; %s whose account does not hold it are refused; restore "
        "it",
        new->permission, clients);
  if (old->permission != NULL && old->owner == POLICY_OWNER_NONE && new->owner != POLICY_OWNER_NONE)
    diagnostics_add(comparison->diagnostics, &present->place, element,
                    "an ownership rule was added; %s that act on what belongs to others are refused; restore it",
                    clients);
}

static void compare_auth_age(struct comparison *comparison, const struct contract_method *released,
                             const struct contract_method *present)
{
  uint32_t old = released->policy.max_auth_age_s;
  uint32_t new = present->policy.max_auth_age_s;
  if (new != 0 && (old == 0 || new < old))
    diagnostics_add(comparison->diagnostics, &present->place, method_element(comparison, present),
                    "max_auth_age_s was added or lowered; %s whose user has logged in longer ago are refused; restore "
                    "it",
                    clients_of(has_route(comparison->released, released) ? USE_REST : 0));
}

static bool takes_body(const struct contract *contract, const struct contract_method *method)
{
  for (size_t i = 0; i < contract_binding_count(contract); i++)
    if (contract_binding(contract, i)->method == method && contract_binding(contract, i)->body != CONTRACT_BODY_NONE)
      return true;
  return false;
}

static void compare_body_limit(struct comparison *comparison, const struct contract_method *released,
                               const struct contract_method *present)
{
  if (present->max_body_bytes < released->max_body_bytes && takes_body(comparison->released, released))
    diagnostics_add(comparison->diagnostics, &present->place, method_element(comparison, present),
                    "max_body_bytes fell from %u to %u; REST clients that send larger bodies are refused; restore it",
                    released->max_body_bytes, present->max_body_bytes);
}

static void compare_streams(struct comparison *comparison, const struct contract_method *released,
                            const struct contract_method *present)
{
  if (present->client_streams != released->client_streams || present->server_streams != released->server_streams)
    diagnostics_add(comparison->diagnostics, &present->place, method_element(comparison, present),
                    "stream was added or taken away; RPC clients that call the method are answered UNIMPLEMENTED; "
                    "restore it, and add a method beside it");
}

static void compare_method(struct comparison *comparison, const struct contract_method *released)
{
  const struct contract_method *present = contract_method_by_name(comparison->present, released->full_name);
  if (present == NULL) {
    diagnostics_add(comparison->diagnostics, &released->place, method_element(comparison, released),
                    "the method is gone; RPC clients that call it are answered UNIMPLEMENTED; keep it");
    return;
  }
  compare_policy(comparison, released, present);
  compare_permission(comparison, released, present);
  compare_auth_age(comparison, released, present);
  compare_body_limit(comparison, released, present);
  compare_streams(comparison, released, present);
  comparison_add_pair(comparison, released->input, present->input, USE_REQUEST);
  comparison_add_pair(comparison, released->output, present->output, USE_RESPONSE);
}

static void compare_service(struct comparison *comparison, const struct contract_service *service)
{
  for (size_t i = 0; i < service->method_count; i++)
    compare_method(comparison, &service->methods[i]);
  for (size_t i = 0; i < contract_binding_count(comparison->released); i++) {
    const struct contract_binding *binding = contract_binding(comparison->released, i);
    if (strcmp(binding->method->service_full_name, service->full_name) == 0)
      compare_route(comparison, binding);
  }
}

void breaking_find(const struct contract *released, const struct contract *present, struct diagnostics *diagnostics)
{
  struct comparison comparison = {.released = released, .present = present, .diagnostics = diagnostics};
  arena_init(&comparison.arena);
  for (size_t i = 0; i < contract_service_count(released); i++) {
    const struct contract_service *service = contract_service(released, i);
    if (!version_rose(present, service->file->package))
      compare_service(&comparison, service);
  }
  compare_messages(&comparison);
  diagnostics_sort(diagnostics);
  free(comparison.pairs);
  arena_free(&comparison.arena);
}
