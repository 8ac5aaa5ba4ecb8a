/* The physical limits that benchmarks are held against: the same system calls, and nothing else.
 *
 * A bare message is its length in 8 bytes, most significant first, then its bytes; the answer is 8 bytes. A length of
 * all ones is an echo. A body becomes a file under a temporary name, which is renamed before the answer.
 * Functions answer 0, or -1 with errno set. */

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK = 256 * 1024, HEADER = 8 };

static void put_length(unsigned char *at, uint64_t length)
{
    for (int i = HEADER - 1; i >= 0; i--, length >>= 8)
        at[i] = (unsigned char)length;
}

static uint64_t get_length(const unsigned char *at)
{
    uint64_t length = 0;
    for (int i = 0; i < HEADER; i++)
        length = length << 8 | at[i];
    return length;
}

static int send_all(int sock, const char *data, size_t length, int flags)
{
    while (length) {
        ssize_t sent = send(sock, data, length, flags | MSG_NOSIGNAL);
        if (sent < 0)
            return -1;
        data += sent;
        length -= (size_t)sent;
    }
    return 0;
}

static int write_all(int fd, const char *data, size_t length)
{
    while (length) {
        ssize_t written = write(fd, data, length);
        if (written < 0)
            return -1;
        data += written;
        length -= (size_t)written;
    }
    return 0;
}

int floor_open_pread(const char *path, char *block, size_t length)
{
    struct stat about;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int failed = fstat(fd, &about) < 0 || pread(fd, block, length, 0) < 0;
    close(fd);
    return failed ? -1 : 0;
}

int floor_open_map(const char *path)
{
    struct stat about;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    void *map = fstat(fd, &about) < 0 ? MAP_FAILED : mmap(NULL, (size_t)about.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map != MAP_FAILED) {
        (void)*(volatile char *)map;
        munmap(map, (size_t)about.st_size);
    }
    close(fd);
    return map == MAP_FAILED ? -1 : 0;
}

/* Send one file and wait for the answer; a NULL path is an echo. */
int floor_ask(int sock, const char *path, char *block)
{
    struct stat about;
    if (path == NULL) {
        put_length((unsigned char *)block, UINT64_MAX);
        if (send_all(sock, block, HEADER, 0) < 0)
            return -1;
    } else {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            return -1;
        int failed = fstat(fd, &about) < 0;
        size_t held = HEADER;
        off_t at = 0;
        put_length((unsigned char *)block, (uint64_t)about.st_size);
        while (!failed && (at < about.st_size || held)) {
            ssize_t count = pread(fd, block + held, BLOCK - held, at);
            failed = count < 0 || (count == 0 && at < about.st_size) ||
                     send_all(sock, block, held + (size_t)count, 0) < 0;
            at += count;
            held = 0;
        }
        close(fd);
        if (failed)
            return -1;
    }
    return recv(sock, block, HEADER, MSG_WAITALL) == HEADER ? 0 : -1;
}

/* Answer one connection until the peer closes it. */
int floor_serve(int sock, const char *folder, char *block)
{
    char temporary[4096], final[4096];
    size_t held = 0;
    for (unsigned number = 0;; number++) {
        while (held < HEADER) {
            ssize_t count = recv(sock, block + held, BLOCK - held, 0);
            if (count <= 0)
                return (int)count;
            held += (size_t)count;
        }
        uint64_t left = get_length((unsigned char *)block);
        if (left != UINT64_MAX) {
            snprintf(temporary, sizeof temporary, "%s/.%u", folder, number);
            snprintf(final, sizeof final, "%s/%u", folder, number);
            int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
            if (fd < 0)
                return -1;
            size_t start = HEADER;
            int failed = 0;
            while (!failed) {
                failed = write_all(fd, block + start, held - start) < 0;
                left -= held - start;
                if (!left || failed)
                    break;
                start = 0;
                ssize_t count = recv(sock, block, left < BLOCK ? left : BLOCK, 0);
                failed = count <= 0;
                held = failed ? 0 : (size_t)count;
            }
            if (close(fd) < 0 || failed || rename(temporary, final) < 0)
                return -1;
        }
        put_length((unsigned char *)block, 0);
        if (send_all(sock, block, HEADER, 0) < 0)
            return -1;
        held = 0;
    }
}
