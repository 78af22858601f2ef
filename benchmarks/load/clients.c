#define _GNU_SOURCE
#include "clients.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#include "fail.h"
#include "frames.h"
#include "stream.h"

enum { BUFFER_BYTES = 256 * 1024, EVENTS_AT_ONCE = 512, MESSAGE_BYTES_AT_MOST = 64 * 1024 };
/* A second of 8,000 events of 511 bytes; of many rooms, enough for a burst each. */
enum { TRANSCRIPTS_BYTES = 4 * 1024 * 1024, TRANSCRIPT_BYTES_AT_LEAST = 64 * 1024 };
enum { LOOK_AT_EACH = 4, SKIMMED_BYTES_AT_LEAST = 4 * 1024 };

/* Key and answer of RFC 6455's own example (section 1.3). */
static const char KEY[] = "dGhlIHNhbXBsZSBub25jZQ==", ACCEPT[] = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

typedef enum { CONNECTING, UPGRADING, STEPPING, SUBSCRIBING, OPEN, CLOSED } stage;

struct client {
    stream stream;
    stage stage;
    size_t step, pending, looks;
    int is_skimmed; /* bytes were taken without a look, and no frame was read since */
    uint64_t began_ns;
    char *kept; /* a frame, or a head of HTTP, whose end has not come */
    size_t kept_length, kept_space;
    char *message; /* of several frames, the last of which has not come */
    size_t message_length;
};

static char buffer[FRAME_BYTES_AT_MOST + BUFFER_BYTES + FRAME_HEAD_AT_MOST];
static int resuming;

uint64_t now_ns(void) {
    struct timespec it;
    clock_gettime(CLOCK_MONOTONIC, &it);
    return it.tv_sec * 1000000000ull + it.tv_nsec;
}

static track *tracks_of(crowd *it, client *self) { return it->tracks + (self - it->clients) * it->rooms_each; }

/* Clients of one room each get the same bytes, unless the server says otherwise; for one client alone none is worth it. */
static void make_transcripts(crowd *it) {
    if (it->rooms_each > 1 || it->count < 2 * it->rooms) return;
    size_t each = TRANSCRIPTS_BYTES / it->rooms;
    it->transcripts = calloc(it->rooms, sizeof *it->transcripts);
    for (size_t room = 0; room < it->rooms; room++)
        transcript_make(it->transcripts + room, each > TRANSCRIPT_BYTES_AT_LEAST ? each : TRANSCRIPT_BYTES_AT_LEAST);
}

void crowd_make(crowd *it, size_t count, size_t rooms, size_t rooms_each) {
    if (!count || !rooms_each || rooms_each > rooms || rooms > ROOMS_AT_MOST) fail("no crowd of %zu in %zu rooms", count, rooms);
    it->count = count, it->rooms = rooms, it->rooms_each = rooms_each;
    it->clients = calloc(count, sizeof *it->clients);
    it->tracks = calloc(count * rooms_each, sizeof *it->tracks);
    memset(it->members, 0, sizeof it->members);
    for (size_t i = 0; i < count; i++) {
        it->clients[i].stage = CLOSED, it->clients[i].stream.file = -1;
        for (size_t k = 0; k < rooms_each; k++) {
            uint32_t room = (uint32_t)((i + k * (rooms / rooms_each)) % rooms);
            it->tracks[i * rooms_each + k].room = room;
            it->members[room]++;
        }
    }
    make_transcripts(it);
}

/* Keeps the first thing that may explain a failure. */
static void note(crowd *it, const char *form, va_list arguments) {
    if (it->reason[0]) return;
    vsnprintf(it->reason, sizeof it->reason, form, arguments);
    for (char *c = it->reason; *c; c++)
        if (*c < ' ' || *c == '"' || *c == '\\' || *c > '~') *c = ' ';
}

static void said(crowd *it, const char *form, ...) {
    va_list arguments;
    va_start(arguments, form);
    note(it, form, arguments);
    va_end(arguments);
}

static void drop(crowd *it, client *self, const char *form, ...) {
    if (self->stage == CLOSED) return;
    if (self->stage == OPEN) it->open--, it->closed++;
    else it->under_way--, it->failed++;
    va_list arguments;
    va_start(arguments, form);
    note(it, form, arguments);
    va_end(arguments);
    stream_close(&self->stream);
    self->stage = CLOSED;
    self->kept_length = self->message_length = 0;
}

