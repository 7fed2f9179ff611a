/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The generator of access logs. A few paths get most of the requests, as on real sites; sizes are spread over
 * five orders of magnitude. Lines with a crash are the same distance apart.
 */
#include "generate.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

struct random {
    uint64_t state;
};

static uint64_t next(struct random *r) { /* splitmix64 */
    uint64_t z = r->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static uint64_t below(struct random *r, uint64_t n) { return next(r) % n; }

/* Each number is drawn in a statement of its own: the order of arguments is the compiler's. */
static void make_path(struct random *r, char *out, size_t size) {
    static const char *const pages[] = { "/",          "/index.html", "/login",
                                         "/cart",      "/search",     "/about",
                                         "/style.css", "/main.js",    "/api/v1/users" };
    unsigned long long a = below(r, 40), b = below(r, 40);
    switch (below(r, 4)) {
    case 0:
        snprintf(out, size, "/item/%llu", a * b);
        break;
    case 1:
        snprintf(out, size, "/search?q=%llx&page=%llu", a * 1000 + b, b % 9);
        break;
    default:
        snprintf(out, size, "%s", pages[below(r, a % 9 + 1)]);
        break;
    }
}

static int make_status(struct random *r) {
    static const int seldom[] = { 301, 302, 304, 400, 401, 403, 404, 404, 404, 500, 502, 503 };
    return below(r, 10) > 0 ? 200 : seldom[below(r, sizeof seldom / sizeof *seldom)];
}

static void make_size(struct random *r, int status, char *out, size_t size) {
    uint64_t limit = UINT64_C(1) << (4 + below(r, 17)), bytes = below(r, limit);
    if (status == 304)
        snprintf(out, size, "-");
    else
        snprintf(out, size, "%llu", (unsigned long long)bytes);
}

static int make_line(struct random *r, int64_t number, char *out, size_t size) {
    static const char *const methods[] = { "GET", "GET", "GET", "GET", "POST", "HEAD" };
    char path[100], bytes[30];
    int status = make_status(r);
    make_path(r, path, sizeof path);
    make_size(r, status, bytes, sizeof bytes);
    unsigned host = (unsigned)next(r), any = (unsigned)next(r);
    unsigned second = (unsigned)(number / 50 % 86400);
    int length = snprintf(
        out, size, "10.%u.%u.%u - %s [03/Mar/2026:%02u:%02u:%02u +0000] \"%s %s HTTP/1.1\" %d %s",
        host & 3, host >> 8 & 255, host >> 16 & 255, any % 8 == 0 ? "ada" : "-", second / 3600,
        second / 60 % 60, second % 60, methods[any / 8 % 6], path, status, bytes);
    if (any / 48 % 2 == 0)
        length += snprintf(out + length, size - (size_t)length,
                           " \"https://example.org/%u\" \"Mozilla/5.0 (X11; Linux x86_64)\"",
                           any / 96 % 100);
    return length;
}

/* Makes a good line a bad one; its length afterwards. */
static int spoil(struct random *r, char *line, int length) {
    char *quote;
    switch (below(r, 6)) {
    case 0: /* cut off, as by a full disk; always within the request */
        return length > 50 ? 30 + (int)below(r, 20) : 0;
    case 1: /* no status */
        quote = strrchr(line, '"');
        memcpy(quote, "\" OK 17", 8);
        return (int)strlen(line);
    case 2:
        *strchr(line, '[') = '(';
        return length;
    case 3:
        line[5] = '\t';
        return length;
    case 4:
        memcpy(line, "no log ", 7);
        return 6;
    default: /* a request without its protocol */
        quote = strstr(line, " HTTP/1.1");
        memmove(quote, quote + 9, strlen(quote + 9) + 1);
        return length - 9;
    }
}

static int add_crash(char *line, int length) {
    static const char crash[] = " \"-\" \"\0CRASH\"";
    char *quote = strchr(line, '"');
    char *tail = strchr(strchr(quote + 1, '"') + 1, '"');
    if (tail != NULL)
        length = (int)(tail - line) - 1;
    memcpy(line + length, crash, sizeof crash - 1);
    return length + (int)sizeof crash - 1;
}

static bool has_crash(const struct generate *what, int64_t number) {
    int64_t apart = what->crashes == 0 ? 0 : what->lines / what->crashes;
    return apart > 0 && number % apart == apart / 2 && number / apart < what->crashes;
}

static int write_lines(gzFile file, const struct generate *what) {
    struct random r = { what->seed };
    for (int64_t i = 0; i < what->lines; i++) {
        char line[600];
        int length = make_line(&r, i, line, sizeof line - 40);
        if (has_crash(what, i))
            length = add_crash(line, length);
        else if ((int)below(&r, 1000000) < what->malformed)
            length = spoil(&r, line, length);
        line[length++] = '\n';
        if (gzwrite(file, line, (unsigned)length) != length)
            return errno != 0 ? -errno : -EIO;
    }
    return 0;
}

int generate_log(const struct generate *what, const char *path) {
    errno = 0;
    gzFile file = gzopen(path, what->gzip ? "wb1" : "wbT"); /* T: no compression, no header */
    if (file == NULL)
        return errno != 0 ? -errno : -ENOMEM;
    int rc = write_lines(file, what);
    if (gzclose(file) != Z_OK && rc == 0)
        rc = -EIO;
    return rc;
}
