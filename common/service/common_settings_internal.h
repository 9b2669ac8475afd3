// The settings that every service has, beside its own table.
#ifndef BULKHEAD_SERVICE_COMMON_SETTINGS_INTERNAL_H
#define BULKHEAD_SERVICE_COMMON_SETTINGS_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/config/settings.h"

struct common_settings {
  const char *log_level;
  const char *instance_id;

  const char *rpc_listen;
  const char *rpc_advertise;
  int64_t rpc_max_calls;
  int64_t rpc_max_streams;
  const char *rpc_tls_ca;
  const char *rpc_tls_cert_key;
  const char *rpc_static;
  const char *service_key;
  const char *service_keys;
  const char *auth_issuer;
  const char *auth_audience;
  const char *token_keys;

  const char *admin_listen;
  const char *consul_url;
  const char *state_dir;
  const char *zone;
  const char *consul_token;

  const char *pg_conninfo;
  const char *pg_migrate_conninfo;
  int64_t pg_shared_connections;
  int64_t pg_pool_size;
  int64_t pg_scan_connections;
  int64_t pg_statement_timeout_ms;
  bool migrate_on_start;
  int64_t idempotency_sweep_interval_ms;
  int64_t jobs_keep_dead_ms;

  const char *redis_url;
  const char *redis_user;
  const char *redis_password;

  int64_t drain_timeout_ms;
};

extern const struct setting common_settings_table[];
extern const size_t common_settings_count;

#endif
