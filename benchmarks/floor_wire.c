/* The floor of the network benchmarks: a C-STORE, C-ECHO and C-FIND user and provider in bare C, and nothing besides.
 *
 * They speak enough DICOM (PS3.8, PS3.7) to work with any peer that is polite, and check no more than they need. The
 * user reads files in large blocks and gathers headers and blocks; the provider is one epoll loop whose files are
 * created under a temporary name, written from where the bytes arrived, and renamed before the answer.
 *
 *   floor_wire serve FOLDER PDU WINDOW RESPONSES DURABILITY    prints its port
 *   floor_wire echo PORT PDU COUNT
 *   floor_wire store PORT PDU WINDOW ASSOCIATIONS FILE...
 *   floor_wire associate PORT CLIENTS COUNT
 *   floor_wire find PORT QUERIES RESPONSES
 *   floor_wire idle PORT COUNT                                 prints "ready" and holds them until its input ends
 *
 * Users print seconds, CPU seconds and peak memory in bytes; what fails ends the program with status 1. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <endian.h>
#include <err.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 256 * 1024, VECTOR = 512, META = 366, COMMAND = 1, LAST = 2 };
enum { ECHO_RQ = 0x30, STORE_RQ = 0x01, FIND_RQ = 0x20, RESPONSE = 0x8000, PENDING = 0xFF00 };

static const char VERIFICATION[] = "1.2.840.10008.1.1", CT[] = "1.2.840.10008.5.1.4.1.1.2";
static const char FIND[] = "1.2.840.10008.5.1.4.1.2.2.1";
static const char IMPLICIT[] = "1.2.840.10008.1.2", EXPLICIT[] = "1.2.840.10008.1.2.1";
static const struct { uint8_t id; const char *abstract_syntax, *transfer_syntax; } CONTEXTS[] = {
    {1, VERIFICATION, IMPLICIT}, {3, CT, EXPLICIT}, {5, FIND, IMPLICIT}};

static uint32_t pdu_length, window;

/* Bytes */

static uint8_t *put16(uint8_t *at, unsigned value) { return *(uint16_t *)at = htobe16(value), at + 2; }
static uint8_t *put32(uint8_t *at, uint32_t value) { return *(uint32_t *)at = htobe32(value), at + 4; }
static uint32_t get16(const uint8_t *at) { return be16toh(*(const uint16_t *)at); }
static uint32_t get32(const uint8_t *at) { return be32toh(*(const uint32_t *)at); }
static uint32_t little32(const uint8_t *at) { return le32toh(*(const uint32_t *)at); }

static uint8_t *put_item(uint8_t *at, uint8_t type, const void *value, size_t length)
{
    *at++ = type, *at++ = 0;
    at = put16(at, (unsigned)length);
    memcpy(at, value, length);
    return at + length;
}

/* An implicit little endian element of group `group`; text is padded. */
static uint8_t *put_element(uint8_t *at, unsigned group, unsigned number, const void *value, size_t length)
{
    size_t even = (length + 1) & ~(size_t)1;
    uint16_t tag[2] = {htole16(group), htole16(number)};
    uint32_t size = htole32((uint32_t)even);
    memcpy(at, tag, 4), memcpy(at + 4, &size, 4), memcpy(at + 8, value, length);
    if (even != length)
        at[8 + length] = 0;
    return at + 8 + even;
}

static uint8_t *put_short(uint8_t *at, unsigned number, unsigned value)
{
    uint16_t little = htole16(value);
    return put_element(at, 0, number, &little, 2);
}

/* The headers of one fragment that is a PDU of its own. */
static void put_headers(uint8_t *at, uint8_t context_id, uint8_t flags, uint32_t length)
{
    at[0] = 4, at[1] = 0;
    put32(put32(at + 2, length + 6), length + 2);
    at[10] = context_id, at[11] = flags;
}

