/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses: between sockaddr, Erlang's tuples of integers, and text.
 *
 * The text of IPv4 is read by hand, because Erlang takes forms that inet_pton does not (fewer than four
 * parts, hexadecimal, octal) and inet_aton takes more than Erlang (what stands after a blank).
 * Threads: any; nothing is shared.
 */
#include "io/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

static struct sockaddr_in *v4(struct cop__address *a) { return (struct sockaddr_in *)&a->is; }
static struct sockaddr_in6 *v6(struct cop__address *a) { return (struct sockaddr_in6 *)&a->is; }

static void set_v4(struct cop__address *out, uint32_t ip) {
    *out = (struct cop__address){ .size = sizeof(struct sockaddr_in) };
    v4(out)->sin_family = AF_INET;
    v4(out)->sin_addr.s_addr = htonl(ip);
}

static void set_v6(struct cop__address *out, const struct in6_addr *ip) {
    *out = (struct cop__address){ .size = sizeof(struct sockaddr_in6) };
    v6(out)->sin6_family = AF_INET6;
    v6(out)->sin6_addr = *ip;
}

/* ---- reading text ------------------------------------------------------------------------------------- */

static int digit_of(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : 99;
}

/* One number of a dotted address: decimal, or (unless strict) 0x... or 0... Returns its length, 0 when
   there is none. */
static size_t read_number(const char *text, size_t size, bool strict, uint64_t *out) {
    size_t at = 0;
    int base = 10;
    if (size > 1 && text[0] == '0' && digit_of(text[1]) < 10) {
        base = 8;
    } else if (size > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
        base = 16;
        at = 2;
    }
    if (strict && base != 10)
        return 0;
    size_t first = at;
    for (*out = 0; at < size && digit_of(text[at]) < base; at++) {
        *out = *out * (uint64_t)base + (uint64_t)digit_of(text[at]);
        if (*out > UINT32_MAX)
            return 0;
    }
    return at == first ? 0 : at;
}

static bool parse_v4(const char *text, size_t size, bool strict, struct cop__address *out) {
    uint64_t ip = 0;
    for (int part = 0; part < 4; part++) {
        uint64_t n;
        size_t length = read_number(text, size, strict, &n);
        if (length == 0)
            return false;
        if (length == size) { /* the last one stands for all bytes that are left */
            if ((strict && part != 3) || n >> (8 * (4 - part)) != 0)
                return false;
            set_v4(out, (uint32_t)(ip | n));
            return true;
        }
        if (text[length] != '.' || n > 255)
            return false;
        ip |= n << (8 * (3 - part));
        text += length + 1;
        size -= length + 1;
    }
    return false;
}

static bool parse_v6(const char *text, size_t size, struct cop__address *out) {
    char copy[INET6_ADDRSTRLEN], interface[IF_NAMESIZE] = "";
    const char *percent = memchr(text, '%', size);
    size_t length = percent != NULL ? (size_t)(percent - text) : size;
    if (length >= sizeof copy)
        return false;
    memcpy(copy, text, length);
    copy[length] = '\0';
    struct in6_addr ip;
    if (strlen(copy) != length || inet_pton(AF_INET6, copy, &ip) != 1)
        return false;
    set_v6(out, &ip);
    size_t rest = size - length;
    if (rest > 1 && rest <= sizeof interface) {
        memcpy(interface, percent + 1, rest - 1);
        v6(out)->sin6_scope_id = if_nametoindex(interface);
    }
    return true;
}

bool cop__address_parse(const char *text, size_t size, enum cop__address_form form,
                        struct cop__address *out) {
    if (size == 0)
        return false;
    if (parse_v4(text, size, form == COP__ADDRESS_STRICT, out))
        return true;
    return form != COP__ADDRESS_IPV4 && parse_v6(text, size, out);
}

/* ---- terms ---------------------------------------------------------------------------------------------- */

bool cop__address_from_term(cop_term ip, struct cop__address *out) {
    int64_t parts = cop_tuple_size(ip), n;
    if (parts == 4) {
        uint32_t word = 0;
        for (size_t i = 0; i < 4; i++) {
            if (!cop_get_i64(cop_elem(ip, i), &n) || n < 0 || n > 255)
                return false;
            word = word << 8 | (uint32_t)n;
        }
        set_v4(out, word);
        return true;
    }
    if (parts != 8)
        return false;
    struct in6_addr bytes;
    for (size_t i = 0; i < 8; i++) {
        if (!cop_get_i64(cop_elem(ip, i), &n) || n < 0 || n > 65535)
            return false;
        bytes.s6_addr[2 * i] = (uint8_t)(n >> 8);
        bytes.s6_addr[2 * i + 1] = (uint8_t)n;
    }
    set_v6(out, &bytes);
    return true;
}

void cop__address_set_port(struct cop__address *address, int port) {
    if (address->is.ss_family == AF_INET)
        v4(address)->sin_port = htons((uint16_t)port);
    else if (address->is.ss_family == AF_INET6)
        v6(address)->sin6_port = htons((uint16_t)port);
}

int cop__address_port(const struct cop__address *address) {
    if (address->is.ss_family == AF_INET)
        return ntohs(((const struct sockaddr_in *)&address->is)->sin_port);
    if (address->is.ss_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *)&address->is)->sin6_port);
    return -1;
}

