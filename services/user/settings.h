// Settings of the user service beside those that every service has (common/service).
#ifndef BULKHEAD_SERVICES_USER_SETTINGS_H
#define BULKHEAD_SERVICES_USER_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

struct user_settings {
  int64_t sign_up_limit_ms;
  bool verify_email_first;
};

#endif