/* A whole command set in a PDU; its length. `status` < 0: a request. */
static size_t put_command(uint8_t *out, uint8_t context_id, const char *sop_class, unsigned field, unsigned message_id,
                          int has_body, int status, const char *instance)
{
    uint8_t *start = out + 12, *at = start + 12;
    if (sop_class)
        at = put_element(at, 0, 0x0002, sop_class, strlen(sop_class));
    at = put_short(at, 0x0100, field);
    at = put_short(at, status < 0 ? 0x0110 : 0x0120, message_id);
    if (status < 0 && field != ECHO_RQ)
        at = put_short(at, 0x0700, 0);
    at = put_short(at, 0x0800, has_body ? 1 : 0x0101);
    if (status >= 0)
        at = put_short(at, 0x0900, (unsigned)status);
    if (instance)
        at = put_element(at, 0, 0x1000, instance, strlen(instance));
    uint32_t length = htole32((uint32_t)(at - start - 12));
    put_element(start, 0, 0, &length, 4);
    put_headers(out, context_id, COMMAND | LAST, (uint32_t)(at - start));
    return (size_t)(at - out);
}

/* The value of a command element, NULL when there is none. */
static const uint8_t *find_element(const uint8_t *at, const uint8_t *end, uint32_t number, uint32_t *length)
{
    while (end - at >= 8) {
        *length = little32(at + 4);
        if (little32(at) == number << 16 && *length <= (size_t)(end - at - 8))
            return at + 8;
        at += 8 + (size_t)*length;
    }
    return NULL;
}

static unsigned short_of(const uint8_t *command, const uint8_t *end, uint32_t number)
{
    uint32_t length;
    const uint8_t *value = find_element(command, end, number, &length);
    return value && length == 2 ? value[0] | (unsigned)value[1] << 8 : 0;
}

static void send_vector(int sock, struct iovec *vector, int count)
{
    while (count) {
        ssize_t sent = writev(sock, vector, count < VECTOR ? count : VECTOR);
        if (sent < 0)
            err(1, "send");
        while (count && (size_t)sent >= vector->iov_len)
            sent -= (ssize_t)vector->iov_len, vector++, count--;
        if (count) {
            vector->iov_base = (char *)vector->iov_base + sent;
            vector->iov_len -= (size_t)sent;
        }
    }
}

static void send_all(int sock, const void *data, size_t length)
{
    struct iovec one = {(void *)(uintptr_t)data, length};
    send_vector(sock, &one, 1);
}

/* The user */

struct link {
    int sock;
    size_t start, stop;
    uint32_t fragment;
    uint8_t block[64 * 1024];
};

/* The next PDU, its header first; whole. */
static const uint8_t *next_pdu(struct link *link, uint32_t *length)
{
    for (;;) {
        size_t held = link->stop - link->start;
        uint8_t *at = link->block + link->start;
        if (held >= 6 && held - 6 >= (*length = get32(at + 2))) {
            link->start += 6 + *length;
            return at;
        }
        memmove(link->block, at, held);
        link->start = 0, link->stop = held;
        ssize_t count = recv(link->sock, link->block + held, sizeof link->block - held, 0);
        if (count <= 0)
            errx(1, "the peer closed the connection, or sent more than fits");
        link->stop += (size_t)count;
    }
}

