// Private to common/security: libsodium must be initialised before its first use.
#ifndef BULKHEAD_SECURITY_SODIUM_READY_H
#define BULKHEAD_SECURITY_SODIUM_READY_H

// Initialises libsodium at the first call; any thread. Aborts where the machine gives no random bytes.
void sodium_ready(void);

#endif
