// A relay of TCP connections to a Unix socket, so that packets can be lost on the way to a server that has only that.
#ifndef BULKHEAD_TESTS_SUPPORT_RELAY_H
#define BULKHEAD_TESTS_SUPPORT_RELAY_H

#include <stdint.h>

// Starts a relay on a free port of 127.0.0.1, which runs until the process of the test ends, and returns the port.
uint16_t relay_start(const char *socket_path);

#endif
