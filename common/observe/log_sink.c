#include "common/observe/log_sink_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/compiler.h"
#include "common/base/status.h"
#include "common/base/thread.h"
#include "common/observe/metrics.h"

enum {
  // The queue takes at least half of this. Its memory is touched only when it is needed.
  QUEUE_SIZE = 512 * 1024,
  POLL_MS = 100,  // how often the thread looks whether standard error has become something else
  PAUSE_MS = 10,
  CRASH_LOCK_MS = 1000,  // how long the report of a crash waits for what is kept
};

// What standard error is, and so how to write to it without waiting.
enum target {
  TARGET_UNKNOWN,
  TARGET_FILE,    // takes what it gets
  TARGET_OWN,     // a pipe or a device, opened once more, without waiting
  TARGET_SOCKET,  // cannot be opened again, but need not be: each send says that it does not wait
  TARGET_SHARED,  // a pipe or device that this process may not open: it is asked for room before each write
};

static pthread_mutex_t sink_lock = PTHREAD_MUTEX_INITIALIZER;

// Everything here is used under sink_lock.
static struct {
  enum target target;
  int fd;  // STDERR_FILENO, or one of our own for TARGET_OWN
  dev_t device;
  ino_t inode;
  sigset_t signals;  // that were blocked when the lock was taken
  bool has_thread;   // the thread that empties the queue runs
  bool is_cut;       // the end of the last line that was written is lost
  uint64_t dropped;  // since the last line that said so
  size_t first;      // of the bytes in the queue that were not written yet
  size_t end;        // of the bytes in the queue
  char queue[QUEUE_SIZE];
} sink = {.fd = STDERR_FILENO};

static struct metric_series *dropped_counter;

// Signals wait while the lock is held: nginx logs in its signal handlers, which would wait for ever for the thread that
// they interrupt. Those of a crash do not wait, because their report takes no lock.
static void block_signals(sigset_t *before)
{
  static const int crashes[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS};
  sigset_t blocked;
  sigfillset(&blocked);
  for (size_t i = 0; i < ARRAY_LEN(crashes); i++)
    sigdelset(&blocked, crashes[i]);
  pthread_sigmask(SIG_BLOCK, &blocked, before);
}

void log_sink_lock(void)
{
  sigset_t before;
  block_signals(&before);
  pthread_mutex_lock(&sink_lock);
  sink.signals = before;
}

void log_sink_unlock(void)
{
  sigset_t before = sink.signals;
  pthread_mutex_unlock(&sink_lock);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
}

// ---- the target ----

static void open_target(mode_t mode)
{
  sink.fd = STDERR_FILENO;
  if (S_ISSOCK(mode)) {
    sink.target = TARGET_SOCKET;
    return;
  }
  if (!S_ISFIFO(mode) && !S_ISCHR(mode)) {
    sink.target = TARGET_FILE;
    return;
  }
  int own = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  sink.target = own < 0 ? TARGET_SHARED : TARGET_OWN;
  if (own >= 0)
    sink.fd = own;
}

// Looks at standard error again before each line, because it may have been redirected.
static void find_target(void)
{
  struct stat now;
  if (fstat(STDERR_FILENO, &now) != 0)
    now = (struct stat){0};
  if (sink.target != TARGET_UNKNOWN && now.st_dev == sink.device && now.st_ino == sink.inode)
    return;
  if (sink.target == TARGET_OWN)
    close(sink.fd);
  sink.device = now.st_dev;
  sink.inode = now.st_ino;
  open_target(now.st_mode);
}

// Writes the beginning of `text`, without waiting. Returns how much was written; -1 with errno where nothing was.
static ssize_t write_piece(struct slice text)
{
  if (sink.target == TARGET_SOCKET)
    return send(sink.fd, text.data, text.size, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sink.target != TARGET_SHARED)
    return write(sink.fd, text.data, text.size);
  // A pipe that has room takes PIPE_BUF bytes at once.
  struct pollfd room = {.fd = sink.fd, .events = POLLOUT};
  errno = EAGAIN;
  return poll(&room, 1, 0) == 1 ? write(sink.fd, text.data, text.size < PIPE_BUF ? text.size : PIPE_BUF) : -1;
}

// Writes as much of `text` as there is room for. Returns OK where all was written, UNAVAILABLE where the rest of it,
// which `text` then is, must wait, and INTERNAL where it cannot be written at all.
static enum status write_text(struct slice *text)
{
  size_t whole = text->size;
  while (text->size > 0) {
    ssize_t written = write_piece(*text);
    if (written >= 0)
      *text = slice_skip(*text, (size_t)written);
    else if (errno == EAGAIN)
      return STATUS_UNAVAILABLE;
    else if (errno != EINTR)
      break;
  }
  if (text->size == 0)
    return STATUS_OK;
  sink.is_cut |= text->size < whole;
  return STATUS_INTERNAL;
}

// ---- the queue ----

static void count_dropped(uint64_t lines)
{
  sink.dropped += lines;
  metric_add_from_any_thread(dropped_counter, (int64_t)lines);
}

static bool queue_is_empty(void)
{
  return sink.first == sink.end;
}

// Moves what is kept to the queue's beginning. To do so seldom, it waits until half of the queue has been written.
static void make_room(void)
{
  if (sink.first < QUEUE_SIZE / 2)
    return;
  memmove(sink.queue, sink.queue + sink.first, sink.end - sink.first);
  sink.end -= sink.first;
  sink.first = 0;
}

