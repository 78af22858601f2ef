/* The newest frames of a room as its first reader got them: a client that gets the same bytes is counted by comparison.
 * Knows no frame and no socket. */
#ifndef LOAD_TRANSCRIPT_H
#define LOAD_TRANSCRIPT_H

#include "tally.h"

typedef struct {
    char *bytes;
    size_t length, space;
    uint64_t first;     /* the number of the oldest event */
    size_t count, most; /* events */
    size_t *ends;       /* of each event's frame, in `bytes` */
    uint64_t *times_ns; /* when each event was published */
} transcript;

void transcript_make(transcript *it, size_t space);
/* Takes a frame with one event, read in full. A gap before the event begins the transcript anew. */
void transcript_add(transcript *it, uint64_t sequence, uint64_t time_ns, const char *frame, size_t length);
/* The frames that follow `room`, those that are whole in `*length` bytes; sets `*length` to theirs, 0 where none is here. */
const char *transcript_behind(const transcript *it, const track *room, size_t *length);
/* Counts the events that follow `room` where `bytes` are, byte for byte, their frames; returns how many bytes were used.
 * 0: some byte differs, or the events are not here; nothing was counted, and the caller reads in full. */
size_t transcript_tally(const transcript *it, tally *all, track *room, const char *bytes, size_t length, uint64_t now_ns);

#endif
