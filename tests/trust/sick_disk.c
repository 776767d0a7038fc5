/* Has the system calls fail that write, sync or read the database, while a file says so.
 *
 * The file named by SICK holds an errno and the letters of what fails: w, s, r. A file concerns us
 * if its name contains "app.db" and is not that of the lock. For LD_PRELOAD.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int fails(int fd, char what)
{
    const char *path = getenv("SICK");
    char link[64], name[4096], text[64];
    ssize_t length;
    int note, is_ours, saved = errno;
    static int (*real_open)(const char *, int, ...);
    static ssize_t (*real_read)(int, void *, size_t);

    if (!real_open) real_open = dlsym(RTLD_NEXT, "open");
    if (!real_read) real_read = dlsym(RTLD_NEXT, "read");
    if (!path || access(path, F_OK)) { errno = saved; return 0; }
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, name, sizeof name - 1);
    if (length < 0) { errno = saved; return 0; }
    name[length] = 0;
    is_ours = strstr(name, "app.db") && !strstr(name, ".lock") && !strstr(name, "-shm");
    note = is_ours ? real_open(path, O_RDONLY) : -1;
    if (note < 0) { errno = saved; return 0; }
    length = real_read(note, text, sizeof text - 1);
    close(note);
    text[length < 0 ? 0 : length] = 0;
    errno = saved;
    if (!strchr(text, what)) return 0;
    errno = atoi(text);
    return 1;
}

#define WRAP(result, name, what, parameters, arguments)             \
    result name parameters                                          \
    {                                                               \
        static result (*real) parameters;                           \
        if (!real) real = dlsym(RTLD_NEXT, #name);                  \
        return fails(fd, what) ? -1 : real arguments;               \
    }

WRAP(ssize_t, write, 'w', (int fd, const void *data, size_t size), (fd, data, size))
WRAP(ssize_t, pwrite, 'w', (int fd, const void *data, size_t size, off_t at), (fd, data, size, at))
WRAP(ssize_t, pwrite64, 'w', (int fd, const void *data, size_t size, off64_t at), (fd, data, size, at))
WRAP(ssize_t, read, 'r', (int fd, void *data, size_t size), (fd, data, size))
WRAP(ssize_t, pread, 'r', (int fd, void *data, size_t size, off_t at), (fd, data, size, at))
WRAP(ssize_t, pread64, 'r', (int fd, void *data, size_t size, off64_t at), (fd, data, size, at))
WRAP(int, fsync, 's', (int fd), (fd))
WRAP(int, fdatasync, 's', (int fd), (fd))
WRAP(int, ftruncate, 'w', (int fd, off_t size), (fd, size))
WRAP(int, ftruncate64, 'w', (int fd, off64_t size), (fd, size))
