// Private to common/security: libsodium must be initialised before its first use.
#ifndef BULKHEAD_SECURITY_LIBSODIUM_INTERNAL_H
#define BULKHEAD_SECURITY_LIBSODIUM_INTERNAL_H

// Initialises libsodium at the first call. Any thread may call it. Aborts where the machine gives no random bytes.
void initialise_libsodium(void);

#endif
