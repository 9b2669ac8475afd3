// Settings of the auth service beside those that every service has (common/service).
#ifndef BULKHEAD_SERVICES_AUTH_SETTINGS_H
#define BULKHEAD_SERVICES_AUTH_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

struct auth_settings {
  const char *key_secret;
  const char *key_secret_previous;  // NULL: not set
  int64_t key_rotation_ms;
  int64_t key_publish_ms;
  int64_t access_ttl_ms;
  int64_t refresh_ttl_ms;
  int64_t refresh_grace_ms;
  int64_t session_max_age_ms;
  int64_t sessions_per_account;
  int64_t api_keys_per_account;
  int64_t challenge_ttl_ms;
  int64_t remember_device_ms;  // 0: no device is remembered
  const char *product_name;
  int64_t password_min_length;
  int64_t password_min_length_with_factor;
  int64_t audit_keep_ms;
  int64_t argon2_passes;
  int64_t argon2_memory_bytes;
  const char *mail_url;  // NULL: no mail is sent
  const char *mail_user;
  const char *mail_password;
  const char *mail_ca_file;
  bool mail_without_tls;
  const char *mail_from;
  const char *mail_from_name;
  const char *mail_templates;
  const char *account_url;
  const char *passkey_rp_id;  // NULL: no passkey is taken
  const char *passkey_origins;
  int64_t reset_ttl_ms;
  int64_t verify_ttl_ms;
  int64_t undo_ttl_ms;
  bool verify_email_first;
};

#endif
