#include "frames.h"

#include <string.h>

frame_result frame_read(const char *bytes, size_t length, frame *it) {
    const unsigned char *head = (const unsigned char *)bytes;
    if (length < 2) return FRAME_INCOMPLETE;
    it->opcode = head[0] & 0x0f;
    it->is_last = head[0] >> 7;
    int is_control = it->opcode >= OPCODE_CLOSE;
    if (head[0] & 0x70) return FRAME_BAD; /* an extension that nobody asked for */
    if (head[1] & 0x80) return FRAME_BAD; /* masked: a server must not */
    if (it->opcode > OPCODE_PONG || (it->opcode > OPCODE_BINARY && !is_control)) return FRAME_BAD;
    if (is_control && (!it->is_last || head[1] > 125)) return FRAME_BAD;
    size_t width = head[1] == 126 ? 2 : head[1] == 127 ? 8 : 0, size = head[1];
    if (length < 2 + width) return FRAME_INCOMPLETE;
    if (width)
        for (size_t i = size = 0; i < width; i++) size = size << 8 | head[2 + i];
    if (size > FRAME_BYTES_AT_MOST) return FRAME_BAD;
    it->payload = bytes + 2 + width;
    it->length = size;
    it->whole = 2 + width + size;
    return length < it->whole ? FRAME_INCOMPLETE : FRAME_WHOLE;
}

size_t frame_write(char *out, int opcode, const char *payload, size_t length) {
    static const unsigned char MASK[4] = {0x37, 0xfa, 0x21, 0x3d};
    size_t at = 0;
    out[at++] = (char)(0x80 | opcode);
    if (length < 126) {
        out[at++] = (char)(0x80 | length);
    } else {
        out[at++] = (char)(0x80 | 126);
        out[at++] = (char)(length >> 8);
        out[at++] = (char)length;
    }
    memcpy(out + at, MASK, 4);
    at += 4;
    for (size_t i = 0; i < length; i++) out[at + i] = (char)(payload[i] ^ MASK[i & 3]);
    return at + length;
}
