/* The load of the benchmarks: a crowd of clients and the publisher of their events.
 *
 * `load DESCRIPTION` takes commands from standard input, a line each, and answers each with a line of JSON:
 *
 *   crowd CLIENTS ROOMS ROOMS_EACH       once; every client is in so many of the rooms
 *   connect AT_ONCE SECONDS              connect and subscribe all, so many at once, within so many seconds
 *   burst SECONDS IN_FLIGHT [STALL]      closed loop: publish so many, wait until all have all, and again; what has not
 *                                        come within STALL seconds of silence (5) is lost
 *   pace SECONDS RATE [DRAIN]            open loop, so many events a second, by a process of its own; what has not come
 *                                        DRAIN seconds after the last publish is lost (else after a second of silence)
 *   publish COUNT                        publish, and wait for Redis' answers only
 *   since ROOM POSITION                  where clients resume a room
 *   resume AT_ONCE SECONDS               connect again at those positions, and wait for all that was published since
 *   idle SECONDS                         hear what comes
 *   close                                drop all connections
 *
 * While no command runs, pings are answered. `load --frames SLICE` reads the bytes of a server from standard input, in
 * slices of so many bytes, as a client of room 0 would: the parser's own test. */
#define _GNU_SOURCE
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "clients.h"
#include "fail.h"
#include "frames.h"
#include "publisher.h"

static const double STALL_S = 5, PUBLISHER_SETTLES_S = 30;
/* At most so often does the process that publishes wake: at 8,000 events a second it wrote each alone, and with Redis took
 * 40 % of the core that reads 4 GB a second; a millisecond is little beside the 250 that a rate is judged by. */
enum { PUBLISHER_RESTS_NS = 1000000 };

static description wire;
static crowd clients;
static publisher own;
static uint64_t expected;
static double publisher_s; /* processor time of the last process that published at a rate */

void fail(const char *form, ...) {
    char reason[512];
    va_list arguments;
    va_start(arguments, form);
    vsnprintf(reason, sizeof reason, form, arguments);
    va_end(arguments);
    for (char *c = reason; *c; c++)
        if (*c < ' ' || *c > '~' || *c == '"' || *c == '\\') *c = ' ';
    printf("{\"error\":\"%s\"}\n", reason);
    fflush(stdout);
    _exit(1);
}

static double seconds_since(uint64_t began_ns) { return (now_ns() - began_ns) / 1e9; }

/* ---- what came of it */

static void report(const char *name, uint64_t events, double seconds) {
    const tally *it = &clients.tally;
    uint64_t lost = expected > it->received ? expected - it->received : 0;
    printf("{\"command\":\"%s\",\"events\":%llu,\"seconds\":%.6f,\"expected\":%llu,\"received\":%llu,\"lost\":%llu,"
           "\"alike\":%llu,\"unread\":%llu,\"doubled\":%llu,\"out_of_order\":%llu,\"foreign\":%llu,\"bad_frames\":%zu,"
           "\"closed\":%zu,"
           "\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f,\"publisher_s\":%.3f,\"reason\":\"%s\"}\n",
           name, (unsigned long long)events, seconds, (unsigned long long)expected, (unsigned long long)it->received,
           (unsigned long long)lost, (unsigned long long)it->alike, (unsigned long long)it->unread,
           (unsigned long long)it->doubled, (unsigned long long)it->out_of_order, (unsigned long long)it->foreign,
           clients.bad, clients.closed,
           tally_quantile_ms(it, 0.5), tally_quantile_ms(it, 0.99), it->max_ns / 1e6, publisher_s, clients.reason);
}

static void report_connects(const char *name, double seconds) {
    const tally *it = &clients.connects;
    printf("{\"command\":\"%s\",\"clients\":%zu,\"open\":%zu,\"failed\":%zu,\"seconds\":%.6f,\"p50_ms\":%.3f,"
           "\"p99_ms\":%.3f,\"max_ms\":%.3f,\"reason\":\"%s\"}\n",
           name, clients.count, clients.open, clients.failed, seconds, tally_quantile_ms(it, 0.5),
           tally_quantile_ms(it, 0.99), it->max_ns / 1e6, clients.reason);
}

static void begin_count(void) {
    tally_reset(&clients.tally);
    expected = 0, publisher_s = 0;
    clients.reason[0] = 0;
}

/* Hears clients until all that is expected has come, or nothing has for a while, or for `most_s`. */
static void receive_all(double stall_s, double most_s) {
    uint64_t began_ns = now_ns(), heard_ns = began_ns, had = 0;
    while (clients.tally.received < expected && clients.open && seconds_since(heard_ns) < stall_s && seconds_since(began_ns) < most_s) {
        crowd_serve(&clients, 50);
        if (clients.tally.received != had) heard_ns = now_ns();
        had = clients.tally.received;
    }
}

