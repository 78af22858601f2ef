/* Bytes of one TCP connection, plain or over TLS; none of these wait. */
#ifndef LOAD_STREAM_H
#define LOAD_STREAM_H

#include <stddef.h>
#include <sys/types.h>

enum { STREAM_AGAIN = -1, STREAM_ENDED = -2, STREAM_WANTS_WRITE = -3 };

typedef struct { int file; void *tls; } stream;

int stream_open(stream *it, int port);
/* Once connected: 0 when the connection may be used, else one of the above, to be called again. */
int stream_ready(stream *it, int is_tls);
ssize_t stream_read(stream *it, char *into, size_t length);
/* Takes bytes without a look at them; of a plain connection only. */
ssize_t stream_skip(stream *it, size_t length);
/* Writes all, or fails: clients say little. */
int stream_write(stream *it, const char *bytes, size_t length);
void stream_close(stream *it);
int stream_has_tls(void);

#endif
