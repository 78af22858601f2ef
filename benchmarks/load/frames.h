/* Frames of a WebSocket server (RFC 6455, section 5.2), from any slices of its bytes. Knows no socket. */
#ifndef LOAD_FRAMES_H
#define LOAD_FRAMES_H

#include <stddef.h>
#include <stdint.h>

enum { OPCODE_CONTINUATION = 0, OPCODE_TEXT = 1, OPCODE_BINARY = 2, OPCODE_CLOSE = 8, OPCODE_PING = 9, OPCODE_PONG = 10 };
enum { FRAME_HEAD_AT_MOST = 14, FRAME_BYTES_AT_MOST = 4 * 1024 * 1024 };

typedef struct {
    int opcode;
    int is_last;
    const char *payload;
    size_t length;
    size_t whole; /* with the head */
} frame;

typedef enum { FRAME_WHOLE, FRAME_INCOMPLETE, FRAME_BAD } frame_result;

/* Reads the frame at the start of `bytes`. FRAME_BAD: no server may send this, or the frame is too long for us. */
frame_result frame_read(const char *bytes, size_t length, frame *it);

/* Writes a masked frame of a client to `out`, which has room for FRAME_HEAD_AT_MOST more bytes; returns its length. */
size_t frame_write(char *out, int opcode, const char *payload, size_t length);

#endif
