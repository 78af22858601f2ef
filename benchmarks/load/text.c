#define _GNU_SOURCE
#include "text.h"

#include <stdlib.h>
#include <string.h>

#include "fail.h"

static const struct { const char *name; int width; } KINDS[TOKEN_KINDS] = {
    {"@ROOM@", ROOM_DIGITS},
    {"@SEQUENCE@", SEQUENCE_DIGITS},
    {"@NANOSECONDS-CLOCK@", TIME_DIGITS},
    {"@SALT-NUM@", SALT_DIGITS},
    {"@HEXADECIMAL-DIGITS-BY-THIRTYTWO", HASH_DIGITS},
};

template template_of(text bytes) {
    template it = {.text = {malloc(bytes.length + 1), bytes.length}};
    memcpy(it.text.bytes, bytes.bytes, bytes.length);
    for (int kind = 0; kind < TOKEN_KINDS; kind++) {
        size_t from = 0, width = strlen(KINDS[kind].name);
        char *at;
        while ((at = memmem(bytes.bytes + from, bytes.length - from, KINDS[kind].name, width))) {
            if (it.count == TOKENS_AT_MOST) fail("a template has more than %d tokens", TOKENS_AT_MOST);
            it.tokens[it.count].kind = kind;
            it.tokens[it.count++].at = at - bytes.bytes;
            from = at - bytes.bytes + width;
        }
    }
    return it;
}

int template_has(const template *it, token_kind kind) {
    for (size_t i = 0; i < it->count; i++)
        if (it->tokens[i].kind == kind) return 1;
    return 0;
}

void write_digits(char *at, int digits, uint64_t value) {
    for (int i = digits - 1; i >= 0; i--, value /= 10) at[i] = '0' + value % 10;
}

static uint64_t random_bits(void) {
    static uint64_t state = 0x9e3779b97f4a7c15; /* xorshift64: the server does not care, and a run repeats the last */
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static void write_hexadecimal(char *at) {
    for (int half = 0; half < HASH_DIGITS / 16; half++) {
        uint64_t bits = random_bits();
        for (int i = 0; i < 16; i++, bits >>= 4) *at++ = "0123456789abcdef"[bits & 15];
    }
}

void template_fill(template *it, uint32_t room, uint64_t sequence, uint64_t time_ns) {
    for (size_t i = 0; i < it->count; i++) {
        char *at = it->text.bytes + it->tokens[i].at;
        switch (it->tokens[i].kind) {
        case TOKEN_ROOM: write_digits(at, ROOM_DIGITS, room); break;
        case TOKEN_SEQUENCE: write_digits(at, SEQUENCE_DIGITS, sequence); break;
        case TOKEN_TIME: write_digits(at, TIME_DIGITS, time_ns); break;
        case TOKEN_SALT: write_digits(at, SALT_DIGITS, 1000000000 + random_bits() % 3000000000); break;
        default: write_hexadecimal(at);
        }
    }
}

text replaced(text in, const char *token, text value) {
    size_t width = strlen(token), length = 0;
    text part = {(char *)token, width};
    text out = {malloc(in.length + occurrences(in.bytes, in.length, part) * value.length + 1), 0};
    const char *from = in.bytes, *end = in.bytes + in.length, *at;
    while ((at = memmem(from, end - from, token, width))) {
        memcpy(out.bytes + length, from, at - from);
        length += at - from;
        memcpy(out.bytes + length, value.bytes, value.length);
        length += value.length;
        from = at + width;
    }
    memcpy(out.bytes + length, from, end - from);
    out.length = length + (end - from);
    return out;
}

int contains(const char *bytes, size_t length, text part) {
    return memmem(bytes, length, part.bytes, part.length) != NULL;
}

size_t occurrences(const char *bytes, size_t length, text part) {
    size_t count = 0;
    const char *end = bytes + length;
    while (part.length && (bytes = memmem(bytes, end - bytes, part.bytes, part.length))) {
        bytes += part.length;
        count++;
    }
    return count;
}

int read_digits(const char *at, int digits, uint64_t *value) {
    uint64_t sum = 0;
    unsigned wrong = 0;
    for (int i = 0; i < digits; i++) {
        unsigned digit = (unsigned char)at[i] - '0';
        wrong |= digit > 9;
        sum = sum * 10 + digit;
    }
    *value = sum;
    return !wrong;
}
