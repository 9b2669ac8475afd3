#include "proto/plugin/callers.h"

#include <stdio.h>
#include <string.h>

static bool is_known(const struct contract *contract, const char *caller)
{
  if (strcmp(caller, POLICY_ANY_SERVICE) == 0 || strcmp(caller, POLICY_GATEWAY) == 0)
    return true;
  for (size_t i = 0; i < contract_service_count(contract); i++)
    if (strcmp(contract_service(contract, i)->service, caller) == 0)
      return true;
  return false;
}

static void check_method(const struct contract *contract, const struct contract_method *method,
                         struct diagnostics *diagnostics)
{
  char element[256];
  snprintf(element, sizeof(element), "%s.%s", method->service_full_name, method->name);
  for (size_t i = 0; i < method->policy.caller_count; i++) {
    const char *caller = method->policy.callers[i];
    if (!is_known(contract, caller))
      diagnostics_add(
          diagnostics, &method->place, element,
          "the caller \"%s\" is no service, because no contract has one in a package such as %s.v1; correct "
          "the name, or add proto/%s/v1/%s.proto with a service",
          caller, caller, caller, caller);
  }
}

void callers_find_unknown(const struct contract *contract, struct diagnostics *diagnostics)
{
  for (size_t i = 0; i < contract_method_count(contract); i++)
    check_method(contract, contract_method(contract, i), diagnostics);
}
