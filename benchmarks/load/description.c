#include "description.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fail.h"

static int number(text it) { return atoi(it.bytes); }

static void keep(description *it, const char *name, text value) {
    if (!strcmp(name, "port")) it->port = number(value);
    else if (!strcmp(name, "publish_port")) it->publish_port = number(value);
    else if (!strcmp(name, "is_tls")) it->is_tls = number(value);
    else if (!strcmp(name, "is_http")) it->is_http = number(value);
    else if (!strcmp(name, "is_uniform")) it->is_uniform = number(value);
    else if (!strcmp(name, "opcode")) it->opcode = number(value);
    else if (!strcmp(name, "request")) it->request = value;
    else if (!strcmp(name, "subscribe")) it->subscribe = value;
    else if (!strcmp(name, "subscribed")) it->subscribed = value;
    else if (!strcmp(name, "resume")) it->resume = value;
    else if (!strcmp(name, "ping")) it->ping = value;
    else if (!strcmp(name, "pong")) it->pong = value;
    else if (!strcmp(name, "separator")) it->separator = value;
    else if (!strcmp(name, "publish")) it->publish = template_of(value);
    else if (!strcmp(name, "send") && it->steps < STEPS_AT_MOST) it->step[it->steps++].send = value;
    else if (!strcmp(name, "expect") && it->steps) it->step[it->steps - 1].expect = value;
    else fail("the description has '%s', which means nothing here", name);
}

description description_read(const char *path) {
    description it = {0};
    FILE *file = fopen(path, "rb");
    char name[32];
    size_t length;
    if (!file) fail("no description at %s", path);
    while (fscanf(file, "%31s", name) == 1 && strcmp(name, "end")) {
        if (fscanf(file, " %zu", &length) != 1 || fgetc(file) != '\n') fail("no length behind '%s'", name);
        text value = {calloc(length + 1, 1), length};
        if (fread(value.bytes, 1, length, file) != length) fail("'%s' ends too early", name);
        keep(&it, name, value);
    }
    fclose(file);
    return it;
}
