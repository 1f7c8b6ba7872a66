/* A disk that fails when it is told to, for a process that has this in LD_PRELOAD.
 *
 * FAULTS_FOLDER   files below it are on that disk
 * FAULTS_CONTROL  a file that says what fails: `fsync=5` lets fsync and fdatasync fail with errno 5, `write=28` writes
 * FAULTS_SHADOW   a folder with what would be left of databases and their logs after a power cut
 *
 * The shadow is written by each fsync that succeeds: the pages that were written since the last one. A page that was
 * written before an fsync that fails is lost, as Linux has it: it counts as clean, and only another write to it brings
 * it to the disk. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

enum { PAGE = 4096, FILES = 32, PAGES = 1 << 16 };

struct tracked {
    char path[1024];
    unsigned char dirty[PAGES];
};

static struct tracked files[FILES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define REAL(name, type) ((type)dlsym(RTLD_NEXT, name))
typedef ssize_t (*write_fn)(int, const void *, size_t);
typedef ssize_t (*pwrite_fn)(int, const void *, size_t, off_t);
typedef int (*sync_fn)(int);
typedef int (*unlink_fn)(const char *);

/* The errno of a fault that is switched on, or 0. */
static int fault(const char *what) {
    const char *path = getenv("FAULTS_CONTROL");
    if (!path) return 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    char text[128] = {0};
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    if (length <= 0) return 0;
    const char *found = strstr(text, what);
    return found ? atoi(found + strlen(what) + 1) : 0;
}

/* The path of a file on the failing disk, or 0. */
static int path_of(int fd, char *path, size_t size) {
    const char *folder = getenv("FAULTS_FOLDER");
    char link[64];
    if (!folder) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, size - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return strncmp(path, folder, strlen(folder)) == 0;
}

static int ends_with(const char *text, const char *end) {
    size_t length = strlen(text), wanted = strlen(end);
    return length >= wanted && strcmp(text + length - wanted, end) == 0;
}

static struct tracked *track(const char *path) {
    if (!ends_with(path, ".db") && !ends_with(path, ".db-wal")) return NULL;
    struct tracked *vacant = NULL;
    for (int i = 0; i < FILES; i++) {
        if (strcmp(files[i].path, path) == 0) return &files[i];
        if (!files[i].path[0] && !vacant) vacant = &files[i];
    }
    if (vacant) snprintf(vacant->path, sizeof vacant->path, "%s", path);
    return vacant;
}

static int shadow_path(const char *path, char *shadow, size_t size) {
    const char *folder = getenv("FAULTS_SHADOW");
    const char *name = strrchr(path, '/');
    if (!folder || !name) return 0;
    return snprintf(shadow, size, "%s%s", folder, name) < (int)size;
}

static void wrote(const char *path, off_t offset, ssize_t length) {
    pthread_mutex_lock(&lock);
    struct tracked *file = track(path);
    if (file && length > 0) {
        for (off_t page = offset / PAGE; page <= (offset + length - 1) / PAGE && page < PAGES; page++)
            file->dirty[page] = 1;
    }
    pthread_mutex_unlock(&lock);
}

/* What is durable from now on; or, where the disk failed, what is lost. */
static void synced(int fd, const char *path, int failed) {
    char shadow[1200];
    pthread_mutex_lock(&lock);
    struct tracked *file = track(path);
    if (file && !failed && shadow_path(path, shadow, sizeof shadow)) {
        struct stat found;
        int copy = open(shadow, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        if (copy >= 0 && fstat(fd, &found) == 0) {
            char page[PAGE];
            for (off_t number = 0; number < PAGES; number++) {
                if (!file->dirty[number]) continue;
                ssize_t length = pread(fd, page, PAGE, number * PAGE);
                if (length > 0) REAL("pwrite", pwrite_fn)(copy, page, length, number * PAGE);
            }
            if (ftruncate(copy, found.st_size) != 0) perror("shadow");
        }
        if (copy >= 0) close(copy);
    }
    if (file) memset(file->dirty, 0, sizeof file->dirty);
    pthread_mutex_unlock(&lock);
}

ssize_t write(int fd, const void *bytes, size_t length) {
    char path[1024];
    int ours = path_of(fd, path, sizeof path), error = ours ? fault("write") : 0;
    if (error) { errno = error; return -1; }
    off_t offset = ours ? lseek(fd, 0, SEEK_CUR) : 0;
    ssize_t written = REAL("write", write_fn)(fd, bytes, length);
    if (ours) wrote(path, offset, written);
    return written;
}

static ssize_t pwrite_to(const char *name, int fd, const void *bytes, size_t length, off_t offset) {
    char path[1024];
    int ours = path_of(fd, path, sizeof path), error = ours ? fault("write") : 0;
    if (error) { errno = error; return -1; }
    ssize_t written = REAL(name, pwrite_fn)(fd, bytes, length, offset);
    if (ours) wrote(path, offset, written);
    return written;
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) {
    return pwrite_to("pwrite", fd, bytes, length, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) {
    return pwrite_to("pwrite64", fd, bytes, length, offset);
}

static int sync_with(const char *name, int fd) {
    char path[1024];
    int ours = path_of(fd, path, sizeof path), error = ours ? fault("fsync") : 0;
    if (error) {
        synced(fd, path, 1);
        errno = error;
        return -1;
    }
    int outcome = REAL(name, sync_fn)(fd);
    if (ours && outcome == 0) synced(fd, path, 0);
    return outcome;
}

int fsync(int fd) { return sync_with("fsync", fd); }
int fdatasync(int fd) { return sync_with("fdatasync", fd); }

int unlink(const char *path) {
    char shadow[1200];
    const char *folder = getenv("FAULTS_FOLDER");
    int outcome = REAL("unlink", unlink_fn)(path);
    if (outcome == 0 && folder && strncmp(path, folder, strlen(folder)) == 0) {
        pthread_mutex_lock(&lock);
        struct tracked *file = track(path);
        if (file) {
            memset(file, 0, sizeof *file);
            if (shadow_path(path, shadow, sizeof shadow)) REAL("unlink", unlink_fn)(shadow);
        }
        pthread_mutex_unlock(&lock);
    }
    return outcome;
}
