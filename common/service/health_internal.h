// grpc.health.v1.Health, which every process serves.
#ifndef BULKHEAD_SERVICE_HEALTH_INTERNAL_H
#define BULKHEAD_SERVICE_HEALTH_INTERNAL_H

#include "grpc/health/v1/health.bh.h"

extern const struct grpc_health_v1_health_handlers health_handlers;

#endif
