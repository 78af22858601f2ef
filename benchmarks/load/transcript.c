#include "transcript.h"

#include <stdlib.h>
#include <string.h>

enum { FRAME_BYTES_AT_LEAST = 64 };

void transcript_make(transcript *it, size_t space) {
    *it = (transcript){.bytes = malloc(space), .space = space, .most = space / FRAME_BYTES_AT_LEAST};
    it->ends = malloc(it->most * sizeof *it->ends);
    it->times_ns = malloc(it->most * sizeof *it->times_ns);
}

static void forget_half(transcript *it) {
    size_t count = it->count - it->count / 2, bytes = it->ends[count - 1];
    it->count -= count, it->length -= bytes, it->first += count;
    memmove(it->bytes, it->bytes + bytes, it->length);
    memmove(it->times_ns, it->times_ns + count, it->count * sizeof *it->times_ns);
    for (size_t i = 0; i < it->count; i++) it->ends[i] = it->ends[i + count] - bytes;
}

void transcript_add(transcript *it, uint64_t sequence, uint64_t time_ns, const char *frame, size_t length) {
    if (length > it->space / 4) return;
    if (it->count && sequence < it->first + it->count) return;
    if (sequence != it->first + it->count) it->first = sequence, it->count = it->length = 0;
    while (it->count == it->most || it->length + length > it->space) forget_half(it);
    memcpy(it->bytes + it->length, frame, length);
    it->length += length;
    it->ends[it->count] = it->length;
    it->times_ns[it->count++] = time_ns;
}

/* The indices of the events behind `room` whose frames are whole in so many bytes; returns the length of these frames. */
static size_t behind(const transcript *it, const track *room, size_t length, size_t *from, size_t *to) {
    *from = *to = room->last + 1 - it->first; /* before `first`: a number too high, like one behind the newest */
    if (*from >= it->count) return 0;
    size_t begin = *from ? it->ends[*from - 1] : 0;
    while (*to < it->count && it->ends[*to] - begin <= length) (*to)++;
    return *to > *from ? it->ends[*to - 1] - begin : 0;
}

const char *transcript_behind(const transcript *it, const track *room, size_t *length) {
    size_t from, to;
    *length = behind(it, room, *length, &from, &to);
    return it->bytes + (*length && from ? it->ends[from - 1] : 0);
}

size_t transcript_tally(const transcript *it, tally *all, track *room, const char *bytes, size_t length, uint64_t now_ns) {
    size_t from, to, used = behind(it, room, length, &from, &to);
    const char *known = it->bytes + (used && from ? it->ends[from - 1] : 0);
    if (!used || (bytes != known && memcmp(bytes, known, used))) return 0;
    for (size_t i = from; i < to; i++) tally_latency(all, now_ns > it->times_ns[i] ? now_ns - it->times_ns[i] : 0);
    tally_run(all, room, to - from);
    return used;
}