static struct link *associate(unsigned port)
{
    struct link *link = malloc(sizeof *link);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    uint8_t request[2048] = {1}, item[256], *at = request + 74, *user, *end;
    uint32_t length;
    int one = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    link->start = link->stop = 0;
    link->sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(link->sock, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(link->sock, (struct sockaddr *)&address, sizeof address) < 0)
        err(1, "connect");
    put16(request + 6, 1);
    memcpy(request + 10, "SERVER          FLOOR           ", 32);
    at = put_item(at, 0x10, "1.2.840.10008.3.1.1.1", 21);
    for (size_t i = 0; i < sizeof CONTEXTS / sizeof *CONTEXTS; i++) {
        uint8_t *inner = item;
        *inner++ = CONTEXTS[i].id, *inner++ = 0, *inner++ = 0, *inner++ = 0;
        inner = put_item(inner, 0x30, CONTEXTS[i].abstract_syntax, strlen(CONTEXTS[i].abstract_syntax));
        inner = put_item(inner, 0x40, CONTEXTS[i].transfer_syntax, strlen(CONTEXTS[i].transfer_syntax));
        at = put_item(at, 0x20, item, (size_t)(inner - item));
    }
    user = item;
    uint32_t largest = htobe32(64 * 1024 - 6);
    user = put_item(user, 0x51, &largest, 4);
    user = put_item(user, 0x52, "1.2.3.4", 7);
    if (window > 1) {
        uint16_t operations[2] = {htobe16((uint16_t)window), htobe16(1)};
        user = put_item(user, 0x53, operations, 4);
    }
    at = put_item(at, 0x50, item, (size_t)(user - item));
    put32(request + 2, (uint32_t)(at - request - 6));
    send_all(link->sock, request, (size_t)(at - request));
    const uint8_t *answer = next_pdu(link, &length);
    if (answer[0] != 2)
        errx(1, "no association");
    uint32_t theirs = 16384;
    end = (uint8_t *)(uintptr_t)answer + 6 + length;
    for (uint8_t *at = (uint8_t *)(uintptr_t)answer + 74; at + 4 <= end; at += 4 + get16(at + 2))
        if (at[0] == 0x50)
            for (uint8_t *sub = at + 4; sub + 4 <= at + 4 + get16(at + 2); sub += 4 + get16(sub + 2))
                if (sub[0] == 0x51)
                    theirs = get32(sub + 4);
    link->fragment = ((theirs && theirs < pdu_length ? theirs : pdu_length) - 6) & ~1u;
    return link;
}

static void release(struct link *link)
{
    static const uint8_t request[10] = {5, 0, 0, 0, 0, 4};
    uint32_t length;
    send_all(link->sock, request, sizeof request);
    if (next_pdu(link, &length)[0] != 6)
        errx(1, "no answer to the release");
    close(link->sock);
    free(link);
}

/* Read on to the next response that has the expected status, over the data sets of pending ones; its status. */
static unsigned next_response(struct link *link)
{
    for (;;) {
        uint32_t length;
        const uint8_t *pdu = next_pdu(link, &length), *at = pdu + 6, *end = at + length;
        if (pdu[0] != 4)
            errx(1, "PDU of type %d where a response is due", pdu[0]);
        unsigned status = 0, found = 0;
        for (; at + 6 <= end; at += 4 + get32(at))
            if (at[5] & COMMAND)
                found = 1, status = short_of(at + 6, at + 4 + get32(at), 0x0900);
        if (found)
            return status;
    }
}

static void expect_success(struct link *link)
{
    unsigned status = next_response(link);
    if (status)
        errx(1, "status %04XH", status);
}

struct job {
    pthread_t thread;
    unsigned port, count;
    char **paths;
};

