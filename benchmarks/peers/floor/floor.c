/* The kernel's price: the least that carries lines of Redis to clients of WebSocket. No limits, no log, no TLS, no care.
 *
 *   floor PORT REDIS_PORT joined|unbatched
 *
 * A client sends six digits, and gets what is published on `workflow:` with these digits. Unbatched, each event is one
 * write per client; joined, all events of a room that one read from Redis has brought are. The key of the handshake is
 * the load generator's, a constant, and so is the answer. Bytes that a full socket does not take are kept. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ROOMS = 1000000, FILES = 65536, BUFFER = 64 * 1024 };

typedef struct { char *bytes; size_t begin, length, space; } heap; /* so many bytes from `begin` on */
typedef struct { int *members; size_t count, space; int is_confirmed; heap frames; } room;
typedef struct { int is_open; heap owed, rooms; } peer;

static const char ANSWER[] =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

static room rooms[ROOMS];
static peer peers[FILES];
static int epoll, redis, is_joined;
static heap inbox;
static int touched[ROOMS], touched_count;

static void add(heap *it, const void *bytes, size_t length) {
    if (it->begin && it->begin + it->length + length > it->space) {
        memmove(it->bytes, it->bytes + it->begin, it->length);
        it->begin = 0;
    }
    if (it->length + length > it->space) it->bytes = realloc(it->bytes, it->space = 2 * (it->length + length));
    memcpy(it->bytes + it->begin + it->length, bytes, length);
    it->length += length;
}

/* Moves nothing: what a slow client is owed would be moved for every write. */
static void take(heap *it, size_t length) {
    it->length -= length;
    it->begin = it->length ? it->begin + length : 0;
}

static void watch(int file, int operation, uint32_t events) {
    struct epoll_event event = {.events = events, .data.fd = file};
    epoll_ctl(epoll, operation, file, &event);
}

static int listening(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int file = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), yes = 1;
    setsockopt(file, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(file, (struct sockaddr *)&address, sizeof address) || listen(file, 1024)) exit(1);
    return file;
}

