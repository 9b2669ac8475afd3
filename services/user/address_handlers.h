// Declares the handlers of AddressService (user/v1/addresses.proto).
#ifndef BULKHEAD_SERVICES_USER_ADDRESS_HANDLERS_H
#define BULKHEAD_SERVICES_USER_ADDRESS_HANDLERS_H

#include "user/v1/addresses.bh.h"

extern const struct user_v1_address_service_handlers user_address_handlers;

#endif
