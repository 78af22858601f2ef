#include "tally.h"

#include <string.h>

#include "text.h"

enum { ROOM_AT = 2, SEQUENCE_AT = ROOM_AT + ROOM_DIGITS + 1, TIME_AT = SEQUENCE_AT + SEQUENCE_DIGITS + 1 };

void tally_reset(tally *it) { memset(it, 0, sizeof *it); }

void track_begin(track *it, uint64_t sequence) {
    it->last = sequence;
    it->seen = ~0ull;
}

void tally_one(tally *it, track *room, uint64_t sequence) {
    if (sequence > room->last) {
        uint64_t ahead = sequence - room->last;
        room->seen = ahead < 64 ? room->seen << ahead | 1 : 1;
        room->last = sequence;
        it->received++;
        return;
    }
    uint64_t behind = room->last - sequence, bit = 1ull << (behind & 63);
    if (behind >= 64 || room->seen & bit) {
        it->doubled++; /* or later than 64 others: counted as doubled here, and as lost at the end */
        return;
    }
    room->seen |= bit;
    it->out_of_order++;
    it->received++;
}

void tally_run(tally *it, track *room, uint64_t count) {
    room->last += count;
    room->seen = count < 64 ? room->seen << count | ((1ull << count) - 1) : ~0ull;
    it->received += count;
    it->alike += count;
}

static size_t bucket_of(uint64_t latency_ns) {
    if (latency_ns < BUCKETS_PER_OCTAVE) return latency_ns;
    int octave = 63 - __builtin_clzll(latency_ns), shift = octave - 6; /* 2^6 buckets in an octave: 1.6 % wide */
    return (size_t)(shift + 1) * BUCKETS_PER_OCTAVE + ((latency_ns >> shift) & (BUCKETS_PER_OCTAVE - 1));
}

static uint64_t bucket_end_ns(size_t bucket) {
    if (bucket < BUCKETS_PER_OCTAVE) return bucket;
    int shift = (int)(bucket / BUCKETS_PER_OCTAVE) - 1;
    return (bucket % BUCKETS_PER_OCTAVE + BUCKETS_PER_OCTAVE + 1ull) << shift;
}

void tally_latency(tally *it, uint64_t latency_ns) {
    it->latencies[bucket_of(latency_ns)]++;
    if (latency_ns > it->max_ns) it->max_ns = latency_ns;
}

double tally_quantile_ms(const tally *it, double quantile) {
    uint64_t all = 0, so_far = 0;
    for (size_t i = 0; i < BUCKETS; i++) all += it->latencies[i];
    for (size_t i = 0; i < BUCKETS; i++) {
        so_far += it->latencies[i];
        if (so_far && so_far >= quantile * all) return (bucket_end_ns(i) < it->max_ns ? bucket_end_ns(i) : it->max_ns) / 1e6;
    }
    return 0;
}

/* Reads the mark whose '!' is at `at`; the room is UINT32_MAX for bytes that are no mark. */
static uint32_t mark_at(const char *mark, uint64_t *sequence, uint64_t *time_ns) {
    uint64_t room;
    if (mark[0] != 'E' || mark[SEQUENCE_AT - 1] != '.' || mark[TIME_AT - 1] != '.') return UINT32_MAX;
    if (!read_digits(mark + ROOM_AT, ROOM_DIGITS, &room)) return UINT32_MAX;
    if (!read_digits(mark + SEQUENCE_AT, SEQUENCE_DIGITS, sequence)) return UINT32_MAX;
    return read_digits(mark + TIME_AT, TIME_DIGITS, time_ns) ? (uint32_t)room : UINT32_MAX;
}

size_t tally_events(tally *it, track *tracks, size_t count, const char *bytes, size_t length, uint64_t now_ns) {
    const char *end = bytes + length, *at = bytes;
    size_t events = 0;
    while (end - at >= MARK_BYTES && (at = memchr(at + 1, '!', end - at - 1))) {
        uint64_t sequence, time_ns;
        if (end - at < MARK_BYTES - 1) break;
        uint32_t room = mark_at(at - 1, &sequence, &time_ns);
        if (room == UINT32_MAX) continue;
        size_t i = 0;
        while (i < count && tracks[i].room != room) i++;
        if (i < count) tally_one(it, tracks + i, sequence);
        else it->foreign++;
        tally_latency(it, now_ns > time_ns ? now_ns - time_ns : 0);
        it->newest_ns = time_ns;
        at += MARK_BYTES - 1;
        events++;
    }
    return events;
}
