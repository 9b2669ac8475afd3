// The main program of the user service: a table of its handlers, migrations, settings and commands. common/service runs
// it.
#include "auth/v1/auth.bh.h"
#include "common/service/service.h"
#include "services/user/address_handlers.h"
#include "services/user/export_handlers.h"
#include "services/user/removal_handlers.h"
#include "services/user/settings.h"
#include "services/user/user_handlers.h"
#include "services/user/user_jobs.h"
#include "user/v1/user.bh.h"

extern const struct migration_set user_migrations;

static const struct setting user_setting_table[] = {
    {.name = "USER_SIGN_UP_LIMIT",
     .type = SETTING_DURATION,
     .default_value = "1m",
     .min = 10,
     .max = 3600000,
     .help = "A sign-up that has not ended by then counts as failed and its credential is removed.",
     SETTING_TARGET(struct user_settings, sign_up_limit_ms)},
    {.name = "VERIFY_EMAIL_FIRST",
     .type = SETTING_BOOL,
     .default_value = "false",
     .help = "A sign-up tells nothing about existing accounts: its answer is the same where the address is taken, and "
             "whoever has it gets a mail. Set it for the auth service, too, which refuses logins until the address is "
             "confirmed.",
     SETTING_TARGET(struct user_settings, verify_email_first)},
};

static const struct rpc_binding user_bindings[] = {
    {.service = &user_v1_user_service, .handlers = &user_handlers},
    {.service = &user_v1_address_service, .handlers = &user_address_handlers},
    {.service = &user_v1_export_service, .handlers = &user_export_handlers},
    {.service = &user_v1_removal_service, .handlers = &user_removal_handlers},
};

static const struct resource *const user_resources[] = {&user_resource, NULL};

static const struct service_definition user_service = {
    .name = "user",
    .settings = user_setting_table,
    .setting_count = ARRAY_LEN(user_setting_table),
    .settings_size = sizeof(struct user_settings),
    .bindings = user_bindings,
    .binding_count = ARRAY_LEN(user_bindings),
    .resources = user_resources,
    .token_issuer = &auth_v1_auth_service,
    .token_keys_method = "GetJwks",
    .migrations = &user_migrations,
    .peers = (const char *const[]){"auth", "item"},
    .peer_count = 2,
    .jobs = user_jobs,
    .job_count = USER_JOB_COUNT,
};

int main(int argc, char **argv)
{
  return service_main(&user_service, argc, argv);
}
