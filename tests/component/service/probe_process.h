// Starts probes: this program again, as the service under test (probe.h).
#ifndef BULKHEAD_TESTS_SERVICE_PROBE_PROCESS_H
#define BULKHEAD_TESTS_SERVICE_PROBE_PROCESS_H

#include "tests/support/service/driver.h"
#include "tests/support/service/process.h"

// Starts a probe. `environment` comes on top of what every probe gets (PG_CONNINFO, an ipc:// address that it is its
// own peer at); NAME=value strings up to NULL, which replace those.
void probe_start(struct process *probe, char *const *arguments, const char *const *environment);
// Starts a probe as a server and waits until it is ready.
void probe_serve(struct process *probe, const char *const *environment);
// Starts a probe as a server and opens a driver that calls it as the gateway.
void probe_open(struct process *probe, struct driver *gateway, const char *const *environment);
// The same with a probe that is connected to itself: without a connection its calls to its peer fail at once.
void probe_open_connected(struct process *probe, struct driver *gateway);
// Closes the driver, stops the probe, asserts that it ends well, and frees it.
void probe_close(struct process *probe, struct driver *gateway);
// Lets calls with PROBE_HOLD go on.
void probe_release(const struct process *probe);

#endif