/* Every file of the job, `window` under way at a time; the next is opened and its first block read while answers are due. */
static void *store(void *argument)
{
    struct job *job = argument;
    struct link *link = associate(job->port);
    uint8_t *block = aligned_alloc(4096, BLOCK + 4096), command[512];
    static __thread uint8_t headers[VECTOR][12];
    static __thread struct iovec vector[VECTOR];
    unsigned under_way = 0;
    for (unsigned number = 0; number < job->count; number++) {
        struct stat about;
        int file = open(job->paths[number], O_RDONLY | O_CLOEXEC);
        if (file < 0 || fstat(file, &about) < 0)
            err(1, "%s", job->paths[number]);
        size_t most = BLOCK / link->fragment * link->fragment;
        if (!most)
            most = BLOCK;
        ssize_t got = pread(file, block, most < 1024 ? 1024 : most, 0);
        if (got < 160)
            errx(1, "%s is short", job->paths[number]);
        /* PS3.10 7.1: group length first, explicit little endian; (0002,0003) names the instance. */
        off_t at = 144 + (off_t)little32(block + 140);
        char instance[65] = "";
        for (uint8_t *element = block + 144; element < block + at;) {
            int wide = !memcmp(element + 4, "OB", 2);
            uint32_t length = wide ? little32(element + 8) : element[6] | (uint32_t)element[7] << 8;
            if (little32(element) == 0x00030002)
                memcpy(instance, element + 8, length < 64 ? length : 64);
            element += (wide ? 12 : 8) + length;
        }
        size_t held = (size_t)got - (size_t)at;
        uint8_t *body = block + at;
        size_t length = put_command(command, 3, CT, STORE_RQ, number % 65535 + 1, 1, -1, instance);
        int count = 0;
        vector[count++] = (struct iovec){command, length};
        if (under_way == window)
            expect_success(link), under_way--;
        at = (off_t)got;
        uint32_t rest = 0; /* of the fragment whose headers have been sent */
        off_t left = about.st_size - (got - (off_t)held);
        while (left) {
            int used = 0;
            while (held && count < VECTOR - 2) {
                if (!rest) {
                    rest = left < link->fragment ? (uint32_t)left : link->fragment;
                    put_headers(headers[used], 3, rest == left ? LAST : 0, rest);
                    vector[count++] = (struct iovec){headers[used++], 12};
                }
                size_t part = held < rest ? held : rest;
                vector[count++] = (struct iovec){body, part};
                body += part, held -= part, rest -= (uint32_t)part, left -= (off_t)part;
            }
            send_vector(link->sock, vector, count);
            count = 0;
            if (left && !held) {
                got = pread(file, block, most, at);
                if (got <= 0)
                    err(1, "%s", job->paths[number]);
                at += got, held = (size_t)got, body = block;
            }
        }
        close(file);
        under_way++;
    }
    while (under_way--)
        expect_success(link);
    release(link);
    free(block);
    return NULL;
}

static void *reassociate(void *argument)
{
    struct job *job = argument;
    for (unsigned i = 0; i < job->count; i++)
        release(associate(job->port));
    return NULL;
}

static void in_threads(void *(*work)(void *), unsigned threads, unsigned port, unsigned count, char **paths)
{
    struct job *jobs = calloc(threads, sizeof *jobs);
    for (unsigned i = 0, from = 0; i < threads; i++) {
        unsigned share = count / threads + (i < count % threads);
        jobs[i] = (struct job){.port = port, .count = share, .paths = paths ? paths + from : NULL};
        from += share;
        if (pthread_create(&jobs[i].thread, NULL, work, &jobs[i]))
            errx(1, "no thread");
    }
    for (unsigned i = 0; i < threads; i++)
        pthread_join(jobs[i].thread, NULL);
    free(jobs);
}

static void echo(unsigned port, unsigned count)
{
    struct link *link = associate(port);
    uint8_t command[256];
    for (unsigned i = 0; i < count; i++) {
        send_all(link->sock, command,
                 put_command(command, 1, VERIFICATION, ECHO_RQ, i % 65535 + 1, 0, -1, NULL));
        expect_success(link);
    }
    release(link);
}

static void find(unsigned port, unsigned queries, unsigned responses)
{
    struct link *link = associate(port);
    for (unsigned i = 0; i < queries; i++) {
        uint8_t message[1024], *start, *at;
        size_t length = put_command(message, 5, FIND, FIND_RQ, i % 65535 + 1, 1, -1, NULL);
        start = message + length, at = start + 12;
        at = put_element(at, 0x0008, 0x0020, "", 0);
        at = put_element(at, 0x0008, 0x0052, "STUDY ", 6);
        at = put_element(at, 0x0010, 0x0010, "", 0);
        at = put_element(at, 0x0010, 0x0020, "", 0);
        at = put_element(at, 0x0020, 0x000D, "", 0);
        put_headers(start, 5, LAST, (uint32_t)(at - start - 12));
        send_all(link->sock, message, (size_t)(at - message));
        unsigned status, count = 0;
        while ((status = next_response(link) & 0xFFFE) == PENDING)
            count++;
        if (status || count != responses)
            errx(1, "%u responses, status %04XH", count, status);
    }
    release(link);
}

