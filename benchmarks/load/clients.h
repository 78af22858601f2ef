/* The clients: they connect, shake hands, subscribe, and hand what arrives to the tally. */
#ifndef LOAD_CLIENTS_H
#define LOAD_CLIENTS_H

#include "description.h"
#include "tally.h"
#include "transcript.h"

enum { ROOMS_AT_MOST = 100000 };

typedef struct client client;

typedef struct {
    const description *wire;
    int epoll;
    size_t count, rooms, rooms_each;
    client *clients;
    track *tracks;                /* of client i: from i * rooms_each on */
    transcript *transcripts;      /* of the rooms, where clients are in one room each, with others; else NULL */
    int skims;                    /* bytes that another client of the room had may be counted unread: see skim() */
    uint32_t members[ROOMS_AT_MOST];
    uint64_t sent[ROOMS_AT_MOST]; /* the number of each room's newest event */
    text positions[ROOMS_AT_MOST];
    tally tally;
    tally connects;               /* its latencies alone: from connect() to the last answer */
    size_t open, failed, under_way, closed, bad;
    char reason[256];             /* of the first failure */
} crowd;

/* Once; client i is in rooms i, i + rooms / rooms_each, and so on, so that all rooms have as many. */
void crowd_make(crowd *it, size_t count, size_t rooms, size_t rooms_each);
/* Connects all clients, `at_once` at a time; a client that fails is counted. Returns after `deadline_s` at the latest. */
void crowd_connect(crowd *it, size_t at_once, int resumes, double deadline_s);
void crowd_close(crowd *it);
/* Waits for at most so long; hears whoever has something to say. Returns how many had. */
int crowd_serve(crowd *it, int timeout_ms);
uint64_t now_ns(void);

#endif
