/* Publishes events, room after room, through Redis or through a peer's HTTP, and reads the answers. */
#ifndef LOAD_PUBLISHER_H
#define LOAD_PUBLISHER_H

#include "description.h"
#include "stream.h"

typedef struct {
    description *wire;
    stream stream;
    size_t rooms, next;   /* the room of the next event */
    uint64_t *sent;       /* the number of each room's newest event */
    uint64_t answers_due;
    char *out;
    size_t out_length, out_space;
    char in[64 * 1024];
    size_t in_length;
} publisher;

void publisher_open(publisher *it, description *wire, size_t rooms, uint64_t *sent);
/* Puts one event behind the others; returns its room. */
uint32_t publisher_put(publisher *it, uint64_t time_ns);
/* Writes as much as can be written; returns 1 when all is. */
int publisher_flush(publisher *it);
/* Reads answers that are there; a refusal ends the program. */
void publisher_hear(publisher *it);
/* Waits until all is written and answered. */
void publisher_settle(publisher *it, double deadline_s);

#endif