static void idle(unsigned port, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        associate(port);
    puts("ready");
    fflush(stdout);
    while (getchar() != EOF)
        ;
}

/* The provider */

struct peer {
    int sock, file;
    uint8_t context_id, flags;
    unsigned field, message_id;
    uint32_t pdu_rest, pdv_rest;
    size_t held, command_length;
    char instance[65];
    uint8_t command[1024];
    uint8_t *block;
    struct peer *next; /* of those that are free */
};

static uint8_t identifier[512], meta[META], *answers;
static uint32_t identifier_length;
static unsigned responses;
static const char *folder;
static int to_disk;

static void write_all(int file, struct iovec *vector, int count)
{
    send_vector(file, vector, count); /* the same, whatever takes the bytes */
}

static void accept_association(struct peer *peer, const uint8_t *pdu, uint32_t length)
{
    uint8_t answer[8192] = {2}, item[64], *at = answer + 74;
    int asked_window = 0;
    memcpy(answer + 6, pdu + 6, 68);
    at = put_item(at, 0x10, "1.2.840.10008.3.1.1.1", 21);
    for (const uint8_t *from = pdu + 74; from + 4 <= pdu + 6 + length; from += 4 + get16(from + 2)) {
        const uint8_t *end = from + 4 + get16(from + 2);
        if (from[0] == 0x20 && at < answer + 7800) {
            const uint8_t *chosen = NULL; /* the first, but implicit little endian for queries */
            int queries = 0;
            for (const uint8_t *sub = from + 8; sub + 4 <= end; sub += 4 + get16(sub + 2)) {
                queries |= sub[0] == 0x30 && get16(sub + 2) == sizeof FIND - 1 && !memcmp(sub + 4, FIND, sizeof FIND - 1);
                int implicit = get16(sub + 2) == sizeof IMPLICIT - 1;
                if (sub[0] == 0x40 && (!chosen || (queries && implicit)))
                    chosen = sub;
            }
            if (chosen) {
                item[0] = from[4], item[1] = item[2] = item[3] = 0;
                uint8_t *inner = put_item(item + 4, 0x40, chosen + 4, get16(chosen + 2) & 31);
                at = put_item(at, 0x21, item, (size_t)(inner - item));
            }
        }
        if (from[0] == 0x50)
            for (const uint8_t *sub = from + 4; sub + 4 <= end; sub += 4 + get16(sub + 2))
                asked_window |= sub[0] == 0x53;
    }
    uint8_t user[64], *inner = user;
    uint32_t largest = htobe32(pdu_length);
    inner = put_item(inner, 0x51, &largest, 4);
    inner = put_item(inner, 0x52, "1.2.3.4", 7);
    if (asked_window) {
        uint16_t operations[2] = {htobe16((uint16_t)window), htobe16(1)};
        inner = put_item(inner, 0x53, operations, 4);
    }
    at = put_item(at, 0x50, user, (size_t)(inner - user));
    put32(answer + 2, (uint32_t)(at - answer - 6));
    send_all(peer->sock, answer, (size_t)(at - answer));
}

static void name_file(char *path, const struct peer *peer, int final)
{
    if (final)
        snprintf(path, 4096, "%s/%s.dcm", folder, peer->instance);
    else
        snprintf(path, 4096, "%s/.floor-%d", folder, peer->sock);
}

static void command_is_whole(struct peer *peer)
{
    const uint8_t *end = peer->command + peer->command_length;
    uint32_t length;
    peer->field = short_of(peer->command, end, 0x0100);
    peer->message_id = short_of(peer->command, end, 0x0110);
    peer->command_length = 0;
    if (peer->field == STORE_RQ) {
        const uint8_t *uid = find_element(peer->command, end, 0x1000, &length);
        snprintf(peer->instance, sizeof peer->instance, "%.*s", uid ? (int)length : 0, uid ? (const char *)uid : "");
        char path[4096];
        name_file(path, peer, 0);
        peer->file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
        if (peer->file < 0)
            err(1, "%s", path);
        struct iovec head = {meta, META};
        write_all(peer->file, &head, 1);
    } else if (peer->field == ECHO_RQ) {
        uint8_t answer[256];
        send_all(peer->sock, answer, put_command(answer, peer->context_id, VERIFICATION, ECHO_RQ | RESPONSE,
                                                 peer->message_id, 0, 0, NULL));
    }
}

