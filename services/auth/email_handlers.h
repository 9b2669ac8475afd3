// Declares the handlers of e-mail addresses (auth/v1/email.proto).
#ifndef BULKHEAD_SERVICES_AUTH_EMAIL_HANDLERS_H
#define BULKHEAD_SERVICES_AUTH_EMAIL_HANDLERS_H

#include "auth/v1/email.bh.h"

extern const struct auth_v1_email_service_handlers auth_email_handlers;
extern const struct auth_v1_account_mail_service_handlers auth_account_mail_handlers;

#endif
