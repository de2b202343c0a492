/* Ends its process inside one chosen system call, as a power cut would, or a kill; or lets that call and all
 * later ones like it fail: loaded before libc's own functions (LD_PRELOAD). Files below DIE_ROOT are watched.
 *
 *   DIE_CALL  write: half of it is done; read, sync, remove: none of it
 *   DIE_PATH  a part of the path of the file
 *   DIE_NTH   at which of these calls, from 1
 *   DIE_SEED  not 0: the power is cut, and of the writes that were not synced some are lost, by their lots
 *   DIE_ERROR not 0: the process lives, and the call fails with this number
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A write that was not synced yet, and what stood there before. */
struct undo {
    struct undo *next; /* the one before it */
    dev_t dev;
    ino_t ino;
    off_t at, size_before;
    size_t len, had;
    int kept;
    char path[PATH_MAX];
    char old[];
};

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static struct undo *unsynced;
static char root[PATH_MAX], call[16], part[PATH_MAX];
static long nth;
static int error, struck;
static unsigned long seed;

static void setting(const char *name, char *into, size_t room) {
    const char *value = getenv(name);
    snprintf(into, room, "%s", value ? value : "");
}

__attribute__((constructor)) static void begin(void) {
    char number[32];
    setting("DIE_ROOT", root, sizeof root);
    setting("DIE_CALL", call, sizeof call);
    setting("DIE_PATH", part, sizeof part);
    setting("DIE_NTH", number, sizeof number);
    nth = atol(number);
    setting("DIE_SEED", number, sizeof number);
    seed = strtoul(number, NULL, 10);
    setting("DIE_ERROR", number, sizeof number);
    error = atoi(number);
    /* Guests are other machines: they live on. */
    unsetenv("LD_PRELOAD");
}

static int watched(const char *path) {
    return *root && strncmp(path, root, strlen(root)) == 0;
}

static int path_of(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, PATH_MAX - 1);
    if (len <= 0) return 0;
    path[len] = 0;
    return watched(path);
}

static unsigned long lot(void) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

/* Whether a later write that is kept lies over this one. */
static int covered(const struct undo *one) {
    for (const struct undo *later = unsynced; later != one; later = later->next)
        if (later->kept && later->dev == one->dev && later->ino == one->ino
            && later->at < one->at + (off_t)one->len && one->at < later->at + (off_t)later->len)
            return 1;
    return 0;
}

static void lose(void) {
    for (struct undo *one = unsynced; one; one = one->next) {
        one->kept = lot() % 2;
        if (one->kept || covered(one)) continue;
        int fd = open(one->path, O_WRONLY);
        struct stat now;
        if (fd < 0 || fstat(fd, &now) || now.st_ino != one->ino) {
            if (fd >= 0) close(fd);
            continue;
        }
        if (one->had) syscall(SYS_pwrite64, fd, one->old, one->had, one->at);
        if (now.st_size == one->at + (off_t)one->len && now.st_size > one->size_before)
            syscall(SYS_ftruncate, fd, one->size_before);
        close(fd);
    }
}

static void die(void) {
    if (seed) lose();
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;) pause();
}

static int chosen(const char *name, const char *path) {
    if (strcmp(name, call) != 0 || !strstr(path, part)) return 0;
    if (nth > 0 && --nth == 0) struck = 1;
    return struck;
}

/* Dies, unless the call only fails: then the turn is over. */
static void strike(void) {
    if (!error) die();
    pthread_mutex_unlock(&turn);
    errno = error;
}

static void remember(const char *path, int fd, off_t at, size_t len) {
    struct stat now;
    if (!seed || fstat(fd, &now) || !S_ISREG(now.st_mode)) return;
    struct undo *one = malloc(sizeof *one + len);
    if (!one) return;
    *one = (struct undo){ .next = unsynced, .dev = now.st_dev, .ino = now.st_ino, .at = at,
                          .size_before = now.st_size, .len = len };
    snprintf(one->path, sizeof one->path, "%s", path);
    int reads = open(path, O_RDONLY);
    ssize_t had = reads < 0 ? 0 : syscall(SYS_pread64, reads, one->old, len, at);
    if (reads >= 0) close(reads);
    one->had = had > 0 ? (size_t)had : 0;
    unsynced = one;
}

static void forget(int fd) {
    struct stat now;
    if (fstat(fd, &now)) return;
    for (struct undo **at = &unsynced; *at;) {
        struct undo *one = *at;
        if (one->dev == now.st_dev && one->ino == now.st_ino) {
            *at = one->next;
            free(one);
        } else {
            at = &one->next;
        }
    }
}

static ssize_t put(int fd, const void *bytes, size_t len, off_t at, int placed) {
    char path[PATH_MAX];
    if (!path_of(fd, path))
        return placed ? syscall(SYS_pwrite64, fd, bytes, len, at) : syscall(SYS_write, fd, bytes, len);
    pthread_mutex_lock(&turn);
    remember(path, fd, placed ? at : lseek(fd, 0, SEEK_CUR), len);
    int last = chosen("write", path);
    if (last && error) {
        strike();
        return -1;
    }
    if (last) len /= 2;
    ssize_t done = placed ? syscall(SYS_pwrite64, fd, bytes, len, at) : syscall(SYS_write, fd, bytes, len);
    if (last) die();
    pthread_mutex_unlock(&turn);
    return done;
}

ssize_t write(int fd, const void *bytes, size_t len) { return put(fd, bytes, len, 0, 0); }
ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at) { return put(fd, bytes, len, at, 1); }
ssize_t pwrite64(int fd, const void *bytes, size_t len, off_t at) { return put(fd, bytes, len, at, 1); }

static int synced(int fd, long number) {
    char path[PATH_MAX];
    if (!path_of(fd, path)) return syscall(number, fd);
    pthread_mutex_lock(&turn);
    if (chosen("sync", path)) {
        strike();
        return -1;
    }
    int done = syscall(number, fd);
    if (done == 0) forget(fd);
    pthread_mutex_unlock(&turn);
    return done;
}

int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }

ssize_t pread(int fd, void *bytes, size_t len, off_t at) {
    char path[PATH_MAX];
    if (path_of(fd, path)) {
        pthread_mutex_lock(&turn);
        if (chosen("read", path)) {
            strike();
            return -1;
        }
        pthread_mutex_unlock(&turn);
    }
    return syscall(SYS_pread64, fd, bytes, len, at);
}

ssize_t pread64(int fd, void *bytes, size_t len, off_t at) { return pread(fd, bytes, len, at); }

static int before_removal(int folder, const char *name) {
    char path[2 * PATH_MAX], base[PATH_MAX] = "";
    if (*name != '/' && folder != AT_FDCWD) path_of(folder, base);
    snprintf(path, sizeof path, "%s/%s", base, name);
    pthread_mutex_lock(&turn);
    if (watched(path + (*base ? 0 : 1)) && chosen("remove", path)) {
        strike();
        return -1;
    }
    pthread_mutex_unlock(&turn);
    return 0;
}

int unlinkat(int folder, const char *name, int flags) {
    if (before_removal(folder, name)) return -1;
    return syscall(SYS_unlinkat, folder, name, flags);
}

int unlink(const char *name) { return unlinkat(AT_FDCWD, name, 0); }
int rmdir(const char *name) { return unlinkat(AT_FDCWD, name, AT_REMOVEDIR); }
