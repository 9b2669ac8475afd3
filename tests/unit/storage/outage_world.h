// A world of instances of a cache, a PostgreSQL and the ways between them, in virtual time, to find out whether anybody
// ever reads what is outdated. Each instance runs the real state machine of common/storage/cache_outage.c with a clock
// of its own; its part of the protocol over the channel is written again here, as short as it can be
// (outage_instance.c). PostgreSQL, the network and the faults are outage_world.c.
//
// The invariant: a read that begins after a write was acknowledged, or after another read has seen it, never returns
// an older value.
#ifndef BULKHEAD_TESTS_UNIT_STORAGE_OUTAGE_WORLD_H
#define BULKHEAD_TESTS_UNIT_STORAGE_OUTAGE_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/storage/cache_outage_internal.h"

enum {
  WORLD_INSTANCES = 16,  // that are ever started
  WORLD_KEYS = 3,
  WORLD_HOSTS = 4,
  WORLD_PLACES = 32,   // addresses
  WORLD_CHANGES = 16,  // of an instance at the same time
  WORLD_HEARD = 200,   // of another, whose ends may have been missed
  WORLD_LINES = 24,
  // How long after the last message of its process a write may leave it, and what takes up to how long from there.
  WORLD_BEGIN_MS = 2000,
  WORLD_REACH_MS = 200,
  WORLD_STATEMENT_MS = 700,
  // The longest that a write may take effect after that message, as services compute it.
  WORLD_HOLD_MS = WORLD_BEGIN_MS + WORLD_REACH_MS + WORLD_STATEMENT_MS + 100,
};

#define WORLD_MS UINT64_C(1000)

enum way { WAY_OPEN, WAY_DROPS, WAY_REFUSES };

// ---- what goes over the channel ----

enum note_line_kind { LINE_CHANGE, LINE_ENDED, LINE_ALL_ENDED, LINE_ACK, LINE_QUIT };

struct note_line {
  enum note_line_kind kind;
  size_t instance;  // LINE_ACK: whose change
  uint64_t first;   // sequence
  size_t key;       // LINE_CHANGE
};

struct note {
  size_t from;
  size_t count;
  struct note_line lines[WORLD_LINES];
};

// ---- instances ----

enum instance_state { INSTANCE_DEAF, INSTANCE_SETTLING, INSTANCE_SETTLED };

enum change_state { CHANGE_NONE, CHANGE_WAITS, CHANGE_CONFIRMED, CHANGE_SENT, CHANGE_UNKNOWN };

struct change {
  enum change_state state;
  uint64_t sequence;
  size_t key;
  uint64_t began_us, published_us, ends_us;
  bool queued;
};

// Another instance, as it was heard over the channel.
struct neighbour {
  bool known, left;
  uint64_t first_heard_us, heard_us;
  uint64_t acked, to_ack;
  size_t count;
  struct {
    uint64_t sequence;
    size_t key;
  } changes[WORLD_HEARD];
};

struct load {
  uint64_t number, known;
  bool under_way, joinable, keeps;
};

struct instance {
  bool alive, retired;
  bool says_farewell;          // all its changes have ended
  uint64_t farewell_until_us;  // it waits no longer
  bool has_quit;               // it has taken its row away, and is gone in a moment
  uint64_t frozen_until_us;    // in the world's time
  double rate;                 // of its clock
  uint64_t clock_us;           // its clock at the beginning of the world
  size_t place, host;
  char name[CACHE_INSTANCE_SIZE];
  char host_name[16];
  char address[40];
  struct outage outage;

  unsigned connection;  // its number; 0 while there is none
  bool hearing;
  uint64_t reconnect_us;  // in the world's time
  enum instance_state state;
  uint64_t lease_until_us, settled_us, forgotten_us, next_sign_us;
  bool sending, due;
  uint64_t send_began_us, send_sequence, last_sequence;
  size_t queued;
  struct note_line queue[256];
  struct change changes[WORLD_CHANGES];
  struct neighbour neighbours[WORLD_INSTANCES];
  bool has[WORLD_KEYS];
  uint64_t values[WORLD_KEYS];
  struct load loads[WORLD_KEYS];
  uint64_t questions[WORLD_INSTANCES];  // the number of the one that waits for its answer; 0 for none
  uint64_t row_statement;               // the number of the one that waits for its outcome
};

// ---- the world ----

struct world;

struct event {
  uint64_t at_us, order;
  void (*run)(struct world *world, const struct event *event);
  bool inside;  // it happens inside of `instance`: not while that is frozen, and not once it is dead
  size_t instance;
  size_t a, b;
  uint64_t x, y;
  uint64_t number;  // a statement's; the generation in a question
  unsigned kind, outcome, crashes;
  uint64_t sent_us;
};

// A connection of a channel: what is on its way to the server, and back.
struct wire {
  size_t instance;
  bool client_open, server_open, listening;
  size_t pushed;  // notes that were sent to the client
  uint64_t last_up_us, last_down_us, waits_since_us;
  struct note sent;  // the note that is on the way up: one at a time
  struct wire_item *up, *down;
  size_t up_count, up_next, down_count, down_next;
};

// The row of an instance in the table cache_instances.
struct world_row {
  bool used;
  size_t place;
  uint64_t generation;
};

