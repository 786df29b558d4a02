// Preloaded into an unmodified server: writes down, in order, what it does to the files of one database.
//
// A write is written down before it is made, because from then on it may be on the disk or not; a sync after it has
// returned, because only then has it held. OUTLAY_TRACE names the file to write to, OUTLAY_TRACED the database.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { WRITE = 1, SYNC = 2, TRUNCATE = 3, UNLINK = 4 };
enum { DESCRIPTORS = 65536 };

struct record {
  uint64_t nanoseconds;
  uint32_t operation;
  uint32_t file;  // 1 the database, 2 its write-ahead log, 3 its rollback journal, 4 their directory
  uint64_t offset;
  uint64_t length;
};

static int trace = -1;
static char traced[4096];
static unsigned char file_of[DESCRIPTORS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("OUTLAY_TRACE"), *database = getenv("OUTLAY_TRACED");
  if (path == NULL || database == NULL || strlen(database) >= sizeof traced) return;
  strcpy(traced, database);
  trace = REAL(open)(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static int file_named(const char *path) {
  size_t length = strlen(traced);
  if (trace < 0 || length == 0) return 0;
  size_t directory = (size_t)(strrchr(traced, '/') - traced);
  if (strncmp(path, traced, directory) == 0 && path[directory] == 0) return 4;
  if (strncmp(path, traced, length) != 0) return 0;
  if (path[length] == 0) return 1;
  if (strcmp(path + length, "-wal") == 0) return 2;
  if (strcmp(path + length, "-journal") == 0) return 3;
  return 0;
}

static int file_at(int descriptor) {
  return descriptor >= 0 && descriptor < DESCRIPTORS ? file_of[descriptor] : 0;
}

static void note(uint32_t operation, uint32_t file, uint64_t offset, const void *data, uint64_t length) {
  pthread_mutex_lock(&lock);
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  struct record head = {(uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec, operation, file, offset, length};
  struct iovec parts[2] = {{&head, sizeof head}, {(void *)data, data == NULL ? 0 : length}};
  if (writev(trace, parts, 2) < 0) abort();
  pthread_mutex_unlock(&lock);
}

static int opened(int descriptor, const char *path) {
  if (descriptor >= 0 && descriptor < DESCRIPTORS) file_of[descriptor] = (unsigned char)file_named(path);
  return descriptor;
}

#define OPEN(name)                                          \
  int name(const char *path, int flags, ...) {              \
    mode_t mode = 0;                                        \
    if (flags & (O_CREAT | O_TMPFILE)) {                    \
      va_list more;                                         \
      va_start(more, flags);                                \
      mode = va_arg(more, mode_t);                          \
      va_end(more);                                         \
    }                                                       \
    return opened(REAL(name)(path, flags, mode), path);     \
  }
OPEN(open)
OPEN(open64)

int close(int descriptor) {
  if (file_at(descriptor)) file_of[descriptor] = 0;
  return REAL(close)(descriptor);
}

ssize_t write(int descriptor, const void *data, size_t length) {
  int file = file_at(descriptor);
  if (file) note(WRITE, file, (uint64_t)lseek(descriptor, 0, SEEK_CUR), data, length);
  return REAL(write)(descriptor, data, length);
}

#define PWRITE(name, offset_type)                                                          \
  ssize_t name(int descriptor, const void *data, size_t length, offset_type offset) {      \
    int file = file_at(descriptor);                                                        \
    if (file) note(WRITE, file, (uint64_t)offset, data, length);                           \
    return REAL(name)(descriptor, data, length, offset);                                   \
  }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define TRUNCATED(name, length_type)                                 \
  int name(int descriptor, length_type length) {                     \
    int file = file_at(descriptor);                                  \
    if (file) note(TRUNCATE, file, (uint64_t)length, NULL, 0);       \
    return REAL(name)(descriptor, length);                           \
  }
TRUNCATED(ftruncate, off_t)
TRUNCATED(ftruncate64, off64_t)

#define SYNCED(name)                                       \
  int name(int descriptor) {                               \
    int file = file_at(descriptor), done = REAL(name)(descriptor); \
    if (file && done == 0) note(SYNC, file, 0, NULL, 0);   \
    return done;                                           \
  }
SYNCED(fsync)
SYNCED(fdatasync)

int unlink(const char *path) {
  int file = file_named(path);
  if (file) note(UNLINK, file, 0, NULL, 0);
  return REAL(unlink)(path);
}
