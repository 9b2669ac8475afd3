#include "gateway/api.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/contract/diagnostics.h"
#include "common/observe/log.h"
#include "gateway/cors.h"
#include "gateway/document.h"
#include "gateway/gzip.h"
#include "gateway/public_contracts.h"

#define PROTOSET_MAX_BYTES ((size_t)16 * 1024 * 1024)

static bool has_service(const struct api *api, const char *service)
{
  for (size_t i = 0; i < api->service_count; i++)
    if (strcmp(api->services[i], service) == 0)
      return true;
  return false;
}

static void collect_services(struct api *api)
{
  size_t methods = contract_method_count(api->contract);
  api->services = calloc(methods + 1, sizeof(*api->services));
  CHECK(api->services != NULL);
  api->services[api->service_count++] = KEYS_SERVICE;
  for (size_t i = 0; i < methods; i++) {
    const struct contract_method *method = contract_method(api->contract, i);
    if (method->policy.access != ACCESS_INTERNAL && !has_service(api, method->service))
      api->services[api->service_count++] = method->service;
  }
}

// Compiles the contracts. Every mistake goes into the log, in the words that `make` has for it; the error has room for
// the first only.
static enum status load_contract(struct slice protoset, struct contract **out, struct error *error)
{
  struct diagnostics diagnostics;
  struct strbuf text;
  diagnostics_init(&diagnostics);
  strbuf_init(&text, 0);
  enum status status = contract_load(protoset, out, &diagnostics);
  for (size_t i = 0; i < diagnostics.count; i++) {
    strbuf_clear(&text);
    diagnostic_write(&diagnostics.items[i], &text);
    log_error("contracts", "a contract cannot be served; correct it and build the protoset again",
              LOG_STRING("mistake", strbuf_cstring(&text)));
    if (i == 0)
      error_set(error, status, "%s%s", strbuf_cstring(&text),
                diagnostics.count == 1 ? "" : " (the log has the other mistakes)");
  }
  strbuf_free(&text);
  diagnostics_free(&diagnostics);
  return status;
}

static enum status check_keys_method(const struct api *api, struct error *error)
{
  if (contract_method_by_name(api->contract, SLICE(KEYS_METHOD)) == NULL)
    return error_set(error, STATUS_INVALID_ARGUMENT,
                     "the contracts have no " KEYS_METHOD ", where the gateway gets its keys from; build the protoset "
                     "with proto/auth");
  return STATUS_OK;
}

static void make_public_contracts(struct api *api, struct slice protoset)
{
  size_t count = contract_service_count(api->contract);
  api->public_services = calloc(count + 1, sizeof(*api->public_services));
  CHECK(api->public_services != NULL);
  for (size_t i = 0; i < count; i++) {
    const struct contract_service *service = contract_service(api->contract, i);
    if (public_contracts_have(service))
      api->public_services[api->public_service_count++] = service->full_name;
  }
  strbuf_init(&api->public_contracts, 0);
  public_contracts_write(protoset, api->contract, &api->public_contracts);
  CHECK(descriptor_set_create(strbuf_slice(&api->public_contracts), &api->descriptors) == STATUS_OK);
}

enum status api_load(struct slice protoset, struct api **out, struct error *error)
{
  struct api *api = calloc(1, sizeof(*api));
  CHECK(api != NULL);
  enum status status = load_contract(protoset, &api->contract, error);
  if (status == STATUS_OK)
    status = check_keys_method(api, error);
  if (status != STATUS_OK) {
    api_free(&api);
    return status;
  }
  collect_services(api);
  make_public_contracts(api, protoset);
  strbuf_init(&api->openapi, 0);
  document_write(api->contract, &api->openapi);
  strbuf_init(&api->openapi_gzip, 0);
  gzip_compress(strbuf_slice(&api->openapi), &api->openapi_gzip);
  snprintf(api->openapi_etag, sizeof(api->openapi_etag), "\"%016" PRIx64 "\"",
           hash_fingerprint(strbuf_slice(&api->openapi)));
  strbuf_init(&api->cors_allowed, 0);
  strbuf_init(&api->cors_exposed, 0);
  cors_write_allowed(api->contract, &api->cors_allowed);
  cors_write_exposed(api->contract, &api->cors_exposed);
  gateway_metrics_create(&api->metrics, api->contract, api->services, api->service_count);
  *out = api;
  return STATUS_OK;
}

enum status api_load_file(const char *path, struct api **out, struct error *error)
{
  struct strbuf bytes;
  strbuf_init(&bytes, PROTOSET_MAX_BYTES);
  enum status status =
      strbuf_read_file(&bytes, path)
          ? api_load(strbuf_slice(&bytes), out, error)
          : error_set(error, errno == ENOENT ? STATUS_NOT_FOUND : STATUS_INVALID_ARGUMENT,
                      "cannot be read (it may have %zu MiB): %s", PROTOSET_MAX_BYTES >> 20, strerror(errno));
  strbuf_free(&bytes);
  if (status != STATUS_OK)
    error_prefix(error, "protoset %s", path);
  return status;
}

uint32_t api_longest_call_ms(const struct api *api)
{
  uint32_t longest_ms = 0;
  for (size_t i = 0; i < contract_method_count(api->contract); i++) {
    const struct contract_method *method = contract_method(api->contract, i);
    bool streams = method->client_streams || method->server_streams;
    if (method->policy.access != ACCESS_INTERNAL && !streams && method->timeout_ms > longest_ms)
      longest_ms = method->timeout_ms;
  }
  return longest_ms;
}

void api_free(struct api **api)
{
  struct api *gone = *api;
  *api = NULL;
  if (gone == NULL)
    return;
  gateway_metrics_free(&gone->metrics);
  descriptor_set_free(&gone->descriptors);
  strbuf_free(&gone->public_contracts);
  free(gone->public_services);
  strbuf_free(&gone->openapi);
  strbuf_free(&gone->openapi_gzip);
  strbuf_free(&gone->cors_allowed);
  strbuf_free(&gone->cors_exposed);
  free(gone->services);
  contract_free(&gone->contract);
  free(gone);
}
