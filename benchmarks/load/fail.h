#ifndef LOAD_FAIL_H
#define LOAD_FAIL_H

/* Ends the program: one line of JSON, `{"error": "..."}`, which the harness shows. */
void fail(const char *form, ...) __attribute__((noreturn, format(printf, 1, 2)));

#endif
