// System calls without libc: they are not hooked, do not touch errno, and are safe in any context.
// Results below 0 are -errno.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tidemark::sys {

long open_read_only(const char* path);   // O_RDONLY | O_CLOEXEC
long open_read_write(const char* path);  // O_RDWR | O_CLOEXEC
long read(int fd, void* buffer, size_t bytes);
void close(int fd);
// Private anonymous memory, zeroed, not reserved; nullptr on failure.
void* map_anonymous(size_t bytes);
// Shared mapping of a file's start; nullptr on failure.
void* map_shared(int fd, size_t bytes);
void unmap(void* address, size_t bytes);
// Private zeroed memory in the place of what is mapped there, at once. False: it stays as it was.
bool replace_by_nothing(void* address, size_t bytes);
bool protect(void* address, size_t bytes, int protection);
int advise(void* address, size_t bytes, int advice);
int32_t pid();
int32_t parent_pid();
int32_t tid();
bool process_exists(int32_t pid);  // also true when it is not ours to signal
void thread_name(char (&name)[16]);
// Sleeps while *word == expected, at most `milliseconds`.
void futex_wait(const void* word, uint32_t expected, uint32_t milliseconds);
void futex_wake(const void* word, int waiters);
// Copies this process's own memory; false when any of it is not mapped.
bool copy_memory(void* to, uint64_t from, size_t bytes);
// Bytes that may still be mapped: the tightest of RLIMIT_AS and RLIMIT_DATA, less what is used; ~0
// when there is no limit.
uint64_t address_space_left();
// Whether 8 bytes at `address` can be read; true where the kernel may not be asked.
bool readable(uint64_t address);
bool accessible(const char* path, bool writable);
// The target of a symbolic link, terminated; false when it cannot be read or does not fit.
bool read_link(const char* path, char* text, size_t bytes);

// From now on the program may only make such system calls as its sandbox allows (seccomp), and dies
// of others: every function here makes none any more and fails, but for tid(), which sandboxes
// know.
void be_quiet(bool quiet);
bool quiet();

}  // namespace tidemark::sys