static bool keep_text(struct slice text)
{
  if (text.size > QUEUE_SIZE - sink.end)
    make_room();
  if (text.size > QUEUE_SIZE - sink.end)
    return false;
  memcpy(sink.queue + sink.end, text.data, text.size);
  sink.end += text.size;
  return true;
}

static void drop_queue(void)
{
  uint64_t lines = 0;
  for (size_t i = sink.first; i < sink.end; i++)
    lines += sink.queue[i] == '\n';
  count_dropped(lines);
  sink.first = 0;
  sink.end = 0;
}

// Writes lines from the queue, each by a write of its own, so that lines of several processes do not mix.
static enum status write_queue(void)
{
  while (!queue_is_empty()) {
    struct slice line = slice_make(sink.queue + sink.first, sink.end - sink.first);
    line.size = slice_find(line, '\n', 0) + 1;
    size_t whole = line.size;
    enum status status = write_text(&line);
    sink.first += whole - line.size;
    if (status == STATUS_INTERNAL)
      drop_queue();
    if (status != STATUS_OK)
      return status;
  }
  sink.first = 0;
  sink.end = 0;
  return STATUS_OK;
}

// ---- sending ----

static void start_thread(void);

static bool send_or_keep(struct slice text)
{
  enum status status = queue_is_empty() ? write_text(&text) : STATUS_UNAVAILABLE;
  if (status == STATUS_UNAVAILABLE && keep_text(text)) {
    start_thread();
    status = STATUS_OK;
  }
  return status == STATUS_OK;
}

// Says how many lines were dropped, where some were. False while there is no room to go on.
static bool send_gap_line(void)
{
  if (sink.dropped == 0)
    return true;
  if (sink.end - sink.first > QUEUE_SIZE / 4)
    return false;
  if (sink.is_cut && !send_or_keep(SLICE("\n")))
    return false;
  sink.is_cut = false;
  if (!send_or_keep(log_make_gap_line(sink.dropped)))
    return false;
  sink.dropped = 0;
  return true;
}

void log_sink_send(struct slice line)
{
  find_target();
  if (!sink.has_thread)
    (void)write_queue();
  if (!send_gap_line() || !send_or_keep(line))
    count_dropped(1);
}

// Empties the queue, waiting for the reader. Ends once nothing is kept.
static void *empty_queue(void *arg)
{
  (void)arg;
  log_sink_lock();
  while (!queue_is_empty()) {
    struct pollfd room = {.fd = sink.fd, .events = POLLOUT};
    log_sink_unlock();
    (void)poll(&room, 1, POLL_MS);
    log_sink_lock();
    find_target();
    size_t before = sink.end - sink.first;
    if (write_queue() == STATUS_OK)
      (void)send_gap_line();
    else if (room.revents != 0 && sink.end - sink.first == before) {
      log_sink_unlock();
      (void)poll(NULL, 0, PAUSE_MS);
      log_sink_lock();
    }
  }
  sink.has_thread = false;
  log_sink_unlock();
  return NULL;
}

static void start_thread(void)
{
  pthread_t thread;
  if (sink.has_thread)
    return;
  // Without a thread, the next line or the end of the process writes what is kept.
  sink.has_thread = thread_start(&thread, empty_queue, NULL);
  if (sink.has_thread)
    pthread_detach(thread);
}

void log_sink_flush(uint32_t timeout_ms)
{
  uint64_t end_us = deadline_after_ms(clock_now_us(), timeout_ms);
  log_sink_lock();
  while (!queue_is_empty() && write_queue() != STATUS_OK) {
    uint64_t left_ms = deadline_left_ms(end_us, clock_now_us());
    struct pollfd room = {.fd = sink.fd, .events = POLLOUT};
    log_sink_unlock();
    if (left_ms == 0)
      return;
    (void)poll(&room, 1, (int)(left_ms < PAUSE_MS ? left_ms : PAUSE_MS));
    log_sink_lock();
  }
  (void)send_gap_line();
  log_sink_unlock();
}

// Takes the lock in the handler of a crash. Another thread that holds it, as the one that empties the queue often does,
// gives it back soon; a crash that happened under the lock never does.
static bool lock_at_crash(void)
{
  for (int waited_ms = 0; pthread_mutex_trylock(&sink_lock) != 0; waited_ms++) {
    if (waited_ms == CRASH_LOCK_MS)
      return false;
    (void)poll(NULL, 0, 1);
  }
  return true;
}

void log_sink_flush_at_crash(void)
{
  if (!lock_at_crash())
    return;
  while (!queue_is_empty()) {
    ssize_t written = write(STDERR_FILENO, sink.queue + sink.first, sink.end - sink.first);
    if (written < 0 && errno != EINTR)
      return;
    if (written > 0)
      sink.first += (size_t)written;
  }
  pthread_mutex_unlock(&sink_lock);
}

// ---- the process ----

enum { EXIT_FLUSH_MS = 1000 };

static void flush_at_exit(void)
{
  log_sink_flush(EXIT_FLUSH_MS);
}

// Leaves what is kept to the parent, together with the thread that empties the queue.
static void begin_child(void)
{
  sink.first = 0;
  sink.end = 0;
  sink.dropped = 0;
  sink.has_thread = false;
  log_sink_unlock();
}

void log_sink_init(void)
{
  dropped_counter = metrics_single(METRIC_LOG_DROPPED);
  CHECK(atexit(flush_at_exit) == 0);
  CHECK(pthread_atfork(log_sink_lock, log_sink_unlock, begin_child) == 0);
  log_sink_lock();
  find_target();
  log_sink_unlock();
}