static void say(crowd *it, client *self, int opcode, text message) {
    char out[MESSAGE_BYTES_AT_MOST + FRAME_HEAD_AT_MOST];
    if (message.length > MESSAGE_BYTES_AT_MOST) fail("a message of %zu bytes is too long", message.length);
    size_t length = frame_write(out, opcode, message.bytes, message.length);
    if (stream_write(&self->stream, out, length)) drop(it, self, "a client could not write");
}

static text room_text(uint32_t room) {
    static char digits[ROOM_DIGITS];
    write_digits(digits, ROOM_DIGITS, room);
    return (text){digits, ROOM_DIGITS};
}

/* ---- connecting */

static text rooms_joined(crowd *it, client *self) {
    text joined = {malloc(it->rooms_each * (ROOM_DIGITS + it->wire->separator.length) + 1), 0};
    for (size_t k = 0; k < it->rooms_each; k++) {
        if (k) {
            memcpy(joined.bytes + joined.length, it->wire->separator.bytes, it->wire->separator.length);
            joined.length += it->wire->separator.length;
        }
        write_digits(joined.bytes + joined.length, ROOM_DIGITS, tracks_of(it, self)[k].room);
        joined.length += ROOM_DIGITS;
    }
    return joined;
}

static void send_request(crowd *it, client *self) {
    text rooms = rooms_joined(it, self);
    text one = replaced(it->wire->request, "@ROOMS@", rooms);
    text two = replaced(one, "@ROOM@", room_text(tracks_of(it, self)->room));
    text all = replaced(two, "@KEY@", (text){(char *)KEY, strlen(KEY)});
    self->stage = UPGRADING;
    if (stream_write(&self->stream, all.bytes, all.length)) drop(it, self, "a client could not write its request");
    free(rooms.bytes), free(one.bytes), free(two.bytes), free(all.bytes);
}

static void watch(crowd *it, client *self, int operation, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = self};
    epoll_ctl(it->epoll, operation, self->stream.file, &event);
}

static void begin(crowd *it, client *self) {
    self->began_ns = now_ns();
    self->stage = CONNECTING, self->step = 0, self->pending = 0, self->is_skimmed = 0;
    it->under_way++;
    track *tracks = tracks_of(it, self);
    for (size_t k = 0; !resuming && k < it->rooms_each; k++) track_begin(tracks + k, it->sent[tracks[k].room]);
    if (stream_open(&self->stream, it->wire->port)) drop(it, self, "a client could not connect");
    else watch(it, self, EPOLL_CTL_ADD, EPOLLOUT);
}

static void connected(crowd *it, client *self) {
    int result = stream_ready(&self->stream, it->wire->is_tls);
    if (result == STREAM_ENDED) return drop(it, self, "a connection was refused");
    watch(it, self, EPOLL_CTL_MOD, result == STREAM_WANTS_WRITE ? EPOLLOUT : EPOLLIN);
    if (result == 0) send_request(it, self);
}

/* ---- what is said after the upgrade */

static void subscribe(crowd *it, client *self) {
    text form = resuming ? it->wire->resume : it->wire->subscribe;
    track *tracks = tracks_of(it, self);
    self->stage = SUBSCRIBING;
    self->pending = form.length && it->wire->subscribed.length ? it->rooms_each : 0;
    for (size_t k = 0; form.length && k < it->rooms_each; k++) {
        text one = replaced(form, "@ROOM@", room_text(tracks[k].room));
        text all = replaced(one, "@POSITION@", it->positions[tracks[k].room]);
        tracks[k].is_pending = 1;
        say(it, self, it->wire->opcode, all);
        free(one.bytes), free(all.bytes);
        if (self->stage == CLOSED) return;
    }
}

static void enter_if_done(crowd *it, client *self) {
    if (self->stage != SUBSCRIBING || self->pending) return;
    self->stage = OPEN;
    it->under_way--, it->open++;
    tally_latency(&it->connects, now_ns() - self->began_ns);
}

/* Says what the steps have to say, up to one whose answer must come first. */
static void go_on(crowd *it, client *self) {
    while (self->stage == STEPPING && self->step < it->wire->steps) {
        if (it->wire->step[self->step].send.length) say(it, self, it->wire->opcode, it->wire->step[self->step].send);
        if (it->wire->step[self->step].expect.length) return;
        self->step++;
    }
    if (self->stage == STEPPING) subscribe(it, self);
    enter_if_done(it, self);
}