static void body_is_whole(struct peer *peer)
{
    uint8_t answer[512];
    size_t length = 0;
    if (peer->field == STORE_RQ) {
        char temporary[4096], final[4096];
        name_file(temporary, peer, 0);
        name_file(final, peer, 1);
        if ((to_disk && fsync(peer->file)) || close(peer->file) || rename(temporary, final))
            err(1, "%s", final);
        if (to_disk) {
            int place = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
            if (place < 0 || fsync(place) || close(place))
                err(1, "%s", folder);
        }
        peer->file = -1;
        length = put_command(answer, peer->context_id, CT, STORE_RQ | RESPONSE, peer->message_id, 0, 0, peer->instance);
    } else if (peer->field == FIND_RQ) {
        for (unsigned i = 0; i < responses; i++) {
            length += put_command(answers + length, peer->context_id, FIND, FIND_RQ | RESPONSE, peer->message_id, 1,
                                  PENDING, NULL);
            put_headers(answers + length, peer->context_id, LAST, identifier_length);
            memcpy(answers + length + 12, identifier, identifier_length);
            length += 12 + identifier_length;
            if (length > BLOCK - 2048)
                send_all(peer->sock, answers, length), length = 0;
        }
        send_all(peer->sock, answers, length);
        length = put_command(answer, peer->context_id, FIND, FIND_RQ | RESPONSE, peer->message_id, 0, 0, NULL);
    }
    send_all(peer->sock, answer, length);
}

/* Work off what was received; what is not whole moves to the front of the block. */
static void digest(struct peer *peer)
{
    uint8_t *at = peer->block, *end = at + peer->held;
    struct iovec vector[VECTOR];
    int count = 0;
    for (;;) {
        if (peer->pdv_rest) {
            uint32_t part = peer->pdv_rest < (size_t)(end - at) ? peer->pdv_rest : (uint32_t)(end - at);
            if (!part)
                break;
            if (peer->flags & COMMAND) {
                if (peer->command_length + part > sizeof peer->command)
                    errx(1, "a command of more than %zu bytes", sizeof peer->command);
                memcpy(peer->command + peer->command_length, at, part);
                peer->command_length += part;
            } else if (peer->file >= 0) {
                vector[count++] = (struct iovec){at, part};
                if (count == VECTOR)
                    write_all(peer->file, vector, count), count = 0;
            }
            at += part, peer->pdv_rest -= part, peer->pdu_rest -= part;
            if (peer->pdv_rest)
                break;
            if (peer->flags & LAST) {
                if (count)
                    write_all(peer->file, vector, count), count = 0;
                (peer->flags & COMMAND ? command_is_whole : body_is_whole)(peer);
            }
            continue;
        }
        size_t left = (size_t)(end - at);
        if (!peer->pdu_rest) {
            if (left < 6)
                break;
            uint32_t length = get32(at + 2);
            if (at[0] != 4) {
                if (left - 6 < length)
                    break;
                static const uint8_t released[10] = {6, 0, 0, 0, 0, 4};
                if (at[0] == 1)
                    accept_association(peer, at, length);
                else if (at[0] == 5)
                    send_all(peer->sock, released, sizeof released);
                at += 6 + (size_t)length;
                continue;
            }
            if (left < 12)
                break;
            peer->pdu_rest = length;
            at += 6, left -= 6;
        }
        if (left < 6)
            break;
        peer->pdv_rest = get32(at) - 2;
        peer->context_id = at[4], peer->flags = at[5];
        peer->pdu_rest -= 6, at += 6;
    }
    if (count)
        write_all(peer->file, vector, count);
    peer->held = (size_t)(end - at);
    memmove(peer->block, at, peer->held);
}

