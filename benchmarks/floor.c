/* The physical limits that reading is held against: the same system calls, and nothing else. Functions answer 0, or -1
 * with errno set. The limits of the network are in floor_wire.c. */

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

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