static void hear_subscribed(crowd *it, client *self, const char *bytes, size_t length) {
    text form = it->wire->subscribed;
    if (!contains(form.bytes, form.length, (text){"@ROOM@", 6})) {
        size_t answers = occurrences(bytes, length, form);
        self->pending -= answers < self->pending ? answers : self->pending;
        return enter_if_done(it, self);
    }
    track *tracks = tracks_of(it, self);
    for (size_t k = 0; k < it->rooms_each; k++) {
        if (!tracks[k].is_pending) continue;
        text answer = replaced(form, "@ROOM@", room_text(tracks[k].room));
        if (contains(bytes, length, answer)) tracks[k].is_pending = 0, self->pending--;
        free(answer.bytes);
    }
    enter_if_done(it, self);
}

/* Returns how many events were in it. */
static size_t hear_message(crowd *it, client *self, const char *bytes, size_t length, uint64_t now) {
    text ping = it->wire->ping;
    stage was = self->stage;
    if (ping.length && ping.length == length && !memcmp(bytes, ping.bytes, length)) {
        say(it, self, it->wire->opcode, it->wire->pong);
        return 0;
    }
    if (self->stage == STEPPING) {
        text expected = it->wire->step[self->step].expect;
        if (contains(bytes, length, expected)) self->step++, go_on(it, self);
    } else if (self->stage == SUBSCRIBING) {
        hear_subscribed(it, self, bytes, length);
    }
    size_t events = tally_events(&it->tally, tracks_of(it, self), it->rooms_each, bytes, length, now);
    if (!events && was == OPEN) said(it, "the server said %.*s", length < 200 ? (int)length : 200, bytes);
    return events;
}

/* ---- bytes to messages */

static void hear_part(crowd *it, client *self, const frame *part, uint64_t now) {
    self->message = realloc(self->message, self->message_length + part->length + 1);
    memcpy(self->message + self->message_length, part->payload, part->length);
    self->message_length += part->length;
    if (!part->is_last) return;
    size_t length = self->message_length;
    self->message_length = 0;
    hear_message(it, self, self->message, length, now);
}

static void hear_whole(crowd *it, client *self, const frame *part, uint64_t now) {
    track *room = tracks_of(it, self);
    uint64_t last = room->last;
    size_t events = hear_message(it, self, part->payload, part->length, now);
    if (!it->transcripts || events != 1 || room->last != last + 1) return;
    const char *begin = part->payload + part->length - part->whole;
    transcript_add(it->transcripts + room->room, room->last, it->tally.newest_ns, begin, part->whole);
}

static void hear_frame(crowd *it, client *self, const frame *part, uint64_t now) {
    switch (part->opcode) {
    case OPCODE_PING: return say(it, self, OPCODE_PONG, (text){(char *)part->payload, part->length});
    case OPCODE_PONG: return;
    case OPCODE_CLOSE:
        return drop(it, self, "the server closed: %.*s", (int)part->length, part->length ? part->payload : "");
    default:
        if (part->is_last && !self->message_length) hear_whole(it, self, part, now);
        else hear_part(it, self, part, now);
    }
}

/* Returns how many bytes of `bytes` were used; 0 while the answer's end has not come. */
static size_t hear_answer(crowd *it, client *self, const char *bytes, size_t length) {
    const char *end = memmem(bytes, length, "\r\n\r\n", 4);
    if (!end) return 0;
    int is_ok = length > 12 && !memcmp(bytes + 9, "101", 3) && contains(bytes, end - bytes, (text){(char *)ACCEPT, strlen(ACCEPT)});
    if (!is_ok) {
        drop(it, self, "the server answered the upgrade with %.*s", 60, bytes);
        return 0;
    }
    self->stage = STEPPING;
    go_on(it, self);
    return end + 4 - bytes;
}

static size_t hear_frames(crowd *it, client *self, const char *bytes, size_t length, uint64_t now) {
    size_t used = 0;
    while (self->stage != CLOSED) {
        frame part;
        frame_result result = frame_read(bytes + used, length - used, &part);
        if (result == FRAME_BAD) {
            it->bad++;
            drop(it, self, self->is_skimmed ? "bytes that were not read, or frames behind them, were no events of the room"
                                            : "the server sent a frame that no server may send");
        }
        if (result != FRAME_WHOLE) break;
        hear_frame(it, self, &part, now);
        used += part.whole;
    }
    return used;
}

/* Returns how many bytes another client of the room had before. */
static size_t hear_again(crowd *it, client *self, const char *bytes, size_t length, uint64_t now) {
    if (!it->transcripts || self->stage != OPEN || self->message_length) return 0;
    track *room = tracks_of(it, self);
    return transcript_tally(it->transcripts + room->room, &it->tally, room, bytes, length, now);
}

