#include "tests/support/attacker.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

// The nice value of the session: it gets a tenth of what another one gets. With 19, a seventieth, the attack would not
// get far on a machine with much other work.
static const char session_nice[] = "10";

// In an attacker: the process of the test.
static pid_t test_process;

void *attacker_memory(size_t size)
{
  void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  cr_assert_neq(memory, MAP_FAILED, "%s", strerror(errno));
  return memory;
}

// Lets other sessions go first, and all other threads where the kernel makes no difference between sessions. What
// the kernel refuses only makes the attack dearer.
static void let_others_first(void)
{
  const struct sched_param none = {0};
  (void)setsid();
  (void)sched_setscheduler(0, SCHED_IDLE, &none);
  int fd = open("/proc/self/autogroup", O_WRONLY | O_CLOEXEC);
  if (fd < 0)
    return;
  ssize_t written = write(fd, session_nice, strlen(session_nice));
  (void)written;
  close(fd);
}

pid_t attacker_start(void (*body)(void *arg), void *arg)
{
  pid_t test = getpid();
  pid_t attacker = fork();
  cr_assert_geq(attacker, 0, "%s", strerror(errno));
  if (attacker != 0)
    return attacker;
  test_process = test;
  // What the test closes must not stay open here.
  (void)close_range(STDERR_FILENO + 1, ~0U, 0);
  let_others_first();
  body(arg);
  _exit(0);
}

bool attacker_is_wanted(void)
{
  return getppid() == test_process;
}

void attacker_join(pid_t attacker)
{
  int status = 0;
  pid_t ended;
  while ((ended = waitpid(attacker, &status, 0)) < 0 && errno == EINTR)
    continue;
  cr_assert_eq(ended, attacker, "%s", strerror(errno));
  cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the attacker ended with the wait status %d", status);
}