/* ---- commands */

static void put(size_t count) {
    for (size_t i = 0; i < count; i++) expected += clients.members[publisher_put(&own, now_ns())];
}

static void burst(double seconds, size_t in_flight, double stall_s) {
    uint64_t began = now_ns(), events = 0;
    begin_count();
    do {
        put(in_flight);
        events += in_flight;
        while (!publisher_flush(&own)) crowd_serve(&clients, 0), publisher_hear(&own);
        receive_all(stall_s, HUGE_VAL);
        publisher_settle(&own, STALL_S);
    } while (seconds_since(began) < seconds && clients.tally.received == expected);
    double took = seconds_since(began);
    crowd_serve(&clients, 20); /* what was delivered twice, or to others, may still be under way */
    report("burst", events, took);
}

/* What the process that publishes tells. */
typedef struct { uint64_t events; int is_done; } told;

static void sleep_until(uint64_t time_ns) {
    struct timespec at = {time_ns / 1000000000, time_ns % 1000000000};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
}

static void publish_at(double rate, double seconds, volatile told *said) {
    publisher it;
    publisher_open(&it, &wire, clients.rooms, clients.sent);
    it.next = own.next;
    uint64_t began = now_ns(), all = (uint64_t)(rate * seconds), i = 0, now = 0;
    while (i < all) {
        uint64_t due = began + (uint64_t)(i * 1e9 / rate), free = now + PUBLISHER_RESTS_NS;
        sleep_until(due > free ? due : free);
        now = now_ns();
        /* With the time each event was due at: lateness of the publisher is the server's or the machine's. */
        for (; i < all && (due = began + (uint64_t)(i * 1e9 / rate)) <= now; i++) publisher_put(&it, due);
        publisher_flush(&it);
        publisher_hear(&it);
        said->events = i;
    }
    publisher_settle(&it, PUBLISHER_SETTLES_S);
    said->is_done = 1;
    _exit(0);
}

/* Expects what the process that publishes has published by now. */
static uint64_t follow(const volatile told *said, uint64_t noted) {
    for (uint64_t events = said->events; noted < events; noted++) {
        expected += clients.members[own.next];
        clients.sent[own.next]++;
        own.next = (own.next + 1) % clients.rooms;
    }
    return noted;
}

