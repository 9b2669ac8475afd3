// Compiler attributes under one spelling, for gcc and clang.
#ifndef BULKHEAD_BASE_COMPILER_H
#define BULKHEAD_BASE_COMPILER_H

// Marks a function whose result says whether the call worked; ignoring that is a compile error.
#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(text, first) __attribute__((format(printf, text, first)))
#define NO_RETURN __attribute__((noreturn))

#define ARRAY_LEN(array) (sizeof(array) / sizeof((array)[0]))

// Gives the object of `type` whose `member` is at `pointer`.
#define CONTAINER_OF(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

#endif
