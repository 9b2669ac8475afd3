// The main program of the auth service: a table of its handlers, migrations, settings and commands. common/service runs
// it.
#include "auth/v1/auth.bh.h"
#include "common/service/service.h"
#include "services/auth/auth_commands.h"
#include "services/auth/auth_endings.h"
#include "services/auth/auth_handlers.h"
#include "services/auth/auth_state.h"
#include "services/auth/password_handlers.h"
#include "services/auth/session_handlers.h"
#include "services/auth/settings.h"

extern const struct migration_set auth_migrations;

static const struct setting auth_setting_table[] = {
    {.name = "AUTH_KEY_SECRET",
     .type = SETTING_STRING,
     .secret = true,
     .help = "At least 32 random characters; the private keys of access tokens are stored sealed under it.",
     SETTING_TARGET(struct auth_settings, key_secret)},
    {.name = "AUTH_KEY_SECRET_PREVIOUS",
     .type = SETTING_STRING,
     .secret = true,
     .optional = true,
     .help = "The AUTH_KEY_SECRET before, while it changes: what is sealed under it is sealed under the new one.",
     SETTING_TARGET(struct auth_settings, key_secret_previous)},
    {.name = "AUTH_KEY_ROTATION",
     .type = SETTING_DURATION,
     .default_value = "2160h",
     .min = 10000,
     .max = INT64_C(315360000000),
     .help = "How long a key signs access tokens before the next one does.",
     SETTING_TARGET(struct auth_settings, key_rotation_ms)},
    {.name = "AUTH_KEY_PUBLISH",
     .type = SETTING_DURATION,
     .default_value = "10m",
     .min = 5000,
     .max = 86400000,
     .help =
         "How long a key is published before it signs. Gateways and services fetch the keys twice a second; verifiers "
         "of others may keep them for as long.",
     SETTING_TARGET(struct auth_settings, key_publish_ms)},
    {.name = "AUTH_ACCESS_TTL",
     .type = SETTING_DURATION,
     .default_value = "15m",
     .min = 1000,
     .max = 86400000,
     .help = "How long an access token is valid.",
     SETTING_TARGET(struct auth_settings, access_ttl_ms)},
    {.name = "AUTH_REFRESH_TTL",
     .type = SETTING_DURATION,
     .default_value = "720h",
     .min = 1000,
     .max = INT64_C(31622400000),
     .help = "How long a session lives without being used.",
     SETTING_TARGET(struct auth_settings, refresh_ttl_ms)},
    {.name = "AUTH_REFRESH_GRACE",
     .type = SETTING_DURATION,
     .default_value = "10s",
     .min = 0,
     .max = 60000,
     .help =
         "How long the refresh token that was spent last may be used again, by a client that has lost the answer or "
         "by two tabs at once. Later it ends the session, because somebody else may have it.",
     SETTING_TARGET(struct auth_settings, refresh_grace_ms)},
    {.name = "AUTH_SESSION_MAX_AGE",
     .type = SETTING_DURATION,
     .default_value = "2160h",
     .min = 1000,
     .max = INT64_C(94867200000),
     .help = "How long a session lives at most, however often it is used; then a new login is needed.",
     SETTING_TARGET(struct auth_settings, session_max_age_ms)},
    {.name = "AUTH_SESSIONS_PER_ACCOUNT",
     .type = SETTING_INT,
     .default_value = "50",
     .min = 1,
     .max = 1000,
     .help = "How many sessions an account may have; a login beyond that ends the one that was used longest ago.",
     SETTING_TARGET(struct auth_settings, sessions_per_account)},
    {.name = "AUTH_PRODUCT_NAME",
     .type = SETTING_STRING,
     .default_value = "Bulkhead",
     .help = "The product's name as its users know it. A password that is made of it is refused.",
     SETTING_TARGET(struct auth_settings, product_name)},
    {.name = "AUTH_PASSWORD_MIN_LENGTH",
     .type = SETTING_INT,
     .default_value = "15",
     .min = 15,
     .max = 64,
     .help = "How many characters a new password needs where it is the only factor (NIST SP 800-63B-4: 15). Passwords "
             "that are set stay valid.",
     SETTING_TARGET(struct auth_settings, password_min_length)},
    {.name = "AUTH_PASSWORD_MIN_LENGTH_WITH_FACTOR",
     .type = SETTING_INT,
     .default_value = "8",
     .min = 8,
     .max = 64,
     .help = "How many characters a new password needs where the account has a second factor.",
     SETTING_TARGET(struct auth_settings, password_min_length_with_factor)},
    {.name = "AUTH_ARGON2_PASSES",
     .type = SETTING_INT,
     .default_value = "2",
     .min = 1,
     .max = 20,
     .help = "Passes of argon2id over its memory.",
     SETTING_TARGET(struct auth_settings, argon2_passes)},
    {.name = "AUTH_ARGON2_MEMORY",
     .type = SETTING_BYTES,
     .default_value = "19m",
     .min = 8192,
     .max = INT64_C(1) << 30,
     .help = "Memory of one password hash.",
     SETTING_TARGET(struct auth_settings, argon2_memory_bytes)},
};

static const struct rpc_binding auth_bindings[] = {
    {.service = &auth_v1_password_service, .handlers = &auth_password_handlers},
    {.service = &auth_v1_auth_service, .handlers = &auth_handlers},
    {.service = &auth_v1_session_service, .handlers = &auth_session_handlers},
    {.service = &auth_v1_ending_service, .handlers = &auth_ending_handlers},
    {.service = &auth_v1_rate_limit_service, .handlers = &auth_limit_handlers},
};

static const struct service_definition auth_service = {
    .name = "auth",
    .settings = auth_setting_table,
    .setting_count = ARRAY_LEN(auth_setting_table),
    .settings_size = sizeof(struct auth_settings),
    .bindings = auth_bindings,
    .binding_count = ARRAY_LEN(auth_bindings),
    .migrations = &auth_migrations,
    .peers = (const char *const[]){"user"},
    .peer_count = 1,
    .commands = auth_commands,
    .command_count = AUTH_COMMAND_COUNT,
    .start = auth_start,
    .stop = auth_stop,
};

int main(int argc, char **argv)
{
  return service_main(&auth_service, argc, argv);
}
