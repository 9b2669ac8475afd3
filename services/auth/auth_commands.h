// Defines the sub-commands of the auth binary. The first admin is made by `auth grant-role admin <e-mail>`.
#ifndef BULKHEAD_SERVICES_AUTH_AUTH_COMMANDS_H
#define BULKHEAD_SERVICES_AUTH_AUTH_COMMANDS_H

#include "common/service/service.h"

#define AUTH_COMMAND_COUNT 4
extern const struct service_command auth_commands[AUTH_COMMAND_COUNT];

#endif
