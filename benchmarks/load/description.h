/* The peer's wire, as the harness describes it (benchmarks/peer.py, class Wire). */
#ifndef LOAD_DESCRIPTION_H
#define LOAD_DESCRIPTION_H

#include "text.h"

enum { STEPS_AT_MOST = 8 };

typedef struct {
    int port, publish_port, is_tls, is_http, is_uniform, opcode;
    text request, subscribe, subscribed, resume, ping, pong, separator;
    template publish;
    size_t steps;
    struct { text send, expect; } step[STEPS_AT_MOST];
} description;

/* Reads `name length`, a line, then so many bytes and a line's end, until the name `end`. */
description description_read(const char *path);

#endif