/* Ends the process that publishes, and notes its processor time; by force where a server holds it up past all bounds. */
static void end_publisher(pid_t child, volatile told *said, int is_bounded) {
    struct rusage used;
    int status = 0;
    if (is_bounded && !said->is_done) kill(child, SIGKILL);
    wait4(child, &status, 0, &used);
    if (!said->is_done && !(is_bounded && WIFSIGNALED(status))) fail("the process that publishes ended with %d", status);
    publisher_s = used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static void pace(double seconds, double rate, double drain_s) {
    told *said = mmap(NULL, sizeof *said, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    uint64_t began = now_ns(), noted = 0, all = (uint64_t)(rate * seconds);
    begin_count();
    clients.skims = 1;
    pid_t child = fork();
    if (child == 0) publish_at(rate, seconds, said);
    siginfo_t ended = {0};
    while (noted < all && !ended.si_pid) {
        waitid(P_PID, child, &ended, WEXITED | WNOHANG | WNOWAIT);
        noted = follow(said, noted);
        crowd_serve(&clients, 10);
    }
    noted = follow(said, noted);
    receive_all(drain_s > 0 ? drain_s : 1, drain_s > 0 ? drain_s : HUGE_VAL);
    double took = seconds_since(began);
    crowd_serve(&clients, 20); /* as behind a burst */
    clients.skims = 0;
    end_publisher(child, said, drain_s > 0);
    report("pace", noted, took);
    munmap(said, sizeof *said);
}

static void publish(size_t count) {
    uint64_t began = now_ns();
    begin_count();
    for (size_t i = 0; i < count; i++) {
        publisher_put(&own, now_ns());
        if (i % 32 == 31) publisher_settle(&own, STALL_S);
    }
    publisher_settle(&own, STALL_S);
    report("publish", count, seconds_since(began));
}

static void resume(size_t at_once, double seconds) {
    uint64_t began = now_ns();
    begin_count();
    for (size_t i = 0; i < clients.count * clients.rooms_each; i++)
        expected += clients.sent[clients.tracks[i].room] - clients.tracks[i].last;
    crowd_connect(&clients, at_once, 1, seconds);
    receive_all(STALL_S, HUGE_VAL);
    report("resume", 0, seconds_since(began));
}

static void connect_all(size_t at_once, double seconds) {
    uint64_t began = now_ns();
    begin_count();
    crowd_connect(&clients, at_once, 0, seconds);
    report_connects("connect", seconds_since(began));
}

static void idle(double seconds) {
    uint64_t began = now_ns();
    while (seconds_since(began) < seconds) crowd_serve(&clients, 10);
    report("idle", 0, seconds_since(began));
}

static void since(size_t room, const char *position) {
    if (room >= clients.rooms) fail("there is no room %zu", room);
    clients.positions[room] = (text){strdup(position), strlen(position)};
    printf("{\"command\":\"since\"}\n");
}

static void begin_crowd(size_t count, size_t rooms, size_t rooms_each) {
    crowd_make(&clients, count, rooms, rooms_each);
    publisher_open(&own, &wire, rooms, clients.sent);
    printf("{\"command\":\"crowd\",\"tls\":%s}\n", stream_has_tls() ? "true" : "false");
}

static void obey(const char *line) {
    size_t a = 0, b = 0, c = 0;
    double seconds = 0, rate = 0, drain = 0, stall = STALL_S;
    char position[64];
    if (sscanf(line, "crowd %zu %zu %zu", &a, &b, &c) == 3) begin_crowd(a, b, c);
    else if (sscanf(line, "connect %zu %lf", &a, &seconds) == 2) connect_all(a, seconds);
    else if (sscanf(line, "burst %lf %zu %lf", &seconds, &a, &stall) >= 2) burst(seconds, a, stall);
    else if (sscanf(line, "pace %lf %lf %lf", &seconds, &rate, &drain) >= 2) pace(seconds, rate, drain);
    else if (sscanf(line, "publish %zu", &a) == 1) publish(a);
    else if (sscanf(line, "since %zu %63s", &a, position) == 2) since(a, position);
    else if (sscanf(line, "resume %zu %lf", &a, &seconds) == 2) resume(a, seconds);
    else if (sscanf(line, "idle %lf", &seconds) == 1) idle(seconds);
    else if (!strncmp(line, "close", 5)) crowd_close(&clients), printf("{\"command\":\"close\"}\n");
    else fail("no command: %s", line);
    fflush(stdout);
}

/* Answers pings until standard input has a whole line; returns 0 at its end. */
static int next_line(char *line, size_t space) {
    size_t length = 0;
    struct epoll_event input = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(clients.epoll, EPOLL_CTL_ADD, STDIN_FILENO, &input);
    int file = epoll_create1(EPOLL_CLOEXEC); /* to tell standard input from clients, whose number has no bound */
    epoll_ctl(file, EPOLL_CTL_ADD, STDIN_FILENO, &input);
    int is_line = 0;
    while (!is_line && length + 1 < space) {
        crowd_serve(&clients, -1);
        while (!is_line && length + 1 < space && epoll_wait(file, &input, 1, 0) == 1) {
            if (read(STDIN_FILENO, line + length, 1) != 1) goto end;
            is_line = line[length++] == '\n';
        }
    }
end:
    close(file);
    epoll_ctl(clients.epoll, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
    line[length] = 0;
    return is_line;
}

/* ---- the parser's own test */

static void read_frames(size_t slice) {
    static char bytes[FRAME_BYTES_AT_MOST];
    track room = {.room = 0};
    size_t length = 0, used = 0, messages = 0, controls = 0, events = 0;
    ssize_t count;
    frame part;
    frame_result result = FRAME_INCOMPLETE;
    track_begin(&room, 0);
    while (result != FRAME_BAD && (count = read(STDIN_FILENO, bytes + length, slice)) > 0) {
        length += count;
        while ((result = frame_read(bytes + used, length - used, &part)) == FRAME_WHOLE) {
            used += part.whole;
            if (part.opcode >= OPCODE_CLOSE) controls++;
            else messages++, events += tally_events(&clients.tally, &room, 1, part.payload, part.length, now_ns());
        }
    }
    printf("{\"frames\":%zu,\"controls\":%zu,\"events\":%zu,\"left\":%zu,\"bad\":%s,\"received\":%llu,\"doubled\":%llu,"
           "\"out_of_order\":%llu,\"foreign\":%llu,\"last\":%llu}\n",
           messages, controls, events, length - used, result == FRAME_BAD ? "true" : "false",
           (unsigned long long)clients.tally.received, (unsigned long long)clients.tally.doubled,
           (unsigned long long)clients.tally.out_of_order, (unsigned long long)clients.tally.foreign,
           (unsigned long long)room.last);
}

int main(int count, char **arguments) {
    char line[256];
    if (count == 3 && !strcmp(arguments[1], "--frames")) return read_frames(atol(arguments[2])), 0;
    if (count != 2) fail("usage: load DESCRIPTION");
    wire = description_read(arguments[1]);
    clients.wire = &wire;
    clients.epoll = epoll_create1(EPOLL_CLOEXEC);
    while (next_line(line, sizeof line)) obey(line);
    return 0;
}
