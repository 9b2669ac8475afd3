// Finds what is wrong with settings that are each well-formed: what the parts of the process would refuse when they
// are opened. Nothing is connected and nobody listens.
#include "common/base/compiler.h"
#include "common/discovery/discovery.h"
#include "common/rpc/rpc.h"
#include "common/security/service_identity.h"
#include "common/security/tls.h"
#include "common/security/token.h"
#include "common/service/host_port_internal.h"
#include "common/service/service_internal.h"

#define MAX_ZONE_BYTES 64

// Refuses to serve where neither this service nor its callers could prove who they are.
static enum status check_proof(const struct service *service, struct error *error)
{
  if (service->common.service_key != NULL || service->common.rpc_tls_ca != NULL)
    return STATUS_OK;
  const char *name = service->definition->name;
  return error_set(
      error, STATUS_INVALID_ARGUMENT,
      "nothing proves the names of services that call each other; set RPC_TLS_CA and RPC_TLS_CERT_KEY, or, "
      "without TLS, SERVICE_KEY_FILE and SERVICE_KEYS: `deploy/keys FOLDER` makes FOLDER/service_%s.pem and "
      "FOLDER/service_keys.json",
      name);
}

static enum status check_identity(const struct service *service, struct error *error)
{
  struct service_identity *identity = NULL;
  enum status status = service_make_identity(service, &identity, error);
  service_identity_free(&identity);
  return status;
}

static enum status check_tls_files(const struct service *service, struct error *error)
{
  const struct common_settings *common = &service->common;
  if (common->rpc_tls_ca == NULL)
    return STATUS_OK;
  struct tls_context *tls = tls_context_create(common->rpc_tls_ca, common->rpc_tls_cert_key);
  enum status status = tls_context_load(tls, error);
  tls_context_free(&tls);
  if (status != STATUS_OK)
    error_prefix(error, "RPC_TLS_CA, RPC_TLS_CERT_KEY");
  return status;
}

// Checks RPC_LISTEN, and RPC_ADVERTISE with it. Whether its port is free is seen when it is opened.
static enum status check_rpc_addresses(const struct service *service, struct error *error)
{
  const struct common_settings *common = &service->common;
  const struct advertised advertised = {
      .listen_url = common->rpc_listen, .advertise = common->rpc_advertise, .primary = "127.0.0.1"};
  struct arena arena = {0};
  const char *url = NULL;
  enum status status = advertise_url(&advertised, &arena, &url, error);
  arena_free(&arena);
  if (status != STATUS_OK)
    return status;
  status = rpc_check_scheme(common->rpc_listen, common->rpc_tls_ca != NULL, error);
  if (status != STATUS_OK)
    error_prefix(error, "RPC_LISTEN");
  return status;
}

static enum status check_token_keys(const struct service *service, struct error *error)
{
  const struct common_settings *common = &service->common;
  if (common->token_keys == NULL)
    return STATUS_OK;
  struct token_verifier *verifier = callers_make_verifier(common);
  enum status status = token_verifier_read_keys(verifier, common->token_keys, error);
  token_verifier_free(&verifier);
  if (status != STATUS_OK)
    error_prefix(error, "TOKEN_KEYS");
  return status;
}

// Sends Consul no request, because no endpoints are followed.
static enum status check_discovery(const struct discovery_options *options, const char *setting, struct error *error)
{
  struct discovery *discovery = NULL;
  enum status status = discovery_create(options, &discovery, error);
  discovery_free(&discovery);
  if (status != STATUS_OK)
    error_prefix(error, "%s", setting);
  return status;
}

static enum status check_static_list(const struct service *service, struct error *error)
{
  return check_discovery(&(struct discovery_options){.static_list = service->common.rpc_static}, "RPC_STATIC", error);
}

static enum status check_consul(const struct service *service, struct error *error)
{
  return check_discovery(&(struct discovery_options){.consul_url = service->common.consul_url}, "CONSUL_URL", error);
}

static bool is_zone_character(char character)
{
  return (character >= 'a' && character <= 'z') || (character >= 'A' && character <= 'Z') ||
         (character >= '0' && character <= '9') || character == '.' || character == '_' || character == '-';
}

static enum status check_zone(const struct service *service, struct error *error)
{
  struct slice zone = slice_from_string(service->common.zone);
  bool valid = zone.size <= MAX_ZONE_BYTES;
  for (size_t i = 0; i < zone.size && valid; i++)
    valid = is_zone_character(zone.data[i]);
  return valid ? STATUS_OK
               : error_set(error, STATUS_INVALID_ARGUMENT,
                           "ZONE: \"%s\" must be 1 to %d letters, digits and . _ -, such as eu-1a",
                           service->common.zone, MAX_ZONE_BYTES);
}

static enum status check_postgres(const struct service *service, struct error *error)
{
  enum status status = pg_check_conninfo(service->common.pg_conninfo, error);
  if (status != STATUS_OK)
    error_prefix(error, "PG_CONNINFO");
  return status;
}

static enum status check_redis(const struct service *service, struct error *error)
{
  enum status status = redis_check_url(service->common.redis_url, error);
  if (status != STATUS_OK)
    error_prefix(error, "REDIS_URL");
  return status;
}

static enum status check_admin_address(const struct service *service, struct error *error)
{
  struct host_port where;
  return admin_parse_address(service->common.admin_listen, &where, error);
}

enum status service_check_settings(const struct service *service, struct strbuf *problems)
{
  static enum status (*const checks[])(const struct service *service, struct error *error) = {
      check_proof,  check_identity, check_tls_files,     check_rpc_addresses, check_token_keys, check_static_list,
      check_consul, check_redis,    check_admin_address, check_zone,          check_postgres,
  };
  enum status result = STATUS_OK;
  for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
    struct error error;
    if (checks[i](service, &error) == STATUS_OK)
      continue;
    strbuf_printf(problems, "%s\n", error.message);
    result = STATUS_INVALID_ARGUMENT;
  }
  return result;
}