struct world_counts {
  uint64_t served, promised, loaded, failed, acknowledged, stale;
  uint64_t window_reads, window_served;
  uint64_t first_write_us;  // of the instance that was started last, after its start; 0 for none yet
};

struct world {
  bool traced;
  uint64_t seed, now_us, order;
  struct event *events;
  size_t event_count, event_room;
  struct instance instances[WORLD_INSTANCES];
  size_t count;
  size_t keys;
  uint64_t write_gap_ms;  // between two writes of an instance, on average; 0 for none

  bool up;
  unsigned crashes;
  uint64_t frozen_until_us;
  uint64_t slow_until_us;  // until then a NOTIFY takes long
  uint64_t notify_ms;      // what a NOTIFY takes on average, always; 0 for a moment
  uint64_t question_ms;    // what each way of a question takes on average; 0 for a moment
  bool has_locks;          // some statements wait for long
  uint64_t versions[WORLD_KEYS], last_version, known[WORLD_KEYS];
  struct world_row rows[WORLD_INSTANCES];
  struct world_row *snapshots;  // of the rows, WORLD_INSTANCES each
  size_t snapshot_count;
  struct note *notes;
  size_t note_count;
  struct wire wires[400];
  unsigned wire_count;

  enum way channels[WORLD_INSTANCES], pools[WORLD_INSTANCES];
  enum way between[WORLD_HOSTS][WORLD_HOSTS];
  size_t hosts, places, owners[WORLD_PLACES], place_hosts[WORLD_PLACES];
  bool one_address;  // hosts are reached at loopback addresses, which say nothing about another host

  uint64_t window_from_us, window_to_us;  // where reads are counted apart
  size_t window_first, window_count;      // of these instances
  uint64_t started_us;                    // the last start of an instance
  struct world_counts counts;
};

#define WORLD_NOBODY SIZE_MAX

void world_init(struct world *world, uint64_t seed);
void world_clear(struct world *world);
// Runs until that time, or until something outdated was read.
void world_run(struct world *world, uint64_t until_us);
uint64_t world_draw(struct world *world, uint64_t from, uint64_t below);
bool world_chance(struct world *world, unsigned percent);
// The time that something takes between two processes.
uint64_t world_latency_us(struct world *world);
void world_post(struct world *world, uint64_t at_us, const struct event *event);

// Prints what happens to an instance, in a world that is traced.
void world_trace(const struct world *world, size_t instance, const char *what, uint64_t number);

// Starts an instance. Returns its number.
size_t world_start(struct world *world, size_t place);
size_t world_add_place(struct world *world, size_t host);
void world_kill(struct world *world, size_t instance);
void world_freeze(struct world *world, size_t instance, uint64_t for_us);
void world_crash_postgres(struct world *world);
void world_cut(struct world *world, size_t instance, enum way channel, enum way pool);
// Makes something random go wrong every now and then.
void world_begin_faults(struct world *world);
// The place of an address, and the other way round.
size_t world_find_place(const char *address);
void world_write_address(const struct world *world, size_t place, char address[40]);

// ---- for instances: PostgreSQL ----

enum wire_kind { WIRE_NOTE, WIRE_LISTEN, WIRE_NOTIFY };

// Connects the channel. Returns the connection's number.
unsigned world_connect(struct world *world, size_t instance);
void world_send(struct world *world, unsigned connection, enum wire_kind kind, const struct note *note);

enum statement_kind { STATEMENT_LOAD, STATEMENT_WRITE, STATEMENT_STORE, STATEMENT_READ, STATEMENT_DELETE };
// Sends a statement of the instance over its pool; instance_finished follows, perhaps twice. `a`, `x`: a key and a
// sequence or number; an instance and a generation. Returns the statement's number.
uint64_t world_query(struct world *world, size_t instance, enum statement_kind kind, size_t a, uint64_t x);

// ---- for instances: each other ----

void world_ask(struct world *world, size_t instance, const struct outage_member *member, enum outage_step_kind kind);
size_t world_find_instance(const struct world *world, const char *name);

// Notes a read that began when `known` was the least that it may return.
void world_note_read(struct world *world, size_t key, uint64_t value, uint64_t known);

// ---- outage_instance.c, for the world ----

enum outcome { OUTCOME_DONE, OUTCOME_REFUSED, OUTCOME_UNKNOWN };

uint64_t instance_now_us(const struct world *world, size_t instance);
void instance_begin(struct world *world, size_t instance);
void instance_end(struct world *world, size_t instance);
void instance_lost(struct world *world, size_t instance);
void instance_listening(struct world *world, size_t instance);
void instance_sent(struct world *world, size_t instance);
void instance_hears(struct world *world, size_t instance, const struct note *note);
// A statement has ended; `y` is the value that was read or written.
void instance_finished(struct world *world, const struct event *event, enum statement_kind kind, enum outcome outcome);
// Reads all keys at once: what runs first after a freeze.
void instance_thaw(struct world *world, const struct event *event);

// ---- outage_leaving.c ----

// Ends an instance in good order, which takes a while.
void instance_quit(struct world *world, size_t instance);
// Takes the next step of that, if it ends.
void instance_drain(struct world *world, size_t instance);

#endif
