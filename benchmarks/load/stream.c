#define _GNU_SOURCE
#include "stream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fail.h"

#ifdef WITH_TLS
#include <openssl/err.h>
#include <openssl/ssl.h>
#endif

int stream_open(stream *it, int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int yes = 1;
    *it = (stream){.file = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
    if (it->file < 0) return -1;
    setsockopt(it->file, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    return connect(it->file, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS ? -1 : 0;
}

static int plain_ready(stream *it) {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(it->file, SOL_SOCKET, SO_ERROR, &error, &size);
    return error ? STREAM_ENDED : 0;
}

#ifdef WITH_TLS
int stream_has_tls(void) { return 1; }

static SSL_CTX *context(void) {
    static SSL_CTX *it;
    if (!it) it = SSL_CTX_new(TLS_client_method()); /* nothing is verified: the certificate was made for the run */
    if (!it) fail("OpenSSL has no client method");
    SSL_CTX_set_session_cache_mode(it, SSL_SESS_CACHE_OFF);
    return it;
}

static int tls_result(SSL *tls, int result) {
    int error = SSL_get_error(tls, result);
    ERR_clear_error();
    if (error == SSL_ERROR_WANT_READ) return STREAM_AGAIN;
    return error == SSL_ERROR_WANT_WRITE ? STREAM_WANTS_WRITE : STREAM_ENDED;
}

int stream_ready(stream *it, int is_tls) {
    if (!is_tls) return plain_ready(it);
    if (!it->tls) {
        if (plain_ready(it)) return STREAM_ENDED;
        it->tls = SSL_new(context());
        SSL_set_fd(it->tls, it->file);
        SSL_set_connect_state(it->tls);
    }
    int result = SSL_do_handshake(it->tls);
    return result == 1 ? 0 : tls_result(it->tls, result);
}

static ssize_t tls_read(stream *it, char *into, size_t length) {
    ssize_t sum = 0;
    int count = 0;
    /* To the end: what OpenSSL has taken out of the socket no longer wakes epoll. */
    while ((size_t)sum < length && (count = SSL_read(it->tls, into + sum, (int)(length - sum))) > 0) sum += count;
    return sum ? sum : tls_result(it->tls, count);
}
#else
int stream_has_tls(void) { return 0; }

int stream_ready(stream *it, int is_tls) {
    if (is_tls) fail("the generator was built without OpenSSL");
    return plain_ready(it);
}
#endif

static ssize_t plain_result(ssize_t count) {
    if (count > 0) return count;
    return count < 0 && (errno == EAGAIN || errno == EINTR) ? STREAM_AGAIN : STREAM_ENDED;
}

ssize_t stream_read(stream *it, char *into, size_t length) {
#ifdef WITH_TLS
    if (it->tls) return tls_read(it, into, length);
#endif
    return plain_result(recv(it->file, into, length, 0));
}

ssize_t stream_skip(stream *it, size_t length) { return plain_result(recv(it->file, NULL, length, MSG_TRUNC)); /* tcp(7) */ }

int stream_write(stream *it, const char *bytes, size_t length) {
#ifdef WITH_TLS
    if (it->tls) return SSL_write(it->tls, bytes, (int)length) == (int)length ? 0 : STREAM_ENDED;
#endif
    return send(it->file, bytes, length, MSG_NOSIGNAL) == (ssize_t)length ? 0 : STREAM_ENDED;
}

void stream_close(stream *it) {
#ifdef WITH_TLS
    if (it->tls) SSL_free(it->tls);
#endif
    if (it->file >= 0) close(it->file);
    *it = (stream){.file = -1};
}
