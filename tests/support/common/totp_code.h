// What an authenticator app shows (RFC 6238), computed without the library that the suite uses.
#ifndef BULKHEAD_TESTS_SUPPORT_COMMON_TOTP_CODE_H
#define BULKHEAD_TESTS_SUPPORT_COMMON_TOTP_CODE_H

// Writes the code of a secret in Base32, `steps` half minutes from now. Asserts that the secret is Base32.
void totp_code(const char *base32, int steps, char code[7]);

#endif
