// Declares the handlers of ExportService.
#ifndef BULKHEAD_SERVICES_USER_EXPORT_HANDLERS_H
#define BULKHEAD_SERVICES_USER_EXPORT_HANDLERS_H

#include "user/v1/export.bh.h"

extern const struct user_v1_export_service_handlers user_export_handlers;

#endif
