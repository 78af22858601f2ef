/* What has arrived, and in which order. Knows marks of events; knows no frame and no socket. */
#ifndef LOAD_TALLY_H
#define LOAD_TALLY_H

#include <stddef.h>
#include <stdint.h>

enum { MARK_BYTES = 39, BUCKETS_PER_OCTAVE = 64, BUCKETS = 64 * BUCKETS_PER_OCTAVE };

/* One room of one connection. */
typedef struct {
    uint32_t room;
    uint32_t is_pending; /* subscription under way */
    uint64_t last;       /* the highest number received */
    uint64_t seen;       /* of the 64 numbers up to `last`, the received ones: bit 0 is `last` */
} track;

typedef struct {
    uint64_t received; /* first deliveries */
    uint64_t doubled;
    uint64_t out_of_order;
    uint64_t foreign; /* of a room that the connection is not in */
    uint64_t alike;   /* of the received: counted by comparison with another client's bytes */
    uint64_t unread;  /* of those: by the number of bytes alone */
    uint64_t newest_ns; /* when the event that was counted last was published */
    uint64_t max_ns;
    uint64_t latencies[BUCKETS];
} tally;

void tally_reset(tally *it);
/* Counts every mark in `bytes`; returns how many there are. */
size_t tally_events(tally *it, track *tracks, size_t count, const char *bytes, size_t length, uint64_t now_ns);
void tally_one(tally *it, track *room, uint64_t sequence);
/* Counts the next so many events of the room, which have come in order. */
void tally_run(tally *it, track *room, uint64_t count);
void tally_latency(tally *it, uint64_t latency_ns);
double tally_quantile_ms(const tally *it, double quantile);
/* The track's connection knows everything up to `sequence`. */
void track_begin(track *it, uint64_t sequence);

#endif
