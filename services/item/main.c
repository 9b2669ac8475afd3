// The main program of the item service: a table of its handlers, migrations, settings and commands. common/service runs
// it.
#include "auth/v1/auth.bh.h"
#include "common/service/service.h"
#include "item/v1/item.bh.h"
#include "services/item/item_handlers.h"
#include "services/item/item_state.h"
#include "services/item/owner_handlers.h"
#include "services/item/settings.h"

extern const struct migration_set item_migrations;

static const struct setting item_setting_table[] = {
    {.name = "ITEM_CACHE_BYTES",
     .type = SETTING_BYTES,
     .default_value = "64m",
     .min = 0,
     .max = INT64_C(64) << 30,
     .help = "Memory for items that were read or changed; 0 turns the cache off, in Redis too.",
     SETTING_TARGET(struct item_settings, cache_bytes)},
    {.name = "ITEM_SWEEP_INTERVAL",
     .type = SETTING_DURATION,
     .default_value = "1m",
     .min = 10,
     .max = 3600000,
     .help = "How often changes of items are removed that are older than an hour, which is how long one can resume a "
             "watch.",
     SETTING_TARGET(struct item_settings, sweep_interval_ms)},
};

static const struct rpc_binding item_bindings[] = {
    {.service = &item_v1_item_service, .handlers = &item_handlers},
    {.service = &item_v1_owner_service, .handlers = &item_owner_handlers},
};

static const struct resource *const item_resources[] = {&item_resource, NULL};

static const struct service_definition item_service = {
    .name = "item",
    .settings = item_setting_table,
    .setting_count = ARRAY_LEN(item_setting_table),
    .settings_size = sizeof(struct item_settings),
    .bindings = item_bindings,
    .binding_count = ARRAY_LEN(item_bindings),
    .resources = item_resources,
    .token_issuer = &auth_v1_auth_service,
    .token_keys_method = "GetJwks",
    .migrations = &item_migrations,
    .start = item_start,
    .stop = item_stop,
};

int main(int argc, char **argv)
{
  return service_main(&item_service, argc, argv);
}
