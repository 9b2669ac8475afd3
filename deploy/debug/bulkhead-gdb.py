# gdb commands for the tasks of a service, alive or as a core:
#
#   deploy/local/stack debug item-1                        attaches, with this file loaded
#   gdb -x deploy/debug/bulkhead-gdb.py build/release/bin/item core
#
#   (gdb) tasks             every task: method, what it waits for, deadline, request id, backtrace
#   (gdb) tasks -brief      without backtraces
#   (gdb) tasks GetItem     only those with that text in their method, request id or trace id
#
# A task that waits has its registers in task->context.place (common/runtime/context.c). Its frames are found by the frame
# pointers, which every build keeps (-fno-omit-frame-pointer): nothing of the process is changed, so it works on cores, too.
# x86-64 only.
import struct
import time

import gdb

NO_DEADLINE = 2**64 - 1
MAX_FRAMES = 64
# The order of glibc's jmp_buf on x86-64; the frame pointer and the program counter are mangled.
JMPBUF_RBP, JMPBUF_PC = 1, 7
STATES = ("runnable", "running", "waiting", "ended")


def read_word(address):
    memory = gdb.selected_inferior().read_memory(address, 8)
    return struct.unpack("<Q", memory.tobytes())[0]


def is_asan():
    try:
        gdb.parse_and_eval("&__asan_init")
        return True
    except gdb.error:
        return False


def demangle(word):
    """Undoes glibc's PTR_MANGLE: rotate by 17, exclusive or with the thread's pointer guard."""
    guard = read_word(int(gdb.parse_and_eval("(unsigned long)$fs_base")) + 0x30)
    return (((word >> 17) | (word << 47)) & 0xFFFFFFFFFFFFFFFF) ^ guard


def saved_registers(context):
    """Program counter and frame pointer of a context that does not run."""
    place = int(context["place"].address)
    if is_asan():
        # __builtin_setjmp: frame pointer, program counter, stack pointer.
        return read_word(place + 8), read_word(place)
    return demangle(read_word(place + 8 * JMPBUF_PC)), demangle(read_word(place + 8 * JMPBUF_RBP))


def frames_of(context):
    """Program counters from the innermost frame outwards."""
    pc, frame = saved_registers(context)
    bottom = int(context["stack_bottom"])
    top = bottom + int(context["stack_size"])
    found = []
    while pc != 0 and len(found) < MAX_FRAMES:
        found.append(pc)
        if not bottom <= frame < top - 8:
            break
        pc, frame = read_word(frame + 8), read_word(frame)
    return found


def describe_frame(pc):
    # A return address may be past the end of its function or line: the call is before it.
    block = None
    try:
        block = gdb.block_for_pc(pc - 1)
    except RuntimeError:
        pass
    names = []
    while block is not None and not block.is_global:
        if block.function is not None:
            names.append(block.function.print_name)
            if not block.function.symtab or not is_inlined(block):
                break
        block = block.superblock
    line = gdb.find_pc_line(pc - 1)
    where = " at %s:%d" % (line.symtab.filename, line.line) if line.symtab else ""
    name = " < ".join(names)
    if not name:
        symbol = gdb.execute("info symbol 0x%x" % (pc - 1), to_string=True)
        name = symbol.split(" in section")[0].split(" + ")[0].strip()
    return name + where


def is_inlined(block):
    """A block of a function that was inlined into the one around it."""
    outer = block.superblock
    while outer is not None and not outer.is_global and not outer.is_static:
        if outer.function is not None:
            return True
        outer = outer.superblock
    return False


def text_of(value):
    size = int(value["size"])
    if size == 0:
        return ""
    data = value["data"].cast(gdb.lookup_type("char").pointer())
    return data.string("utf-8", errors="replace", length=size)


def c_string(value):
    return value.string("utf-8", errors="replace") if int(value) != 0 else ""


def list_nodes(head):
    node = head["next"]
    while node != head.address:
        yield node
        node = node["next"]


def loops():
    loop = gdb.parse_and_eval("loop_first")
    while int(loop) != 0:
        yield loop.dereference()
        loop = loop["next_loop"]


def tasks_of(loop):
    task_type = gdb.lookup_type("struct task")
    offset = next(field.bitpos // 8 for field in task_type.fields() if field.name == "all")
    for node in list_nodes(loop["scheduler"]["tasks"]):
        yield gdb.Value(int(node) - offset).cast(task_type.pointer()).dereference()


def is_live():
    return gdb.selected_inferior().pid != 0 and "core" not in (gdb.execute("info target", to_string=True)[:400].lower())


def describe_deadline(task, live):
    deadline = int(task["deadline_us"])
    if deadline == NO_DEADLINE:
        return "no deadline"
    if live:
        left = deadline / 1e6 - time.clock_gettime(time.CLOCK_MONOTONIC)
        return "deadline in %.3f s" % left if left >= 0 else "deadline passed %.3f s ago" % -left
    return "deadline %.3f s after its start" % ((deadline - int(task["started_us"])) / 1e6)


class Task:
    def __init__(self, task):
        self.task = task
        context = task["log_context"]
        known = int(context) != 0
        self.method = text_of(context["method"]) if known else ""
        self.request_id = text_of(context["request_id"]) if known else ""
        self.trace_id = text_of(context["trace_id"]) if known else ""
        self.state = STATES[int(task["state"])]

    def matches(self, wanted):
        return any(wanted in text for text in (self.method, self.request_id, self.trace_id))

    def head(self, number, live):
        body = gdb.execute("info symbol 0x%x" % int(self.task["body"]), to_string=True).split(" in section")[0].strip()
        parts = ["%d  %s" % (number, self.method or "(%s)" % body), self.state]
        if self.state == "waiting":
            parts[-1] += " for " + (c_string(self.task["waiting_for"]) or "an event")
        parts.append(describe_deadline(self.task, live))
        if bool(self.task["cancelled"]):
            parts.append("cancelled")
        if self.request_id:
            parts.append("request " + self.request_id)
        if self.trace_id:
            parts.append("trace " + self.trace_id)
        return ", ".join(parts)

    def backtrace(self):
        if self.state == "running":
            return ["    (it runs now: see bt)"]
        if not bool(self.task["context"]["entered"]):
            return ["    (it has not begun)"]
        lines = []
        for number, pc in enumerate(frames_of(self.task["context"])):
            name = describe_frame(pc)
            # What is above is where the stack was entered.
            if name.startswith("context_main"):
                break
            lines.append("    #%-2d %s" % (number, name))
        return lines


class TasksCommand(gdb.Command):
    """Lists the tasks of this service: tasks [-brief] [TEXT]

Each with its method, what it waits for, its deadline, its request id and its backtrace. -brief leaves the backtraces out.
TEXT lists only tasks with that text in their method, request id or trace id."""

    def __init__(self):
        super().__init__("tasks", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        words = gdb.string_to_argv(argument)
        brief = "-brief" in words
        wanted = " ".join(word for word in words if word != "-brief")
        live = is_live()
        shown = total = 0
        for loop in loops():
            for raw in tasks_of(loop):
                task = Task(raw)
                total += 1
                if not task.matches(wanted):
                    continue
                shown += 1
                print(task.head(total, live))
                if not brief:
                    print("\n".join(task.backtrace()))
        print("%d of %d tasks" % (shown, total))


TasksCommand()