static int redis_at(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int file = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    if (connect(file, (struct sockaddr *)&address, sizeof address)) exit(2);
    setsockopt(file, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    fcntl(file, F_SETFL, O_NONBLOCK);
    return file;
}

/* ---- to clients */

static void send_to(int file, const char *bytes, size_t length) {
    peer *it = peers + file;
    ssize_t count = it->owed.length ? 0 : send(file, bytes, length, MSG_NOSIGNAL);
    if (count < 0 && errno != EAGAIN) return;
    if (count < 0) count = 0;
    if ((size_t)count == length) return;
    add(&it->owed, bytes + count, length - count);
    watch(file, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
}

static void send_owed(int file) {
    peer *it = peers + file;
    ssize_t count = send(file, it->owed.bytes + it->owed.begin, it->owed.length, MSG_NOSIGNAL);
    if (count > 0) take(&it->owed, count);
    if (!it->owed.length) watch(file, EPOLL_CTL_MOD, EPOLLIN);
}

static void send_room(room *it) {
    for (size_t i = 0; i < it->count; i++) send_to(it->members[i], it->frames.bytes, it->frames.length);
    it->frames.length = 0;
}

static void frame_into(heap *out, const char *payload, size_t length) {
    unsigned char head[4] = {0x81, length < 126 ? length : 126, length >> 8, length};
    add(out, head, length < 126 ? 2 : 4);
    add(out, payload, length);
}

static void confirm(int file, int number) {
    char text[16];
    heap frame = {0};
    frame_into(&frame, text, sprintf(text, "in %06d", number));
    send_to(file, frame.bytes, frame.length);
    free(frame.bytes);
}

/* ---- from Redis */

static void hear_event(int number, const char *line, size_t length) {
    room *it = rooms + number;
    if (!it->frames.length) touched[touched_count++] = number;
    frame_into(&it->frames, line, length);
    if (!is_joined) send_room(it), touched_count = 0;
}

static void hear_subscribed(int number) {
    rooms[number].is_confirmed = 1;
    for (size_t i = 0; i < rooms[number].count; i++) confirm(rooms[number].members[i], number);
}

/* The string of Redis at `*at`, which moves behind it; NULL while its end has not come. */
static const char *string_at(size_t *at, size_t *length) {
    const char *line = inbox.bytes + inbox.begin + *at;
    const char *end = *at < inbox.length ? memmem(line, inbox.length - *at, "\r\n", 2) : NULL;
    if (!end) return NULL;
    *length = atol(line + 1);
    *at = end + 2 - (inbox.bytes + inbox.begin);
    if (line[0] != '$') return line; /* the number of subscriptions */
    line = inbox.bytes + inbox.begin + *at;
    *at += *length + 2;
    return *at <= inbox.length ? line : NULL;
}

/* Hears one message; returns its length, 0 while its end has not come. */
static size_t hear_message(size_t from) {
    size_t at = from, count, kind_length, channel_length, length;
    if (!string_at(&at, &count)) return 0;
    const char *kind = string_at(&at, &kind_length);
    const char *channel = kind ? string_at(&at, &channel_length) : NULL;
    const char *line = channel ? string_at(&at, &length) : NULL;
    if (!line) return 0;
    int number = atoi(channel + strlen("workflow:"));
    if (kind[0] == 'm') hear_event(number, line, length);
    else hear_subscribed(number);
    return at - from;
}

static void hear_redis(void) {
    static char bytes[BUFFER];
    ssize_t count = recv(redis, bytes, sizeof bytes, 0);
    if (count <= 0) exit(3);
    add(&inbox, bytes, count);
    size_t used = 0, one;
    while (used < inbox.length && (one = hear_message(used))) used += one;
    take(&inbox, used);
    while (touched_count) send_room(rooms + touched[--touched_count]);
}

/* ---- from clients */

static void join(int file, int number) {
    room *it = rooms + number;
    if (it->count == it->space) it->members = realloc(it->members, (it->space = 2 * it->space + 1) * sizeof *it->members);
    it->members[it->count++] = file;
    add(&peers[file].rooms, &number, sizeof number);
    if (it->is_confirmed) return confirm(file, number);
    if (it->count > 1) return;
    char command[64];
    int length = sprintf(command, "*2\r\n$9\r\nSUBSCRIBE\r\n$15\r\nworkflow:%06d\r\n", number);
    if (send(redis, command, length, MSG_NOSIGNAL) != length) exit(4);
}

static void leave_room(int file, room *it) {
    size_t i = 0;
    while (it->members[i] != file) i++;
    it->members[i] = it->members[--it->count];
}

static void leave(int file) {
    peer *it = peers + file;
    for (size_t at = 0; at < it->rooms.length; at += sizeof(int)) leave_room(file, rooms + *(int *)(it->rooms.bytes + at));
    it->is_open = 0, it->owed.begin = it->owed.length = it->rooms.length = 0;
    close(file);
}

static void hear_client(int file) {
    char bytes[4096];
    ssize_t count = recv(file, bytes, sizeof bytes, 0);
    if (count <= 0) return leave(file);
    if (!peers[file].is_open) {
        peers[file].is_open = 1;
        return send_to(file, ANSWER, sizeof ANSWER - 1);
    }
    for (char *at = bytes; at + 12 <= bytes + count; at += 12) { /* a head of 6 bytes, six digits */
        char digits[7] = {0};
        if (at[0] != (char)0x81) return;
        for (int i = 0; i < 6; i++) digits[i] = at[6 + i] ^ at[2 + i % 4];
        join(file, atoi(digits));
    }
}

static void admit(int listener) {
    int file, yes = 1;
    while ((file = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        if (file >= FILES) exit(5);
        setsockopt(file, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        watch(file, EPOLL_CTL_ADD, EPOLLIN);
    }
}

int main(int count, char **arguments) {
    if (count != 4) return 1;
    is_joined = !strcmp(arguments[3], "joined");
    epoll = epoll_create1(0);
    redis = redis_at(atoi(arguments[2]));
    int listener = listening(atoi(arguments[1]));
    watch(redis, EPOLL_CTL_ADD, EPOLLIN);
    watch(listener, EPOLL_CTL_ADD, EPOLLIN);
    struct epoll_event events[512];
    for (;;) {
        int ready = epoll_wait(epoll, events, 512, -1);
        for (int i = 0; i < ready; i++) {
            int file = events[i].data.fd;
            if (file == listener) admit(listener);
            else if (file == redis) hear_redis();
            else if (events[i].events & EPOLLOUT) send_owed(file);
            else hear_client(file);
        }
    }
}
