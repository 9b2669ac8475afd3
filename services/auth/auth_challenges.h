// The second step of a login. Whoever has proven the first factor of an account that has another one gets a challenge:
// a token of 256 random bits, of which the database keeps the SHA-256, bound to account, password and factors, good for
// AUTH_CHALLENGE_TTL and once.
//
// Wrong codes are limited in the database, so that no restart forgets them: each challenge has five tries, and an
// account ten, one more each five minutes. These are shared by all unknown devices, and apart from them by the devices
// that signed in before there was a second factor; each device that has passed a second step has tries of its own, one
// more a minute. So somebody who has only the password guesses 288 codes a day, and holds nobody up who signs in from
// his own device.
#ifndef BULKHEAD_SERVICES_AUTH_AUTH_CHALLENGES_H
#define BULKHEAD_SERVICES_AUTH_AUTH_CHALLENGES_H

#include "auth/v1/auth.pb-c.h"
#include "auth/v1/factors.pb-c.h"
#include "services/auth/auth_sign_in.h"

// Asks for a second proof: fills the answer with a challenge. Does nothing with *is_asked = false where the device is
// remembered. NOT_FOUND where the account has no credential any more.
enum status auth_challenges_ask(struct call *call, const struct sign_in *sign_in, Auth__V1__LoginResponse *response,
                                bool *is_asked) MUST_CHECK;
// Takes a second proof, and answers tokens. Fails the call with UNAUTHENTICATED or RESOURCE_EXHAUSTED. May wait.
enum status auth_challenges_verify(struct call *call, const Auth__V1__VerifyLoginRequest *request,
                                   Auth__V1__TokenResponse *response) MUST_CHECK;

#endif
