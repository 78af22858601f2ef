#define _GNU_SOURCE
#include "publisher.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "clients.h"
#include "fail.h"

void publisher_open(publisher *it, description *wire, size_t rooms, uint64_t *sent) {
    memset(it, 0, sizeof *it);
    it->wire = wire, it->rooms = rooms, it->sent = sent;
    if (stream_open(&it->stream, wire->publish_port)) fail("nobody takes publishes on port %d", wire->publish_port);
    struct pollfd ready = {it->stream.file, POLLOUT, 0};
    poll(&ready, 1, 5000);
    if (stream_ready(&it->stream, 0)) fail("nobody takes publishes on port %d", wire->publish_port);
}

uint32_t publisher_put(publisher *it, uint64_t time_ns) {
    template *form = &it->wire->publish;
    uint32_t room = (uint32_t)it->next;
    it->next = (it->next + 1) % it->rooms;
    template_fill(form, room, ++it->sent[room], time_ns);
    if (it->out_length + form->text.length > it->out_space) {
        it->out_space = 2 * it->out_space + form->text.length;
        it->out = realloc(it->out, it->out_space);
    }
    memcpy(it->out + it->out_length, form->text.bytes, form->text.length);
    it->out_length += form->text.length;
    it->answers_due++;
    return room;
}

int publisher_flush(publisher *it) {
    if (!it->out_length) return 1;
    ssize_t count = send(it->stream.file, it->out, it->out_length, MSG_NOSIGNAL);
    if (count < 0 && errno != EAGAIN) fail("the connection that publishes was closed");
    if (count <= 0) return 0;
    memmove(it->out, it->out + count, it->out_length - count);
    it->out_length -= count;
    return !it->out_length;
}

/* The length of one value of RESP 2; 0 while its end has not come. */
static size_t redis_value(const char *bytes, size_t length) {
    const char *line_end = memmem(bytes, length, "\r\n", 2);
    if (!line_end) return 0;
    size_t used = line_end + 2 - bytes;
    long number = atol(bytes + 1);
    switch (bytes[0]) {
    case '-': fail("Redis refused a publish: %.*s", (int)(used - 3), bytes + 1);
    case '$': return number < 0 ? used : used + number + 2 <= length ? used + number + 2 : 0;
    case '*':
        for (long i = 0; i < number; i++) {
            size_t one = used < length ? redis_value(bytes + used, length - used) : 0;
            if (!one) return 0;
            used += one;
        }
        return used;
    case ':': case '+': return used;
    default: fail("Redis answered with a byte %d", bytes[0]);
    }
}

/* The length of one answer of HTTP/1.1 with a Content-Length; 0 while its end has not come. */
static size_t http_answer(const char *bytes, size_t length) {
    const char *end = memmem(bytes, length, "\r\n\r\n", 4);
    if (!end) return 0;
    if (length < 12 || bytes[9] != '2') fail("a publish was answered with %.*s", 40, bytes);
    size_t head = end + 4 - bytes, body = 0;
    for (const char *at = bytes; (at = memchr(at, '\n', end - at)); at++)
        if (!strncasecmp(at + 1, "content-length:", 15)) body = atol(at + 16);
    return head + body <= length ? head + body : 0;
}

void publisher_hear(publisher *it) {
    ssize_t count;
    while ((count = stream_read(&it->stream, it->in + it->in_length, sizeof it->in - 1 - it->in_length)) > 0) {
        size_t used = 0, one;
        it->in_length += count;
        it->in[it->in_length] = 0;
        while (used < it->in_length &&
               (one = (it->wire->is_http ? http_answer : redis_value)(it->in + used, it->in_length - used))) {
            used += one;
            it->answers_due--;
        }
        memmove(it->in, it->in + used, it->in_length - used);
        it->in_length -= used;
    }
    if (count == STREAM_ENDED) fail("the connection that publishes was closed");
}

void publisher_settle(publisher *it, double deadline_s) {
    uint64_t give_up = now_ns() + (uint64_t)(deadline_s * 1e9);
    while (!publisher_flush(it) || it->answers_due) {
        struct pollfd ready = {it->stream.file, it->out_length ? POLLIN | POLLOUT : POLLIN, 0};
        poll(&ready, 1, 100);
        publisher_hear(it);
        if (now_ns() > give_up) fail("%llu publishes were not answered", (unsigned long long)it->answers_due);
    }
}