static void serve(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), poller = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, events[64];
    struct peer *spare = NULL;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 4096) ||
        getsockname(listener, (struct sockaddr *)&address, &size))
        err(1, "listen");
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int count = epoll_wait(poller, events, 64, -1);
        for (int i = 0; i < count; i++) {
            struct peer *peer = events[i].data.ptr;
            if (!peer) {
                if (spare) {
                    peer = spare;
                    spare = peer->next;
                } else {
                    peer = malloc(sizeof *peer);
                    peer->block = aligned_alloc(4096, BLOCK);
                }
                *peer = (struct peer){.sock = accept4(listener, NULL, NULL, SOCK_CLOEXEC), .file = -1, .block = peer->block};
                setsockopt(peer->sock, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                event.data.ptr = peer;
                epoll_ctl(poller, EPOLL_CTL_ADD, peer->sock, &event);
                continue;
            }
            ssize_t got = recv(peer->sock, peer->block + peer->held, BLOCK - peer->held, MSG_DONTWAIT);
            if (got > 0) {
                peer->held += (size_t)got;
                digest(peer);
            } else {
                close(peer->sock);
                peer->next = spare, spare = peer;
            }
        }
    }
}

static void make_identifier(void)
{
    uint8_t *at = identifier;
    at = put_element(at, 0x0008, 0x0005, "ISO_IR 100", 10);
    at = put_element(at, 0x0008, 0x0020, "20240131", 8);
    at = put_element(at, 0x0008, 0x0030, "120000", 6);
    at = put_element(at, 0x0008, 0x0050, "A12345", 6);
    at = put_element(at, 0x0008, 0x0052, "STUDY ", 6);
    at = put_element(at, 0x0008, 0x1030, "Thorax with contrast", 20);
    at = put_element(at, 0x0010, 0x0010, "Phantom^Findable", 16);
    at = put_element(at, 0x0010, 0x0020, "P123456", 7);
    at = put_element(at, 0x0020, 0x000D, "1.2.826.0.1.3680043.10.1.123456", 31);
    at = put_element(at, 0x0020, 0x0010, "S1", 2);
    identifier_length = (uint32_t)(at - identifier);
}

static double cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static long status_bytes(const char *key)
{
    char line[256];
    long value = 0;
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(line, sizeof line, status))
        if (!strncmp(line, key, strlen(key)))
            value = atol(line + strlen(key)) * 1024;
    if (status)
        fclose(status);
    return value;
}

int main(int count, char **arguments)
{
    struct timespec start, stop;
    if (count < 4)
        errx(2, "see the source");
    const char *role = arguments[1];
    unsigned port = (unsigned)atoi(arguments[2]), first = (unsigned)atoi(arguments[3]);
    unsigned second = count > 4 ? (unsigned)atoi(arguments[4]) : 0, third = count > 5 ? (unsigned)atoi(arguments[5]) : 0;
    pdu_length = 16384, window = 1;
    if (!strcmp(role, "serve")) {
        folder = arguments[2], pdu_length = first, window = second, responses = third;
        to_disk = count > 6 && !strcmp(arguments[6], "power");
        answers = malloc(BLOCK);
        make_identifier();
        serve();
    }
    long before = status_bytes("VmRSS:");
    clock_gettime(CLOCK_MONOTONIC, &start);
    if (!strcmp(role, "echo"))
        pdu_length = first, echo(port, second);
    else if (!strcmp(role, "store"))
        pdu_length = first, window = second, in_threads(store, third, port, (unsigned)count - 6, arguments + 6);
    else if (!strcmp(role, "associate"))
        in_threads(reassociate, first, port, second, NULL);
    else if (!strcmp(role, "find"))
        find(port, first, second);
    else
        idle(port, first);
    clock_gettime(CLOCK_MONOTONIC, &stop);
    printf("%.9f %.6f %ld\n", (double)(stop.tv_sec - start.tv_sec) + (double)(stop.tv_nsec - start.tv_nsec) / 1e9,
           cpu_seconds(), status_bytes("VmHWM:") - before);
    return 0;
}
