// The API: the contracts in the forms that the gateway serves. Loaded once before nginx forks and immutable afterwards,
// so that all workers share its memory.
#ifndef BULKHEAD_GATEWAY_API_H
#define BULKHEAD_GATEWAY_API_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/slice.h"
#include "common/base/status.h"
#include "common/base/strbuf.h"
#include "common/contract/contract.h"
#include "common/contract/descriptor_set.h"
#include "gateway/gateway_metrics.h"

// The method that the gateway fetches the keys of access tokens from.
#define KEYS_SERVICE "auth"
#define KEYS_METHOD "auth.v1.AuthService/GetJwks"

struct api {
  struct contract *contract;
  struct strbuf openapi;  // the OpenAPI document, JSON
  struct strbuf openapi_gzip;
  char openapi_etag[20];       // ETag of the document, with its quotes
  struct strbuf cors_allowed;  // names of request headers that scripts of other origins may set (gateway/cors.h)
  struct strbuf cors_exposed;  // names of reply headers that they may read
  const char **services;       // every service that has a route, and KEYS_SERVICE; views into `contract`
  size_t service_count;
  struct strbuf public_contracts;  // as reflection shows them
  struct descriptor_set *descriptors;
  const char **public_services;  // the full names of services that have a method for callers from outside
  size_t public_service_count;
  struct gateway_metrics metrics;
};

// Returns the longest time limit of the methods with a route.
uint32_t api_longest_call_ms(const struct api *api);

// Compiles a descriptor set, which may be freed afterwards. INVALID_ARGUMENT for contracts that cannot be served; the
// error names the place. The caller frees *out with api_free.
enum status api_load(struct slice protoset, struct api **out, struct error *error) MUST_CHECK;
enum status api_load_file(const char *path, struct api **out, struct error *error) MUST_CHECK;
void api_free(struct api **api);

#endif
