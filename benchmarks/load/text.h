/* Bytes with a length, and templates whose tokens are overwritten in place. Knows no socket. */
#ifndef LOAD_TEXT_H
#define LOAD_TEXT_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    char *bytes;
    size_t length;
} text;

enum { ROOM_DIGITS = 6, SEQUENCE_DIGITS = 10, TIME_DIGITS = 19, SALT_DIGITS = 10, HASH_DIGITS = 32, TOKENS_AT_MOST = 16 };

typedef enum { TOKEN_ROOM, TOKEN_SEQUENCE, TOKEN_TIME, TOKEN_SALT, TOKEN_HASH, TOKEN_KINDS } token_kind;

/* Where the tokens of a template stand. */
typedef struct {
    text text;
    size_t count;
    struct { token_kind kind; size_t at; } tokens[TOKENS_AT_MOST];
} template;

template template_of(text bytes);
void template_fill(template *it, uint32_t room, uint64_t sequence, uint64_t time_ns);
int template_has(const template *it, token_kind kind);

/* A copy with every `token` replaced by `value`, of any length; the caller frees. */
text replaced(text in, const char *token, text value);
int contains(const char *bytes, size_t length, text part);
size_t occurrences(const char *bytes, size_t length, text part);
void write_digits(char *at, int digits, uint64_t value);
/* Reads exactly so many digits; returns 0 where another byte stands. */
int read_digits(const char *at, int digits, uint64_t *value);

#endif
