/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__IO_ADDRESS_H
#define COP__IO_ADDRESS_H

#include <coppice/inet.h>
#include <sys/socket.h>

/* An address of any kind of socket and its size. */
struct cop__address {
    struct sockaddr_storage is;
    socklen_t size; /* 0: none */
};

/* A host as the public functions take it: an address, or a name to be looked up. */
struct cop__host {
    struct cop__address address; /* size 0: `name` must be looked up */
    char name[256];
};

enum cop__address_form { COP__ADDRESS_ANY, COP__ADDRESS_STRICT, COP__ADDRESS_IPV4 };

/* Reads a numeric address of `size` bytes of text. */
bool cop__address_parse(const char *text, size_t size, enum cop__address_form form,
                        struct cop__address *out);
/* From {a, b, c, d} or {a, ..., h}. */
bool cop__address_from_term(cop_term ip, struct cop__address *out);
void cop__address_set_port(struct cop__address *address, int port);
int cop__address_port(const struct cop__address *address); /* -1: it has none */
/* The IP address as a tuple. */
cop_term cop__address_ip(cop_ctx *ctx, const struct cop__address *address);
/* {ip, port} or {:local, path} */
cop_term cop__address_term(cop_ctx *ctx, const struct cop__address *address);
/* A path as an address; false when it is too long. */
bool cop__address_local(const char *path, size_t size, struct cop__address *out);

/* What a public function was given as host; local: {:local, path} is allowed. Returns 0, or a negative
   errno: -EINVAL no host at all, -EAFNOSUPPORT an address of the other family. A numeric text of either
   family is an address. */
int cop__host_from_term(cop_term host, int port, bool local, struct cop__host *out);

#endif