static void keep(client *self, const char *bytes, size_t length) {
    if (length > self->kept_space) {
        self->kept_space = length;
        self->kept = realloc(self->kept, length);
    }
    if (length) memcpy(self->kept, bytes, length);
    self->kept_length = length;
}

/* Frames that another client of the room had, and that this one may be counted for by their length: three of four times.
 * `*length` is 0 where all is to be read. */
static const char *had(crowd *it, client *self, size_t *length) {
    *length = 0;
    if (!it->skims || !it->wire->is_uniform || !it->transcripts || self->stream.tls) return NULL;
    if (self->stage != OPEN || self->message_length || self->looks++ % LOOK_AT_EACH == 0) return NULL;
    *length = BUFFER_BYTES;
    const char *bytes = transcript_behind(it->transcripts + tracks_of(it, self)->room, tracks_of(it, self), length);
    if (*length < SKIMMED_BYTES_AT_LEAST) *length = 0;
    return bytes;
}

/* Takes what follows the first frame without a look at it. A frame lost or twice moves all others: the first frame of the
 * next read is not the one that was expected. */
static void skim(crowd *it, client *self, const char *bytes, size_t length, size_t first) {
    ssize_t count = stream_skip(&self->stream, length - first);
    if (count == STREAM_ENDED) return drop(it, self, "the server ended a connection");
    size_t all = first + (count > 0 ? count : 0);
    uint64_t received = it->tally.received;
    track *room = tracks_of(it, self);
    size_t used = transcript_tally(it->transcripts + room->room, &it->tally, room, bytes, all, now_ns());
    it->tally.unread += it->tally.received - received - 1;
    self->is_skimmed = 1;
    keep(self, bytes + used, all - used);
}

static void hear(crowd *it, client *self) {
    frame head = {0};
    size_t length = self->kept_length, known;
    const char *bytes = had(it, self, &known);
    if (known && frame_read(bytes, known, &head) != FRAME_WHOLE) known = 0;
    if (known && length >= head.whole) known = 0;
    if (length) memcpy(buffer, self->kept, length);
    ssize_t count = stream_read(&self->stream, buffer + length, known ? head.whole - length : BUFFER_BYTES);
    if (count == STREAM_AGAIN || count == STREAM_WANTS_WRITE) return;
    if (count == STREAM_ENDED) return drop(it, self, "the server ended a connection");
    length += count;
    if (known && length == head.whole && !memcmp(buffer, bytes, length)) return skim(it, self, bytes, known, length);
    size_t used = 0;
    if (self->stage == UPGRADING) used = hear_answer(it, self, buffer, length);
    if (self->stage > UPGRADING) {
        uint64_t now = now_ns();
        used += hear_again(it, self, buffer + used, length - used, now);
        used += hear_frames(it, self, buffer + used, length - used, now);
    }
    if (self->stage == CLOSED) return;
    keep(self, buffer + used, length - used);
    if (used) self->is_skimmed = 0;
}

/* ---- all of them */

int crowd_serve(crowd *it, int timeout_ms) {
    static struct epoll_event events[EVENTS_AT_ONCE];
    int count = epoll_wait(it->epoll, events, EVENTS_AT_ONCE, timeout_ms);
    for (int i = 0; i < count; i++) {
        client *self = events[i].data.ptr;
        if (!self) continue;
        if (self->stage == CONNECTING) connected(it, self);
        else if (self->stage != CLOSED) hear(it, self);
    }
    return count;
}

void crowd_connect(crowd *it, size_t at_once, int resumes, double deadline_s) {
    uint64_t give_up = now_ns() + (uint64_t)(deadline_s * 1e9);
    size_t next = 0;
    resuming = resumes;
    it->open = it->failed = it->closed = it->under_way = it->reason[0] = 0;
    tally_reset(&it->connects);
    while ((next < it->count || it->under_way) && now_ns() < give_up) {
        while (next < it->count && it->under_way < at_once) begin(it, it->clients + next++);
        crowd_serve(it, 100);
    }
    for (size_t i = 0; i < it->count; i++)
        if (it->clients[i].stage < OPEN) drop(it, it->clients + i, "a client was not let in within %g s", deadline_s);
}

void crowd_close(crowd *it) {
    for (size_t i = 0; i < it->count; i++) {
        stream_close(&it->clients[i].stream);
        it->clients[i].stage = CLOSED;
        it->clients[i].kept_length = it->clients[i].message_length = 0;
    }
    it->open = 0;
}