cop_term cop__address_ip(cop_ctx *ctx, const struct cop__address *address) {
    cop_term parts[8];
    if (address->is.ss_family == AF_INET) {
        uint32_t ip = ntohl(((const struct sockaddr_in *)&address->is)->sin_addr.s_addr);
        for (int i = 0; i < 4; i++)
            parts[i] = cop_of(ctx, ip >> (24 - 8 * i) & 255);
        return cop_tuple_n(ctx, 4, parts);
    }
    const uint8_t *bytes = ((const struct sockaddr_in6 *)&address->is)->sin6_addr.s6_addr;
    for (int i = 0; i < 8; i++)
        parts[i] = cop_of(ctx, bytes[2 * i] << 8 | bytes[2 * i + 1]);
    return cop_tuple_n(ctx, 8, parts);
}

cop_term cop__address_term(cop_ctx *ctx, const struct cop__address *address) {
    if (address->is.ss_family != AF_UNIX)
        return cop_tuple(ctx, cop__address_ip(ctx, address), cop__address_port(address));
    const struct sockaddr_un *un = (const struct sockaddr_un *)&address->is;
    size_t before = offsetof(struct sockaddr_un, sun_path);
    size_t size = address->size > before ? address->size - before : 0;
    if (size > 0 && un->sun_path[0] != '\0')
        size = strnlen(un->sun_path, size);
    return cop_tuple(ctx, cop_a(local), cop_binary(ctx, un->sun_path, size));
}

bool cop__address_local(const char *path, size_t size, struct cop__address *out) {
    struct sockaddr_un *un = (struct sockaddr_un *)&out->is;
    if (size == 0 || size >= sizeof un->sun_path || memchr(path, '\0', size) != NULL)
        return false;
    *out = (struct cop__address){ 0 };
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, size);
    out->size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size + 1);
    return true;
}

/* The bytes of a text: binary, charlist or atom. false: it is none, or has a NUL in it. */
static bool text_of(cop_term host, char *out, size_t room) {
    cop_atom name;
    cop_bytes bytes;
    size_t size;
    if (cop_get_atom(host, &name)) {
        const char *text = cop_atom_name(name, &size);
        if (size >= room)
            return false;
        memcpy(out, text, size);
    } else if (cop_get_bytes(host, &bytes)) {
        size = bytes.size;
        if (size >= room)
            return false;
        memcpy(out, bytes.data, size);
    } else {
        int64_t length = cop_is_cons(host) ? cop_iodata_size(host) : -1;
        if (length < 0 || (size_t)length >= room)
            return false;
        size = (size_t)length;
        cop_iodata_copy(host, (uint8_t *)out);
    }
    out[size] = '\0';
    return size > 0 && strlen(out) == size;
}

int cop__host_from_term(cop_term host, int port, bool local, struct cop__host *out) {
    cop_term path;
    *out = (struct cop__host){ 0 };
    if (cop_match_tuple(host, cop_a(local), &path))
        return local && port == 0 && text_of(path, out->name, sizeof out->name)
                       && cop__address_local(out->name, strlen(out->name), &out->address)
                   ? 0
                   : -EINVAL;
    if (cop_match(host, cop_a(loopback)))
        set_v4(&out->address, INADDR_LOOPBACK);
    else if (cop_match(host, cop_a(any)))
        set_v4(&out->address, INADDR_ANY);
    else if (cop_is_tuple(host) && !cop__address_from_term(host, &out->address))
        return -EINVAL;
    else if (!cop_is_tuple(host) && !text_of(host, out->name, sizeof out->name))
        return -EINVAL;
    if (out->address.size == 0)
        cop__address_parse(out->name, strlen(out->name), COP__ADDRESS_ANY, &out->address);
    if (out->address.size != 0)
        cop__address_set_port(&out->address, port);
    return 0;
}

/* ---- public -------------------------------------------------------------------------------------------------- */

static cop_term error_einval(cop_ctx *ctx) { return cop_tuple(ctx, cop_a(error), cop_a(einval)); }

cop_term cop_inet_ntoa(cop_ctx *ctx, cop_term ip) {
    char text[INET6_ADDRSTRLEN];
    struct cop__address address;
    if (!cop__address_from_term(ip, &address))
        return error_einval(ctx);
    const void *bytes = address.is.ss_family == AF_INET ? (const void *)&v4(&address)->sin_addr
                                                        : (const void *)&v6(&address)->sin6_addr;
    inet_ntop(address.is.ss_family, bytes, text, sizeof text);
    return cop_of(ctx, (const char *)text);
}

static cop_term parse(cop_ctx *ctx, const char *text, enum cop__address_form form, bool map) {
    struct cop__address a;
    if (!cop__address_parse(text, strlen(text), form, &a))
        return error_einval(ctx);
    cop_term ip = cop__address_ip(ctx, &a);
    if (map && a.is.ss_family == AF_INET) {
        uint32_t word = ntohl(v4(&a)->sin_addr.s_addr);
        ip = cop_tuple(ctx, 0, 0, 0, 0, 0, 65535, word >> 16, word & 65535);
    }
    return cop_tuple(ctx, cop_a(ok), ip);
}

cop_term cop_inet_parse_address(cop_ctx *ctx, const char *text) {
    return parse(ctx, text, COP__ADDRESS_ANY, false);
}

cop_term cop_inet_parse_strict_address(cop_ctx *ctx, const char *text) {
    return parse(ctx, text, COP__ADDRESS_STRICT, false);
}

cop_term cop_inet_parse_ipv4_address(cop_ctx *ctx, const char *text) {
    return parse(ctx, text, COP__ADDRESS_IPV4, false);
}

cop_term cop_inet_parse_ipv6_address(cop_ctx *ctx, const char *text) {
    return parse(ctx, text, COP__ADDRESS_ANY, true);
}
